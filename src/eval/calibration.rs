//! Whether scores are probabilities: the expected calibration error of poses and of keypoints.
//!
//! A pose is right if it matches a person at an OKS of at least 0.5, by the greedy rule of the average precision, so that a
//! second pose of one person is wrong; poses that match a crowd or a person without labelled keypoints are not counted. A
//! keypoint of a right pose is right if it lies within a tenth of the longer side of the person's box (PCK@0.1); keypoints
//! that are not labelled are not counted.

use serde::Serialize;

use super::Annotation;

/// A keypoint is right within this fraction of the longer side of the person's box.
const REACH: f64 = 0.1;
/// Bins of equal width between 0 and 1.
pub const BINS: usize = 10;

/// Scores, each with whether its pose or keypoint was right.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Outcomes {
    /// For poses.
    #[serde(rename = "pose")]
    pub poses: Vec<(f64, bool)>,
    /// For labelled keypoints in right poses.
    #[serde(rename = "keypoint")]
    pub keypoints: Vec<(f64, bool)>,
}

impl Outcomes {
    /// Adds the keypoints of a right pose. A person without a box is skipped, as its size is unknown.
    pub(super) fn add_keypoints(&mut self, person: &Annotation, keypoints: &[[f64; 2]], scores: &[f64]) {
        let reach = REACH * person.bbox[2].max(person.bbox[3]);
        if reach <= 0.0 {
            return;
        }
        for ((truth, [x, y]), &score) in person.keypoints.iter().zip(keypoints).zip(scores) {
            if truth.labelled {
                self.keypoints.push((score, (x - truth.x).hypot(y - truth.y) <= reach));
            }
        }
    }
}

/// One bin of a reliability diagram.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Bin {
    /// Scores from here,
    pub from: f64,
    /// to here, the last bin's inclusive.
    pub to: f64,
    /// How many there are.
    pub count: usize,
    /// Their mean score.
    pub score: f64,
    /// The share of them that are right.
    pub right: f64,
}

/// How far scores are from probabilities.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Calibration {
    /// Expected calibration error: the mean over all scores of the difference between mean score and share in their bin.
    pub ece: f64,
    /// How many scores there are.
    pub count: usize,
    /// The bins that hold any.
    pub bins: Vec<Bin>,
}

impl Calibration {
    /// The calibration of scores, each with whether it was right; `None` without any. Scores outside 0 to 1 fall into the first
    /// or the last bin.
    pub fn new(outcomes: &[(f64, bool)]) -> Option<Self> {
        if outcomes.is_empty() {
            return None;
        }
        let mut sums = [(0_usize, 0.0, 0_usize); BINS];
        for &(score, right) in outcomes {
            let bin = ((score * BINS as f64).max(0.0) as usize).min(BINS - 1);
            let (count, total, hits) = &mut sums[bin];
            *count += 1;
            *total += score;
            *hits += usize::from(right);
        }
        let bin = |(index, &(count, total, hits)): (usize, &(usize, f64, usize))| Bin {
            from: index as f64 / BINS as f64,
            to: (index + 1) as f64 / BINS as f64,
            count,
            score: total / count as f64,
            right: hits as f64 / count as f64,
        };
        let bins: Vec<Bin> = sums.iter().enumerate().filter(|(_, (count, ..))| *count > 0).map(bin).collect();
        let distance: f64 = bins.iter().map(|bin| bin.count as f64 * (bin.score - bin.right).abs()).sum();
        Some(Self { ece: distance / outcomes.len() as f64, count: outcomes.len(), bins })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::TrueKeypoint;

    #[test]
    fn the_error_by_hand() {
        assert_eq!(Calibration::new(&[]), None);
        // Two bins: 0.2 where half is right, 0.95 where all is.
        let found = Calibration::new(&[(0.2, true), (0.2, false), (0.9, true), (1.0, true)]).unwrap();
        assert!((found.ece - (0.5 * 0.3 + 0.5 * 0.05)).abs() < 1e-12, "{found:?}");
        assert_eq!((found.count, found.bins.len()), (4, 2));
        assert_eq!((found.bins[0].from, found.bins[0].count, found.bins[1].to), (0.2, 2, 1.0));
        let outside = Calibration::new(&[(-3.0, false), (7.0, true)]).unwrap();
        assert_eq!((outside.bins[0].from, outside.bins[1].to), (0.0, 1.0));
    }

    #[test]
    fn labelled_keypoints_within_a_tenth_of_the_box_are_right() {
        let at = |x, labelled| TrueKeypoint { x, y: 10.0, labelled };
        let mut person = Annotation {
            position: 0,
            keypoints: vec![at(10.0, true), at(20.0, true), at(0.0, false)],
            area: 1.0,
            area_of_box: false,
            bbox: [0.0, 0.0, 100.0, 50.0],
            head_bbox: None,
            crowd: false,
            ignored: false,
        };
        let mut outcomes = Outcomes::default();
        let (found, scores) = ([[16.0, 18.0], [20.0, 20.1], [0.0, 0.0]], [0.9, 0.8, 0.7]);
        outcomes.add_keypoints(&person, &found, &scores);
        assert_eq!(outcomes.keypoints, [(0.9, true), (0.8, false)]);
        person.bbox = [0.0; 4];
        outcomes.add_keypoints(&person, &found, &scores);
        assert_eq!(outcomes.keypoints.len(), 2, "no box, no size");
    }
}
