//! Object keypoint similarity.

use super::{Annotation, EvalError};
use crate::pose::Pose;

/// A detected person.
#[derive(Debug, Clone, PartialEq)]
pub struct Detection {
    /// Ranks the detections of all images.
    pub score: f64,
    /// x, y in image pixels, in the category's order.
    pub keypoints: Vec<[f64; 2]>,
    /// Their scores, used by [`super::Calibration`] only.
    pub keypoint_scores: Vec<f64>,
}

impl Detection {
    /// Area of the smallest rectangle around all keypoints, as pycocotools computes it for a detection with keypoints only.
    pub fn area(&self) -> f64 {
        let extent = |axis: usize| {
            let values = || self.keypoints.iter().map(|point| point[axis]);
            values().fold(f64::NEG_INFINITY, f64::max) - values().fold(f64::INFINITY, f64::min)
        };
        if self.keypoints.is_empty() { 0.0 } else { extent(0) * extent(1) }
    }

    /// Whether the score and all coordinates are finite.
    pub fn is_finite(&self) -> bool {
        self.score.is_finite() && self.keypoints.iter().flatten().all(|value| value.is_finite())
    }
}

impl From<&Pose> for Detection {
    fn from(pose: &Pose) -> Self {
        let point = |keypoint: &crate::pose::Keypoint| [f64::from(keypoint.x), f64::from(keypoint.y)];
        Self {
            score: f64::from(pose.score),
            keypoints: pose.keypoints.iter().map(point).collect(),
            keypoint_scores: pose.keypoints.iter().map(|keypoint| f64::from(keypoint.score)).collect(),
        }
    }
}

/// The variances k_i^2 = (2 sigma_i)^2 of the OKS, from COCO's `sigmas`.
///
/// # Errors
/// If a sigma is not a finite number above 0.
pub fn variances(sigmas: &[f64]) -> Result<Vec<f64>, EvalError> {
    let variance = |(index, &sigma): (usize, &f64)| {
        let usable = sigma.is_finite() && sigma > 0.0;
        usable.then(|| (2.0 * sigma).powi(2)).ok_or(EvalError::Sigma { index, found: sigma })
    };
    sigmas.iter().enumerate().map(variance).collect()
}

/// Object keypoint similarity between an annotated and a detected person, 0..=1: the mean of
/// exp(-d_i^2 / (2 s^2 k_i^2)) over the labelled keypoints, with s^2 the annotation's area.
///
/// Where no keypoint is labelled, d_i is the distance to the annotation's box grown by its own size on every side, and the
/// mean goes over all keypoints: that is how pycocotools lets detections in a crowd match the crowd.
///
/// # Panics
/// If the numbers of keypoints and variances differ.
pub fn oks(truth: &Annotation, keypoints: &[[f64; 2]], variances: &[f64]) -> f64 {
    assert!(truth.keypoints.len() == variances.len() && keypoints.len() == variances.len());
    let any_labelled = truth.keypoints.iter().any(|keypoint| keypoint.labelled);
    let [x, y, width, height] = truth.bbox;
    let (left, right, top, bottom) = (x - width, x + 2.0 * width, y - height, y + 2.0 * height);
    let outside = |value: f64, low: f64, high: f64| (low - value).max(0.0) + (value - high).max(0.0);

    let (mut sum, mut count) = (0.0, 0_usize);
    for ((keypoint, &[x, y]), variance) in truth.keypoints.iter().zip(keypoints).zip(variances) {
        if any_labelled && !keypoint.labelled {
            continue;
        }
        let (dx, dy) = match any_labelled {
            true => (x - keypoint.x, y - keypoint.y),
            false => (outside(x, left, right), outside(y, top, bottom)),
        };
        sum += (-(dx * dx + dy * dy) / variance / (truth.area + f64::EPSILON) / 2.0).exp();
        count += 1;
    }
    if count == 0 { 0.0 } else { sum / count as f64 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::eval::TrueKeypoint;

    fn annotation(points: &[(f64, f64, bool)], area: f64) -> Annotation {
        let keypoints = points.iter().map(|&(x, y, labelled)| TrueKeypoint { x, y, labelled }).collect();
        Annotation {
            position: 0,
            keypoints,
            area,
            area_of_box: false,
            bbox: [0.0, 0.0, 10.0, 20.0],
            head_bbox: None,
            crowd: false,
            ignored: false,
        }
    }

    #[test]
    fn one_keypoint_by_hand() {
        // d^2 = 25, s^2 = 100, k = 0.5: exp(-25 / (2 * 100 * 0.25)) = exp(-0.5).
        let truth = annotation(&[(0.0, 0.0, true), (50.0, 50.0, false)], 100.0);
        let value = oks(&truth, &[[3.0, 4.0], [0.0, 0.0]], &variances(&[0.25, 0.25]).unwrap());
        assert!((value - (-0.5_f64).exp()).abs() < 1e-12);
    }

    #[test]
    fn unlabelled_people_are_measured_by_their_grown_box() {
        let truth = annotation(&[(0.0, 0.0, false), (0.0, 0.0, false)], 100.0);
        let variances = variances(&[0.25, 0.25]).unwrap();
        // The box 0, 0, 10, 20 grows to -10..20 by -20..40.
        assert_eq!(oks(&truth, &[[-10.0, 40.0], [20.0, -20.0]], &variances), 1.0);
        let value = oks(&truth, &[[23.0, 44.0], [0.0, 0.0]], &variances);
        assert!((value - ((-0.5_f64).exp() + 1.0) / 2.0).abs() < 1e-12);
    }

    #[test]
    fn unusable_sigmas_are_refused() {
        for sigma in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(matches!(variances(&[0.1, sigma]), Err(EvalError::Sigma { index: 1, .. })));
        }
    }

    /// Annotated keypoints (x, y, whether labelled), detected ones, the annotation's area.
    type People = (Vec<(f64, f64, bool)>, Vec<[f64; 2]>, f64);

    fn people() -> impl Strategy<Value = People> {
        let coordinate = || -500.0..500.0_f64;
        (1_usize..20).prop_flat_map(move |count| {
            let truth = proptest::collection::vec((coordinate(), coordinate(), any::<bool>()), count);
            let found = proptest::collection::vec(proptest::array::uniform2(coordinate()), count);
            (truth, found, 1.0..1e5_f64)
        })
    }

    proptest! {
        #[test]
        fn between_0_and_1_and_finite((truth, found, area) in people()) {
            let sigmas = vec![0.05; truth.len()];
            let value = oks(&annotation(&truth, area), &found, &variances(&sigmas).unwrap());
            prop_assert!((0.0..=1.0).contains(&value));
        }

        #[test]
        fn exact_keypoints_score_1((mut truth, _, area) in people()) {
            truth[0].2 = true;
            let found: Vec<_> = truth.iter().map(|&(x, y, _)| [x, y]).collect();
            prop_assert_eq!(oks(&annotation(&truth, area), &found, &vec![0.01; truth.len()]), 1.0);
        }

        #[test]
        fn scale_and_shift_change_nothing((mut truth, found, area) in people(), scale in 0.1..10.0_f64, shift in -99.0..99.0_f64) {
            truth[0].2 = true;
            let variances = vec![0.5; truth.len()];
            let before = oks(&annotation(&truth, area), &found, &variances);
            let moved: Vec<_> = truth.iter().map(|&(x, y, v)| (x * scale + shift, y * scale + shift, v)).collect();
            let moved_found: Vec<_> = found.iter().map(|point| point.map(|value| value * scale + shift)).collect();
            let after = oks(&annotation(&moved, area * scale * scale), &moved_found, &variances);
            prop_assert!((before - after).abs() < 1e-9, "{} became {}", before, after);
        }

        #[test]
        fn further_away_is_never_better((mut truth, found, area) in people(), factor in 1.0..3.0_f64) {
            truth[0].2 = true;
            let variances = vec![0.5; truth.len()];
            let away = |(point, &(x, y, _)): (&[f64; 2], &(f64, f64, bool))| [x + (point[0] - x) * factor, y + (point[1] - y) * factor];
            let further: Vec<_> = found.iter().zip(&truth).map(away).collect();
            let truth = annotation(&truth, area);
            prop_assert!(oks(&truth, &further, &variances) <= oks(&truth, &found, &variances) + 1e-12);
        }

        #[test]
        fn unlabelled_keypoints_do_not_matter((mut truth, found, area) in people(), other in -500.0..500.0_f64) {
            truth[0].2 = true;
            let variances = vec![0.5; truth.len()];
            let mut changed = found.clone();
            for (point, (_, _, labelled)) in changed.iter_mut().zip(&truth) {
                if !labelled {
                    *point = [other, other];
                }
            }
            let truth = annotation(&truth, area);
            prop_assert_eq!(oks(&truth, &changed, &variances), oks(&truth, &found, &variances));
        }
    }
}
