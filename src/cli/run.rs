//! `sinew run`: images or video in, poses out.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::bail;
use clap::Args;

use super::Verdict;
use super::config::{self, Settings};
use super::guard::FileGuard;
use super::log::LogArguments;
use super::machine;
use super::model::{describe, open_boxes, read_templates, track_options};
use super::progress::Progress;
use super::reload::Reloader;
use super::service::Service;
use super::{output, stop};
use crate::bundle::Bundle;
use crate::estimator::{self, LazyEstimator};
use crate::runtime::{Counts, LivePipeline, Observer, Outputs, Pipeline, Skip, Tracking};
use crate::sink::http::Http;
use crate::sink::http::metrics::Metrics;
use crate::sink::{self, OutputSchema, Sink, SinkError};
use crate::source;

/// Find the poses in images or a video
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sinew run --model logocap-movenet --source photo.jpg --overlay out
  sinew run --model logocap-movenet --source film.mp4 --overlay out.y4m > poses.jsonl
  sinew run --model logocap-movenet --source 'rtsp://USER:${PASSWORD}@CAMERA/stream' --preview 8080")]
pub struct RunArguments {
    #[command(flatten)]
    settings: Settings,
    /// Read options from this file too; flags and SINEW_* variables win over it, it wins over /etc/sinew/config.toml
    #[arg(long, value_name = "FILE", env = "SINEW_CONFIG")]
    config: Option<PathBuf>,
}

impl RunArguments {
    /// The combined options of flags, variables and files.
    pub fn settings(self) -> anyhow::Result<Settings> {
        self.settings.with_files(self.config.as_deref())
    }

    /// Runs the command.
    pub fn run(self, log: &LogArguments) -> anyhow::Result<Verdict> {
        // Before the configuration is read, so that no change of it is missed.
        let (reload, (stop, forced_exit)) = (stop::reload_flag()?, stop::on_signals(|_| 0)?);
        let (config, given) = (self.config.clone(), self.settings.clone());
        let settings = self.settings()?;
        let (bundle, uris) = (settings.bundle()?, settings.sources()?);
        guard(&settings, &bundle, uris, config.as_deref())?;
        // Wrong options are reported before the networks are opened.
        warn_of_passwords();
        let mut sources = uris.iter().map(|uri| source::open(uri)).collect::<Result<Vec<_>, _>>()?;
        let templates = read_templates(&settings.template, &bundle)?;
        let mut boxes = open_boxes(&settings, &bundle)?;
        let track_options = track_options(&settings, &bundle)?;
        let zones = settings.tracker.zones()?;
        if settings.no_track && !zones.is_empty() {
            bail!("zones and lines count identities: omit --no-track");
        }
        let (host, device) = machine::identity();
        let schema = OutputSchema { host, device, ..describe(&bundle, &templates) };
        let preview = open_preview(&settings, &schema, sources.len())?;
        let metrics = preview.as_ref().map(Http::metrics);
        let address = preview.as_ref().map(|preview| (preview.address(), preview.has_images()));
        let tracks = metrics.as_ref().map(|metrics| metrics.tracks()).unwrap_or_default();
        let sinks = open_sinks(&settings, &schema, preview)?;
        let tracking =
            track_options.map(|options| Tracking::new(&options, zones, sources.len(), tracks)).transpose()?;
        let outputs = Outputs::new(sinks, tracking);
        forced_exit.finishes(&outputs);
        let options = estimator::Options { sources: sources.len(), ..settings.model_options(templates) };
        let backend = settings.backend()?;
        let open = || LazyEstimator::new(bundle.clone(), backend, &options);
        let live_count = sources.iter().filter(|source| source.live_counts().is_some()).count();
        if live_count < sources.len() && sources.len() > 1 {
            bail!("only cameras can be read together: give one --source, or cameras only");
        }

        if let Some((address, has_images)) = address {
            if !log.quiet {
                let (what, page) = if has_images { ("preview", "") } else { ("metrics", "metrics") };
                output::message(format_args!("sinew: {what} on http://{address}/{page}"));
            }
            if has_images && !address.ip().to_canonical().is_loopback() {
                tracing::warn!("the preview has no password: anyone who can reach {address} sees the images");
            }
        }
        let mut observer = RunObserver::new(sources[0].frames(), log).counting(metrics.clone()).serving();
        if observer.service.is_some() {
            outputs.keep_running();
        }
        let mut counts = Counts::default();
        let start = Instant::now();
        let ended = if live_count > 0 {
            let (given, used) = ((given, config), (&settings, &bundle));
            let mut reloader = Reloader::new(reload, given, used, &schema, sources.len(), metrics, log.quiet)?;
            let pipeline = LivePipeline {
                cameras: sources,
                estimator: &mut open(),
                boxes: boxes.as_mut(),
                outputs,
                observer: &mut observer,
                deadline: settings.deadline,
                stop,
            };
            pipeline.run_replacing(&mut counts, &mut reloader)
        } else {
            let mut pipeline = Pipeline {
                source: sources[0].as_mut(),
                boxes: boxes.as_mut(),
                estimator: &mut open(),
                outputs: &outputs,
                observer: &mut observer,
                deadline: settings.deadline,
                stop: &stop,
            };
            pipeline.run(&mut counts)
        };
        observer.finish();
        if !log.quiet {
            summarise(&counts, start.elapsed().as_secs_f64());
        }
        if let Some(remark) = boxes.remark() {
            tracing::warn!("{remark}");
        }
        ended?;
        if counts.frames == 0 && live_count == 0 {
            bail!("{}: no frame in it", source::shown(&uris[0]));
        }
        let is_complete = counts.dropped.unreadable + counts.dropped.unsupported_size == 0;
        Ok(if is_complete { Verdict::Good } else { Verdict::Negative })
    }
}

/// Warns of a password in the arguments, which all users of this machine can read.
fn warn_of_passwords() {
    #[cfg(feature = "camera")]
    if std::env::args().any(|argument| source::child::has_password(&argument)) {
        tracing::warn!(
            "an argument has a password in it, which all users of this machine can see; put it into a variable, as in \
             'rtsp://USER:${{PASSWORD}}@CAMERA/', or a file, as in 'rtsp://CAMERA/#credentials=FILE' (docs/sources.md)"
        );
    }
}

/// Refuses outputs that would destroy an input or each other, before anything is opened.
fn guard(settings: &Settings, bundle: &Bundle, sources: &[String], config: Option<&Path>) -> anyhow::Result<()> {
    let mut guard = FileGuard::default();
    for source in sources {
        match source::recording_of(source) {
            Some(folder) => guard.input_tree(folder),
            None => source::files_of(source).iter().for_each(|path| guard.input(path)),
        }
    }
    let files = settings.template.iter().chain(&settings.boxes).map(PathBuf::as_path);
    files.chain(config).chain([Path::new(config::SYSTEM)]).for_each(|path| guard.input(path));
    guard.input_tree(bundle.folder());
    if let Some(finder) = &settings.boxes_from {
        // If it cannot be opened, that is reported later.
        Bundle::open(finder).iter().for_each(|finder| guard.input_tree(finder.folder()));
    }
    let uris = sink_uris(settings);
    for (_, uri) in &uris {
        sink::inputs(uri)?.iter().for_each(|path| guard.input(path));
    }
    let mut outputs = Vec::new();
    for (option, uri) in uris {
        outputs.push((option, sink::outputs(&uri)?));
    }
    // A recording has its folder for itself: others are known by then.
    outputs.sort_by_key(|(_, output)| matches!(output, sink::Output::OwnFolder(_)));
    for (option, output) in outputs {
        match output {
            sink::Output::Files(paths) => {
                paths.iter().try_for_each(|path| guard.output(&option, path))?;
            }
            sink::Output::Folder(folder) => guard.images(&option, &folder)?,
            sink::Output::OwnFolder(folder) => guard.folder(&option, &folder)?,
            sink::Output::Standard => guard.standard_output()?,
            sink::Output::Device => {}
        }
    }
    guard.messages()
}

/// The URIs of all sinks, with the options that name them.
fn sink_uris(settings: &Settings) -> Vec<(String, String)> {
    let given = settings.sink.iter().map(|uri| (format!("--sink {}", sink::shown(uri)), uri.clone()));
    let default = settings.sink.is_empty().then(|| ("standard output".to_owned(), "jsonl:-".to_owned()));
    let overlay = settings.overlay.as_ref().map(|path| (format!("--overlay {path}"), format!("overlay:{path}")));
    let record = settings.record.as_ref().map(|folder| (format!("--record {folder}"), format!("record:{folder}")));
    given.chain(default).chain(overlay).chain(record).collect()
}

/// The HTTP server, if one was asked for.
fn open_preview(settings: &Settings, schema: &OutputSchema, cameras: usize) -> anyhow::Result<Option<Http>> {
    let options = sink::http::Options {
        keypoint_threshold: settings.keypoint_threshold.unwrap_or(0.0),
        ..sink::http::Options::default()
    };
    let open = |address: &String| Http::open(address, schema, cameras, &options);
    Ok(settings.preview.as_ref().map(open).transpose()?)
}

/// All sinks; the preview is the first, as it never waits.
fn open_sinks(settings: &Settings, schema: &OutputSchema, preview: Option<Http>) -> anyhow::Result<Vec<Box<dyn Sink>>> {
    let metrics = preview.as_ref().map(Http::metrics);
    let options = sink::Options {
        keypoint_threshold: settings.keypoint_threshold.unwrap_or(0.0),
        // Shown in the metrics.
        dropped_lines: metrics.as_ref().map(|metrics| metrics.dropped_lines()).unwrap_or_default(),
        broker: metrics.as_ref().map(|metrics| metrics.broker()).unwrap_or_default(),
    };
    let mut sinks: Vec<Box<dyn Sink>> = preview.into_iter().map(|preview| Box::new(preview) as Box<dyn Sink>).collect();
    let mut closed = None;
    for (_, uri) in sink_uris(settings) {
        match sink::open(&uri, schema, &options) {
            Ok(sink) => sinks.push(sink),
            Err(error @ SinkError::Closed { .. }) => closed = Some(error),
            Err(error) => return Err(error.into()),
        }
    }
    match closed {
        // As where the reader leaves later.
        Some(error) if !sinks.is_empty() => tracing::warn!("{error}; the other outputs continue"),
        Some(error) if Service::is_expected() => tracing::warn!("{error}; the service continues without"),
        Some(error) => return Err(error.into()),
        None => {}
    }
    Ok(sinks)
}

fn summarise(counts: &Counts, seconds: f64) {
    let Counts { frames, poses, dropped, .. } = *counts;
    let mut text = format!("{frames} frames in {seconds:.1} s, {poses} poses");
    for (count, what) in [
        (dropped.unreadable, "frames could not be read"),
        (dropped.unsupported_size, "frames do not fit the network"),
        (counts.dropped_poses, "poses dropped: over the limit, or not finite"),
        (dropped.superseded, "frames superseded by newer ones"),
        (dropped.driver, "frames dropped by the camera or its driver"),
        (dropped.corrupt, "corrupt frames"),
        (dropped.output, "results dropped: the outputs were too slow"),
        (counts.restarts, "restarts of the camera"),
    ] {
        if count > 0 {
            text += &format!("; {count} {what}");
        }
    }
    output::message(format_args!("sinew: {text}"));
}

/// Shows the progress of a run, and what was skipped.
pub struct RunObserver {
    progress: Progress,
    /// Takes the counts.
    metrics: Option<Arc<Metrics>>,
    service: Option<Service>,
}

impl RunObserver {
    /// Observes a run over `frames` frames, if known.
    pub fn new(frames: Option<u64>, log: &LogArguments) -> Self {
        Self { progress: Progress::new(frames, log), metrics: None, service: None }
    }

    /// Passes the counts to `metrics`.
    pub fn counting(self, metrics: Option<Arc<Metrics>>) -> Self {
        Self { metrics, ..self }
    }

    /// Reports to the service manager, if there is one.
    pub fn serving(self) -> Self {
        Self { service: Service::from_environment(), ..self }
    }

    fn tell(&self, counts: &Counts) {
        if let Some(metrics) = &self.metrics {
            metrics.set_counts(counts);
        }
    }

    /// The run is over.
    pub fn finish(self) {
        self.progress.finish();
    }
}

impl Observer for RunObserver {
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

    fn warned(&mut self, warning: &source::SourceError, counts: &Counts) {
        self.tell(counts);
        self.progress.complain(warning);
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
