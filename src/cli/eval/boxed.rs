//! Share of correct keypoints of people in given boxes: one box, one answer.

use anyhow::{Context as _, bail};
use serde_json::{Map, json};

use super::EvalArguments;
use crate::bundle::Bundle;
use crate::cli::log::LogArguments;
use crate::cli::progress::Progress;
use crate::cli::{Verdict, output};
use crate::estimator::{self, Estimator as _, LazyEstimator};
use crate::eval::{Annotation, GroundTruth, KeypointShare, Reach};
use crate::geometry::Rectangle;
use crate::pixels::{Limits, read_image};
use crate::pose::Poses;

pub(super) fn run(
    arguments: &EvalArguments,
    bundle: &Bundle,
    reach: Reach,
    log: &LogArguments,
) -> anyhow::Result<Verdict> {
    let mut truth = GroundTruth::read(&arguments.coco)?;
    if let Some(limit) = arguments.limit {
        truth.keep_first(limit);
    }
    let options = estimator::Options { score_threshold: Some(0.0), ..arguments.options() };
    let mut estimator = LazyEstimator::new(bundle.clone(), arguments.backend, &options);
    let mut poses = Poses::default();
    let mut share = KeypointShare::new(reach);
    let (mut people, mut skipped) = (0_usize, 0_usize);
    let progress = Progress::new(Some(truth.images().len() as u64), log);
    for (image, annotations) in truth.images().iter().zip(truth.annotations()) {
        let path = arguments.images.join(&image.file_name);
        let image = match read_image(&path, &Limits::default()) {
            Ok(image) => Some(image),
            Err(error) => {
                // Nobody is found in it then, and the figures say so.
                progress.complain(&error);
                skipped += 1;
                None
            }
        };
        for person in annotations.iter().filter(|person| !person.ignored) {
            let found = match &image {
                Some(image) => {
                    let [x, y, width, height] = person.bbox.map(|value| value as f32);
                    let bounds = [Rectangle { x, y, width, height }];
                    (estimator.estimate(image.view(), Some(&bounds), &mut poses))
                        .with_context(|| path.display().to_string())?;
                    places(&poses)
                }
                None => Vec::new(),
            };
            if !share.add(person, &found) {
                return Err(no_measure(&truth, person, reach));
            }
            people += 1;
        }
        progress.step();
    }
    progress.finish();
    if share.counted() == 0 {
        bail!("{}: no labelled keypoint to evaluate", arguments.coco.display());
    }
    let figures = share.figures();
    print(arguments, bundle, reach, &figures, people, skipped)?;
    let (name, reached) = figures.last().map_or(("", 0.0), |(name, value)| (name.as_str(), *value));
    let floor = arguments.min_pck.filter(|&floor| reached < f64::from(floor));
    if let Some(floor) = floor {
        output::message(format_args!("sinew: {} is below {floor}", name.to_uppercase()));
    }
    Ok(if floor.is_some() || skipped > 0 { Verdict::Negative } else { Verdict::Good })
}

/// Every keypoint of the only answer, whether it is thought to be there or not.
fn places(poses: &Poses) -> Vec<Option<(f32, f32)>> {
    let keypoints = poses.list.first().map(|pose| pose.keypoints.iter());
    keypoints.into_iter().flatten().map(|keypoint| Some((keypoint.x, keypoint.y))).collect()
}

fn no_measure(truth: &GroundTruth, person: &Annotation, reach: Reach) -> anyhow::Error {
    let wanted = match reach {
        Reach::Box => "`bbox` with a side above 0",
        Reach::Head => "`head_bbox` [x, y, width, height], which --metric pckh measures in",
    };
    anyhow::anyhow!("{}: annotation {}: expected a {wanted}", truth.path().display(), person.id)
}

fn print(
    arguments: &EvalArguments,
    bundle: &Bundle,
    reach: Reach,
    figures: &[(String, f64)],
    people: usize,
    skipped: usize,
) -> anyhow::Result<()> {
    if arguments.json {
        let figures: Map<_, _> = figures.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
        return output::print_json(&json!({
            "bundle": bundle.manifest().about.name,
            "hash": bundle.hash(),
            "metric": reach.name(),
            "people": people,
            "skipped": skipped,
            "figures": figures,
        }));
    }
    let mut rows: Vec<[String; 2]> =
        figures.iter().map(|(name, value)| [name.to_uppercase(), format!("{value:.4}")]).collect();
    rows.push(["people".to_owned(), people.to_string()]);
    rows.push(["skipped".to_owned(), skipped.to_string()]);
    output::print_table(["FIGURE", "VALUE"], &rows)
}
