//! `sinew reload`, and what SIGHUP does to a running `sinew run`: the configuration is read again, and the model replaced.
//!
//! Another thread reads the files, opens the bundle and its engines and runs them once, all beside the running model. Only then
//! does the loop try the new model on a frame.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::thread;

use anyhow::{Context as _, bail};
use clap::Args;

use super::config::Settings;
use super::model::{describe, open_boxes, read_templates, track_options};
use super::output;
use super::service::Service;
use super::{Verdict, causes, config};
use crate::bundle::Bundle;
use crate::estimator::{self, EstimateError, Estimator as _, LazyEstimator, Request};
use crate::hash;
use crate::pixels::Image;
use crate::pose::Poses;
use crate::runtime::{Change, FrameKind, Model, Replacement, Replacements, Tracking};
use crate::sink::http::metrics::Metrics;
use crate::sink::{Category, OutputSchema, TrackCounts};
use crate::source::Frame;
use crate::track::TrackOptions;

/// Have the running service read its configuration again, without a stop
#[derive(Debug, Args)]
#[command(after_help = "\
Model, precision, thresholds, templates, boxes, deadline and tracking can change while cameras run; sources, outputs, zones and \
lines need a restart. If the new configuration does not work, the old one stays, and the service's log says why.

A program that was started by hand reloads on SIGHUP: kill -HUP PID")]
pub struct ReloadArguments {
    /// Only check the configuration
    #[arg(long)]
    check: bool,
}

impl ReloadArguments {
    /// Runs the command.
    pub fn run(self) -> anyhow::Result<Verdict> {
        if !Path::new(config::SYSTEM).exists() {
            bail!(
                "{}: there is no such file; the service reads it, and `make deploy` or the package installs it",
                config::SYSTEM
            );
        }
        let settings = Settings::default().with_files(None)?;
        check(&settings).with_context(|| format!("{} cannot be used", config::SYSTEM))?;
        if self.check {
            output::message(format_args!("sinew: {} can be used", config::SYSTEM));
            return Ok(Verdict::Good);
        }
        let done = Command::new("systemctl").args(["reload", "sinew.service"]).status();
        let done = done.context("systemctl cannot be started; send SIGHUP to the program instead: kill -HUP PID")?;
        if !done.success() {
            bail!("the service did not reload (systemctl: {done}); journalctl -u sinew says why");
        }
        output::message(format_args!(
            "sinew: the service reads its configuration again; journalctl -u sinew says what came of it"
        ));
        Ok(Verdict::Good)
    }
}

/// Opens everything that the options name, but for the networks.
fn check(settings: &Settings) -> anyhow::Result<()> {
    let bundle = settings.bundle()?;
    read_templates(&settings.template, &bundle)?;
    open_boxes(settings, &bundle)?;
    track_options(settings, &bundle)?;
    Ok(())
}

/// What a run cannot change.
struct Fixed {
    schema: OutputSchema,
    cameras: usize,
    tracks: Arc<TrackCounts>,
}

/// What is in use.
#[derive(Clone)]
struct Used {
    settings: Settings,
    contents: Vec<Option<String>>,
    /// How poses are tracked.
    tracking: Option<TrackOptions>,
    categories: Vec<Category>,
}

/// A model, and what will be in use with it; `None` if nothing has changed.
type Prepared = anyhow::Result<Option<(Used, Replacement)>>;

/// Prepares a model on every SIGHUP.
pub struct Reloader {
    /// Set by SIGHUP.
    requested: Arc<AtomicBool>,
    /// The options given by flags and variables.
    given: Settings,
    file: Option<PathBuf>,
    current: Used,
    /// What will be in use if the model that is being tried succeeds.
    trying: Option<Used>,
    preparing: Option<Receiver<Prepared>>,
    fixed: Arc<Fixed>,
    metrics: Option<Arc<Metrics>>,
    is_quiet: bool,
}

impl Reloader {
    /// Reloads what `given` and `file` say on `requested`; `settings` and `bundle` are in use.
    pub fn new(
        requested: Arc<AtomicBool>,
        (given, file): (Settings, Option<PathBuf>),
        (settings, bundle): (&Settings, &Bundle),
        schema: &OutputSchema,
        cameras: usize,
        metrics: Option<Arc<Metrics>>,
        is_quiet: bool,
    ) -> anyhow::Result<Self> {
        let tracks = metrics.as_ref().map(|metrics| metrics.tracks()).unwrap_or_default();
        let current = Used {
            settings: settings.clone(),
            contents: contents(settings, bundle),
            tracking: track_options(settings, bundle)?,
            categories: schema.categories.clone(),
        };
        let fixed = Arc::new(Fixed { schema: schema.clone(), cameras, tracks });
        Ok(Self { requested, given, file, current, trying: None, preparing: None, fixed, metrics, is_quiet })
    }

    /// Begins to prepare.
    fn begin(&mut self, seen: &[FrameKind]) {
        Service::tell_reloading();
        let (given, file, current) = (self.given.clone(), self.file.clone(), self.current.clone());
        let (fixed, seen) = (Arc::clone(&self.fixed), seen.to_vec());
        let (sender, receiver) = sync_channel(1);
        let prepare = move || {
            let _ = sender.send(prepare(given, file, &current, &fixed, &seen));
        };
        match thread::Builder::new().name("reload".to_owned()).spawn(prepare) {
            Ok(_) => self.preparing = Some(receiver),
            Err(error) => self.refuse(&anyhow::Error::from(error).context("a thread cannot be started")),
        }
    }

    /// Whoever asked for a reload looks into the log for how it ended, at any level of logging.
    fn say(&self, text: &str) {
        if !self.is_quiet {
            output::message(format_args!("sinew: {text}"));
        }
    }

    fn refuse(&mut self, error: &anyhow::Error) {
        let model = self.current.settings.model.as_deref().unwrap_or_default();
        tracing::warn!(
            "the new configuration is not used, the model is still {model}: {}",
            causes(error.as_ref()).join(": ")
        );
        self.done(false);
    }

    fn done(&mut self, is_replaced: bool) {
        if let Some(metrics) = &self.metrics {
            metrics.reloaded(is_replaced);
        }
        Service::tell_reloaded();
    }
}

impl Replacements for Reloader {
    fn next(&mut self, seen: &[FrameKind]) -> Option<Replacement> {
        let Some(preparing) = &self.preparing else {
            if self.requested.swap(false, Ordering::Relaxed) {
                self.begin(seen);
            }
            return None;
        };
        let prepared = match preparing.try_recv() {
            Ok(prepared) => prepared,
            Err(TryRecvError::Empty) => return None,
            Err(TryRecvError::Disconnected) => Err(anyhow::anyhow!("the thread that opens the model ended early")),
        };
        self.preparing = None;
        match prepared {
            Ok(Some((used, replacement))) => {
                self.trying = Some(used);
                return Some(replacement);
            }
            Ok(None) => {
                self.say("the configuration was read again, it has not changed");
                Service::tell_reloaded();
            }
            Err(error) => self.refuse(&error),
        }
        None
    }

    fn tried(&mut self, outcome: Result<(), EstimateError>) {
        match (outcome, self.trying.take()) {
            (Ok(()), Some(current)) => {
                let model = current.settings.model.as_deref().unwrap_or_default();
                self.say(&format!("the configuration was read again, the model is {model} now"));
                self.current = current;
                self.done(true);
            }
            (Ok(()), None) => {}
            (Err(error), _) => self.refuse(&anyhow::Error::from(error).context("it fails on a frame")),
        }
    }
}

/// Digests of the files that the options name, which may change under their names; `None` for one that cannot be read.
fn contents(settings: &Settings, bundle: &Bundle) -> Vec<Option<String>> {
    let files = settings.template.iter().chain(&settings.boxes).map(|path| hash::of_file(path).ok());
    let finder = settings.boxes_from.iter().map(|name| Some(Bundle::open(name).ok()?.hash().to_owned()));
    files.chain(finder).chain([Some(bundle.hash().to_owned())]).collect()
}

/// Reads the configuration and opens its model, which runs once for each kind of frame.
fn prepare(given: Settings, file: Option<PathBuf>, current: &Used, fixed: &Fixed, seen: &[FrameKind]) -> Prepared {
    let settings = given.with_files(file.as_deref())?;
    if let Some(option) = settings.fixed_option_changed(&current.settings) {
        bail!("`{option}` has changed, which needs a restart");
    }
    let bundle = settings.bundle()?;
    let contents = contents(&settings, &bundle);
    if settings == current.settings && contents == current.contents {
        return Ok(None);
    }
    let templates = read_templates(&settings.template, &bundle)?;
    let mut boxes = open_boxes(&settings, &bundle)?;
    let options = track_options(&settings, &bundle)?;
    let described = describe(&bundle, &templates);
    let (host, device) = (fixed.schema.host.clone(), fixed.schema.device.clone());
    let schema = OutputSchema { host, device, ..described };
    let used = Used { settings, contents, tracking: options, categories: schema.categories.clone() };
    let settings = &used.settings;
    let is_same = used.tracking == current.tracking && used.categories == current.categories;
    let tracking = match &used.tracking {
        Some(options) if !is_same => {
            Some(Tracking::new(options, settings.tracker.zones()?, fixed.cameras, Arc::clone(&fixed.tracks))?)
        }
        _ => None,
    };
    let model_options = estimator::Options { sources: fixed.cameras, ..settings.model_options(templates) };
    let mut estimator = LazyEstimator::new(bundle, settings.backend()?, &model_options);
    let mut poses = Poses::default();
    for &(size, format) in seen {
        let mut image = Image::default();
        image.reset(format, size)?;
        let frame = Frame { image: image.view(), sequence: 0, captured: None, instant: None, name: None };
        let (boxes, _) = boxes.boxes(&frame, None)?;
        estimator.estimate(&Request { boxes, ..Request::new(image.view()) }, &mut poses)?;
    }
    let model = Model { estimator: Box::new(estimator), boxes, deadline: settings.deadline };
    Ok(Some((used, Replacement { model, change: Change { schema, tracking } })))
}
