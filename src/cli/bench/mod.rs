//! `sinew bench`: how long frames take, stage by stage.

mod meter;
mod report;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::bail;
use clap::Args;

use self::meter::{Measured, Meter};
use self::report::{ModelFacts, Report, SourceFacts, figures};
use super::config::Settings;
use super::log::LogArguments;
use super::machine::Machine;
use super::model::{describe, open_boxes, read_templates};
use super::run::{RunArguments, RunObserver};
use super::{Verdict, output, stop, value};
use crate::bundle::Bundle;
use crate::engine::{Backend, Precision};
use crate::estimator;
use crate::geometry::Size;
use crate::pixels::{Image, PixelFormat, yuyv};
use crate::runtime::{Counts, LivePipeline, Outputs, Pipeline};
use crate::sink::Sink;
use crate::source::{self, Repeated, Source, SourceError};

/// Maximum number of images kept in memory.
const KEPT: usize = 64;
/// Maximum memory for them, except the first.
const KEPT_BYTES: usize = 128 << 20;
/// How long a camera may take for its first frame.
const PATIENCE: Duration = Duration::from_secs(10);

/// Measure how long frames take, stage by stage
#[derive(Debug, Args)]
#[command(after_help = "\
Cameras are measured live. Images and videos are read into memory and processed repeatedly, each copied first like a camera's
frame; --as-camera gives them a camera's layout and size. Sinks are not used: JSON lines are discarded.

Examples:
  sinew bench --model logocap-movenet --source photos --as-camera 1280x720 --threads 1
  sinew bench --model logocap-movenet --source /dev/video0 --json > before.json
  sinew bench --model logocap-movenet --source /dev/video0 --compare before.json")]
pub struct BenchArguments {
    #[command(flatten)]
    run: RunArguments,
    /// Frames to measure
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..))]
    frames: u64,
    /// Frames to process before these
    #[arg(long, value_name = "N", default_value_t = 10)]
    warm_up: u64,
    /// Give images the layout of a camera, YUYV, and this size; the width must be even
    #[arg(long, value_name = "WxH", value_parser = value::size)]
    as_camera: Option<Size>,
    /// A report that was printed with --json, to compare with
    #[arg(long, value_name = "FILE")]
    compare: Option<PathBuf>,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

impl BenchArguments {
    /// Runs the command.
    pub fn run(self, log: &LogArguments) -> anyhow::Result<Verdict> {
        let Self { run, frames, warm_up, as_camera, compare, json } = self;
        let settings = run.settings()?;
        let earlier = compare.as_deref().map(Report::read).transpose()?;
        let (bundle, uris) = (settings.bundle()?, settings.sources()?);
        let [uri] = uris else { bail!("one --source is measured at a time") };
        let (stop, _forced_exit) = stop::on_signals(stop::unfinished)?;
        let mut source = source::open(uri)?;
        let templates = read_templates(&settings.template, &bundle)?;
        let mut boxes = open_boxes(&settings, &bundle)?;
        let meter = Meter::new(&describe(&bundle, &templates), warm_up, frames, Arc::clone(&stop))?;
        let measured = meter.measured();
        let options = settings.model_options(templates);

        let live = source.live_counts().is_some();
        let (size, format) = if live {
            if as_camera.is_some() {
                bail!("--as-camera is for images and videos; {uri} is a camera");
            }
            first_frame(source.as_mut())?
        } else {
            let images = images(source.as_mut(), uri, as_camera)?;
            let facts = (images[0].size(), images[0].format());
            source = Box::new(Repeated::new(images, warm_up + frames));
            facts
        };
        let backend = settings.backend()?;
        let mut estimator = estimator::open(&bundle, backend, &options, size, format)?;
        let backend = estimator.backend().unwrap_or(backend);
        let source_facts = SourceFacts {
            uri: source::shown(uri),
            live,
            size: [size.width, size.height],
            format: format!("{format:?}").to_uppercase(),
        };

        let mut observer = RunObserver::new(Some(warm_up + frames), log);
        let mut counts = Counts::default();
        let outputs = Outputs::from(vec![Box::new(meter) as Box<dyn Sink>]);
        let ended = if live {
            let pipeline = LivePipeline {
                cameras: vec![source],
                estimator: estimator.as_mut(),
                boxes: boxes.as_mut(),
                outputs,
                observer: &mut observer,
                deadline: settings.deadline,
                stop,
            };
            pipeline.run(&mut counts)
        } else {
            let mut pipeline = Pipeline {
                source: source.as_mut(),
                boxes: boxes.as_mut(),
                estimator: estimator.as_mut(),
                outputs: &outputs,
                observer: &mut observer,
                deadline: settings.deadline,
                stop: &stop,
            };
            pipeline.run(&mut counts)
        };
        observer.finish();
        ended?;
        let mut report = report(&measured, &bundle, &settings, backend, source_facts, warm_up)?;
        report.dropped =
            counts.dropped.by_reason().into_iter().map(|(reason, count)| (reason.to_owned(), count)).collect();
        if json {
            output::print_json(&report)?;
        } else {
            report.print(earlier.as_ref())?;
        }
        Ok(if report.frames < frames { Verdict::Negative } else { Verdict::Good })
    }
}

fn report(
    measured: &Mutex<Measured>,
    bundle: &Bundle,
    settings: &Settings,
    backend: Backend,
    source: SourceFacts,
    warm_up: u64,
) -> anyhow::Result<Report> {
    let measured = measured.lock().unwrap_or_else(PoisonError::into_inner);
    if measured.frames() == 0 {
        bail!("{}: no frame was measured", source.uri);
    }
    let (frames_per_second, milliseconds) = figures(&measured);
    Ok(Report {
        sinew: env!("CARGO_PKG_VERSION").to_owned(),
        machine: Machine::here(),
        model: ModelFacts {
            bundle: bundle.manifest().about.name.clone(),
            version: bundle.manifest().about.version.to_string(),
            sha256: bundle.hash().to_owned(),
            backend: backend.to_string(),
            precision: settings.precision.unwrap_or(Precision::default_of(backend)).name().to_owned(),
            threads: settings.threads.unwrap_or(0),
            level: settings.level.map(|level| format!("{level:?}").to_lowercase()),
        },
        source,
        frames: measured.frames(),
        warm_up,
        poses: measured.poses as f64 / measured.frames() as f64,
        frames_per_second,
        milliseconds,
        dropped: Default::default(),
    })
}

/// Waits for a camera's first frame, which says what to open engines for.
fn first_frame(source: &mut dyn Source) -> anyhow::Result<(Size, PixelFormat)> {
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        while let Some(warning) = source.next_warning() {
            tracing::warn!("{warning}");
        }
        match source.next_frame() {
            Ok(Some(frame)) => return Ok((frame.image.size(), frame.image.format())),
            Ok(None) => break,
            Err(SourceError::NotYet) => {}
            Err(error) if error.is_recoverable() => tracing::warn!("{error}"),
            Err(error) => return Err(error.into()),
        }
    }
    bail!("the camera gave no frame within {} s", PATIENCE.as_secs())
}

/// The frames of a file or folder, in memory.
fn images(source: &mut dyn Source, uri: &str, as_camera: Option<Size>) -> anyhow::Result<Vec<Image>> {
    if as_camera.is_some_and(|size| size.width % 2 != 0) {
        bail!("--as-camera: two columns share their colour in YUYV; give an even width");
    }
    let mut images: Vec<Image> = Vec::new();
    while images.len() < KEPT {
        let frame = match source.next_frame() {
            Ok(Some(frame)) => frame,
            Ok(None) => break,
            Err(SourceError::NotYet) => continue,
            Err(error) if error.is_recoverable() => {
                tracing::warn!("{error}");
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        let image = match as_camera {
            Some(size) => yuyv::as_camera(frame.image, size)?,
            None => Image::from(frame.image),
        };
        let first = images.first().map_or(image.size(), Image::size);
        if image.size() != first {
            bail!("{uri}: images of {first} and of {}; give all one size with --as-camera", image.size());
        }
        let bytes = image.data().len();
        images.push(image);
        // All have one size.
        if (images.len() + 1) * bytes > KEPT_BYTES {
            break;
        }
    }
    while let Some(warning) = source.next_warning() {
        tracing::warn!("{warning}");
    }
    if images.is_empty() {
        bail!("{uri}: no frame in it");
    }
    Ok(images)
}
