//! Share of correct keypoints over episodes: things are enrolled from some images and looked for in the others.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use serde_json::{Map, Value, json};

use super::EvalArguments;
use crate::bundle::Bundle;
use crate::cli::log::LogArguments;
use crate::cli::progress::Progress;
use crate::cli::{Verdict, output};
use crate::estimator::{self, Shot};
use crate::eval::pck::{Category, Episode, Instance, PckSum, THRESHOLDS, Things, distances, episodes};
use crate::pixels::{Image, Limits, read_image};
use crate::pose::Poses;
use crate::template::{Annotation, Point};

/// Position of the threshold of 0.2 that papers quote.
const QUOTED: usize = 3;

/// One category's figures.
struct Measured<'a> {
    category: &'a Category,
    sum: PckSum,
}

pub(super) fn run(arguments: &EvalArguments, bundle: &Bundle, log: &LogArguments) -> anyhow::Result<Verdict> {
    let things = Things::read(&arguments.coco)?;
    let shots = arguments.shots.unwrap_or(1);
    let work: Vec<(&Category, Vec<Episode>)> =
        (things.categories().iter()).map(|category| (category, episodes(category.instances.len(), shots))).collect();
    let total: usize = work.iter().map(|(_, episodes)| episodes.len()).sum();
    if total == 0 {
        bail!("{}: no category with more than {shots} images", things.path().display());
    }
    let progress = Progress::new(Some(total as u64), log);
    let mut measured = Vec::new();
    let mut all = PckSum::default();
    for (category, episodes) in work {
        let images = read_all(category, &arguments.images)?;
        let mut sum = PckSum::default();
        for episode in episodes {
            for found in result(arguments, bundle, category, &images, &episode)? {
                sum.add(&found);
                all.add(&found);
            }
            progress.step();
        }
        measured.push(Measured { category, sum });
    }
    progress.finish();
    print(arguments, bundle, shots, &measured, &all)?;
    let reached = all.figures().map_or(0.0, |figures| figures.pck[QUOTED]);
    match arguments.min_pck.filter(|&floor| reached < f64::from(floor)) {
        Some(floor) => {
            output::message(format_args!("sinew: PCK@{} is below {floor}", THRESHOLDS[QUOTED]));
            Ok(Verdict::Negative)
        }
        None => Ok(Verdict::Good),
    }
}

fn read_all(category: &Category, folder: &Path) -> anyhow::Result<Vec<Image>> {
    let read = |instance: &Instance| read_image(&folder.join(&instance.file_name), &Limits::default());
    Ok(category.instances.iter().map(read).collect::<Result<_, _>>()?)
}

/// The distances of every query of an episode.
fn result(
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
    let options = arguments.options();
    let enrolment = estimator::enrol(bundle, arguments.backend, &options, &category.name, &shots)?;
    let template = enrolment.template;
    // Where in the template each keypoint of the category stands.
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
            none => none.insert(estimator::open(bundle, arguments.backend, &options, image.size(), image.format())?),
        };
        (estimator.estimate(image, Some(&[instance.bounds]), &mut poses))
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
    measured: &[Measured<'_>],
    all: &PckSum,
) -> anyhow::Result<()> {
    let named = |sum: &PckSum| sum.figures().map(|figures| figures.named()).unwrap_or_default();
    if arguments.json {
        let object = |sum: &PckSum| named(sum).into_iter().map(|(name, value)| (name, json!(value))).collect();
        let categories: Map<String, Value> =
            measured.iter().map(|entry| (entry.category.name.clone(), Value::Object(object(&entry.sum)))).collect();
        return output::print_json(&json!({
            "bundle": bundle.manifest().about.name,
            "hash": bundle.hash(),
            "metric": "pck",
            "shots": shots,
            "results": all.figures().map(|figures| figures.results),
            "figures": Value::Object(object(all)),
            "categories": categories,
        }));
    }
    let row = |name: &str, sum: &PckSum| {
        let figure = |at: usize| named(sum).get(at).map_or_else(|| "-".to_owned(), |(_, value)| format!("{value:.4}"));
        [name.to_owned(), figure(1), figure(QUOTED), figure(THRESHOLDS.len())]
    };
    let mut rows: Vec<[String; 4]> = measured.iter().map(|entry| row(&entry.category.name, &entry.sum)).collect();
    rows.push(row("all", all));
    output::print_table(["CATEGORY", "PCK@0.1", "PCK@0.2", "MPCK"], &rows)
}
