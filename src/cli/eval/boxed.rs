//! Share of correct keypoints of people in given boxes: one box, one pose.

use anyhow::{Context as _, bail};
use serde_json::{Map, json};

use super::EvalArguments;
use super::outside::Outside;
use super::set::ImageSet;
use crate::bundle::Bundle;
use crate::cli::log::LogArguments;
use crate::cli::{Verdict, output};
use crate::estimator::{self, EstimateError, Estimator as _, LazyEstimator, Request};
use crate::eval::{GroundTruth, KeypointShare, Reach};
use crate::geometry::Rectangle;
use crate::pose::Poses;

/// Counts in addition to the figures.
#[derive(Debug, Default)]
struct Tally {
    people: usize,
    skipped: usize,
    /// People whose annotation has no box to measure in.
    unmeasured: usize,
}

pub(super) fn run(
    arguments: &EvalArguments,
    bundle: &Bundle,
    reach: Reach,
    log: &LogArguments,
) -> anyhow::Result<Verdict> {
    let mut truth = GroundTruth::read_for(&arguments.coco, bundle.keypoint_names())?;
    if let Some(limit) = arguments.limit {
        truth.keep_first(limit);
    }
    check(&truth, reach)?;
    for note in truth.notes().into_iter().filter(|note| !note.contains("area")) {
        tracing::warn!("{note}");
    }
    let mut share = KeypointShare::new(reach);
    let tally = process_all(arguments, bundle, &truth, &mut share, log)?;
    if tally.unmeasured > 0 {
        tracing::warn!(
            "{}: {} annotations without a {} are skipped",
            truth.path().display(),
            tally.unmeasured,
            measure(reach)
        );
    }
    let figures = share.figures();
    print(arguments, bundle, reach, &figures, &tally)?;
    let (name, reached) = figures.last().map_or(("", 0.0), |(name, value)| (name.as_str(), *value));
    let missed = arguments.min_pck.filter(|&least| reached < f64::from(least));
    if let Some(least) = missed {
        output::message(format_args!("sinew: {} is below {least}", name.to_uppercase()));
    }
    Ok(if missed.is_some() || tally.skipped > 0 { Verdict::Negative } else { Verdict::Good })
}

fn process_all(
    arguments: &EvalArguments,
    bundle: &Bundle,
    truth: &GroundTruth,
    share: &mut KeypointShare,
    log: &LogArguments,
) -> anyhow::Result<Tally> {
    let options = estimator::Options { score_threshold: Some(0.0), ..arguments.options() };
    let mut estimator = LazyEstimator::new(bundle.clone(), arguments.backend.chosen()?, &options);
    let mut poses = Poses::default();
    let mut tally = Tally::default();
    let mut outside = Outside::default();
    let names = truth.images().iter().map(|image| image.file_name.as_str());
    let mut set = ImageSet::new(&arguments.images, names, truth.images().len(), log);
    for (image, annotations) in truth.images().iter().zip(truth.annotations()) {
        // The keypoints in a skipped image are wrong, and the exit code says that there is one.
        let mut pixels = set.read(&image.file_name, image.size);
        for person in annotations.iter().filter(|person| !person.ignored) {
            let mut found = Vec::new();
            if let Some((path, image)) = &pixels {
                let [x, y, width, height] = person.bbox.map(|value| value as f32);
                let bounds = [Rectangle { x, y, width, height }];
                outside.boxes(&bounds, image.size(), path.to_string_lossy().as_ref());
                let request = Request { boxes: Some(&bounds), ..Request::new(image.view()) };
                match estimator.estimate(&request, &mut poses) {
                    Ok(_) => found = places(&poses),
                    Err(error @ EstimateError::Image { .. }) => {
                        let skip = anyhow::Error::from(error).context(format!("{}: skipped", path.display()));
                        set.skip(skip.as_ref());
                        pixels = None;
                    }
                    Err(error) => return Err(error).with_context(|| path.display().to_string()),
                }
            }
            match share.add(person, &found) {
                true => tally.people += 1,
                false => tally.unmeasured += 1,
            }
        }
        set.step();
    }
    set.finish(truth.path())?;
    outside.check(truth.path(), truth.path())?;
    tally.skipped = set.skipped();
    Ok(tally)
}

/// Checks that anything can be measured.
fn check(truth: &GroundTruth, reach: Reach) -> anyhow::Result<()> {
    let path = truth.path().display();
    if truth.images().is_empty() {
        bail!("{path}: no image to evaluate: `images` is empty");
    }
    let mut people = truth.annotations().iter().flatten().filter(|person| !person.ignored).peekable();
    let Some(first) = people.peek().map(|person| person.position) else {
        bail!(
            "{path}: nothing to measure: no annotation with a labelled keypoint in the {} images",
            truth.images().len()
        );
    };
    if !people.any(|person| reach.length(person).is_some()) {
        bail!("{path}: nothing to measure: annotations[{first}], like all others, has no {}", measure(reach));
    }
    Ok(())
}

/// Name of the unit for a person.
fn measure(reach: Reach) -> &'static str {
    match reach {
        Reach::Box => "`bbox` [x, y, width, height] with a size above 0",
        Reach::Head => "`head_bbox` [x, y, width, height] with a size above 0, which --metric pckh measures in",
    }
}

/// Every keypoint of the only pose, however low its score.
fn places(poses: &Poses) -> Vec<Option<(f32, f32)>> {
    let keypoints = poses.list.first().map(|pose| pose.keypoints.iter());
    keypoints.into_iter().flatten().map(|keypoint| Some((keypoint.x, keypoint.y))).collect()
}

fn print(
    arguments: &EvalArguments,
    bundle: &Bundle,
    reach: Reach,
    figures: &[(String, f64)],
    tally: &Tally,
) -> anyhow::Result<()> {
    if arguments.json {
        let figures: Map<_, _> = figures.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
        return output::print_json(&json!({
            "bundle": bundle.manifest().about.name,
            "hash": bundle.hash(),
            "metric": reach.name(),
            "people": tally.people,
            "skipped": tally.skipped,
            "unmeasured": tally.unmeasured,
            "figures": figures,
        }));
    }
    let mut rows: Vec<[String; 2]> =
        figures.iter().map(|(name, value)| [name.to_uppercase(), format!("{value:.4}")]).collect();
    rows.push(["people".to_owned(), tally.people.to_string()]);
    rows.push(["skipped".to_owned(), tally.skipped.to_string()]);
    output::print_table(["FIGURE", "VALUE"], &rows)
}
