//! Object keypoint similarity: COCO's figures over everything that a bundle detects in a set.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use serde_json::json;

use super::EvalArguments;
use super::outside::Outside;
use super::set::ImageSet;
use crate::bundle::Bundle;
use crate::cli::log::LogArguments;
use crate::cli::{Verdict, output};
use crate::coco::Id;
use crate::estimator::{self, EstimateError, Estimator as _, LazyEstimator, Request};
use crate::eval::{Annotation, Detection, Evaluation, Figures, GroundTruth, ResultsWriter};
use crate::geometry::Rectangle;
use crate::pose::Poses;
use crate::runtime::ListedBoxes;
use crate::write::{self, Replacement};

/// Counts in addition to the figures.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) images: usize,
    pub(super) skipped: usize,
    pub(super) poses: usize,
    dropped: u64,
}

pub(super) fn run(arguments: &EvalArguments, bundle: &Bundle, log: &LogArguments) -> anyhow::Result<Verdict> {
    let truth = read_truth(arguments, bundle)?;
    let sigmas: Vec<f64> = bundle.manifest().keypoints.sigmas.iter().map(|&sigma| f64::from(sigma)).collect();
    let mut evaluation = Evaluation::new(&truth, &sigmas)?;
    let mut results = arguments.results.as_deref().map(|path| Results::open(path, &truth)).transpose()?;

    let tally = process_all(arguments, bundle, &truth, &mut evaluation, results.as_mut(), log)?;
    if let Some(results) = results {
        results.finish()?;
    }
    let figures = evaluation.figures();
    if tally.poses == 0 {
        tracing::warn!("no pose was detected in any of the {} images", tally.images);
    } else if figures.ap50 == Some(0.0) {
        tracing::warn!(
            "none of the {} poses is near an annotated person: compare both with `sinew run --overlay`",
            tally.poses
        );
    }
    print(arguments, bundle, &figures, &tally)?;

    let too_low = arguments.min_ap.is_some_and(|least| figures.ap.is_none_or(|ap| ap < f64::from(least)));
    if let (true, Some(least)) = (too_low, arguments.min_ap) {
        output::message(format_args!("sinew: AP is below {least}"));
    }
    Ok(if too_low || tally.skipped > 0 { Verdict::Negative } else { Verdict::Good })
}

/// Reads the annotations, and checks that something can be measured.
pub(super) fn read_truth(arguments: &EvalArguments, bundle: &Bundle) -> anyhow::Result<GroundTruth> {
    let mut truth = GroundTruth::read_for(&arguments.coco, bundle.keypoint_names())?;
    if let Some(limit) = arguments.limit {
        truth.keep_first(limit);
    }
    truth.check_measurable()?;
    let about = &bundle.manifest().about;
    if about.model.takes_boxes() && arguments.boxes.is_none() {
        let people = || truth.annotations().iter().flatten().filter(|person| !person.ignored);
        let without = people().filter(|person| person.bbox[2] < 1.0 || person.bbox[3] < 1.0).count();
        if without == people().count() {
            bail!(
                "{}: nothing to measure: none of the {without} annotations has a `bbox` with a size of a pixel at least, and {} \
                 looks into boxes; add them, or give --boxes",
                truth.path().display(),
                about.name
            );
        }
        if without > 0 {
            tracing::warn!("{}: {without} annotations have no `bbox` with a size: missed", truth.path().display());
        }
    }
    for note in truth.notes() {
        tracing::warn!("{note}");
    }
    Ok(truth)
}

pub(super) fn process_all(
    arguments: &EvalArguments,
    bundle: &Bundle,
    truth: &GroundTruth,
    evaluation: &mut Evaluation<'_>,
    mut results: Option<&mut Results<'_>>,
    log: &LogArguments,
) -> anyhow::Result<Tally> {
    // Average precision ranks every pose; the bundle's threshold is for display.
    let options = estimator::Options { level: arguments.level, score_threshold: Some(0.0), ..arguments.options() };
    let mut estimator = LazyEstimator::new(bundle.clone(), arguments.backend.chosen()?, &options);
    let top_down = bundle.manifest().about.model.takes_boxes();
    let listed = arguments.boxes.as_deref().map(|path| read_boxes(path, truth)).transpose()?;
    let mut poses = Poses::default();
    let mut tally = Tally::default();
    let mut outside = Outside::default();
    let names = truth.images().iter().map(|image| image.file_name.as_str());
    let mut set = ImageSet::new(&arguments.images, names, truth.images().len(), log);
    for (image, annotations) in truth.images().iter().zip(truth.annotations()) {
        // The people in a skipped image are missed, as in pycocotools, and the exit code says that there is one.
        let Some((path, pixels)) = set.read(&image.file_name, image.size) else {
            set.step();
            continue;
        };
        let annotated: Vec<Rectangle> =
            annotations.iter().filter(|one| !one.ignored && one.has_box()).map(box_of).collect();
        let boxes = match &listed {
            Some(listed) => Some(listed.of(Some(&image.file_name), sequence(&image.id))),
            None => top_down.then_some(&annotated[..]),
        };
        outside.people(annotations, pixels.size(), &image.file_name);
        outside.boxes(boxes.unwrap_or_default(), pixels.size(), &image.file_name);
        match estimator.estimate(&Request { boxes, ..Request::new(pixels.view()) }, &mut poses) {
            Ok(_) => {}
            Err(error @ EstimateError::Image { .. }) => {
                let skip = anyhow::Error::from(error).context(format!("{}: skipped", path.display()));
                set.skip(skip.as_ref());
                set.step();
                continue;
            }
            Err(error) => return Err(error).with_context(|| path.display().to_string()),
        }
        let detections: Vec<Detection> = poses.list.iter().map(Detection::from).collect();
        evaluation.put(&image.id, &detections)?;
        if let Some(results) = &mut results {
            results.put(&image.id, &poses)?;
        }
        tally.images += 1;
        tally.poses += poses.list.len();
        tally.dropped += u64::from(poses.dropped);
        set.step();
    }
    set.finish(truth.path())?;
    outside.check(arguments.boxes.as_deref().unwrap_or(truth.path()), truth.path())?;
    tally.skipped = set.skipped();
    Ok(tally)
}

/// A list of boxes that fits the annotations.
fn read_boxes(path: &Path, truth: &GroundTruth) -> anyhow::Result<ListedBoxes> {
    let listed = ListedBoxes::read(path)?;
    let has_boxes = |image: &crate::eval::Image| !listed.of(Some(&image.file_name), sequence(&image.id)).is_empty();
    if !truth.images().iter().any(has_boxes) {
        bail!(
            "{}: nothing to measure: no box for any of the {} images of {}; an image is found by its file name, or by its id \
             as `sequence`",
            path.display(),
            truth.images().len(),
            truth.path().display()
        );
    }
    Ok(listed)
}

/// An image's number in a list of boxes: its id.
fn sequence(id: &Id) -> u64 {
    match id {
        Id::Number(number) => u64::try_from(*number).unwrap_or(u64::MAX),
        Id::Text(_) => u64::MAX,
    }
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
pub(super) struct Results<'a> {
    path: &'a Path,
    /// Keeps other programs away until the file is replaced.
    target: Replacement,
    writer: ResultsWriter<Vec<u8>>,
    made: Made,
}

/// A file that was not there before; removed where nothing was written to it.
struct Made(Option<PathBuf>);

impl Drop for Made {
    fn drop(&mut self) {
        // What is reported is why nothing was written.
        self.0.take().map(std::fs::remove_file);
    }
}

impl<'a> Results<'a> {
    /// Opens the file, so that an unwritable one is reported before any work is done.
    fn open(path: &'a Path, truth: &GroundTruth) -> anyhow::Result<Self> {
        let unwritable = || format!("cannot write the results to {}; choose another path", path.display());
        let is_new = std::fs::symlink_metadata(path).is_err();
        let target = Replacement::open(path).with_context(unwritable)?;
        let made = Made(is_new.then(|| path.to_owned()));
        let writer = ResultsWriter::new(Vec::new(), truth.category().clone(), truth.file_order());
        Ok(Self { path, target, writer: writer.with_context(unwritable)?, made })
    }

    fn put(&mut self, image: &Id, poses: &Poses) -> anyhow::Result<()> {
        self.writer.put(image, poses).with_context(|| format!("writing to {} failed", self.path.display()))
    }

    fn finish(mut self) -> anyhow::Result<()> {
        let bytes = self.writer.finish();
        drop(self.target);
        let written = bytes.and_then(|bytes| write::whole(self.path, &bytes));
        if written.is_ok() {
            self.made.0 = None;
        }
        written.with_context(|| format!("writing to {} failed", self.path.display()))
    }
}
