//! `sinew calib`: what calibration needs from the runtime.

use std::path::PathBuf;

use anyhow::bail;
use clap::{Args, Subcommand};

use super::Verdict;
use super::log::LogArguments;
use super::run::{RunArguments, open_boxes, read_templates};
use super::stop;
use crate::bundle::Bundle;
use crate::engine::{Backend, Precision, Recording};
use crate::estimator::{self, LazyEstimator};
use crate::runtime::{Counts, Outputs, Pipeline};
use crate::source;

/// Record what the networks see, to quantise them
#[derive(Debug, Args)]
pub struct CalibArguments {
    #[command(subcommand)]
    command: CalibCommand,
}

#[derive(Debug, Subcommand)]
enum CalibCommand {
    /// Write down the inputs of every network of a bundle, one .npz file per run
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
    /// The folder to write to, which must not hold anything yet; one folder per network below it
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// The most files per network
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
    /// As `sinew run` without sinks, with engines that write down their inputs.
    fn record(self, log: &LogArguments) -> anyhow::Result<Verdict> {
        let settings = self.run.settings()?;
        let (model, [uri]) = (settings.model()?, settings.sources()?) else { bail!("give one --source") };
        let bundle = Bundle::open(model)?;
        let mut source = source::open(uri)?;
        let templates = read_templates(&settings.template, &bundle)?;
        let mut boxes = open_boxes(&settings, &bundle)?;
        if self.out.read_dir().is_ok_and(|mut entries| entries.next().is_some()) {
            bail!("{}: there is something in it already; name a folder that is empty or not there", self.out.display());
        }
        let options = estimator::Options {
            level: settings.level,
            templates: templates.into(),
            // Calibration asks what the original sees.
            precision: Some(Precision::Fp32),
            recording: Some(Recording { folder: self.out.clone(), limit: self.limit }),
            ..settings.options()
        };
        let mut estimator = LazyEstimator::new(bundle, settings.backend.unwrap_or(Backend::Tract), &options);
        let stop = stop::flag()?;
        let mut watcher = super::run::Watcher::new(source.frames(), log);
        let mut counts = Counts::default();
        let mut pipeline = Pipeline {
            source: source.as_mut(),
            boxes: boxes.as_mut(),
            estimator: &mut estimator,
            outputs: &Outputs::default(),
            observer: &mut watcher,
            deadline: None,
            stop: &stop,
        };
        let ended = pipeline.run(&mut counts);
        watcher.finish();
        ended?;
        if counts.frames == 0 {
            bail!("{uri}: no frame in it");
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
