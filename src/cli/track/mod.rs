//! `sinew track`: the tracker alone, over recorded results.

mod json;
mod options;
mod retrack;

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;

pub use self::options::TrackerSettings;
pub use self::retrack::COCO_SIGMAS;
use self::retrack::Retracker;
use super::guard::FileGuard;
use super::log::LogArguments;
use super::{Verdict, output};
use crate::bundle::Bundle;
use crate::read::{BoundedLines, MAX_RESULT_LINE};
use crate::track::TrackOptions;
use crate::write::{Patient, Replacement};

/// Track the poses of recorded results: give them identities, and smooth them
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sinew track poses.jsonl --out tracked.jsonl
  sinew run --model logocap-tiny --source film.y4m --no-track | sinew track - --track-max-missing 60")]
pub struct TrackArguments {
    /// Lines as `sinew run` writes them; - is standard input
    #[arg(value_name = "IN.jsonl")]
    input: PathBuf,
    /// Output file for the same lines with identities and smoothed keypoints [default: standard output]
    #[arg(long, value_name = "OUT.jsonl")]
    out: Option<PathBuf>,
    /// The bundle that made the lines, for its `[track]` and its keypoints' sigmas [default: COCO's for a person's keypoints]
    #[arg(long, value_name = "NAME|DIR")]
    model: Option<String>,
    /// Frames a second of lines without a time
    #[arg(long, value_name = "N", default_value_t = 30.0)]
    fps: f64,
    #[command(flatten)]
    tracker: TrackerSettings,
}

impl TrackArguments {
    /// Runs the command.
    pub fn run(self, log: &LogArguments) -> anyhow::Result<Verdict> {
        if !(self.fps > 0.0 && self.fps <= 1e6) {
            bail!("--fps is {}, expected a number above 0", self.fps);
        }
        let mut retracker = Retracker::new(&self.options()?, self.tracker.zones()?, self.fps);
        let name = self.input.display().to_string();
        let is_standard = self.input.as_os_str() == "-";
        if let Some(path) = &self.out {
            let mut guard = FileGuard::default();
            guard.input(if is_standard { Path::new("/dev/stdin") } else { &self.input });
            guard.output("--out", path)?;
        }
        let input: Box<dyn Read> = if is_standard {
            Box::new(Patient(std::io::stdin()))
        } else {
            let file = File::open(&self.input);
            Box::new(file.with_context(|| format!("{name}: cannot be read; check the path and its permissions"))?)
        };
        let output: Box<dyn Write> = match &self.out {
            Some(path) => Box::new(
                Replacement::open(path)
                    .with_context(|| format!("cannot write to {}; choose another --out", path.display()))?,
            ),
            None => Box::new(Patient(std::io::stdout())),
        };
        let mut output = BufWriter::new(output);
        let mut lines = BoundedLines::new(BufReader::new(input), MAX_RESULT_LINE);
        let mut number = 0_u64;
        while let Some(line) = lines.next_line().with_context(|| format!("{name}:{}: cannot be read", number + 1))? {
            number += 1;
            if !line.trim().is_empty() {
                let tracked = retracker.line(line);
                let tracked = tracked.map_err(|reason| anyhow::anyhow!("{name}:{number}: {reason}"))?;
                writeln!(output, "{tracked}")?;
            }
        }
        output.flush()?;
        let (frames, started) = retracker.counts();
        if frames == 0 {
            bail!("{name}: no line with poses; expected what `sinew run` writes");
        }
        if !log.quiet {
            output::message(format_args!("sinew: {frames} frames, {started} identities"));
        }
        Ok(Verdict::Good)
    }

    fn options(&self) -> anyhow::Result<TrackOptions> {
        let options = match &self.model {
            Some(model) => Bundle::open(model)?.manifest().track_options(),
            None => TrackOptions::default(),
        };
        Ok(self.tracker.options(options)?)
    }
}
