//! `[score]`: from the model's own scores to probabilities.

use serde::Deserialize;

use crate::decode::ConfigError;
use crate::decode::score::{ScoreMap, ScoreMaps};

/// `[score]`: pairs of a score and its probability, interpolated linearly.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScoreSection {
    /// For a pose: the probability that its OKS is at least 0.5.
    pub pose: Option<Vec<Pair>>,
    /// For a keypoint: the probability that it lies within a tenth of the person's size.
    pub keypoint: Option<Vec<Pair>>,
}

/// A score and its probability.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(try_from = "Vec<f32>")]
pub struct Pair(pub [f32; 2]);

// A fixed array would silently take the first two of more numbers.
impl TryFrom<Vec<f32>> for Pair {
    type Error = String;
    fn try_from(values: Vec<f32>) -> Result<Self, String> {
        let pair = <[f32; 2]>::try_from(values);
        pair.map(Self).map_err(|values| format!("found {} numbers, expected a score and its probability", values.len()))
    }
}

impl ScoreSection {
    /// The maps through the pairs.
    ///
    /// # Errors
    /// If [`ScoreMap::new`] refuses the pairs.
    pub fn maps(&self) -> Result<ScoreMaps, ConfigError> {
        let map = |key, pairs: &Option<Vec<Pair>>| {
            let knots = |pairs: &Vec<Pair>| pairs.iter().map(|&Pair(pair)| pair).collect::<Vec<_>>();
            pairs.as_ref().map(|pairs| ScoreMap::new(key, &knots(pairs))).transpose()
        };
        Ok(ScoreMaps { pose: map("score.pose", &self.pose)?, keypoint: map("score.keypoint", &self.keypoint)? })
    }
}
