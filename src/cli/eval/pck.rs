//! Share of correct keypoints over episodes: objects are enrolled from some images and located in the others.

use std::sync::Arc;

use anyhow::{Context as _, bail};
use serde_json::{Map, Value, json};

use super::EvalArguments;
use super::set::ImageSet;
use crate::bundle::Bundle;
use crate::cli::log::LogArguments;
use crate::cli::{Verdict, output};
use crate::estimator::{self, EnrolError, Request, Shot};
use crate::eval::pck::{Category, Episode, Objects, PckSum, THRESHOLDS, distances, episodes};
use crate::pixels::Image;
use crate::pose::Poses;
use crate::template::{Annotation, Point};

/// Index of the threshold 0.2, which papers quote.
const QUOTED: usize = 3;

/// One category's figures.
struct Measured {
    name: String,
    sum: PckSum,
}

pub(super) fn run(arguments: &EvalArguments, bundle: &Bundle, log: &LogArguments) -> anyhow::Result<Verdict> {
    let objects = Objects::read(&arguments.coco)?;
    let path = objects.path().display();
    let shots = arguments.shots.unwrap_or(1);
    let instances = || objects.categories().iter().flat_map(|category| &category.instances);
    if objects.categories().is_empty() {
        bail!(
            "{path}: nothing to measure: no annotation with `keypoints`, a `bbox` with a size and an image of `images`"
        );
    }
    if objects.categories().iter().all(|category| episodes(category.instances.len(), shots).is_empty()) {
        bail!("{path}: no category with more than {shots} images");
    }
    if objects.unusable() > 0 {
        tracing::warn!(
            "{path}: {} annotations have no `bbox` with a size, or no image, and are skipped",
            objects.unusable()
        );
    }
    let names = instances().map(|instance| instance.file_name.as_str());
    let mut set = ImageSet::new(&arguments.images, names, instances().count(), log);
    let mut measured = Vec::new();
    let mut all = PckSum::default();
    // Episodes whose images cannot be enrolled as they are annotated.
    let mut unusable = 0;
    for category in objects.categories() {
        let (category, images) = read_all(category, &mut set);
        let mut sum = PckSum::default();
        for episode in episodes(category.instances.len(), shots) {
            match results(arguments, bundle, &category, &images, &episode) {
                Ok(results) => results.iter().for_each(|found| {
                    sum.add(found);
                    all.add(found);
                }),
                Err(error) if is_of_the_annotation(&error) => {
                    unusable += 1;
                    set.complain(error.as_ref());
                }
                Err(error) => return Err(error),
            }
            set.step();
        }
        measured.push(Measured { name: category.name, sum });
    }
    set.finish(objects.path())?;
    let Some(figures) = all.figures() else {
        bail!("{path}: nothing was measured: no category with more than {shots} images that can be used");
    };
    let skipped = set.skipped() + unusable;
    print(arguments, bundle, shots, &measured, &all, skipped)?;
    let reached = figures.pck[QUOTED];
    let missed = arguments.min_pck.filter(|&least| reached < f64::from(least));
    if let Some(least) = missed {
        output::message(format_args!("sinew: PCK@{} is below {least}", THRESHOLDS[QUOTED]));
    }
    Ok(if missed.is_some() || skipped > 0 { Verdict::Negative } else { Verdict::Good })
}

/// Whether the error concerns only this annotation, so that others can be enrolled.
fn is_of_the_annotation(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(EnrolError::Shot { .. } | EnrolError::Template { .. }))
}

/// The category without the objects whose image cannot be used, and the images of the others.
fn read_all(category: &Category, set: &mut ImageSet<'_>) -> (Category, Vec<Image>) {
    let mut usable = Category { instances: Vec::new(), ..category.clone() };
    let mut images = Vec::new();
    for instance in &category.instances {
        if let Some((_, image)) = set.read(&instance.file_name, instance.size) {
            usable.instances.push(instance.clone());
            images.push(image);
        }
    }
    (usable, images)
}

/// The distances of every query of an episode.
fn results(
    arguments: &EvalArguments,
    bundle: &Bundle,
    category: &Category,
    images: &[Image],
    episode: &Episode,
) -> anyhow::Result<Vec<Vec<Option<f64>>>> {
    let all_show = |keypoint: usize| episode.shots.iter().all(|&shot| category.instances[shot].points[keypoint].2);
    let counted: Vec<bool> = (0..category.keypoints.len()).map(all_show).collect();
    let shots: Vec<Shot> = episode.shots.iter().map(|&shot| as_shot(category, shot, images, &counted)).collect();
    if !counted.contains(&true) {
        // Nothing can be enrolled, so nothing is right.
        let nothing = vec![None; category.keypoints.len()];
        return Ok(episode.queries.iter().map(|_| nothing.clone()).collect());
    }
    let (backend, options) = (arguments.backend.chosen()?, arguments.options());
    let enrolment = estimator::enrol(bundle, backend, &options, &category.name, &shots)?;
    let template = enrolment.template;
    // Position of each keypoint of the category in the template.
    let position = |keypoint: usize| {
        let enrolled = template.keypoints().iter();
        enrolled.enumerate().find(|(_, enrolled)| usize::from(enrolled.index) == keypoint).map(|(position, _)| position)
    };
    let positions: Vec<Option<usize>> = (0..category.keypoints.len()).map(position).collect();
    let options = estimator::Options { templates: Arc::from([template]), ..options };
    let mut estimator = None;
    let mut poses = Poses::default();
    let mut results = Vec::with_capacity(episode.queries.len());
    for &query in &episode.queries {
        let (instance, image) = (&category.instances[query], images[query].view());
        let estimator = match &mut estimator {
            Some(estimator) => estimator,
            none => none.insert(estimator::open(bundle, backend, &options, image.size(), image.format())?),
        };
        (estimator.estimate(&Request { boxes: Some(&[instance.bounds]), ..Request::new(image) }, &mut poses))
            .with_context(|| instance.file_name.clone())?;
        let pose = poses.list.first();
        let found: Vec<Option<(f32, f32)>> = (positions.iter())
            .map(|&position| pose?.keypoints.get(position?).map(|keypoint| (keypoint.x, keypoint.y)))
            .collect();
        results.push(distances(instance, image.size(), &counted, &found));
    }
    Ok(results)
}

/// An image for enrolment; keypoints that some of the others do not show are hidden in all.
fn as_shot(category: &Category, number: usize, images: &[Image], counted: &[bool]) -> Shot {
    let instance = &category.instances[number];
    let points = (instance.points.iter().zip(&category.keypoints).zip(counted))
        .map(|((&(x, y, visible), name), &counted)| Point { name: name.clone(), x, y, visible: visible && counted })
        .collect();
    let annotation = Annotation { bounds: Some(instance.bounds), points, edges: Vec::new() };
    Shot { name: instance.file_name.clone(), image: images[number].clone(), annotation }
}

fn print(
    arguments: &EvalArguments,
    bundle: &Bundle,
    shots: usize,
    measured: &[Measured],
    all: &PckSum,
    skipped: usize,
) -> anyhow::Result<()> {
    let named = |sum: &PckSum| sum.figures().map(|figures| figures.named()).unwrap_or_default();
    if arguments.json {
        let object = |sum: &PckSum| named(sum).into_iter().map(|(name, value)| (name, json!(value))).collect();
        let categories: Map<String, Value> =
            measured.iter().map(|entry| (entry.name.clone(), Value::Object(object(&entry.sum)))).collect();
        return output::print_json(&json!({
            "bundle": bundle.manifest().about.name,
            "hash": bundle.hash(),
            "metric": "pck",
            "shots": shots,
            "skipped": skipped,
            "results": all.figures().map(|figures| figures.results),
            "figures": Value::Object(object(all)),
            "categories": categories,
        }));
    }
    let row = |name: &str, sum: &PckSum| {
        let figure = |at: usize| named(sum).get(at).map_or_else(|| "-".to_owned(), |(_, value)| format!("{value:.4}"));
        [name.to_owned(), figure(1), figure(QUOTED), figure(THRESHOLDS.len())]
    };
    let mut rows: Vec<[String; 4]> = measured.iter().map(|entry| row(&entry.name, &entry.sum)).collect();
    rows.push(row("all", all));
    output::print_table(["CATEGORY", "PCK@0.1", "PCK@0.2", "MPCK"], &rows)
}
