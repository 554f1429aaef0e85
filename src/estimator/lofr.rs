//! LOFR: one network, once per box.

use super::input_transform::CropTransform;
use super::networks::NetworkOpener;
use super::stopwatch::Stopwatch;
use super::{EstimateError, Estimator, Options, StageTimes};
use crate::bundle::lofr::{DecodeSection, POSE, cells, network};
use crate::bundle::{Bundle, Manifest};
use crate::decode::Maps;
use crate::decode::lofr::{Crop, Decoder, Detections};
use crate::engine::{Engine, Memory, Session};
use crate::geometry::{Rectangle, Size};
use crate::pixels::ImageView;
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

/// LOFR, ready to answer images.
#[derive(Debug)]
pub(super) struct Lofr {
    view: CropTransform,
    box_padding: f64,
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
        environment: Session,
        options: &Options,
    ) -> Result<Self, EstimateError> {
        let manifest = bundle.manifest();
        let decoder = configure(manifest, decode, options)?;
        // The bundle's check has seen both sizes.
        let (network, cells) = (network(manifest), cells(manifest));
        let (network, cells) = (network.unwrap_or(Size::new(1, 1)), cells.unwrap_or(Size::new(1, 1)));
        let opener = NetworkOpener { bundle, environment: &environment, size: network };
        let outputs = [("response", Memory::Host), ("presence", Memory::Host)];
        let engine = opener.open(POSE, None, [&[("image", Memory::Host)], &outputs])?;
        let (view, most) = (CropTransform::new(&manifest.input, network), manifest.limits.poses);
        Ok(Self { view, box_padding: decode.box_padding, most, network, cells, decoder, engine })
    }
}

impl Estimator for Lofr {
    fn estimate(
        &mut self,
        image: ImageView<'_>,
        boxes: Option<&[Rectangle]>,
        poses: &mut Poses,
    ) -> Result<StageTimes, EstimateError> {
        poses.clear();
        let mut times = StageTimes::default();
        let size = image.size();
        let whole = [Rectangle::of(size)];
        for &bounds in boxes.unwrap_or(&whole) {
            let mut watch = Stopwatch::start();
            let Some(crop) = Crop::around(bounds, size, self.network, self.box_padding) else {
                poses.dropped += 1;
                continue;
            };
            self.view.write_input(image, crop.image_from_pixels(self.network), self.engine.input(IMAGE))?;
            times.preprocess += watch.lap();
            self.engine.run()?;
            times.network += watch.lap();

            let shape = [self.decoder.config().keypoints, self.cells.height, self.cells.width];
            let response = Maps::new("response", self.engine.output(RESPONSE), shape)?;
            let mut pose = Pose::default();
            match self.decoder.locate(&response, self.engine.output(PRESENCE), &crop, &mut pose)? {
                Detections::Nobody => {}
                Detections::Somebody if poses.list.len() < self.most && poses.list.push(pose).is_ok() => {}
                _ => poses.dropped += 1,
            }
            times.decode += watch.lap();
        }
        Ok(times)
    }
}
