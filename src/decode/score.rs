//! From a model's own scores to probabilities: monotone maps, linear between knots.
//!
//! The maps are fitted on held-out images and stored in a bundle's `[score]` section. A map that rises everywhere keeps the order
//! of scores, and with it the average precision.

use heapless::Vec;

use super::ConfigError;
use crate::pose::Poses;

/// Fewest knots of a map.
pub const MIN_KNOTS: usize = 2;
/// Most knots of a map.
pub const MAX_KNOTS: usize = 16;

/// A map from a model's score to a probability; constant below its first knot and above its last.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoreMap {
    knots: Vec<[f32; 2], MAX_KNOTS>,
}

impl ScoreMap {
    /// The map through `knots`, each a score and its probability. `key` names them in errors.
    ///
    /// # Errors
    /// If there are fewer than [`MIN_KNOTS`] or more than [`MAX_KNOTS`], a number is not finite, the scores do not rise, the
    /// probabilities fall, or one lies outside 0 to 1.
    pub fn new(key: &'static str, knots: &[[f32; 2]]) -> Result<Self, ConfigError> {
        let fault = |expected: &'static str, found: f64| ConfigError { key, expected, found };
        let count = knots.len();
        if !(MIN_KNOTS..=MAX_KNOTS).contains(&count) {
            return Err(fault("2 to 16 pairs of a score and its probability", count as f64));
        }
        for &[score, probability] in knots {
            if !score.is_finite() {
                return Err(fault("a list of pairs whose scores are finite", score.into()));
            }
            // Written so that a NaN fails.
            if !(0.0..=1.0).contains(&probability) {
                return Err(fault("a list of pairs whose probabilities are 0 to 1", probability.into()));
            }
        }
        for pair in knots.windows(2) {
            if pair[1][0] <= pair[0][0] {
                return Err(fault("a list of pairs whose scores rise", pair[1][0].into()));
            }
            if pair[1][1] < pair[0][1] {
                return Err(fault("a list of pairs whose probabilities do not fall", pair[1][1].into()));
            }
        }
        Vec::from_slice(knots).map(|knots| Self { knots }).map_err(|_| fault("at most 16 pairs", count as f64))
    }

    /// The probability of a score; of a score that is not a number, the lowest.
    pub fn probability(&self, score: f32) -> f32 {
        let mut below = [f32::NEG_INFINITY, 0.0];
        for (index, &knot) in self.knots.iter().enumerate() {
            // A NaN ends at the first knot.
            if score.is_nan() || score <= knot[0] {
                return if index == 0 || score == knot[0] { knot[1] } else { between(below, knot, score) };
            }
            below = knot;
        }
        below[1]
    }

    /// The score above which exactly those scores lie whose probability is above `probability`; the lowest finite number if all
    /// do, the highest if none does.
    pub fn score_above(&self, probability: f32) -> f32 {
        let mut below: Option<[f32; 2]> = None;
        for &knot in &self.knots {
            if knot[1] > probability {
                return match below {
                    None => f32::MIN,
                    // Of neighbouring numbers with one probability, the last.
                    Some(below) => {
                        let swapped = |[score, probability]: [f32; 2]| [probability, score];
                        between(swapped(below), swapped(knot), probability).clamp(below[0], knot[0])
                    }
                };
            }
            below = Some(knot);
        }
        f32::MAX
    }
}

/// The value at `x` of the line through two knots, the first of which lies below.
fn between(below: [f32; 2], above: [f32; 2], x: f32) -> f32 {
    // In f64, so that neighbouring scores keep their order.
    let [x0, y0, x1, y1, x] = [below[0], below[1], above[0], above[1], x].map(f64::from);
    (y0 + (y1 - y0) * ((x - x0) / (x1 - x0))) as f32
}

/// The maps of a bundle; without one, the model's own scores are kept.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ScoreMaps {
    /// For a pose: the probability that its OKS is at least 0.5.
    pub pose: Option<ScoreMap>,
    /// For a keypoint: the probability that it lies within a tenth of the person's size.
    pub keypoint: Option<ScoreMap>,
}

impl ScoreMaps {
    /// Turns the scores of all poses into probabilities.
    pub fn apply(&self, poses: &mut Poses) {
        for pose in &mut poses.list {
            if let Some(map) = &self.pose {
                pose.score = map.probability(pose.score);
            }
            if let Some(map) = &self.keypoint {
                for keypoint in &mut pose.keypoints {
                    keypoint.score = map.probability(keypoint.score);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use std::string::ToString as _;

    use super::*;
    use crate::pose::{Keypoint, Pose};

    fn map(knots: &[[f32; 2]]) -> ScoreMap {
        ScoreMap::new("score.pose", knots).unwrap()
    }

    #[test]
    fn linear_between_knots_and_constant_outside() {
        let map = map(&[[0.0, 0.1], [0.2, 0.5], [1.0, 0.9]]);
        for (score, probability) in
            [(-1.0, 0.1), (0.0, 0.1), (0.1, 0.3), (0.2, 0.5), (0.6, 0.7), (1.0, 0.9), (5.0, 0.9)]
        {
            assert!((map.probability(score) - probability).abs() < 1e-6, "{score}");
        }
        assert_eq!(map.probability(f32::NAN), 0.1);
    }

    #[test]
    fn thresholds_come_back_as_scores() {
        let map = map(&[[0.0, 0.1], [0.2, 0.5], [0.4, 0.5], [1.0, 0.9]]);
        assert_eq!((map.score_above(0.05), map.score_above(0.9)), (f32::MIN, f32::MAX));
        assert!((map.score_above(0.3) - 0.1).abs() < 1e-6);
        // Not above the flat piece: beyond its end.
        assert!((map.score_above(0.5) - 0.4).abs() < 1e-6);
    }

    #[test]
    fn wrong_knots_are_refused() {
        for (knots, needle) in [
            (&[[0.0, 0.0]][..], "2 to 16 pairs"),
            (&[[0.0, 0.0]; 17], "2 to 16 pairs"),
            (&[[0.0, 0.0], [f32::NAN, 1.0]], "finite"),
            (&[[0.0, 0.0], [1.0, 1.5]], "0 to 1"),
            (&[[0.0, f32::NAN], [1.0, 1.0]], "0 to 1"),
            (&[[0.5, 0.0], [0.5, 1.0]], "scores rise"),
            (&[[0.0, 0.5], [1.0, 0.4]], "do not fall"),
        ] {
            let error = ScoreMap::new("score.pose", knots).unwrap_err().to_string();
            assert!(error.contains("`score.pose`") && error.contains(needle), "{error}");
        }
    }

    #[test]
    fn poses_and_keypoints_have_maps_of_their_own() {
        let mut pose = Pose { score: 0.5, ..Pose::default() };
        pose.keypoints.push(Keypoint { x: 1.0, y: 2.0, score: 0.5 }).unwrap();
        let mut poses = Poses::default();
        poses.list.push(pose).unwrap();
        let half = map(&[[0.0, 0.0], [1.0, 0.5]]);
        ScoreMaps { pose: Some(half.clone()), keypoint: None }.apply(&mut poses);
        assert_eq!((poses.list[0].score, poses.list[0].keypoints[0].score), (0.25, 0.5));
        ScoreMaps { pose: None, keypoint: Some(half) }.apply(&mut poses);
        assert_eq!((poses.list[0].score, poses.list[0].keypoints[0].score), (0.25, 0.25));
        ScoreMaps::default().apply(&mut poses);
        assert_eq!(poses.list[0].keypoints[0].x, 1.0);
    }

    fn rising() -> impl Strategy<Value = ScoreMap> {
        proptest::collection::vec((0.001..1.0_f32, 0.0..1.0_f32), 2..MAX_KNOTS).prop_map(|steps| {
            let total: f32 = 1.0 + steps.iter().map(|(_, rise)| rise).sum::<f32>();
            let (mut score, mut probability) = (0.0, 0.0);
            let knots: std::vec::Vec<[f32; 2]> = (steps.iter())
                .map(|(width, rise)| {
                    (score, probability) = (score + width, probability + rise / total);
                    [score, probability]
                })
                .collect();
            ScoreMap::new("score.pose", &knots).unwrap()
        })
    }

    proptest! {
        #[test]
        fn never_falls_and_stays_within_0_and_1(map in rising(), a in -1.0..20.0_f32, b in -1.0..20.0_f32) {
            let (low, high) = (map.probability(a.min(b)), map.probability(a.max(b)));
            prop_assert!(low <= high && (0.0..=1.0).contains(&low) && (0.0..=1.0).contains(&high));
        }

        #[test]
        fn what_is_above_a_threshold_stays_above(map in rising(), threshold in 0.0..1.0_f32, score in -1.0..20.0_f32) {
            let limit = map.score_above(threshold);
            // Rounding may move a score that lies on the threshold.
            if (map.probability(score) - threshold).abs() > 1e-5 {
                prop_assert_eq!(score > limit, map.probability(score) > threshold);
            }
        }
    }
}
