//! CenterGroup: two networks with the choice of tokens between them.

use super::input_transform::InputTransform;
use super::networks::{Planner, Recent, open, tensors};
use super::stopwatch::Stopwatch;
use super::{EstimateError, Estimator, Options, Request, StageTimes, Twin};
use crate::bundle::centergroup::{BACKBONE, GROUPING, is_mirrored};
use crate::bundle::{Bundle, Manifest};
use crate::decode::Maps;
use crate::decode::centergroup::{Config, Decoder, Mask, Workspace, write_mask, write_positions};
use crate::engine::{Backend, Engine, Network, Session};
use crate::geometry::{ShortSideLayout, Size};
use crate::pixels::PixelFormat;
use crate::pose::Poses;

tensors!(backbone_inputs { IMAGE = "image" Host });
tensors!(backbone_outputs { HEAT_HALF = "heat_half" Host, ROWS = "rows" Device });
tensors!(grouping_inputs {
    ROWS = "rows" Device,
    POSITIONS = "pos_rows" Host,
    INDEX = "idx" Host,
    WEIGHT = "wgt" Host,
    BIAS = "bias" Host,
});
tensors!(grouping_outputs { ATTENTION = "attn" Host, VISIBLE = "vis" Host, CENTER = "center" Host });

/// The decoder's hyper-parameters: the bundle's, as the options change them.
pub(super) fn configure(manifest: &Manifest, config: &Config, options: &Options) -> Result<Decoder, EstimateError> {
    let mut config = config.clone();
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

/// All networks for one size.
pub(super) fn networks(planner: &Planner<'_>) -> Result<Vec<Network>, EstimateError> {
    let mut networks = vec![backbone(planner)?];
    for grouping in grouping(planner) {
        networks.push(grouping?.1);
    }
    Ok(networks)
}

fn backbone(planner: &Planner<'_>) -> Result<Network, EstimateError> {
    planner.network(BACKBONE, None, [backbone_inputs::ALL, backbone_outputs::ALL])
}

fn grouping(planner: &Planner<'_>) -> impl Iterator<Item = Result<(usize, Network), EstimateError>> {
    planner.batches(GROUPING, [grouping_inputs::ALL, grouping_outputs::ALL])
}

/// CenterGroup with its engines open.
#[derive(Debug)]
pub(super) struct Centergroup {
    bundle: Bundle,
    session: Session,
    decoder: Decoder,
    /// Channels of a token.
    width: usize,
    workspace: Box<Workspace>,
    /// By size and format of the image.
    views: Recent<(Size, PixelFormat), View>,
    /// By size of the network's input.
    engines: Recent<Size, Engines>,
}

/// How images of one size and format are laid into the network's input.
#[derive(Debug)]
struct View {
    transform: InputTransform,
    /// Which pixels of the network's input come from the image.
    mask: Vec<u8>,
    /// The position encoding of every cell, `[h * w, width]`; for networks that also see the mirrored image, followed by
    /// that of each cell's mirror image.
    positions: Vec<f32>,
}

/// The engines for one network size.
#[derive(Debug)]
struct Engines {
    backbone: Box<dyn Engine>,
    /// By tokens of a type, ascending.
    grouping: Vec<(usize, Box<dyn Engine>)>,
    /// The size of the images whose positions are written to `grouping`.
    positions: Option<Size>,
}

impl Centergroup {
    pub(super) fn open(
        bundle: &Bundle,
        (config, width): (&Config, usize),
        session: Session,
        options: &Options,
        image: Size,
        format: PixelFormat,
    ) -> Result<Self, EstimateError> {
        let decoder = configure(bundle.manifest(), config, options)?;
        let (mut views, mut engines) = (Recent::new(options.sources), Recent::new(options.sources));
        let view: &mut View =
            views.get((image, format), || View::new(bundle.manifest(), &decoder, width, image, format))?;
        let size = view.transform.layout.network;
        engines.get(size, || Engines::open(bundle, &session, size))?;
        let workspace = Box::default();
        Ok(Self { bundle: bundle.clone(), session, decoder, width, workspace, views, engines })
    }
}

impl View {
    fn new(
        manifest: &Manifest,
        decoder: &Decoder,
        width: usize,
        image: Size,
        format: PixelFormat,
    ) -> Result<Self, EstimateError> {
        let transform = InputTransform::new(manifest, image, format)?;
        let network = transform.layout.network;
        let mask = image_mask(manifest, image, network)?;
        let stride = decoder.config().stride;
        let cells = Size::new(network.width / stride, network.height / stride);
        let small = image_mask(manifest, image, cells)?;
        let mut positions = vec![0.0; cells.width * cells.height * width];
        write_positions(Mask::new(&small, cells)?, width, &mut positions)?;
        if is_mirrored(&manifest.engines[BACKBONE].outputs, stride) {
            let mut mirrored = small;
            mirrored.chunks_exact_mut(cells.width).for_each(<[u8]>::reverse);
            let mut encoded = vec![0.0; positions.len()];
            write_positions(Mask::new(&mirrored, cells)?, width, &mut encoded)?;
            for row in encoded.chunks_exact(cells.width * width) {
                positions.extend(row.rchunks_exact(width).flatten());
            }
        }
        Ok(Self { transform, mask, positions })
    }
}

/// Which pixels come from the image, in a version of the network's input scaled to `size`.
fn image_mask(manifest: &Manifest, image: Size, size: Size) -> Result<Vec<u8>, EstimateError> {
    let layout = (manifest.input.rule.centre())
        .and_then(|centre| ShortSideLayout::with_network(image, size, centre))
        .ok_or_else(|| EstimateError::Image { image, reason: "it is empty".to_owned() })?;
    let mut mask = vec![0; size.width * size.height];
    write_mask(image, &layout.image_from_network, size, &mut mask)?;
    Ok(mask)
}

impl Engines {
    fn open(bundle: &Bundle, session: &Session, size: Size) -> Result<Self, EstimateError> {
        let planner = Planner { bundle, size, precision: session.precision() };
        let backbone = open(session, backbone(&planner)?)?;
        let open = |grouping: Result<(usize, Network), EstimateError>| {
            let (tokens, network) = grouping?;
            Ok((tokens, open(session, network)?))
        };
        let grouping = grouping(&planner).map(open).collect::<Result<_, EstimateError>>()?;
        Ok(Self { backbone, grouping, positions: None })
    }

    /// Writes the positions of `view` to the engines, unless they hold them already.
    fn write_positions(&mut self, view: &View) {
        if self.positions != Some(view.transform.image) {
            for (_, engine) in &mut self.grouping {
                engine.input(grouping_inputs::POSITIONS).copy_from_slice(&view.positions);
            }
            self.positions = Some(view.transform.image);
        }
    }
}

impl Estimator for Centergroup {
    fn estimate(&mut self, request: &Request<'_>, poses: &mut Poses) -> Result<StageTimes, EstimateError> {
        poses.clear();
        let Self { bundle, session, decoder, width, workspace, views, engines } = self;
        let kind = (request.image.size(), request.image.format());
        let view = views.get(kind, || View::new(bundle.manifest(), decoder, *width, kind.0, kind.1))?;
        let network = view.transform.layout.network;
        let engines = engines.get(network, || Engines::open(bundle, session, network))?;
        engines.write_positions(view);
        let Engines { backbone, grouping, .. } = engines;
        let image_from_network = view.transform.layout.image_from_network;
        let mut watch = Stopwatch::start();
        let mut times = StageTimes::default();

        view.transform.write_input(request.image, backbone.input(backbone_inputs::IMAGE))?;
        times.preprocess += watch.lap();
        backbone.run()?;
        times.ran(watch.lap(), backbone.waited());

        let half = decoder.config().stride / 2;
        let shape = [decoder.types(), network.height / half, network.width / half];
        let heat_half = Maps::new("heat_half", backbone.output(backbone_outputs::HEAT_HALF), shape)?;
        let inputs = decoder.inputs(heat_half, Mask::new(&view.mask, network)?)?;
        decoder.find_tokens(&inputs, workspace);
        let fitting = grouping.iter_mut().find(|(k, _)| workspace.tokens_needed() <= *k);
        match fitting.filter(|_| workspace.has_people()) {
            Some((k, engine)) => {
                engine.bind_input(grouping_inputs::ROWS, &backbone.export_output(backbone_outputs::ROWS))?;
                decoder.write_index(&inputs, *k, workspace, engine.indices(grouping_inputs::INDEX))?;
                decoder.write_weight(&inputs, *k, workspace, engine.input(grouping_inputs::WEIGHT))?;
                decoder.write_bias(*k, workspace, engine.input(grouping_inputs::BIAS))?;
                times.decode += watch.lap();
                engine.run()?;
                times.network += watch.lap();
                let [attention, visible, center] =
                    [grouping_outputs::ATTENTION, grouping_outputs::VISIBLE, grouping_outputs::CENTER]
                        .map(|index| engine.output(index));
                let grouped = decoder.grouped(*k, attention, visible, center)?;
                decoder.group(&inputs, Some(&grouped), &image_from_network, workspace, poses);
            }
            None => decoder.group(&inputs, None, &image_from_network, workspace, poses),
        }
        times.decode += watch.lap();
        Ok(times)
    }

    fn backend(&self) -> Option<Backend> {
        Some(self.session.backend())
    }

    fn twin(&self) -> Result<Option<Twin>, EstimateError> {
        let Some((session, turn)) = self.session.twin() else { return Ok(None) };
        let (manifest, width) = (self.bundle.manifest(), self.width);
        let twin = Self {
            views: self.views.twin(|(image, format)| View::new(manifest, &self.decoder, width, image, format))?,
            engines: self.engines.twin(|size| Engines::open(&self.bundle, &session, size))?,
            bundle: self.bundle.clone(),
            session,
            decoder: self.decoder.clone(),
            width,
            workspace: Box::default(),
        };
        Ok(Some(Twin { estimator: Box::new(twin), turn }))
    }
}
