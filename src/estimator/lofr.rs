//! LOFR: one network, once per box.

use super::networks::NetworkOpener;
use super::stopwatch::Stopwatch;
use super::view::CropView;
use super::{EstimateError, Estimator, Options, StageTimes};
use crate::bundle::lofr::{DecodeSection, POSE, cells, network};
use crate::bundle::{Bundle, Manifest};
use crate::decode::Maps;
use crate::decode::lofr::{Crop, Decoder, Found};
use crate::engine::{Engine, Environment, Place};
use crate::geometry::{Rectangle, Size};
use crate::pixels::PictureView;
use crate::pose::{Pose, Poses};

/// Positions of the tensors in the signature below.
const IMAGE: usize = 0;
const RESPONSE: usize = 0;
const PRESENCE: usize = 1;

/// The decoder's hyper-parameters, as the bundle says and the options change it.
pub(super) fn configure(
    manifest: &Manifest,
    decode: &DecodeSection,
    options: &Options,
) -> Result<Decoder, EstimateError> {
    if options.level.is_some() {
        return Err(EstimateError::option("level", "LOFR has no levels".to_owned()));
    }
    let mut config = decode.config(manifest);
    if let Some(threshold) = options.score_threshold {
        config.visible_threshold = threshold;
    }
    Decoder::new(&config).map_err(|error| EstimateError::option("score_threshold", error.to_string()))
}

/// LOFR, ready to answer pictures.
#[derive(Debug)]
pub(super) struct Lofr {
    view: CropView,
    margin: f64,
    most: usize,
    network: Size,
    cells: Size,
    decoder: Decoder,
    engine: Box<dyn Engine>,
}

impl Lofr {
    pub(super) fn open(
        bundle: &Bundle,
        decode: &DecodeSection,
        environment: Environment,
        options: &Options,
    ) -> Result<Self, EstimateError> {
        let manifest = bundle.manifest();
        let decoder = configure(manifest, decode, options)?;
        // The bundle's check has seen both sizes.
        let (network, cells) = (network(manifest), cells(manifest));
        let (network, cells) = (network.unwrap_or(Size::new(1, 1)), cells.unwrap_or(Size::new(1, 1)));
        let opener = NetworkOpener { bundle, environment: &environment, size: network };
        let outputs = [("response", Place::Host), ("presence", Place::Host)];
        let engine = opener.open(POSE, None, [&[("image", Place::Host)], &outputs])?;
        let (view, most) = (CropView::new(&manifest.input, network), manifest.limits.poses);
        Ok(Self { view, margin: decode.margin, most, network, cells, decoder, engine })
    }
}

impl Estimator for Lofr {
    fn estimate(
        &mut self,
        picture: PictureView<'_>,
        boxes: Option<&[Rectangle]>,
        poses: &mut Poses,
    ) -> Result<StageTimes, EstimateError> {
        poses.clear();
        let mut times = StageTimes::default();
        let size = picture.size();
        let whole = [Rectangle::of(size)];
        for &bounds in boxes.unwrap_or(&whole) {
            let mut watch = Stopwatch::start();
            let Some(crop) = Crop::around(bounds, size, self.network, self.margin) else {
                poses.dropped += 1;
                continue;
            };
            self.view.lay(picture, crop.pixels_to_picture(self.network), self.engine.input(IMAGE))?;
            times.preprocess += watch.lap();
            self.engine.run()?;
            times.network += watch.lap();

            let shape = [self.decoder.config().keypoints, self.cells.height, self.cells.width];
            let response = Maps::new("response", self.engine.output(RESPONSE), shape)?;
            let mut pose = Pose::default();
            match self.decoder.locate(&response, self.engine.output(PRESENCE), &crop, &mut pose)? {
                Found::Nobody => {}
                Found::Somebody if poses.list.len() < self.most && poses.list.push(pose).is_ok() => {}
                _ => poses.dropped += 1,
            }
            times.decode += watch.lap();
        }
        Ok(times)
    }
}
