//! CenterGroup: two networks with the choice of tokens between them.

use super::input_transform::InputTransform;
use super::networks::{BySize, NetworkOpener};
use super::stopwatch::Stopwatch;
use super::{EstimateError, Estimator, Options, StageTimes};
use crate::bundle::centergroup::{BACKBONE, DecodeSection, GROUPING};
use crate::bundle::manifest::token_width;
use crate::bundle::{Bundle, Manifest};
use crate::decode::Maps;
use crate::decode::centergroup::{Config, Decoder, Mask, Workspace, write_mask, write_positions};
use crate::engine::{Engine, Memory, Session};
use crate::geometry::{Rectangle, ShortSideLayout, Size};
use crate::pixels::{ImageView, PixelFormat};
use crate::pose::Poses;

/// Positions of the tensors in the signatures below.
const IMAGE: usize = 0;
const HEAT_HALF: usize = 0;
const ROWS_OUT: usize = 1;
const ROWS_IN: usize = 0;
const POSITIONS: usize = 1;
const INDEX: usize = 2;
const WEIGHT: usize = 3;
const BIAS: usize = 4;
const ATTENTION: usize = 0;
const VISIBLE: usize = 1;
const CENTER: usize = 2;

/// The decoder's hyper-parameters, as the bundle says and the options change it.
pub(super) fn configure(
    manifest: &Manifest,
    decode: &DecodeSection,
    options: &Options,
) -> Result<Decoder, EstimateError> {
    let mut config = decode.config(manifest);
    if options.exact {
        config = Config::reference(&manifest.keypoints.sigmas)
            .map_err(|error| EstimateError::option("exact", error.to_string()))?;
    }
    if options.level.is_some() {
        return Err(EstimateError::option("level", "CenterGroup has no levels".to_owned()));
    }
    if let Some(threshold) = options.score_threshold {
        config.score_threshold = threshold;
    }
    Decoder::new(&config).map_err(|error| EstimateError::option("score_threshold", error.to_string()))
}

/// CenterGroup, ready to answer images.
#[derive(Debug)]
pub(super) struct Centergroup {
    bundle: Bundle,
    environment: Session,
    decoder: Decoder,
    workspace: Box<Workspace>,
    view: InputTransform,
    padding: Padding,
    /// Those in use fit the view.
    networks: BySize<Networks>,
}

/// What depends on how an image lies in the network's input, and on nothing in it.
#[derive(Debug)]
struct Padding {
    /// Which pixels of the network's input come from the image.
    mask: Vec<u8>,
    /// The position encoding of every cell, `[h * w, width]`.
    positions: Vec<f32>,
}

/// The engines for one network size.
#[derive(Debug)]
struct Networks {
    backbone: Box<dyn Engine>,
    /// By tokens of a type, ascending.
    grouping: Vec<(usize, Box<dyn Engine>)>,
}

impl Centergroup {
    pub(super) fn open(
        bundle: &Bundle,
        decode: &DecodeSection,
        environment: Session,
        options: &Options,
        image: Size,
        format: PixelFormat,
    ) -> Result<Self, EstimateError> {
        let decoder = configure(bundle.manifest(), decode, options)?;
        let view = InputTransform::new(bundle.manifest(), image, format)?;
        let padding = Padding::new(bundle.manifest(), &decoder, &view)?;
        let size = view.layout.network;
        let mut networks = BySize::new(size, Networks::open(bundle, &environment, size)?);
        networks.in_use().write_positions(&padding);
        Ok(Self { bundle: bundle.clone(), environment, decoder, workspace: Box::default(), view, padding, networks })
    }

    /// Makes the view, the padding and the engines fit an image.
    fn fit(&mut self, image: Size, format: PixelFormat) -> Result<(), EstimateError> {
        if (self.view.image, self.view.format) == (image, format) {
            return Ok(());
        }
        let view = InputTransform::new(self.bundle.manifest(), image, format)?;
        let padding = Padding::new(self.bundle.manifest(), &self.decoder, &view)?;
        let size = view.layout.network;
        self.networks.fit(size, || Networks::open(&self.bundle, &self.environment, size))?;
        self.networks.in_use().write_positions(&padding);
        (self.view, self.padding) = (view, padding);
        Ok(())
    }
}

impl Padding {
    fn new(manifest: &Manifest, decoder: &Decoder, view: &InputTransform) -> Result<Self, EstimateError> {
        let network = view.layout.network;
        let mask = image_mask(manifest, view, network)?;
        let stride = decoder.config().stride;
        let cells = Size::new(network.width / stride, network.height / stride);
        let small = image_mask(manifest, view, cells)?;
        // The bundle's check has seen the shape.
        let width = token_width(&manifest.engines[BACKBONE].outputs, "rows").unwrap_or_default();
        let mut positions = vec![0.0; cells.width * cells.height * width];
        write_positions(Mask::new(&small, cells)?, width, &mut positions)?;
        Ok(Self { mask, positions })
    }
}

/// Which pixels come from the image, where it is laid into an input of `size` as it is into the network's.
fn image_mask(manifest: &Manifest, view: &InputTransform, size: Size) -> Result<Vec<u8>, EstimateError> {
    let image = view.image;
    let layout = (manifest.input.rule.centre())
        .and_then(|centre| ShortSideLayout::with_network(image, size, centre))
        .ok_or_else(|| EstimateError::Image { image, reason: "it is empty".to_owned() })?;
    let mut mask = vec![0; size.width * size.height];
    write_mask(image, &layout.image_from_network, size, &mut mask)?;
    Ok(mask)
}

impl Networks {
    fn open(bundle: &Bundle, environment: &Session, size: Size) -> Result<Self, EstimateError> {
        let opener = NetworkOpener { bundle, environment, size };
        let outputs = [("heat_half", Memory::Host), ("rows", Memory::Device)];
        let backbone = opener.open(BACKBONE, None, [&[("image", Memory::Host)], &outputs])?;
        let inputs = [
            ("rows", Memory::Device),
            ("pos_rows", Memory::Host),
            ("idx", Memory::Host),
            ("wgt", Memory::Host),
            ("bias", Memory::Host),
        ];
        let outputs = ["attn", "vis", "center"].map(|name| (name, Memory::Host));
        let mut grouping = Vec::new();
        for &chunk in &bundle.manifest().engines[GROUPING].batch_sizes {
            grouping.push((chunk, opener.open(GROUPING, Some(chunk), [&inputs, &outputs])?));
        }
        Ok(Self { backbone, grouping })
    }

    fn write_positions(&mut self, padding: &Padding) {
        for (_, engine) in &mut self.grouping {
            engine.input(POSITIONS).copy_from_slice(&padding.positions);
        }
    }
}

impl Estimator for Centergroup {
    fn estimate(
        &mut self,
        image: ImageView<'_>,
        _boxes: Option<&[Rectangle]>,
        poses: &mut Poses,
    ) -> Result<StageTimes, EstimateError> {
        poses.clear();
        self.fit(image.size(), image.format())?;
        let Self { decoder, workspace, view, padding, networks, .. } = self;
        let Networks { backbone, grouping } = networks.in_use();
        let network = view.layout.network;
        let mut watch = Stopwatch::start();
        let mut times = StageTimes::default();

        view.write_input(image, backbone.input(IMAGE))?;
        times.preprocess += watch.lap();
        backbone.run()?;
        times.network += watch.lap();

        let half = decoder.config().stride / 2;
        let shape = [decoder.types(), network.height / half, network.width / half];
        let heat_half = Maps::new("heat_half", backbone.output(HEAT_HALF), shape)?;
        let inputs = decoder.inputs(heat_half, Mask::new(&padding.mask, network)?)?;
        decoder.find_tokens(&inputs, workspace);
        let fitting = grouping.iter_mut().find(|(k, _)| workspace.tokens_needed() <= *k);
        match fitting.filter(|_| workspace.has_people()) {
            Some((k, engine)) => {
                engine.bind_input(ROWS_IN, &backbone.export_output(ROWS_OUT))?;
                decoder.write_index(&inputs, *k, workspace, engine.indices(INDEX))?;
                decoder.write_weight(&inputs, *k, workspace, engine.input(WEIGHT))?;
                decoder.write_bias(*k, workspace, engine.input(BIAS))?;
                times.decode += watch.lap();
                engine.run()?;
                times.network += watch.lap();
                let (attention, visible) = (engine.output(ATTENTION), engine.output(VISIBLE));
                let grouped = decoder.grouped(*k, attention, visible, engine.output(CENTER))?;
                decoder.group(&inputs, Some(&grouped), &view.layout.image_from_network, workspace, poses);
            }
            None => decoder.group(&inputs, None, &view.layout.image_from_network, workspace, poses),
        }
        times.decode += watch.lap();
        Ok(times)
    }
}
