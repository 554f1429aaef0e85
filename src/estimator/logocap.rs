//! LOGO-CAP: two networks with the first half of the decoding between them.

use std::ops::Range;
use std::time::Instant;

use super::input_transform::InputTransform;
use super::networks::{Planner, Recent, open, tensors};
use super::refinement_budget::RefinementBudget;
use super::stopwatch::Stopwatch;
use super::{EstimateError, Estimator, Options, Request, StageTimes, Twin};
use crate::bundle::logocap::{BACKBONE, KAM};
use crate::bundle::{Bundle, Manifest};
use crate::decode::Maps;
use crate::decode::logocap::{Config, Decoder, Refinement, Workspace};
use crate::engine::{Backend, Engine, Network, Session};
use crate::geometry::Size;
use crate::pixels::PixelFormat;
use crate::pose::Poses;

tensors!(backbone_inputs { IMAGE = "image" Host });
tensors!(backbone_outputs { HEATMAPS = "heatmaps" Host, OFFSETS = "offsets" Host, EMBEDDING = "embedding" Device });
tensors!(kam_inputs { EMBEDDING = "embedding" Device, GRID = "grid" Host });
tensors!(kam_outputs { KERNELS = "kam" Host });

/// The decoder's hyper-parameters: the bundle's, as the options change them.
pub(super) fn configure(manifest: &Manifest, own: &Config, options: &Options) -> Result<Decoder, EstimateError> {
    let mut config = own.clone();
    if options.exact {
        config = Config::reference(&manifest.keypoints.sigmas)
            .map_err(|error| EstimateError::option("exact", error.to_string()))?;
        if config.mesh_radius != own.mesh_radius {
            let reason =
                format!("needs decode.mesh_radius {}, this bundle has {}", config.mesh_radius, own.mesh_radius);
            return Err(EstimateError::option("exact", reason));
        }
    }
    if let Some(threshold) = options.score_threshold {
        config.score_threshold = threshold;
    }
    if let Some(level) = options.level {
        config.level = level;
    }
    Decoder::new(&config).map_err(|error| EstimateError::option("score_threshold", error.to_string()))
}

/// All networks for one size; without the second one if the level does not need it.
pub(super) fn networks(planner: &Planner<'_>, level: Refinement) -> Result<Vec<Network>, EstimateError> {
    let mut networks = vec![backbone(planner)?];
    for kam in kams(planner, level) {
        networks.push(kam?.1);
    }
    Ok(networks)
}

fn backbone(planner: &Planner<'_>) -> Result<Network, EstimateError> {
    planner.network(BACKBONE, None, [backbone_inputs::ALL, backbone_outputs::ALL])
}

fn kams(planner: &Planner<'_>, level: Refinement) -> impl Iterator<Item = Result<(usize, Network), EstimateError>> {
    let needed = if level == Refinement::None { 0 } else { usize::MAX };
    planner.batches(KAM, [kam_inputs::ALL, kam_outputs::ALL]).take(needed)
}

/// Runs of the second network that are under way at once, where they need not wait for the CPU: launching one and hearing of
/// its end takes longer than a small network runs.
const AT_ONCE: usize = 4;

/// LOGO-CAP with its engines open.
#[derive(Debug)]
pub(super) struct Logocap {
    bundle: Bundle,
    session: Session,
    decoder: Decoder,
    budget: RefinementBudget,
    workspace: Box<Workspace>,
    /// The attraction maps of all candidates.
    kernels: Vec<f32>,
    /// By size and format of the image.
    transforms: Recent<(Size, PixelFormat), InputTransform>,
    /// By size of the network's input.
    engines: Recent<Size, Engines>,
}

/// The engines for one network size.
#[derive(Debug)]
struct Engines {
    backbone: Box<dyn Engine>,
    /// Ascending by people per run; empty if the level does not need them.
    kams: Vec<Kam>,
}

/// The second network for a number of people.
#[derive(Debug)]
struct Kam {
    people: usize,
    /// One, or several, of which one is prepared while others run.
    runs: Vec<KamRun>,
    /// The one whose turn it is.
    next: usize,
}

/// An engine, and the people for whom it was started.
#[derive(Debug)]
struct KamRun {
    engine: Box<dyn Engine>,
    people: Option<Range<usize>>,
}

impl KamRun {
    /// Waits for the end of the run, if there is one, and takes its people's attraction maps out of it.
    fn finish(&mut self, decoder: &Decoder, kernels: &mut [f32]) -> Result<(), EstimateError> {
        if let Some(people) = self.people.take() {
            self.engine.wait()?;
            let place = decoder.kam_len(people.start)..decoder.kam_len(people.end);
            let found = self.engine.output(kam_outputs::KERNELS);
            kernels[place.clone()].copy_from_slice(&found[..place.len()]);
        }
        Ok(())
    }
}

impl Logocap {
    pub(super) fn open(
        bundle: &Bundle,
        config: &Config,
        session: Session,
        options: &Options,
        image: Size,
        format: PixelFormat,
    ) -> Result<Self, EstimateError> {
        let decoder = configure(bundle.manifest(), config, options)?;
        let kernels = vec![0.0; decoder.kam_len(decoder.config().max_centers)];
        let (mut transforms, mut engines) = (Recent::new(options.sources), Recent::new(options.sources));
        let transform: &mut InputTransform =
            transforms.get((image, format), || InputTransform::new(bundle.manifest(), image, format))?;
        let size = transform.layout.network;
        engines.get(size, || Engines::open(bundle, &session, decoder.config().level, size))?;
        Ok(Self {
            bundle: bundle.clone(),
            session,
            decoder,
            budget: RefinementBudget::default(),
            workspace: Box::default(),
            kernels,
            transforms,
            engines,
        })
    }
}

impl Engines {
    fn open(bundle: &Bundle, session: &Session, level: Refinement, size: Size) -> Result<Self, EstimateError> {
        let planner = Planner { bundle, size, precision: session.precision() };
        let backbone = open(session, backbone(&planner)?)?;
        let count = if session.is_asynchronous() { AT_ONCE } else { 1 };
        let open = |kam: Result<(usize, Network), EstimateError>| {
            let (people, network) = kam?;
            let run = |_| Ok(KamRun { engine: open(session, network.clone())?, people: None });
            Ok(Kam { people, runs: (0..count).map(run).collect::<Result<_, EstimateError>>()?, next: 0 })
        };
        let kams = kams(&planner, level).map(open).collect::<Result<_, EstimateError>>()?;
        Ok(Self { backbone, kams })
    }
}

impl Estimator for Logocap {
    fn estimate(&mut self, request: &Request<'_>, poses: &mut Poses) -> Result<StageTimes, EstimateError> {
        poses.clear();
        let Self { bundle, session, decoder, budget, workspace, kernels, transforms, engines } = self;
        let kind = (request.image.size(), request.image.format());
        let transform = transforms.get(kind, || InputTransform::new(bundle.manifest(), kind.0, kind.1))?;
        let size = transform.layout.network;
        let level = decoder.config().level;
        let Engines { backbone, kams } = engines.get(size, || Engines::open(bundle, session, level, size))?;
        let mut watch = Stopwatch::start();
        let mut times = StageTimes::default();

        transform.write_input(request.image, backbone.input(backbone_inputs::IMAGE))?;
        times.preprocess += watch.lap();
        backbone.run()?;
        times.ran(watch.lap(), backbone.waited());

        let stride = decoder.config().stride;
        let (rows, columns) = (size.height / stride, size.width / stride);
        let keypoints = decoder.keypoints();
        let heatmaps =
            Maps::new("heatmaps", backbone.output(backbone_outputs::HEATMAPS), [keypoints + 1, rows, columns])?;
        let offsets = Maps::new("offsets", backbone.output(backbone_outputs::OFFSETS), [2 * keypoints, rows, columns])?;
        let inputs = decoder.inputs(heatmaps, offsets)?;
        decoder.find_centers(&inputs, workspace);
        decoder.initial_poses(&inputs, workspace);
        let count = workspace.centers().len();
        let left = request.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let level = budget.choose(decoder.config().level, runs(kams, count), left);
        times.level = left.map(|_| level);
        let refinement = Instant::now();
        if level == Refinement::None {
            decoder.score_initial(&inputs, workspace);
        } else if count > 0 {
            let embedding = backbone.export_output(backbone_outputs::EMBEDDING);
            for run in kams.iter_mut().flat_map(|kam| &mut kam.runs) {
                // Left by a frame that failed.
                run.finish(decoder, kernels)?;
                run.engine.bind_input(kam_inputs::EMBEDDING, &embedding)?;
            }
            // Refinement waits for all of them: its data then stay in the caches between people, while every run of
            // the network empties them.
            let mut done = 0;
            while done < count {
                let (batch, run) = next_run(kams, count - done);
                run.finish(decoder, kernels)?;
                times.network += watch.lap();
                let people = done..(done + batch).min(count);
                decoder.write_grid(&inputs, people.clone(), workspace, run.engine.input(kam_inputs::GRID))?;
                times.decode += watch.lap();
                run.engine.start()?;
                done = people.end;
                run.people = Some(people);
            }
            for run in kams.iter_mut().flat_map(|kam| &mut kam.runs) {
                run.finish(decoder, kernels)?;
            }
            times.network += watch.lap();
            match level {
                Refinement::Partial => decoder.refine_locally(0..count, kernels, workspace)?,
                _ => decoder.refine(&inputs, 0..count, kernels, workspace)?,
            }
            budget.record(level, runs(kams, count), refinement.elapsed());
        }
        decoder.finish(&transform.layout.image_from_network, workspace, poses);
        times.decode += watch.lap();
        Ok(times)
    }

    fn backend(&self) -> Option<Backend> {
        Some(self.session.backend())
    }

    fn twin(&self) -> Result<Option<Twin>, EstimateError> {
        let Some((session, turn)) = self.session.twin() else { return Ok(None) };
        let level = self.decoder.config().level;
        let twin = Self {
            transforms: self
                .transforms
                .twin(|(image, format)| InputTransform::new(self.bundle.manifest(), image, format))?,
            engines: self.engines.twin(|size| Engines::open(&self.bundle, &session, level, size))?,
            bundle: self.bundle.clone(),
            session,
            decoder: self.decoder.clone(),
            // It learns from its own frames.
            budget: RefinementBudget::default(),
            workspace: Box::default(),
            kernels: vec![0.0; self.kernels.len()],
        };
        Ok(Some(Twin { estimator: Box::new(twin), turn }))
    }
}

/// Number of runs of the second network for this many people.
fn runs(kams: &[Kam], people: usize) -> usize {
    let (mut left, mut runs) = (people, 0);
    while left > 0 && !kams.is_empty() {
        left = left.saturating_sub(kams[fitting(kams, left)].people);
        runs += 1;
    }
    runs
}

/// The largest number of people that `people` fill, or the smallest, padded, if they fill none.
fn fitting(kams: &[Kam], people: usize) -> usize {
    kams.iter().rposition(|kam| kam.people <= people).unwrap_or(0)
}

/// The engine for the next of `people`, and how many of them it takes.
fn next_run(kams: &mut [Kam], people: usize) -> (usize, &mut KamRun) {
    let index = fitting(kams, people);
    let Kam { people, runs, next } = &mut kams[index];
    let run = *next;
    *next = (run + 1) % runs.len();
    (*people, &mut runs[run])
}
