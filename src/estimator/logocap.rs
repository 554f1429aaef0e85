//! LOGO-CAP: two networks with the first half of the decoding between them.

use std::time::{Duration, Instant};

use super::{EstimateError, Estimator, Options, StageTimes};
use crate::bundle::logocap::{BACKBONE, DecodeSection, KAM, Level};
use crate::bundle::manifest::{EngineSection, TensorSection};
use crate::bundle::shape::{self, Symbols};
use crate::bundle::{Bundle, Manifest};
use crate::decode::Maps;
use crate::decode::logocap::{Config, Decoder, Workspace};
use crate::engine::{Backend, Engine, EngineFiles, Environment, Place, Signature, TensorSpec};
use crate::geometry::{Centre, ShortSideLayout, Size};
use crate::pixels::{PictureView, PixelFormat, Warp};
use crate::pose::{Poses, Skeleton};

/// Most network sizes whose engines are kept open; a folder of mixed pictures seldom has more.
const MAX_OPEN_SIZES: usize = 4;
/// Widest picture, in heights, and tallest, in widths. Memory grows with it, and a network that was trained on
/// photographs has seen nothing like it.
const MAX_ASPECT: usize = 8;

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
) -> Result<(Decoder, Level), EstimateError> {
    let own = decode.config(manifest);
    let mut config = own.clone();
    let mut level = decode.level;
    if options.exact {
        config = Config::reference(&manifest.keypoints.sigmas).map_err(|error| wrong("exact", error.to_string()))?;
        level = Level::Full;
        if config.mesh_radius != own.mesh_radius {
            let reason =
                format!("needs decode.mesh_radius {}, this bundle has {}", config.mesh_radius, own.mesh_radius);
            return Err(wrong("exact", reason));
        }
    }
    if let Some(threshold) = options.score_threshold {
        config.score_threshold = threshold;
    }
    let decoder = Decoder::new(&config).map_err(|error| wrong("score_threshold", error.to_string()))?;
    Ok((decoder, options.level.unwrap_or(level)))
}

fn wrong(option: &'static str, reason: String) -> EstimateError {
    EstimateError::Option { option, reason }
}

/// LOGO-CAP, ready to answer pictures.
#[derive(Debug)]
pub(super) struct Logocap {
    bundle: Bundle,
    skeleton: Skeleton,
    environment: Environment,
    decoder: Decoder,
    level: Level,
    workspace: Box<Workspace>,
    view: View,
    /// The least recently used first; the last one fits the view.
    networks: Vec<Networks>,
}

/// How pictures of one size and format get into the network and back.
#[derive(Debug)]
struct View {
    picture: Size,
    format: PixelFormat,
    layout: ShortSideLayout,
    warp: Warp,
}

/// The engines for one network size.
#[derive(Debug)]
struct Networks {
    size: Size,
    backbone: Box<dyn Engine>,
    /// By people per run, ascending; empty where the level does not need them.
    kams: Vec<(usize, Box<dyn Engine>)>,
}

impl Logocap {
    pub(super) fn open(
        bundle: &Bundle,
        decode: &DecodeSection,
        backend: Backend,
        options: &Options,
        picture: Size,
        format: PixelFormat,
    ) -> Result<Self, EstimateError> {
        let (decoder, level) = configure(bundle.manifest(), decode, options)?;
        let view = View::new(bundle.manifest(), picture, format)?;
        let environment = Environment::new(backend, options.threads)?;
        let networks = vec![Networks::open(bundle, &environment, level, view.layout.network)?];
        Ok(Self {
            bundle: bundle.clone(),
            skeleton: bundle.skeleton(),
            environment,
            decoder,
            level,
            workspace: Box::default(),
            view,
            networks,
        })
    }

    /// Makes the view and the engines fit a picture.
    fn fit(&mut self, picture: Size, format: PixelFormat) -> Result<(), EstimateError> {
        if (self.view.picture, self.view.format) == (picture, format) {
            return Ok(());
        }
        let view = View::new(self.bundle.manifest(), picture, format)?;
        let size = view.layout.network;
        let networks = match self.networks.iter().position(|networks| networks.size == size) {
            Some(found) => self.networks.remove(found),
            None => {
                let opened = Networks::open(&self.bundle, &self.environment, self.level, size)?;
                if self.networks.len() == MAX_OPEN_SIZES {
                    self.networks.remove(0);
                }
                opened
            }
        };
        self.networks.push(networks);
        self.view = view;
        Ok(())
    }
}

impl View {
    fn new(manifest: &Manifest, picture: Size, format: PixelFormat) -> Result<Self, EstimateError> {
        let unfit = |reason: String| EstimateError::Picture { picture, reason };
        let input = &manifest.input;
        let (short, long) = (picture.width.min(picture.height), picture.width.max(picture.height));
        if short.saturating_mul(MAX_ASPECT) < long {
            return Err(unfit(format!("one side is more than {MAX_ASPECT} times the other; cut it into parts")));
        }
        let layout = ShortSideLayout::new(picture, input.short_side, input.multiple, Centre::RoundedUp)
            .ok_or_else(|| unfit("it is empty, or too large to compute with".to_owned()))?;
        let warp = Warp::new(format, picture, &layout.network_to_picture, layout.network, input.mean, input.std)
            .map_err(|error| unfit(error.to_string()))?;
        Ok(Self { picture, format, layout, warp })
    }
}

impl Networks {
    fn open(bundle: &Bundle, environment: &Environment, level: Level, size: Size) -> Result<Self, EstimateError> {
        let engines = &bundle.manifest().engines;
        let symbols = Symbols { height: Some(size.height), width: Some(size.width), chunk: None };
        let open = |role: &'static str, symbols: Symbols, tensors: [&[(&str, Place)]; 2]| {
            let section = &engines[role];
            let unfit = |error| EstimateError::Shape { role, size, error };
            let [inputs, outputs] = tensors;
            let signature = Signature {
                inputs: specs(&section.inputs, inputs, &symbols).map_err(unfit)?,
                outputs: specs(&section.outputs, outputs, &symbols).map_err(unfit)?,
            };
            Ok::<_, EstimateError>(environment.open(&files(bundle, section), signature)?)
        };
        let outputs = [("heatmaps", Place::Host), ("offsets", Place::Host), ("embedding", Place::Engine)];
        let backbone = open(BACKBONE, symbols, [&[("image", Place::Host)], &outputs])?;
        let mut kams = Vec::new();
        if level != Level::None {
            for &chunk in &engines[KAM].chunks {
                let symbols = Symbols { chunk: Some(chunk), ..symbols };
                let inputs = [("embedding", Place::Engine), ("grid", Place::Host)];
                kams.push((chunk, open(KAM, symbols, [&inputs, &[("kam", Place::Host)]])?));
            }
        }
        Ok(Self { size, backbone, kams })
    }
}

fn files(bundle: &Bundle, section: &EngineSection) -> EngineFiles {
    EngineFiles { onnx: bundle.folder().join(&section.precision.fp32.onnx) }
}

/// The named tensors, in the order of `names`; the bundle's check has seen them all.
fn specs(
    tensors: &[TensorSection],
    names: &[(&str, Place)],
    symbols: &Symbols,
) -> Result<Vec<TensorSpec>, shape::ShapeError> {
    let found = |name: &str| tensors.iter().find(|tensor| tensor.name == name).map(|tensor| tensor.shape.as_slice());
    names
        .iter()
        .map(|&(name, place)| {
            let shape = shape::evaluate(found(name).unwrap_or_default(), symbols)?;
            Ok(TensorSpec { name: name.to_owned(), shape, place })
        })
        .collect()
}

/// Tells time apart into stages.
struct Stopwatch {
    last: Instant,
}

impl Stopwatch {
    fn lap(&mut self) -> Duration {
        let now = Instant::now();
        let lap = now - self.last;
        self.last = now;
        lap
    }
}

impl Estimator for Logocap {
    fn estimate(&mut self, picture: PictureView<'_>, poses: &mut Poses) -> Result<StageTimes, EstimateError> {
        poses.clear();
        self.fit(picture.size(), picture.format())?;
        let Self { decoder, level, workspace, view, networks, .. } = self;
        let Some(Networks { size, backbone, kams }) = networks.last_mut() else {
            unreachable!("the engines that fit the view are always there");
        };
        let mut watch = Stopwatch { last: Instant::now() };
        let mut times = StageTimes::default();

        view.warp
            .run(picture, backbone.input(IMAGE))
            .map_err(|error| EstimateError::Picture { picture: picture.size(), reason: error.to_string() })?;
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
        if *level == Level::None {
            decoder.score_initial(&inputs, workspace);
        } else if count > 0 {
            let embedding = backbone.hand_over(EMBEDDING_OUT);
            for (_, kam) in kams.iter_mut() {
                kam.receive(EMBEDDING_IN, &embedding)?;
            }
            let mut done = 0;
            while done < count {
                let (chunk, kam) = fitting_chunk(kams, count - done);
                let people = done..(done + chunk).min(count);
                decoder.write_grid(&inputs, people.clone(), workspace, kam.input(GRID))?;
                times.decode += watch.lap();
                kam.run()?;
                times.network += watch.lap();
                let kernels = kam.output(KERNELS);
                match level {
                    Level::Partial => decoder.refine_locally(people.clone(), kernels, workspace)?,
                    _ => decoder.refine(&inputs, people.clone(), kernels, workspace)?,
                }
                done = people.end;
            }
        }
        decoder.finish(&view.layout.network_to_picture, workspace, poses);
        times.decode += watch.lap();
        Ok(times)
    }

    fn keypoint_names(&self) -> &[String] {
        self.bundle.keypoint_names()
    }

    fn skeleton(&self) -> &Skeleton {
        &self.skeleton
    }
}

/// The engine for the most people that are there, or for the fewest where even it has places to spare.
fn fitting_chunk(kams: &mut [(usize, Box<dyn Engine>)], people: usize) -> (usize, &mut Box<dyn Engine>) {
    let index = kams.iter().rposition(|(chunk, _)| *chunk <= people).unwrap_or(0);
    let (chunk, engine) = &mut kams[index];
    (*chunk, engine)
}
