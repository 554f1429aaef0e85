//! LOGO-CAP: two networks with the first half of the decoding between them.

use std::time::Instant;

use super::input_transform::InputTransform;
use super::networks::{BySize, NetworkOpener};
use super::refinement_budget::RefinementBudget;
use super::stopwatch::Stopwatch;
use super::{EstimateError, Estimator, Options, StageTimes};
use crate::bundle::logocap::{BACKBONE, DecodeSection, KAM, Refinement};
use crate::bundle::{Bundle, Manifest};
use crate::decode::Maps;
use crate::decode::logocap::{Config, Decoder, Workspace};
use crate::engine::{Engine, Memory, Session};
use crate::geometry::{Rectangle, Size};
use crate::pixels::{ImageView, PixelFormat};
use crate::pose::Poses;

/// Positions of the tensors in the signatures below.
const IMAGE: usize = 0;
const HEATMAPS: usize = 0;
const OFFSETS: usize = 1;
const EMBEDDING_OUT: usize = 2;
const EMBEDDING_IN: usize = 0;
const GRID: usize = 1;
const KERNELS: usize = 0;

/// The decoder's hyper-parameters and the level, as the bundle says and the options change it.
pub(super) fn configure(
    manifest: &Manifest,
    decode: &DecodeSection,
    options: &Options,
) -> Result<(Decoder, Refinement), EstimateError> {
    let own = decode.config(manifest);
    let mut config = own.clone();
    let mut level = decode.level;
    if options.exact {
        config = Config::reference(&manifest.keypoints.sigmas)
            .map_err(|error| EstimateError::option("exact", error.to_string()))?;
        level = Refinement::Full;
        if config.mesh_radius != own.mesh_radius {
            let reason =
                format!("needs decode.mesh_radius {}, this bundle has {}", config.mesh_radius, own.mesh_radius);
            return Err(EstimateError::option("exact", reason));
        }
    }
    if let Some(threshold) = options.score_threshold {
        config.score_threshold = threshold;
    }
    let decoder = Decoder::new(&config).map_err(|error| EstimateError::option("score_threshold", error.to_string()))?;
    Ok((decoder, options.level.unwrap_or(level)))
}

/// LOGO-CAP, ready to answer images.
#[derive(Debug)]
pub(super) struct Logocap {
    bundle: Bundle,
    environment: Session,
    decoder: Decoder,
    /// The highest one.
    level: Refinement,
    /// When the answer should be there.
    due: Option<Instant>,
    budget: RefinementBudget,
    workspace: Box<Workspace>,
    /// The attraction maps of all candidates.
    kernels: Vec<f32>,
    view: InputTransform,
    /// Those in use fit the view.
    networks: BySize<Networks>,
}

/// The engines for one network size.
#[derive(Debug)]
struct Networks {
    backbone: Box<dyn Engine>,
    /// By people per run, ascending; empty where the level does not need them.
    kams: Vec<(usize, Box<dyn Engine>)>,
}

impl Logocap {
    pub(super) fn open(
        bundle: &Bundle,
        decode: &DecodeSection,
        environment: Session,
        options: &Options,
        image: Size,
        format: PixelFormat,
    ) -> Result<Self, EstimateError> {
        let (decoder, level) = configure(bundle.manifest(), decode, options)?;
        let view = InputTransform::new(bundle.manifest(), image, format)?;
        let size = view.layout.network;
        let networks = BySize::new(size, Networks::open(bundle, &environment, level, size)?);
        let kernels = vec![0.0; decoder.kam_len(decoder.config().max_centers)];
        Ok(Self {
            bundle: bundle.clone(),
            environment,
            decoder,
            level,
            due: None,
            budget: RefinementBudget::default(),
            workspace: Box::default(),
            kernels,
            view,
            networks,
        })
    }

    /// Makes the view and the engines fit an image.
    fn fit(&mut self, image: Size, format: PixelFormat) -> Result<(), EstimateError> {
        if (self.view.image, self.view.format) == (image, format) {
            return Ok(());
        }
        let view = InputTransform::new(self.bundle.manifest(), image, format)?;
        let size = view.layout.network;
        self.networks.fit(size, || Networks::open(&self.bundle, &self.environment, self.level, size))?;
        self.view = view;
        Ok(())
    }
}

impl Networks {
    fn open(bundle: &Bundle, environment: &Session, level: Refinement, size: Size) -> Result<Self, EstimateError> {
        let opener = NetworkOpener { bundle, environment, size };
        let outputs = [("heatmaps", Memory::Host), ("offsets", Memory::Host), ("embedding", Memory::Device)];
        let backbone = opener.open(BACKBONE, None, [&[("image", Memory::Host)], &outputs])?;
        let mut kams = Vec::new();
        if level != Refinement::None {
            for &chunk in &bundle.manifest().engines[KAM].batch_sizes {
                let inputs = [("embedding", Memory::Device), ("grid", Memory::Host)];
                kams.push((chunk, opener.open(KAM, Some(chunk), [&inputs, &[("kam", Memory::Host)]])?));
            }
        }
        Ok(Self { backbone, kams })
    }
}

impl Estimator for Logocap {
    fn estimate(
        &mut self,
        image: ImageView<'_>,
        _boxes: Option<&[Rectangle]>,
        poses: &mut Poses,
    ) -> Result<StageTimes, EstimateError> {
        poses.clear();
        self.fit(image.size(), image.format())?;
        let Self { decoder, level: wanted, due, budget, workspace, kernels, view, networks, .. } = self;
        let Networks { backbone, kams } = networks.in_use();
        let size = view.layout.network;
        let mut watch = Stopwatch::start();
        let mut times = StageTimes::default();

        view.write_input(image, backbone.input(IMAGE))?;
        times.preprocess += watch.lap();
        backbone.run()?;
        times.network += watch.lap();

        let stride = decoder.config().stride;
        let (rows, columns) = (size.height / stride, size.width / stride);
        let keypoints = decoder.keypoints();
        let heatmaps = Maps::new("heatmaps", backbone.output(HEATMAPS), [keypoints + 1, rows, columns])?;
        let offsets = Maps::new("offsets", backbone.output(OFFSETS), [2 * keypoints, rows, columns])?;
        let inputs = decoder.inputs(heatmaps, offsets)?;
        decoder.find_centers(&inputs, workspace);
        decoder.initial_poses(&inputs, workspace);
        let count = workspace.centers().len();
        let left = due.map(|due| due.saturating_duration_since(Instant::now()));
        let level = budget.choose(*wanted, runs(kams, count), left);
        times.level = left.map(|_| level);
        let refinement = Instant::now();
        if level == Refinement::None {
            decoder.score_initial(&inputs, workspace);
        } else if count > 0 {
            let embedding = backbone.export_output(EMBEDDING_OUT);
            for (_, kam) in kams.iter_mut() {
                kam.bind_input(EMBEDDING_IN, &embedding)?;
            }
            // Refinement waits for all of them: what it reads stays near the processor between people then, while every run
            // of the network drives it out.
            let mut done = 0;
            while done < count {
                let (chunk, kam) = fitting_chunk(kams, count - done);
                let people = done..(done + chunk).min(count);
                decoder.write_grid(&inputs, people.clone(), workspace, kam.input(GRID))?;
                times.decode += watch.lap();
                kam.run()?;
                times.network += watch.lap();
                let place = decoder.kam_len(people.start)..decoder.kam_len(people.end);
                let found = kam.output(KERNELS);
                kernels[place.clone()].copy_from_slice(&found[..place.len()]);
                done = people.end;
            }
            match level {
                Refinement::Partial => decoder.refine_locally(0..count, kernels, workspace)?,
                _ => decoder.refine(&inputs, 0..count, kernels, workspace)?,
            }
            budget.record(level, runs(kams, count), refinement.elapsed());
        }
        decoder.finish(&view.layout.image_from_network, workspace, poses);
        times.decode += watch.lap();
        Ok(times)
    }

    fn due(&mut self, at: Option<Instant>) {
        self.due = at;
    }
}

/// How often the second network runs for so many people.
fn runs(kams: &mut [(usize, Box<dyn Engine>)], people: usize) -> usize {
    let (mut left, mut runs) = (people, 0);
    while left > 0 && !kams.is_empty() {
        left = left.saturating_sub(fitting_chunk(kams, left).0);
        runs += 1;
    }
    runs
}

/// The engine for the most people that are there, or for the fewest where even it has places to spare.
fn fitting_chunk(kams: &mut [(usize, Box<dyn Engine>)], people: usize) -> (usize, &mut Box<dyn Engine>) {
    let index = kams.iter().rposition(|(chunk, _)| *chunk <= people).unwrap_or(0);
    let (chunk, engine) = &mut kams[index];
    (*chunk, engine)
}
