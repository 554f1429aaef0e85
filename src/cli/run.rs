//! `sinew run`: images or video in, poses out.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, bail};
use clap::Args;

use super::Verdict;
use super::config::Settings;
use super::log::LogArguments;
use super::progress::Progress;
use super::service::Service;
use super::stop;
use crate::bundle::{Bundle, Model};
use crate::estimator::{self, Estimator, LazyEstimator};
use crate::runtime::{Boxes, Counts, FoundBoxes, ListedBoxes, LivePipeline, Observer, Pipeline, Skip, WholeImage};
use crate::sink::http::Http;
use crate::sink::http::metrics::{Metrics, Totals};
use crate::sink::{self, Category, OutputSchema, Sink, TrackCounts, Tracked};
use crate::source;
use crate::template::Template;

/// Find the poses in images or a video
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sinew run --model logocap-tiny --source photo.jpg --overlay out
  ffmpeg -i film.mp4 -f yuv4mpegpipe - | sinew run --model logocap-tiny --source - --overlay out.y4m > poses.jsonl")]
pub struct RunArguments {
    #[command(flatten)]
    settings: Settings,
    /// Read options from this file too; flags and SINEW_* variables win over it, it wins over /etc/sinew/config.toml
    #[arg(long, value_name = "FILE", env = "SINEW_CONFIG")]
    config: Option<PathBuf>,
}

impl RunArguments {
    /// The options, from wherever they come.
    pub fn settings(self) -> anyhow::Result<Settings> {
        self.settings.with_files(self.config.as_deref())
    }

    /// Runs the command.
    pub fn run(self, log: &LogArguments) -> anyhow::Result<Verdict> {
        let settings = self.settings()?;
        let stop = stop::flag()?;
        let (model, uris) = (settings.model()?, settings.sources()?);
        let bundle = Bundle::open(model)?;
        // Everything that can be wrong with what was asked for is found out before the networks are opened.
        let mut sources = uris.iter().map(|uri| source::open(uri)).collect::<Result<Vec<_>, _>>()?;
        let templates = read_templates(&settings.template, &bundle)?;
        let mut boxes = open_boxes(&settings, &bundle)?;
        let schema = describe(&bundle, &templates);
        let preview = open_preview(&settings, &schema, sources.len())?;
        let metrics = preview.as_ref().map(Http::metrics);
        let address = preview.as_ref().map(Http::address);
        let tracks = metrics.as_ref().map(|metrics| metrics.tracks()).unwrap_or_default();
        let sinks = open_sinks(&settings, &schema, preview)?;
        let mut sinks = tracked(sinks, &settings, &bundle, sources.len(), tracks)?;
        let options = settings.model_options(templates);
        let open = || LazyEstimator::new(bundle.clone(), settings.backend.unwrap_or_default(), &options);
        let is_live = sources.iter().filter(|source| source.live().is_some()).count();
        if is_live < sources.len() && sources.len() > 1 {
            bail!("only cameras can be read side by side: give one --source, or cameras only");
        }

        if let Some(address) = address.filter(|_| !log.quiet) {
            eprintln!("sinew: preview on http://{address}/");
        }
        let mut watcher = Watcher::new(sources[0].frames(), log).counting(metrics).serving();
        let mut counts = Counts::default();
        let start = Instant::now();
        let ended = if is_live > 0 {
            let _insistence = stop::force_exit_after()?;
            let mut estimators: Vec<Box<dyn Estimator>> =
                sources.iter().map(|_| Box::new(open()) as Box<dyn Estimator>).collect();
            let pipeline = LivePipeline {
                cameras: sources,
                estimators: &mut estimators,
                boxes: boxes.as_mut(),
                sinks,
                observer: &mut watcher,
                deadline: settings.deadline,
                stop,
            };
            pipeline.run(&mut counts)
        } else {
            let mut pipeline = Pipeline {
                source: sources[0].as_mut(),
                boxes: boxes.as_mut(),
                estimator: &mut open(),
                sinks: &mut sinks,
                observer: &mut watcher,
                deadline: settings.deadline,
                stop: &stop,
            };
            pipeline.run(&mut counts)
        };
        watcher.finish();
        if !log.quiet {
            summarise(&counts, start.elapsed().as_secs_f64());
        }
        if let Some(remark) = boxes.remark() {
            tracing::warn!("{remark}");
        }
        ended?;
        if counts.frames == 0 && is_live == 0 {
            bail!("{}: no frame in it", uris[0]);
        }
        Ok(if counts.skipped() > 0 { Verdict::Negative } else { Verdict::Good })
    }
}

/// What to look for; each must have been made by the bundle.
pub fn read_templates(paths: &[PathBuf], bundle: &Bundle) -> anyhow::Result<Vec<Template>> {
    let about = &bundle.manifest().about;
    match (about.model, paths) {
        (Model::Capeformer, []) => {
            bail!("{} finds what was enrolled: give --template, which `sinew enrol` makes", about.name)
        }
        (Model::Capeformer, paths) => {
            let mut templates: Vec<Template> = Vec::with_capacity(paths.len());
            for path in paths {
                let template = Template::read(path)?;
                template.fits(bundle).with_context(|| path.display().to_string())?;
                if templates.iter().any(|other| other.name() == template.name()) {
                    bail!("{}: a second template named `{}`", path.display(), template.name());
                }
                templates.push(template);
            }
            Ok(templates)
        }
        (_, []) => Ok(Vec::new()),
        (model, _) => bail!("--template is for capeformer bundles, {} is a {model}", about.name),
    }
}

pub fn open_boxes(settings: &Settings, bundle: &Bundle) -> anyhow::Result<Box<dyn Boxes>> {
    let about = &bundle.manifest().about;
    let given = settings.boxes.is_some() || settings.boxes_from.is_some();
    if given && !about.model.takes_boxes() {
        bail!(
            "boxes are for models of one thing at a time; {} is a {}, which looks everywhere",
            about.name,
            about.model
        );
    }
    if let Some(path) = &settings.boxes {
        return Ok(Box::new(ListedBoxes::read(path)?));
    }
    let Some(name) = &settings.boxes_from else { return Ok(Box::new(WholeImage)) };
    let finder = Bundle::open(name)?;
    if finder.manifest().about.model.takes_boxes() {
        bail!("--boxes-from {name}: give a bundle that finds people by itself");
    }
    // It may have other precisions than the bundle that answers.
    let options = estimator::Options { precision: None, ..settings.options() };
    let estimator = LazyEstimator::new(finder, settings.backend.unwrap_or_default(), &options);
    Ok(Box::new(FoundBoxes::new(estimator)))
}

/// What the poses are poses of.
pub fn describe(bundle: &Bundle, templates: &[Template]) -> OutputSchema {
    let enrolled = |template: &Template| Category {
        name: template.name().to_owned(),
        keypoints: template.keypoints().iter().map(|keypoint| keypoint.name.clone()).collect(),
        skeleton: template.skeleton(),
    };
    let categories = if templates.is_empty() {
        let (keypoints, skeleton) = (bundle.keypoint_names().to_vec(), bundle.skeleton());
        vec![Category { name: "person".to_owned(), keypoints, skeleton }]
    } else {
        templates.iter().map(enrolled).collect()
    };
    OutputSchema {
        model: bundle.manifest().about.model.to_string(),
        bundle: bundle.manifest().about.name.clone(),
        categories,
        templates: !templates.is_empty(),
        poses: bundle.manifest().limits.poses,
    }
}

/// The server for browsers, if one was asked for.
fn open_preview(settings: &Settings, schema: &OutputSchema, cameras: usize) -> anyhow::Result<Option<Http>> {
    let options = sink::http::Options {
        keypoint_threshold: settings.keypoint_threshold.unwrap_or(0.0),
        ..sink::http::Options::default()
    };
    let open = |address: &String| Http::open(address, schema, cameras, &options);
    Ok(settings.preview.as_ref().map(open).transpose()?)
}

/// All sinks; the preview comes first, as it waits for nobody.
fn open_sinks(settings: &Settings, schema: &OutputSchema, preview: Option<Http>) -> anyhow::Result<Vec<Box<dyn Sink>>> {
    let options = sink::Options {
        keypoint_threshold: settings.keypoint_threshold.unwrap_or(0.0),
        // Counted where somebody can read it.
        dropped_lines: preview.as_ref().map(|preview| preview.metrics().dropped_lines()).unwrap_or_default(),
    };
    let overlay = settings.overlay.as_ref().map(|path| format!("overlay:{path}"));
    let default = settings.sink.is_empty().then(|| "jsonl:-".to_owned());
    let uris = settings.sink.iter().cloned().chain(default).chain(overlay);
    let preview = preview.map(|preview| Ok(Box::new(preview) as Box<dyn Sink>));
    let sinks = preview.into_iter().chain(uris.map(|uri| sink::open(&uri, schema, &options)));
    Ok(sinks.collect::<Result<_, _>>()?)
}

/// The sinks, behind a tracker unless there is to be none.
fn tracked(
    sinks: Vec<Box<dyn Sink>>,
    settings: &Settings,
    bundle: &Bundle,
    cameras: usize,
    counts: Arc<TrackCounts>,
) -> anyhow::Result<Vec<Box<dyn Sink>>> {
    let mut options = bundle.manifest().track_options();
    settings.track_section().apply(&mut options);
    // Wrong options are errors whether they are used or not.
    options.check()?;
    if settings.no_smooth {
        options.smooth_params = None;
    }
    Ok(if settings.no_track { sinks } else { vec![Box::new(Tracked::new(sinks, &options, cameras, counts)?)] })
}

fn summarise(counts: &Counts, seconds: f64) {
    let Counts { frames, poses, .. } = *counts;
    let mut text = format!("{frames} frames in {seconds:.1} s, {poses} poses");
    for (count, what) in [
        (counts.unreadable, "frames could not be read"),
        (counts.unsupported_size, "frames do not fit the network"),
        (counts.dropped_poses, "poses dropped: too many, or not finite"),
        (counts.superseded + counts.live.superseded, "frames passed over for newer ones"),
        (counts.live.lost_by_driver, "frames lost by the camera"),
        (counts.live.corrupt, "damaged frames"),
        (counts.dropped_by_output, "results that the sinks were too slow for"),
        (counts.live.restarts, "restarts of the camera"),
    ] {
        if count > 0 {
            text += &format!("; {count} {what}");
        }
    }
    eprintln!("sinew: {text}");
}

/// Shows how far the work is, and what was skipped.
pub struct Watcher {
    progress: Progress,
    /// Told what was counted.
    metrics: Option<Arc<Metrics>>,
    service: Option<Service>,
}

impl Watcher {
    /// Watches a source of so many frames.
    pub fn new(frames: Option<u64>, log: &LogArguments) -> Self {
        Self { progress: Progress::new(frames, log), metrics: None, service: None }
    }

    /// Tells `metrics` what is counted.
    pub fn counting(self, metrics: Option<Arc<Metrics>>) -> Self {
        Self { metrics, ..self }
    }

    /// Tells the service manager how it goes, where there is one.
    pub fn serving(self) -> Self {
        Self { service: Service::from_environment(), ..self }
    }

    fn tell(&self, counts: &Counts) {
        if let Some(metrics) = &self.metrics {
            let Counts { superseded, dropped_by_output, unreadable, unsupported_size, live, .. } = *counts;
            metrics.set_totals(&Totals { superseded, dropped_by_output, unreadable, unsupported_size, live });
        }
    }

    /// Nothing more comes.
    pub fn finish(self) {
        self.progress.finish();
    }
}

impl Observer for Watcher {
    fn processed(&mut self, counts: &Counts) {
        self.tell(counts);
        self.progress.step();
        if let Some(service) = &mut self.service {
            service.processed(counts);
        }
    }

    fn skipped(&mut self, why: &Skip, counts: &Counts) {
        self.tell(counts);
        self.progress.complain(why);
        self.progress.step();
        if let Some(service) = &mut self.service {
            service.alive();
        }
    }

    fn alive(&mut self, counts: &Counts) {
        self.tell(counts);
        if let Some(service) = &mut self.service {
            service.alive();
        }
    }
}
