//! Hyper-parameters of CenterGroup's decoder.

use heapless::Vec;

use super::{MAX_TOKENS, MAX_WINDOW_RADIUS};
use crate::decode::{ConfigError, config};
use crate::pose::{MAX_KEYPOINTS, MAX_POSES};

/// Which token a keypoint takes if several are attended to equally.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "std", derive(serde::Deserialize), serde(rename_all = "lowercase"))]
pub enum TieRule {
    /// The one with the highest heatmap value, the first on ties.
    Highest,
    /// The mean of their places, as in the reference, where nothing may be.
    Mean,
}

/// How a person is scored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "std", derive(serde::Deserialize), serde(rename_all = "lowercase"))]
pub enum ScoreRule {
    /// The mean visibility of the keypoints that count (eq. 14), as in the reference.
    Visibility,
    /// The mean over all keypoints of how high the heatmap is there, times how much of the attention goes to tokens near
    /// there. Visibilities say how sure the network is that something can be seen, not that it was found.
    Evidence,
}

/// All hyper-parameters of the decoder: `[decode]` of a bundle, and what it takes from `[keypoints]` and `[limits]`.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "std", derive(serde::Deserialize), serde(deny_unknown_fields))]
pub struct Config {
    /// OKS sigmas, one per keypoint; their number is the number of keypoint types.
    #[cfg_attr(feature = "std", serde(skip))]
    pub sigmas: Vec<f32, MAX_KEYPOINTS>,
    /// Network pixels per cell of the feature maps; only 4 is supported.
    pub stride: usize,
    /// A keypoint's peak is the highest pixel of the window of `2 * keypoint_window_radius + 1` a side around it.
    pub keypoint_window_radius: usize,
    /// The same for the centre.
    pub center_window_radius: usize,
    /// Minimum heatmap value of a token.
    pub token_threshold: f32,
    /// This many best tokens of every type count whatever their value.
    pub least_tokens: usize,
    /// One token per plateau of equal pixels, in its middle, and none without a positive value. The reference takes
    /// every pixel and, if a map has too few peaks, fills up with the first other pixels, with value 0.
    pub collapse_ties: bool,
    /// Which token a keypoint takes if several are attended to equally.
    pub attention_ties: TieRule,
    /// How a person is scored.
    pub score: ScoreRule,
    /// In the score by visibility, a keypoint counts if it is more visible than this.
    pub visible_threshold: f32,
    /// In the score by visibility, a centre whose presence is not above this is scored by its presence alone.
    pub person_threshold: f32,
    /// This many most visible keypoints count in the score whatever their visibility.
    pub scored_keypoints: usize,
    /// Poses at or below this score are dropped.
    pub score_threshold: f32,
    /// Of two poses with an object keypoint similarity above this, the better one is kept. From 1 on all are kept, in the
    /// order of their centres; otherwise the order is that of the scores.
    pub nms_similarity: f32,
    /// Maximum number of tokens per type, hence also of candidates.
    #[cfg_attr(feature = "std", serde(skip))]
    pub max_tokens: usize,
    /// Maximum number of poses.
    #[cfg_attr(feature = "std", serde(skip))]
    pub max_poses: usize,
}

impl Config {
    /// All values and behaviours of the reference implementation, for keypoints with the given OKS sigmas.
    ///
    /// # Errors
    /// If there are more than [`MAX_KEYPOINTS`] sigmas.
    pub fn reference(sigmas: &[f32]) -> Result<Self, ConfigError> {
        Ok(Self {
            sigmas: config::sigmas(sigmas)?,
            stride: 4,
            keypoint_window_radius: 2,
            center_window_radius: 8,
            token_threshold: 0.005,
            least_tokens: 3,
            collapse_ties: false,
            attention_ties: TieRule::Mean,
            score: ScoreRule::Visibility,
            visible_threshold: 0.5,
            person_threshold: 0.5,
            scored_keypoints: 5,
            score_threshold: -1.0,
            nms_similarity: 1.0,
            max_tokens: MAX_TOKENS,
            max_poses: MAX_POSES,
        })
    }

    /// Checks that every value is within the decoder's limits.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let whole = |value: usize| value as f64;
        let bad_sigma = self.sigmas.iter().copied().find(|&sigma| !(sigma.is_finite() && sigma > 0.0));
        let finite = |key, value: f32| (key, "a finite number", value.is_finite(), f64::from(value));
        let window = |key, radius| (key, "1 to 8", (1..=MAX_WINDOW_RADIUS).contains(&radius), whole(radius));
        ConfigError::first([
            ("keypoints.sigmas", "at least one keypoint", !self.sigmas.is_empty(), whole(self.sigmas.len())),
            ("keypoints.sigmas", "positive numbers", bad_sigma.is_none(), f64::from(bad_sigma.unwrap_or(1.0))),
            ("decode.stride", "4", self.stride == 4, whole(self.stride)),
            window("decode.keypoint_window_radius", self.keypoint_window_radius),
            window("decode.center_window_radius", self.center_window_radius),
            finite("decode.token_threshold", self.token_threshold),
            (
                "decode.least_tokens",
                "no more than limits.centers",
                self.least_tokens <= self.max_tokens,
                whole(self.least_tokens),
            ),
            finite("decode.visible_threshold", self.visible_threshold),
            finite("decode.person_threshold", self.person_threshold),
            ("decode.scored_keypoints", "at least 1", self.scored_keypoints > 0, whole(self.scored_keypoints)),
            finite("decode.score_threshold", self.score_threshold),
            finite("decode.nms_similarity", self.nms_similarity),
            ("limits.centers", "1 to 30", (1..=MAX_TOKENS).contains(&self.max_tokens), whole(self.max_tokens)),
            ("limits.poses", "1 to 30", (1..=MAX_POSES).contains(&self.max_poses), whole(self.max_poses)),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_out_of_range_are_named() {
        let reference = Config::reference(&[0.026, 0.025]).unwrap();
        assert_eq!(reference.check(), Ok(()));
        let key = |config: Config| config.check().unwrap_err().key;
        assert_eq!(key(Config { stride: 8, ..reference.clone() }), "decode.stride");
        assert_eq!(key(Config { center_window_radius: 9, ..reference.clone() }), "decode.center_window_radius");
        assert_eq!(key(Config { least_tokens: 31, ..reference.clone() }), "decode.least_tokens");
        assert_eq!(key(Config { score_threshold: f32::NAN, ..reference.clone() }), "decode.score_threshold");
        assert_eq!(key(Config { max_tokens: 31, ..reference.clone() }), "limits.centers");
        assert_eq!(Config::reference(&[0.1; 101]).unwrap_err().found, 101.0);
    }
}
