//! Object keypoint similarity: COCO's figures over everything that a bundle finds in a set.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;

use anyhow::{Context as _, bail};
use serde_json::json;

use super::EvalArguments;
use crate::bundle::Bundle;
use crate::cli::log::LogArguments;
use crate::cli::progress::Progress;
use crate::cli::{Verdict, output};
use crate::estimator::{self, Estimator as _, LazyEstimator};
use crate::eval::{Annotation, Detection, Evaluation, Figures, GroundTruth, ResultsWriter};
use crate::geometry::Rectangle;
use crate::pixels::{Limits, read_image};
use crate::pose::Poses;
use crate::runtime::ListedBoxes;

/// What was found besides the figures.
#[derive(Debug, Default)]
struct Tally {
    images: usize,
    skipped: usize,
    poses: usize,
    dropped: u64,
}

pub(super) fn run(arguments: &EvalArguments, bundle: &Bundle, log: &LogArguments) -> anyhow::Result<Verdict> {
    let mut truth = GroundTruth::read(&arguments.coco)?;
    if let Some(limit) = arguments.limit {
        truth.keep_first(limit);
    }
    if truth.images().is_empty() {
        bail!("{}: no image to evaluate", arguments.coco.display());
    }
    let sigmas: Vec<f64> = bundle.manifest().keypoints.sigmas.iter().map(|&sigma| f64::from(sigma)).collect();
    let mut evaluation = Evaluation::new(&truth, &sigmas)?;
    let mut results =
        arguments.results.as_deref().map(|path| Results::create(path, truth.category_id())).transpose()?;

    let tally = process_all(arguments, bundle, &truth, &mut evaluation, results.as_mut(), log)?;
    if let Some(results) = results {
        results.finish()?;
    }
    let figures = evaluation.figures();
    print(arguments, bundle, &figures, &tally)?;

    let too_low = arguments.min_ap.is_some_and(|floor| figures.ap.is_none_or(|ap| ap < f64::from(floor)));
    if let (true, Some(floor)) = (too_low, arguments.min_ap) {
        output::message(format_args!("sinew: AP is below {floor}"));
    }
    Ok(if too_low || tally.skipped > 0 { Verdict::Negative } else { Verdict::Good })
}

fn process_all(
    arguments: &EvalArguments,
    bundle: &Bundle,
    truth: &GroundTruth,
    evaluation: &mut Evaluation<'_>,
    mut results: Option<&mut Results<'_>>,
    log: &LogArguments,
) -> anyhow::Result<Tally> {
    // Average precision ranks everything that was found; the bundle's threshold is for showing.
    let options = estimator::Options { level: arguments.level, score_threshold: Some(0.0), ..arguments.options() };
    let mut estimator = LazyEstimator::new(bundle.clone(), arguments.backend, &options);
    let top_down = bundle.manifest().about.model.takes_boxes();
    let listed = arguments.boxes.as_deref().map(ListedBoxes::read).transpose()?;
    let mut poses = Poses::default();
    let mut tally = Tally::default();
    let progress = Progress::new(Some(truth.images().len() as u64), log);
    for (described, annotations) in truth.images().iter().zip(truth.annotations()) {
        let path = arguments.images.join(&described.file_name);
        let image = match read_image(&path, &Limits::default()) {
            Ok(image) => image,
            Err(error) => {
                // Nobody is found in it then, and the figures say so.
                progress.complain(&error);
                tally.skipped += 1;
                progress.step();
                continue;
            }
        };
        let annotated: Vec<Rectangle> = annotations.iter().filter(|one| !one.ignored).map(box_of).collect();
        let boxes = match &listed {
            Some(listed) => Some(listed.of(Some(&described.file_name), described.id)),
            None => top_down.then_some(&annotated[..]),
        };
        estimator.estimate(image.view(), boxes, &mut poses).with_context(|| path.display().to_string())?;
        let detections: Vec<Detection> = poses.list.iter().map(Detection::from).collect();
        evaluation.put(described.id, &detections)?;
        if let Some(results) = &mut results {
            results.put(described.id, &poses)?;
        }
        tally.images += 1;
        tally.poses += poses.list.len();
        tally.dropped += u64::from(poses.dropped);
        progress.step();
    }
    progress.finish();
    Ok(tally)
}

fn box_of(annotation: &Annotation) -> Rectangle {
    let [x, y, width, height] = annotation.bbox.map(|value| value as f32);
    Rectangle { x, y, width, height }
}

fn print(arguments: &EvalArguments, bundle: &Bundle, figures: &Figures, tally: &Tally) -> anyhow::Result<()> {
    if arguments.json {
        return output::print_json(&json!({
            "bundle": bundle.manifest().about.name,
            "hash": bundle.hash(),
            "metric": "oks",
            "images": tally.images,
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
    rows.push(["images".to_owned(), tally.images.to_string()]);
    rows.push(["skipped".to_owned(), tally.skipped.to_string()]);
    rows.push(["poses".to_owned(), tally.poses.to_string()]);
    output::print_table(["FIGURE", "VALUE"], &rows)
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
