//! What a configuration says of the model: templates, boxes, tracking, and the description for the outputs.

use std::path::PathBuf;

use anyhow::{Context as _, bail};

use super::config::Settings;
use crate::bundle::{Bundle, Model};
use crate::estimator::{self, LazyEstimator};
use crate::runtime::{Boxes, FoundBoxes, ListedBoxes, WholeImage};
use crate::sink::{Category, OutputSchema};
use crate::template::Template;
use crate::track::TrackOptions;

/// The objects to detect; each template must have been made by the bundle.
pub fn read_templates(paths: &[PathBuf], bundle: &Bundle) -> anyhow::Result<Vec<Template>> {
    let about = &bundle.manifest().about;
    match (about.model, paths) {
        (Model::Capeformer, []) => {
            bail!("{} detects enrolled objects: give --template, which `sinew enrol` makes", about.name)
        }
        (Model::Capeformer, paths) => {
            let mut templates: Vec<Template> = Vec::with_capacity(paths.len());
            for path in paths {
                let template = Template::read(path)?;
                template.fits(bundle).with_context(|| path.display().to_string())?;
                if templates.iter().any(|other| other.name() == template.name()) {
                    bail!("{}: a second template named `{}`", path.display(), template.name());
                }
                templates.push(template);
            }
            Ok(templates)
        }
        (_, []) => Ok(Vec::new()),
        (model, _) => bail!("--template is for capeformer bundles, {} is a {model}", about.name),
    }
}

/// Where the model looks.
pub fn open_boxes(settings: &Settings, bundle: &Bundle) -> anyhow::Result<Box<dyn Boxes>> {
    let about = &bundle.manifest().about;
    let given = settings.boxes.is_some() || settings.boxes_from.is_some();
    if given && !about.model.takes_boxes() {
        bail!(
            "boxes are for models of one object at a time; {} is a {}, which searches the whole image",
            about.name,
            about.model
        );
    }
    if let Some(path) = &settings.boxes {
        return Ok(Box::new(ListedBoxes::read(path)?));
    }
    let Some(name) = &settings.boxes_from else { return Ok(Box::new(WholeImage)) };
    let finder = Bundle::open(name)?;
    if finder.manifest().about.model.takes_boxes() {
        bail!("--boxes-from {name}: give a bundle that detects people by itself");
    }
    // It may have other precisions than the bundle that processes the boxes.
    let options = estimator::Options { precision: None, ..settings.options() };
    let estimator = LazyEstimator::new(finder, settings.backend()?, &options);
    Ok(Box::new(FoundBoxes::new(estimator)))
}

/// Describes the poses for the sinks.
pub fn describe(bundle: &Bundle, templates: &[Template]) -> OutputSchema {
    let enrolled = |template: &Template| Category {
        name: template.name().to_owned(),
        keypoints: template.keypoints().iter().map(|keypoint| keypoint.name.clone()).collect(),
        skeleton: template.skeleton(),
    };
    let categories = if templates.is_empty() {
        let (keypoints, skeleton) = (bundle.keypoint_names().to_vec(), bundle.skeleton());
        vec![Category { name: "person".to_owned(), keypoints, skeleton }]
    } else {
        templates.iter().map(enrolled).collect()
    };
    OutputSchema {
        model: bundle.manifest().about.model.to_string(),
        bundle: bundle.manifest().about.name.clone(),
        categories,
        templates: !templates.is_empty(),
        poses: bundle.manifest().limits.poses,
        ..OutputSchema::default()
    }
}

/// How poses are tracked; `None` if they are not. Wrong options are errors whether they are used or not.
pub fn track_options(settings: &Settings, bundle: &Bundle) -> anyhow::Result<Option<TrackOptions>> {
    let options = settings.tracker.options(bundle.manifest().track_options())?;
    Ok((!settings.no_track).then_some(options))
}
