//! CapeFormer: three networks, with the enrolled keypoints between the first two and their proposals between the others.

mod enrol;

pub use enrol::{EnrolError, Enrolment, Shot, check_shots, enrol};

use super::input_transform::CropTransform;
use super::networks::NetworkOpener;
use super::stopwatch::Stopwatch;
use super::{EstimateError, Estimator, Options, StageTimes};
use crate::bundle::Bundle;
use crate::bundle::capeformer::{DecodeSection, FEATURES, MATCH, REFINE};
use crate::decode::capeformer::{CROP, Crop, Finiteness, Workspace, write_identity};
use crate::engine::{Engine, Memory, Session};
use crate::geometry::{Rectangle, Size};
use crate::pixels::ImageView;
use crate::pose::{Pose, Poses};
use crate::template::Template;

/// Positions of the tensors in the signatures below.
const IMAGE: usize = 0;
const QUERY_OUT: usize = 0;
const SUPPORT_OUT: usize = 1;
const QUERY_IN: usize = 0;
const SUPPORT_IN: usize = 1;
const MATCH_IDENTITY: usize = 2;
const MATCH_BIAS: usize = 3;
const SIMILARITY: usize = 0;
const MEMORY_OUT: usize = 1;
const REFINED_OUT: usize = 2;
const MEMORY_IN: usize = 0;
const REFINED_IN: usize = 1;
const REFINE_IDENTITY: usize = 2;
const REFINE_BIAS: usize = 3;
const PROPOSALS: usize = 4;
const KEYPOINTS: usize = 0;

/// Added to the attention of rows that hold no keypoint.
const MASKED: f32 = -1e4;
/// The network's input.
const NETWORK: Size = Size::new(CROP, CROP);

/// CapeFormer with what was enrolled, ready to answer images.
#[derive(Debug)]
pub(super) struct Capeformer {
    bundle: Bundle,
    box_padding: f64,
    features: Features,
    /// One pair of networks for each number of rows that a template needs.
    matchers: Vec<Matcher>,
    templates: Vec<Enrolled>,
    workspace: Box<Workspace>,
}

/// The network that reads crops, and what lays them into it.
#[derive(Debug)]
struct Features {
    view: CropTransform,
    engine: Box<dyn Engine>,
}

/// The networks for templates of at most so many keypoints.
#[derive(Debug)]
struct Matcher {
    rows: usize,
    matching: Box<dyn Engine>,
    refine: Box<dyn Engine>,
}

/// A template as the networks take it.
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
        decode: &DecodeSection,
        environment: Session,
        options: &Options,
    ) -> Result<Self, EstimateError> {
        if options.level.is_some() {
            return Err(EstimateError::option("level", "CapeFormer has no levels".to_owned()));
        }
        if options.templates.is_empty() {
            let reason = "CapeFormer finds what was enrolled: give a template that `sinew enrol` made";
            return Err(EstimateError::option("template", reason.to_owned()));
        }
        let opener = NetworkOpener { bundle, environment: &environment, size: NETWORK };
        let mut opened = Self {
            bundle: bundle.clone(),
            box_padding: decode.box_padding,
            features: Features::open(&opener)?,
            matchers: Vec::new(),
            templates: Vec::new(),
            workspace: Box::default(),
        };
        for template in options.templates.iter() {
            opened.add(&opener, template)?;
        }
        Ok(opened)
    }

    fn add(&mut self, opener: &NetworkOpener<'_>, template: &Template) -> Result<(), EstimateError> {
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
                self.matchers.push(Matcher::open(opener, rows)?);
                self.matchers.len() - 1
            }
        };
        self.templates.push(Enrolled::new(template, matcher, rows)?);
        Ok(())
    }
}

/// Opens every network that some template could need.
pub(super) fn open_all(bundle: &Bundle, environment: &Session) -> Result<(), EstimateError> {
    let opener = NetworkOpener { bundle, environment, size: NETWORK };
    Features::open(&opener)?;
    for &rows in &bundle.manifest().engines[MATCH].batch_sizes {
        Matcher::open(&opener, rows)?;
    }
    Ok(())
}

impl Features {
    fn open(opener: &NetworkOpener<'_>) -> Result<Self, EstimateError> {
        let outputs = [("query_tokens", Memory::Device), ("support_tokens", Memory::Host)];
        let engine = opener.open(FEATURES, None, [&[("image", Memory::Host)], &outputs])?;
        Ok(Self { view: CropTransform::new(&opener.bundle.manifest().input, NETWORK), engine })
    }

    /// Runs the network on `crop` of the image; answers how long laying it in took, and running.
    fn run(&mut self, image: ImageView<'_>, crop: &Crop, watch: &mut Stopwatch) -> Result<StageTimes, EstimateError> {
        self.view.write_input(image, crop.image_from_pixels(), self.engine.input(IMAGE))?;
        let preprocess = watch.lap();
        self.engine.run()?;
        Ok(StageTimes { preprocess, network: watch.lap(), ..StageTimes::default() })
    }
}

impl Matcher {
    fn open(opener: &NetworkOpener<'_>, rows: usize) -> Result<Self, EstimateError> {
        let inputs = [
            ("query_tokens", Memory::Device),
            ("support", Memory::Host),
            ("identity", Memory::Host),
            ("key_bias", Memory::Host),
        ];
        let outputs = [("similarity", Memory::Host), ("memory", Memory::Device), ("refined", Memory::Device)];
        let matching = opener.open(MATCH, Some(rows), [&inputs, &outputs])?;
        let inputs = [
            ("memory", Memory::Device),
            ("refined", Memory::Device),
            ("identity", Memory::Host),
            ("key_bias", Memory::Host),
            ("proposals", Memory::Host),
        ];
        let refine = opener.open(REFINE, Some(rows), [&inputs, &[("keypoints", Memory::Host)]])?;
        Ok(Self { rows, matching, refine })
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
    fn estimate(
        &mut self,
        image: ImageView<'_>,
        boxes: Option<&[Rectangle]>,
        poses: &mut Poses,
    ) -> Result<StageTimes, EstimateError> {
        poses.clear();
        let mut times = StageTimes::default();
        let most = self.bundle.manifest().limits.poses;
        let whole = [Rectangle::of(image.size())];
        for &bounds in boxes.unwrap_or(&whole) {
            let mut watch = Stopwatch::start();
            let Some(crop) = Crop::around(bounds, image.size(), self.box_padding) else {
                poses.dropped += self.templates.len() as u32;
                continue;
            };
            times += self.features.run(image, &crop, &mut watch)?;
            let query = self.features.engine.export_output(QUERY_OUT);
            for (number, template) in self.templates.iter().enumerate() {
                let Matcher { matching, refine, .. } = &mut self.matchers[template.matcher];
                matching.bind_input(QUERY_IN, &query)?;
                matching.input(SUPPORT_IN).copy_from_slice(&template.support);
                matching.input(MATCH_IDENTITY).copy_from_slice(&template.identity);
                matching.input(MATCH_BIAS).copy_from_slice(&template.key_bias);
                times.decode += watch.lap();
                matching.run()?;
                times.network += watch.lap();

                let workspace = &mut *self.workspace;
                if workspace.propose(matching.output(SIMILARITY), template.keypoints)? == Finiteness::NotFinite {
                    poses.dropped += 1;
                    continue;
                }
                refine.bind_input(MEMORY_IN, &matching.export_output(MEMORY_OUT))?;
                refine.bind_input(REFINED_IN, &matching.export_output(REFINED_OUT))?;
                refine.input(REFINE_IDENTITY).copy_from_slice(&template.identity);
                refine.input(REFINE_BIAS).copy_from_slice(&template.key_bias);
                workspace.write_proposals(refine.input(PROPOSALS))?;
                times.decode += watch.lap();
                refine.run()?;
                times.network += watch.lap();

                let mut pose = Pose { template: number as u16, ..Pose::default() };
                let sound = workspace.answer(refine.output(KEYPOINTS), &crop, &mut pose)?;
                if sound == Finiteness::NotFinite || poses.list.len() >= most || poses.list.push(pose).is_err() {
                    poses.dropped += 1;
                }
                times.decode += watch.lap();
            }
        }
        Ok(times)
    }
}
