//! Maps a model's own scores to probabilities.

use super::{EstimateError, Estimator, Options, Request, StageTimes, Twin};
use crate::bundle::Model;
use crate::decode::score::ScoreMaps;
use crate::engine::Backend;
use crate::pose::Poses;

/// A model whose scores are mapped to probabilities by its bundle's `[score]`.
pub(super) struct ScoreMapping {
    model: Box<dyn Estimator>,
    maps: ScoreMaps,
}

impl ScoreMapping {
    pub(super) fn new(model: Box<dyn Estimator>, maps: ScoreMaps) -> Self {
        Self { model, maps }
    }
}

/// The options for the model itself: the threshold, a probability, becomes the score that maps to it.
pub(super) fn unmapped_options(options: &Options, model: Model, maps: &ScoreMaps) -> Options {
    // LOFR's threshold applies to keypoints.
    let map = if model == Model::Lofr { &maps.keypoint } else { &maps.pose };
    let score = |threshold: f32| match map {
        // Every probability is above: the model's own limit applies.
        Some(map) if threshold > 0.0 => map.score_above(threshold),
        _ => threshold,
    };
    Options { score_threshold: options.score_threshold.map(score), ..options.clone() }
}

impl Estimator for ScoreMapping {
    fn estimate(&mut self, request: &Request<'_>, poses: &mut Poses) -> Result<StageTimes, EstimateError> {
        let times = self.model.estimate(request, poses)?;
        self.maps.apply(poses);
        Ok(times)
    }

    fn backend(&self) -> Option<Backend> {
        self.model.backend()
    }

    fn twin(&self) -> Result<Option<Twin>, EstimateError> {
        let map =
            |Twin { estimator, turn }| Twin { estimator: Box::new(Self::new(estimator, self.maps.clone())), turn };
        Ok(self.model.twin()?.map(map))
    }
}
