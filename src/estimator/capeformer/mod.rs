//! CapeFormer: three networks, with the enrolled keypoints between the first two and their proposals between the others.

mod enrol;

pub use enrol::{EnrolError, Enrolment, Shot, check_shots, enrol};

use super::input_transform::CropTransform;
use super::networks::{Planner, open, tensors};
use super::stopwatch::Stopwatch;
use super::{EstimateError, Estimator, Options, Request, StageTimes};
use crate::bundle::Bundle;
use crate::bundle::capeformer::{FEATURES, MATCH, REFINE};
use crate::decode::capeformer::{CROP, Config, Crop, Finiteness, Workspace, write_identity};
use crate::engine::{Backend, Engine, Network, Session};
use crate::geometry::{Rectangle, Size};
use crate::pixels::ImageView;
use crate::pose::{Pose, Poses};
use crate::template::Template;

tensors!(features_inputs { IMAGE = "image" Host });
tensors!(features_outputs { QUERY = "query_tokens" Device, SUPPORT = "support_tokens" Host });
tensors!(match_inputs {
    QUERY = "query_tokens" Device,
    SUPPORT = "support" Host,
    IDENTITY = "identity" Host,
    BIAS = "key_bias" Host,
});
tensors!(match_outputs { SIMILARITY = "similarity" Host, MEMORY = "memory" Device, REFINED = "refined" Device });
tensors!(refine_inputs {
    MEMORY = "memory" Device,
    REFINED = "refined" Device,
    IDENTITY = "identity" Host,
    BIAS = "key_bias" Host,
    PROPOSALS = "proposals" Host,
});
tensors!(refine_outputs { KEYPOINTS = "keypoints" Host });

/// Added to the attention of rows that hold no keypoint.
const MASKED: f32 = -1e4;
/// The network's input.
pub(super) const NETWORK: Size = Size::new(CROP, CROP);

/// CapeFormer with its engines open, and the enrolled templates.
#[derive(Debug)]
pub(super) struct Capeformer {
    bundle: Bundle,
    session: Session,
    box_padding: f64,
    /// Poses that do not score above it are left out.
    score_threshold: Option<f32>,
    features: Features,
    /// One pair of networks per number of rows that a template needs.
    matchers: Vec<Matcher>,
    templates: Vec<Enrolled>,
    workspace: Box<Workspace>,
}

/// The network that reads crops, and its preprocessing.
#[derive(Debug)]
struct Features {
    transform: CropTransform,
    engine: Box<dyn Engine>,
}

/// The networks for templates of at most this many keypoints.
#[derive(Debug)]
struct Matcher {
    rows: usize,
    matching: Box<dyn Engine>,
    refine: Box<dyn Engine>,
}

/// A template as network inputs.
#[derive(Debug)]
struct Enrolled {
    keypoints: usize,
    /// Position of its networks.
    matcher: usize,
    /// `[rows, width]`
    support: Vec<f32>,
    /// `[rows, width]`
    identity: Vec<f32>,
    /// `[rows]`
    key_bias: Vec<f32>,
}

impl Capeformer {
    pub(super) fn open(
        bundle: &Bundle,
        config: &Config,
        session: Session,
        options: &Options,
    ) -> Result<Self, EstimateError> {
        if options.level.is_some() {
            return Err(EstimateError::option("level", "CapeFormer has no levels".to_owned()));
        }
        if options.templates.is_empty() {
            let reason = "CapeFormer finds what was enrolled: give a template that `sinew enrol` made";
            return Err(EstimateError::option("template", reason.to_owned()));
        }
        let planner = Planner { bundle, size: NETWORK, precision: session.precision() };
        let features = Features::open(&planner, &session)?;
        let mut opened = Self {
            bundle: bundle.clone(),
            session,
            box_padding: config.box_padding,
            score_threshold: options.score_threshold,
            features,
            matchers: Vec::new(),
            templates: Vec::new(),
            workspace: Box::default(),
        };
        for template in options.templates.iter() {
            opened.add(&planner, template)?;
        }
        Ok(opened)
    }

    fn add(&mut self, planner: &Planner<'_>, template: &Template) -> Result<(), EstimateError> {
        template.fits(&self.bundle)?;
        let keypoints = template.keypoints().len();
        let batch_sizes = &self.bundle.manifest().engines[MATCH].batch_sizes;
        let Some(&rows) = batch_sizes.iter().find(|&&rows| keypoints <= rows) else {
            let most = batch_sizes.last().copied().unwrap_or_default();
            let reason = format!("`{}` has {keypoints} keypoints, this bundle takes {most}", template.name());
            return Err(EstimateError::option("template", reason));
        };
        let matcher = match self.matchers.iter().position(|matcher| matcher.rows == rows) {
            Some(position) => position,
            None => {
                self.matchers.push(Matcher::open(planner, &self.session, rows)?);
                self.matchers.len() - 1
            }
        };
        self.templates.push(Enrolled::new(template, matcher, rows)?);
        Ok(())
    }
}

/// All networks that any template could need.
pub(super) fn networks(planner: &Planner<'_>) -> Result<Vec<Network>, EstimateError> {
    let mut networks = vec![features(planner)?];
    for &rows in &planner.bundle.manifest().engines[MATCH].batch_sizes {
        networks.extend([matching(planner, rows)?, refine(planner, rows)?]);
    }
    Ok(networks)
}

fn features(planner: &Planner<'_>) -> Result<Network, EstimateError> {
    planner.network(FEATURES, None, [features_inputs::ALL, features_outputs::ALL])
}

fn matching(planner: &Planner<'_>, rows: usize) -> Result<Network, EstimateError> {
    planner.network(MATCH, Some(rows), [match_inputs::ALL, match_outputs::ALL])
}

fn refine(planner: &Planner<'_>, rows: usize) -> Result<Network, EstimateError> {
    planner.network(REFINE, Some(rows), [refine_inputs::ALL, refine_outputs::ALL])
}

impl Features {
    fn open(planner: &Planner<'_>, session: &Session) -> Result<Self, EstimateError> {
        let transform = CropTransform::new(&planner.bundle.manifest().input, NETWORK);
        Ok(Self { transform, engine: open(session, features(planner)?)? })
    }

    /// Runs the network on `crop` of the image; returns how long the stages took.
    fn run(&mut self, image: ImageView<'_>, crop: &Crop, watch: &mut Stopwatch) -> Result<StageTimes, EstimateError> {
        self.transform.write_input(image, crop.image_from_pixels(), self.engine.input(features_inputs::IMAGE))?;
        let preprocess = watch.lap();
        self.engine.run()?;
        Ok(StageTimes { preprocess, network: watch.lap(), ..StageTimes::default() })
    }
}

impl Matcher {
    fn open(planner: &Planner<'_>, session: &Session, rows: usize) -> Result<Self, EstimateError> {
        let matching = open(session, matching(planner, rows)?)?;
        Ok(Self { rows, matching, refine: open(session, refine(planner, rows)?)? })
    }
}

impl Enrolled {
    fn new(template: &Template, matcher: usize, rows: usize) -> Result<Self, EstimateError> {
        let (keypoints, width) = (template.keypoints().len(), template.width());
        let (mut support, mut identity) = (vec![0.0; rows * width], vec![0.0; rows * width]);
        let mut key_bias = vec![MASKED; rows];
        for (position, keypoint) in template.keypoints().iter().enumerate() {
            let row = position * width..(position + 1) * width;
            support[row.clone()].copy_from_slice(template.features(position));
            write_identity(usize::from(keypoint.index), &mut identity[row])?;
            key_bias[position] = 0.0;
        }
        Ok(Self { keypoints, matcher, support, identity, key_bias })
    }
}

impl Estimator for Capeformer {
    fn estimate(&mut self, request: &Request<'_>, poses: &mut Poses) -> Result<StageTimes, EstimateError> {
        poses.clear();
        let mut times = StageTimes::default();
        let max_poses = self.bundle.manifest().limits.poses;
        let size = request.image.size();
        let whole = [Rectangle::of(size)];
        for &bounds in request.boxes.unwrap_or(&whole) {
            let mut watch = Stopwatch::start();
            let Some(crop) = Crop::around(bounds, size, self.box_padding) else {
                poses.dropped += self.templates.len() as u32;
                continue;
            };
            times += self.features.run(request.image, &crop, &mut watch)?;
            let query = self.features.engine.export_output(features_outputs::QUERY);
            for (number, template) in self.templates.iter().enumerate() {
                let Matcher { matching, refine, .. } = &mut self.matchers[template.matcher];
                matching.bind_input(match_inputs::QUERY, &query)?;
                matching.input(match_inputs::SUPPORT).copy_from_slice(&template.support);
                matching.input(match_inputs::IDENTITY).copy_from_slice(&template.identity);
                matching.input(match_inputs::BIAS).copy_from_slice(&template.key_bias);
                times.decode += watch.lap();
                matching.run()?;
                times.network += watch.lap();

                let workspace = &mut *self.workspace;
                let similarity = matching.output(match_outputs::SIMILARITY);
                if workspace.propose(similarity, template.keypoints)? == Finiteness::NotFinite {
                    poses.dropped += 1;
                    continue;
                }
                refine.bind_input(refine_inputs::MEMORY, &matching.export_output(match_outputs::MEMORY))?;
                refine.bind_input(refine_inputs::REFINED, &matching.export_output(match_outputs::REFINED))?;
                refine.input(refine_inputs::IDENTITY).copy_from_slice(&template.identity);
                refine.input(refine_inputs::BIAS).copy_from_slice(&template.key_bias);
                workspace.write_proposals(refine.input(refine_inputs::PROPOSALS))?;
                times.decode += watch.lap();
                refine.run()?;
                times.network += watch.lap();

                let mut pose = Pose { template: number as u16, ..Pose::default() };
                let sound = workspace.result(refine.output(refine_outputs::KEYPOINTS), &crop, &mut pose)?;
                let is_there = self.score_threshold.is_none_or(|threshold| pose.score > threshold);
                let is_lost = match sound {
                    Finiteness::NotFinite => true,
                    Finiteness::Finite => is_there && (poses.list.len() >= max_poses || poses.list.push(pose).is_err()),
                };
                poses.dropped += u32::from(is_lost);
                times.decode += watch.lap();
            }
        }
        Ok(times)
    }

    fn backend(&self) -> Option<Backend> {
        Some(self.session.backend())
    }
}
