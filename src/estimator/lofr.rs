//! LOFR: one network, once per box.

use super::input_transform::CropTransform;
use super::networks::{Planner, open, tensors};
use super::stopwatch::Stopwatch;
use super::{EstimateError, Estimator, Options, Request, StageTimes};
use crate::bundle::Bundle;
use crate::bundle::lofr::POSE;
use crate::decode::Maps;
use crate::decode::lofr::{Config, Crop, Decoder, Detections};
use crate::engine::{Backend, Engine, Network, Session};
use crate::geometry::{Rectangle, Size};
use crate::pose::{Pose, Poses};

tensors!(inputs { IMAGE = "image" Host });
tensors!(outputs { RESPONSE = "response" Host, PRESENCE = "presence" Host });

/// The decoder's hyper-parameters: the bundle's, as the options change them.
pub(super) fn configure(config: &Config, options: &Options) -> Result<Decoder, EstimateError> {
    if options.level.is_some() {
        return Err(EstimateError::option("level", "LOFR has no levels".to_owned()));
    }
    let mut config = *config;
    if let Some(threshold) = options.score_threshold {
        config.visible_threshold = threshold;
    }
    Decoder::new(&config).map_err(|error| EstimateError::option("score_threshold", error.to_string()))
}

/// The only network.
pub(super) fn network(planner: &Planner<'_>) -> Result<Network, EstimateError> {
    planner.network(POSE, None, [inputs::ALL, outputs::ALL])
}

/// LOFR with its engine open.
#[derive(Debug)]
pub(super) struct Lofr {
    session: Session,
    transform: CropTransform,
    max_poses: usize,
    network: Size,
    cells: Size,
    decoder: Decoder,
    engine: Box<dyn Engine>,
}

impl Lofr {
    /// `network` is the size of the network's input, `cells` that of a response map.
    pub(super) fn open(
        bundle: &Bundle,
        (config, network_size, cells): (&Config, Size, Size),
        session: Session,
        options: &Options,
    ) -> Result<Self, EstimateError> {
        let decoder = configure(config, options)?;
        let planner = Planner { bundle, size: network_size, precision: session.precision() };
        let engine = open(&session, network(&planner)?)?;
        let manifest = bundle.manifest();
        let transform = CropTransform::new(&manifest.input, network_size);
        let max_poses = manifest.limits.poses;
        Ok(Self { session, transform, max_poses, network: network_size, cells, decoder, engine })
    }
}

impl Estimator for Lofr {
    fn estimate(&mut self, request: &Request<'_>, poses: &mut Poses) -> Result<StageTimes, EstimateError> {
        poses.clear();
        let mut times = StageTimes::default();
        let size = request.image.size();
        let whole = [Rectangle::of(size)];
        let Config { keypoints, box_padding, .. } = *self.decoder.config();
        for &bounds in request.boxes.unwrap_or(&whole) {
            let mut watch = Stopwatch::start();
            let Some(crop) = Crop::around(bounds, size, self.network, box_padding) else {
                poses.dropped += 1;
                continue;
            };
            let input = self.engine.input(inputs::IMAGE);
            self.transform.write_input(request.image, crop.image_from_pixels(self.network), input)?;
            times.preprocess += watch.lap();
            self.engine.run()?;
            times.network += watch.lap();

            let shape = [keypoints, self.cells.height, self.cells.width];
            let response = Maps::new("response", self.engine.output(outputs::RESPONSE), shape)?;
            let mut pose = Pose::default();
            match self.decoder.locate(&response, self.engine.output(outputs::PRESENCE), &crop, &mut pose)? {
                Detections::None => {}
                Detections::Person if poses.list.len() < self.max_poses && poses.list.push(pose).is_ok() => {}
                _ => poses.dropped += 1,
            }
            times.decode += watch.lap();
        }
        Ok(times)
    }

    fn backend(&self) -> Option<Backend> {
        Some(self.session.backend())
    }
}
