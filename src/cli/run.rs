//! `sinew run`: pictures or video in, poses out.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context as _, bail};
use clap::Args;

use super::Verdict;
use super::config::Settings;
use super::log::LogArguments;
use super::progress::Progress;
use crate::bundle::Bundle;
use crate::estimator::{self, LazyEstimator};
use crate::runtime::{self, Counts, Observer, Skip};
use crate::sink::{self, Description, Sink};
use crate::source;

/// Find the poses in pictures or a video
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
    /// Runs the command.
    pub fn run(self, log: &LogArguments) -> anyhow::Result<Verdict> {
        let settings = self.settings.with_files(self.config.as_deref())?;
        let model = settings.model.as_deref().context("no model: give --model, see `sinew models list`")?;
        let uri = settings.source.as_deref().context("no source: give --source, such as a picture or a folder")?;
        let bundle = Bundle::open(model)?;
        // Everything that can be wrong with what was asked for is found out before the networks are opened.
        let mut source = source::open(uri)?;
        let mut sinks = open_sinks(&settings, &bundle)?;
        let options = estimator::Options {
            threads: settings.threads.unwrap_or(0),
            level: settings.level,
            score_threshold: settings.threshold,
            ..estimator::Options::default()
        };
        let mut estimator = LazyEstimator::new(&bundle, settings.backend.unwrap_or_default(), &options);

        let mut watcher = Watcher { progress: Progress::new(source.frames(), log) };
        let mut counts = Counts::default();
        let start = Instant::now();
        let ended = runtime::run(source.as_mut(), &mut estimator, &mut sinks, &mut watcher, &mut counts);
        watcher.progress.finish();
        if !log.quiet {
            summarise(&counts, start.elapsed().as_secs_f64());
        }
        ended?;
        if counts.frames == 0 {
            bail!("{uri}: no frame in it");
        }
        Ok(if counts.skipped() > 0 { Verdict::Negative } else { Verdict::Good })
    }
}

fn open_sinks(settings: &Settings, bundle: &Bundle) -> anyhow::Result<Vec<Box<dyn Sink>>> {
    let description = Description {
        model: bundle.manifest().about.model.to_string(),
        bundle: bundle.manifest().about.name.clone(),
        keypoints: bundle.keypoint_names().to_vec(),
        skeleton: bundle.skeleton(),
        poses: bundle.manifest().limits.poses,
    };
    let options = sink::Options { keypoint_threshold: settings.keypoint_threshold.unwrap_or(0.0) };
    let overlay = settings.overlay.as_ref().map(|path| format!("overlay:{path}"));
    let default = settings.sink.is_empty().then(|| "jsonl:-".to_owned());
    let uris = settings.sink.iter().cloned().chain(default).chain(overlay);
    Ok(uris.map(|uri| sink::open(&uri, &description, &options)).collect::<Result<_, _>>()?)
}

fn summarise(counts: &Counts, seconds: f64) {
    let Counts { frames, poses, .. } = *counts;
    let mut text = format!("{frames} frames in {seconds:.1} s, {poses} poses");
    for (count, what) in [
        (counts.unreadable, "frames could not be read"),
        (counts.unfit, "frames do not fit the network"),
        (counts.dropped_poses, "poses dropped: too many, or not finite"),
    ] {
        if count > 0 {
            text += &format!("; {count} {what}");
        }
    }
    eprintln!("sinew: {text}");
}

/// Shows how far the work is, and what was skipped.
struct Watcher {
    progress: Progress,
}

impl Observer for Watcher {
    fn answered(&mut self, _: &Counts) {
        self.progress.step();
    }

    fn skipped(&mut self, why: &Skip, _: &Counts) {
        self.progress.complain(why);
        self.progress.step();
    }
}
