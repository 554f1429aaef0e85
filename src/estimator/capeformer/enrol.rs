//! From annotated images to a template.

use super::{CROP, Features, NETWORK, features_outputs};
use crate::bundle::{Bundle, Decode};
use crate::decode::capeformer::{Config, Crop, HiddenRule, pool, support_weights};
use crate::engine::Backend;
use crate::estimator::networks::Planner;
use crate::estimator::stopwatch::Stopwatch;
use crate::estimator::{EstimateError, Options};
use crate::geometry::Rectangle;
use crate::pixels::Image;
use crate::template::{Annotation, Point, Template, TemplateKeypoint};

/// Maximum number of images of one object.
const MAX_SHOTS: usize = 100;

/// An image of an object, and where its keypoints are.
#[derive(Debug)]
pub struct Shot {
    /// Name of the image in errors.
    pub name: String,
    /// The image.
    pub image: Image,
    /// Its keypoints.
    pub annotation: Annotation,
}

/// The result of an enrolment.
#[derive(Debug)]
pub struct Enrolment {
    /// The template.
    pub template: Template,
    /// Names of the keypoints that are not in it, because some images do not show them.
    pub omitted: Vec<String>,
}

/// Why an object is not enrolled.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EnrolError {
    /// The bundle is of another model.
    #[error(
        "bundle `{bundle}` is a {model}, which detects only what it was trained for: enrol with a capeformer bundle"
    )]
    Model {
        /// The bundle.
        bundle: String,
        /// Its model.
        model: String,
    },
    /// An image and its annotation do not fit.
    #[error("{shot}: {reason}")]
    Shot {
        /// The image.
        shot: String,
        /// What is wrong.
        reason: String,
    },
    /// The images together do not make a template.
    #[error("`{name}` cannot be enrolled: {reason}")]
    Template {
        /// The object.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// The network does not open or run.
    #[error(transparent)]
    Estimate(#[from] EstimateError),
}

/// A shot before the network has seen it.
struct Plan {
    crop: Crop,
    /// Crop pixels of each keypoint; none if the image does not show it.
    points: Vec<Option<(f32, f32)>>,
}

/// Makes a template called `name` from images of an object.
///
/// The features of a keypoint are the mean over the images; a keypoint that an image does not show is treated
/// according to the bundle's `decode.hidden_keypoints`, and one that none of them shows is dropped ([`check_shots`] refuses it,
/// because a user hardly means it).
///
/// # Errors
/// If the bundle is not a CapeFormer bundle, the images disagree in their keypoints, a visible keypoint lies outside its crop,
/// a box outside its image, no keypoint is left, or the network fails.
pub fn enrol(
    bundle: &Bundle,
    backend: Backend,
    options: &Options,
    name: &str,
    shots: &[Shot],
) -> Result<Enrolment, EnrolError> {
    let (config, width) = section(bundle)?;
    let template_error = |reason: String| EnrolError::Template { name: name.to_owned(), reason };
    let plans = plan(name, config.box_padding, shots)?;
    let points: &[Point] = &shots[0].annotation.points;

    // Weights of all images sum up to 1 for each keypoint.
    let seen: Vec<usize> =
        (0..points.len()).map(|keypoint| plans.iter().filter(|plan| plan.points[keypoint].is_some()).count()).collect();
    let open = |backend| -> Result<Features, EstimateError> {
        let session = options.session(backend)?;
        Features::open(&Planner { bundle, size: NETWORK, precision: session.precision() }, &session)
    };
    let mut features = backend.open_with_fallback(open, EstimateError::engine)?;
    let mut sums = vec![0.0; points.len() * width];
    for (shot, plan) in shots.iter().zip(&plans) {
        features.run(shot.image.view(), &plan.crop, &mut Stopwatch::start())?;
        let tokens = features.engine.output(features_outputs::SUPPORT);
        for (keypoint, place) in plan.points.iter().enumerate() {
            let Some(weights) = place.and_then(|(x, y)| support_weights(x, y)) else { continue };
            let sum = &mut sums[keypoint * width..][..width];
            pool(&weights, tokens, 1.0 / seen[keypoint] as f32, sum).map_err(EstimateError::from)?;
        }
    }

    let enough = |seen: usize| match config.hidden_keypoints {
        HiddenRule::Drop => seen == shots.len(),
        HiddenRule::AverageSeen => seen > 0,
    };
    let (mut keypoints, mut kept, mut omitted) = (Vec::new(), Vec::new(), Vec::new());
    let mut position = vec![None; points.len()];
    for (index, point) in points.iter().enumerate() {
        if enough(seen[index]) {
            position[index] = Some(keypoints.len() as u16);
            keypoints.push(TemplateKeypoint { index: index as u16, name: point.name.clone() });
            kept.extend_from_slice(&sums[index * width..][..width]);
        } else {
            omitted.push(point.name.clone());
        }
    }
    if keypoints.is_empty() {
        return Err(template_error("no keypoint is visible in all of its images".to_owned()));
    }
    let edges = (shots[0].annotation.edges.iter())
        .filter_map(|&(a, b)| position[usize::from(a)].zip(position[usize::from(b)]))
        .collect();
    let template = Template::new(name, bundle, shots.len() as u32, keypoints, kept, edges)
        .map_err(|error| template_error(error.reason))?;
    Ok(Enrolment { template, omitted })
}

/// Everything that [`enrol`] checks before it runs the network.
///
/// # Errors
/// Same as [`enrol`].
pub fn check_shots(bundle: &Bundle, name: &str, shots: &[Shot]) -> Result<(), EnrolError> {
    let plans = plan(name, section(bundle)?.0.box_padding, shots)?;
    // `plan` has checked that there is a first one.
    let points = &shots[0].annotation.points;
    let is_hidden = |keypoint: &usize| plans.iter().all(|plan| plan.points[*keypoint].is_none());
    match (0..points.len()).find(is_hidden) {
        Some(keypoint) => Err(EnrolError::Template {
            name: name.to_owned(),
            reason: format!(
                "keypoint `{}` is not visible in any of the images: omit it from all annotations",
                points[keypoint].name
            ),
        }),
        None => Ok(()),
    }
}

/// Hyper-parameters, and channels of a token.
fn section(bundle: &Bundle) -> Result<(&Config, usize), EnrolError> {
    let about = &bundle.manifest().about;
    match &bundle.manifest().decode {
        Decode::Capeformer { config, width } => Ok((config, *width)),
        _ => Err(EnrolError::Model { bundle: about.name.clone(), model: about.model.to_string() }),
    }
}

/// Crops and keypoints in them; makes all checks that do not need the network.
fn plan(name: &str, box_padding: f64, shots: &[Shot]) -> Result<Vec<Plan>, EnrolError> {
    let template_error = |reason: String| EnrolError::Template { name: name.to_owned(), reason };
    let Some(first) = shots.first() else { return Err(template_error("no image was given".to_owned())) };
    if shots.len() > MAX_SHOTS {
        return Err(template_error(format!("{} images were given, at most {MAX_SHOTS} are used", shots.len())));
    }
    let names = |shot: &Shot| shot.annotation.points.iter().map(|point| point.name.clone()).collect::<Vec<_>>();
    let expected = names(first);
    let mut plans = Vec::with_capacity(shots.len());
    for shot in shots {
        let fail = |reason: String| EnrolError::Shot { shot: shot.name.clone(), reason };
        let found = names(shot);
        if found != expected {
            let reason = format!("its keypoints are {found:?}, but those of {} are {expected:?}", first.name);
            return Err(fail(reason));
        }
        let size = shot.image.view().size();
        let bounds = shot.annotation.bounds.unwrap_or(Rectangle::of(size));
        let crop = Crop::around(bounds, size, box_padding).ok_or_else(|| {
            let (x, y, width, height) = (bounds.x, bounds.y, bounds.width, bounds.height);
            fail(format!("nothing of the box [{x}, {y}, {width}, {height}] lies in the image of {size} pixels"))
        })?;
        let place = |point: &Point| {
            if !point.visible {
                return Ok(None);
            }
            let (x, y) = crop.to_crop(f64::from(point.x), f64::from(point.y));
            let inside = |value: f64| (0.0..CROP as f64).contains(&value);
            if !(inside(x) && inside(y)) {
                return Err(fail(format!(
                    "keypoint `{}` at ({}, {}) lies outside the square around the box: correct one of them, or mark \
                     it as not visible",
                    point.name, point.x, point.y
                )));
            }
            // Rounding may take a place at the border out of the crop.
            let last = (CROP as f32).next_down();
            Ok(Some(((x as f32).min(last), (y as f32).min(last))))
        };
        let points = shot.annotation.points.iter().map(place).collect::<Result<Vec<_>, _>>()?;
        plans.push(Plan { crop, points });
    }
    Ok(plans)
}
