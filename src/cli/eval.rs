//! `sinew eval`: how good a bundle's poses are on an annotated set.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use serde_json::json;

use super::log::LogArguments;
use super::progress::Progress;
use super::{Verdict, output, value};
use crate::bundle::Bundle;
use crate::bundle::logocap::Level;
use crate::engine::Backend;
use crate::estimator::{self, Estimator as _, LazyEstimator};
use crate::eval::{Detection, Evaluation, Figures, GroundTruth, ResultsWriter};
use crate::pixels::{Limits, read_picture};
use crate::pose::Poses;

/// Measure a bundle's accuracy on annotated pictures
#[derive(Debug, Args)]
pub struct EvalArguments {
    /// Bundle: a name that `sinew models list` shows, or a folder
    #[arg(long, value_name = "NAME|DIR")]
    model: PathBuf,
    /// Annotations in COCO's format
    #[arg(long, value_name = "ANN.json")]
    coco: PathBuf,
    /// Folder of the pictures that the annotations name
    #[arg(long, value_name = "DIR")]
    images: PathBuf,
    /// What is measured
    #[arg(long, value_enum, default_value_t = Metric::Oks)]
    metric: Metric,
    /// What runs the networks: auto or tract
    #[arg(long, value_name = "NAME", default_value_t)]
    backend: Backend,
    /// Threads for the CPU; 0 is one per core
    #[arg(long, value_name = "N", default_value_t = 0)]
    threads: usize,
    /// How far poses are refined: none, partial or full [default: the bundle's]
    #[arg(long, value_parser = value::level)]
    level: Option<Level>,
    /// Write all poses to this file, as COCO's result format has them
    #[arg(long, value_name = "OUT.json")]
    results: Option<PathBuf>,
    /// Only the first N pictures, in the order of their ids
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Exit with code 1 where AP is below this
    #[arg(long, value_name = "AP", value_parser = value::threshold)]
    min_ap: Option<f32>,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

/// A measure of accuracy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Metric {
    /// COCO's average precision and recall over object keypoint similarity
    Oks,
}

/// What was found besides the figures.
#[derive(Debug, Default)]
struct Tally {
    pictures: usize,
    skipped: usize,
    poses: usize,
    dropped: u64,
}

impl EvalArguments {
    /// Runs the command.
    pub fn run(self, log: &LogArguments) -> anyhow::Result<Verdict> {
        let Metric::Oks = self.metric;
        let bundle = Bundle::open(&self.model)?;
        let mut truth = GroundTruth::read(&self.coco)?;
        if let Some(limit) = self.limit {
            truth.keep_first(limit);
        }
        if truth.images().is_empty() {
            bail!("{}: no picture to evaluate", self.coco.display());
        }
        if !self.images.is_dir() {
            bail!("{}: no folder; give the one that holds the pictures", self.images.display());
        }
        let sigmas: Vec<f64> = bundle.manifest().keypoints.sigmas.iter().map(|&sigma| f64::from(sigma)).collect();
        let mut evaluation = Evaluation::new(&truth, &sigmas)?;
        let mut results = self.results.as_deref().map(|path| Results::create(path, truth.category_id())).transpose()?;

        let tally = self.answer_all(&bundle, &truth, &mut evaluation, results.as_mut(), log)?;
        if let Some(results) = results {
            results.finish()?;
        }
        let figures = evaluation.figures();
        self.print(&bundle, &figures, &tally)?;

        let too_low = self.min_ap.is_some_and(|floor| figures.ap.is_none_or(|ap| ap < f64::from(floor)));
        if let (true, Some(floor)) = (too_low, self.min_ap) {
            eprintln!("sinew: AP is below {floor}");
        }
        Ok(if too_low || tally.skipped > 0 { Verdict::Negative } else { Verdict::Good })
    }

    fn answer_all(
        &self,
        bundle: &Bundle,
        truth: &GroundTruth,
        evaluation: &mut Evaluation<'_>,
        mut results: Option<&mut Results<'_>>,
        log: &LogArguments,
    ) -> anyhow::Result<Tally> {
        // Average precision ranks everything that was found; the bundle's threshold is for showing.
        let options = estimator::Options {
            threads: self.threads,
            level: self.level,
            score_threshold: Some(0.0),
            ..estimator::Options::default()
        };
        let mut estimator = LazyEstimator::new(bundle.clone(), self.backend, &options);
        let mut poses = Poses::default();
        let mut tally = Tally::default();
        let progress = Progress::new(Some(truth.images().len() as u64), log);
        for image in truth.images() {
            let path = self.images.join(&image.file_name);
            let picture = match read_picture(&path, &Limits::default()) {
                Ok(picture) => picture,
                Err(error) => {
                    // Nobody is found in it then, and the figures say so.
                    progress.complain(&error);
                    tally.skipped += 1;
                    progress.step();
                    continue;
                }
            };
            estimator.estimate(picture.view(), None, &mut poses).with_context(|| path.display().to_string())?;
            let detections: Vec<Detection> = poses.list.iter().map(Detection::from).collect();
            evaluation.put(image.id, &detections)?;
            if let Some(results) = &mut results {
                results.put(image.id, &poses)?;
            }
            tally.pictures += 1;
            tally.poses += poses.list.len();
            tally.dropped += u64::from(poses.dropped);
            progress.step();
        }
        progress.finish();
        Ok(tally)
    }

    fn print(&self, bundle: &Bundle, figures: &Figures, tally: &Tally) -> anyhow::Result<()> {
        if self.json {
            return output::print_json(&json!({
                "bundle": bundle.manifest().about.name,
                "hash": bundle.hash(),
                "metric": "oks",
                "pictures": tally.pictures,
                "skipped": tally.skipped,
                "poses": tally.poses,
                "dropped": tally.dropped,
                "figures": figures,
            }));
        }
        let row = |(name, value): (&str, Option<f64>)| {
            [name.to_owned(), value.map_or_else(|| "-".to_owned(), |value| format!("{value:.4}"))]
        };
        let mut rows: Vec<[String; 2]> = figures.named().into_iter().map(row).collect();
        rows.push(["pictures".to_owned(), tally.pictures.to_string()]);
        rows.push(["skipped".to_owned(), tally.skipped.to_string()]);
        rows.push(["poses".to_owned(), tally.poses.to_string()]);
        output::print_table(["FIGURE", "VALUE"], &rows)
    }
}

/// The file of results.
struct Results<'a> {
    path: &'a Path,
    writer: ResultsWriter<BufWriter<File>>,
}

impl<'a> Results<'a> {
    fn create(path: &'a Path, category_id: u64) -> anyhow::Result<Self> {
        let unwritable = || format!("cannot write the results to {}; choose another path", path.display());
        let file = File::create(path).with_context(unwritable)?;
        let writer = ResultsWriter::new(BufWriter::new(file), category_id).with_context(unwritable)?;
        Ok(Self { path, writer })
    }

    fn put(&mut self, image_id: u64, poses: &Poses) -> anyhow::Result<()> {
        self.writer.put(image_id, poses).with_context(|| format!("writing to {} failed", self.path.display()))
    }

    fn finish(self) -> anyhow::Result<()> {
        let finished = self.writer.finish().and_then(|mut file| file.flush());
        finished.with_context(|| format!("writing to {} failed", self.path.display()))
    }
}
