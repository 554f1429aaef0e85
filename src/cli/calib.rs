//! `sinew calib`: recorded inputs for quantisation.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::bail;
use clap::{Args, Subcommand};

use super::Verdict;
use super::log::LogArguments;
use super::model::{open_boxes, read_templates};
use super::run::{RunArguments, RunObserver};
use super::stop;
use crate::engine::{Backend, Precision, Recording};
use crate::estimator::{self, LazyEstimator};
use crate::runtime::{Counts, Observer, Outputs, Pipeline, Skip};
use crate::source::{self, SourceError};

/// Record the inputs of the networks for quantisation
#[derive(Debug, Args)]
pub struct CalibArguments {
    #[command(subcommand)]
    command: CalibCommand,
}

#[derive(Debug, Subcommand)]
enum CalibCommand {
    /// Write the inputs of every network of a bundle to files, one .npz per run
    #[command(after_help = "\
Example:
  sinew calib record --model logocap-tiny --source frames/ --out recorded
  make calib BUNDLE=logocap-tiny FRAMES=frames")]
    Record(RecordArguments),
}

#[derive(Debug, Args)]
struct RecordArguments {
    #[command(flatten)]
    run: RunArguments,
    /// The folder to write to, new or empty; it gets one folder per network
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// End after this many frames; each network gets at most as many files
    #[arg(long, value_name = "N", default_value_t = 200)]
    limit: usize,
}

impl CalibArguments {
    /// Runs the command.
    pub fn run(self, log: &LogArguments) -> anyhow::Result<Verdict> {
        match self.command {
            CalibCommand::Record(arguments) => arguments.record(log),
        }
    }
}

impl RecordArguments {
    /// Like `sinew run` without sinks, with engines that record their inputs.
    fn record(self, log: &LogArguments) -> anyhow::Result<Verdict> {
        let settings = self.run.settings()?;
        let [uri] = settings.sources()? else { bail!("give one --source") };
        let bundle = settings.bundle()?;
        let (stop, _forced_exit) = stop::on_signals(stop::unfinished)?;
        let mut source = source::open(uri)?;
        let templates = read_templates(&settings.template, &bundle)?;
        let mut boxes = open_boxes(&settings, &bundle)?;
        if self.out.read_dir().is_ok_and(|mut entries| entries.next().is_some()) {
            bail!("{}: it is not empty; name a new or an empty folder", self.out.display());
        }
        let options = estimator::Options {
            level: settings.level,
            templates: templates.into(),
            // Quantisation needs the inputs of the original.
            precision: Some(Precision::Fp32),
            recording: Some(Recording { folder: self.out.clone(), limit: self.limit }),
            ..settings.options()
        };
        let mut estimator = LazyEstimator::new(
            bundle,
            settings.backend.unwrap_or(Backend::Tract).with_provider(settings.provider)?,
            &options,
        );
        let limit = self.limit as u64;
        let frames = source.frames().map(|frames| frames.min(limit));
        let mut limited = Limited { observer: RunObserver::new(frames, log), limit, stop: Arc::clone(&stop) };
        let mut counts = Counts::default();
        let mut pipeline = Pipeline {
            source: source.as_mut(),
            boxes: boxes.as_mut(),
            estimator: &mut estimator,
            outputs: &Outputs::default(),
            observer: &mut limited,
            deadline: None,
            stop: &stop,
        };
        let ended = pipeline.run(&mut counts);
        limited.observer.finish();
        ended?;
        if counts.frames == 0 {
            bail!("{uri}: it has no frames");
        }
        if !log.quiet {
            super::output::message(format_args!(
                "sinew: {} frames seen, recorded in {}",
                counts.frames,
                self.out.display()
            ));
        }
        let is_complete = counts.dropped.unreadable + counts.dropped.unsupported_size == 0;
        Ok(if is_complete { Verdict::Good } else { Verdict::Negative })
    }
}

/// Ends the run after enough frames: a camera never ends by itself.
struct Limited {
    observer: RunObserver,
    limit: u64,
    stop: Arc<AtomicBool>,
}

impl Observer for Limited {
    fn processed(&mut self, counts: &Counts) {
        self.observer.processed(counts);
        if counts.processed >= self.limit {
            self.stop.store(true, Ordering::Relaxed);
        }
    }

    fn skipped(&mut self, why: &Skip, counts: &Counts) {
        self.observer.skipped(why, counts);
    }

    fn warned(&mut self, warning: &SourceError, counts: &Counts) {
        self.observer.warned(warning, counts);
    }

    fn alive(&mut self, counts: &Counts) {
        self.observer.alive(counts);
    }
}
