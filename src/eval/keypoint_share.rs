//! The share of correct keypoints of people whose boxes are given: PCK and PCKh.
//!
//! A keypoint is correct if it lies within a fraction of a length of the person: for PCK the longer side of the annotated
//! box, for PCKh the size of the head, 0.6 times the diagonal of its box, as MPII defines it. Every labelled keypoint of
//! the set counts once; one that was not found is wrong.

use super::ground_truth::Annotation;

/// MPII's part of the head box's diagonal.
const HEAD_SHARE: f64 = 0.6;

/// The unit of distances.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// The longer side of the person's box: PCK.
    Box,
    /// The size of the head: PCKh. Annotations need a `head_bbox`.
    Head,
}

impl Reach {
    /// The fractions of it at which correctness is measured; papers quote the last one.
    pub fn thresholds(self) -> [f64; 3] {
        match self {
            Self::Box => [0.05, 0.1, 0.2],
            Self::Head => [0.1, 0.2, 0.5],
        }
    }

    /// The figure's name without its threshold.
    pub fn name(self) -> &'static str {
        match self {
            Self::Box => "pck",
            Self::Head => "pckh",
        }
    }

    /// The length for one person, pixels; `None` if the annotation does not say, or says nothing above 0.
    pub fn length(self, person: &Annotation) -> Option<f64> {
        let length = match self {
            Self::Box => person.bbox[2].max(person.bbox[3]),
            Self::Head => {
                let [_, _, width, height] = person.head_bbox?;
                HEAD_SHARE * width.hypot(height)
            }
        };
        (length > 0.0).then_some(length)
    }
}

/// Sums over the people of a set.
#[derive(Debug, Clone)]
pub struct KeypointShare {
    reach: Reach,
    correct: [u64; 3],
    counted: u64,
}

impl KeypointShare {
    /// A sum over no people.
    pub fn new(reach: Reach) -> Self {
        Self { reach, correct: [0; 3], counted: 0 }
    }

    /// Adds one person, whose keypoints were `found` (column, row, image pixels; in the annotation's order). Returns whether
    /// the annotation has the length to measure in; without it, nothing is added.
    #[must_use]
    pub fn add(&mut self, person: &Annotation, found: &[Option<(f32, f32)>]) -> bool {
        let Some(length) = self.reach.length(person) else {
            return false;
        };
        for (position, truth) in person.keypoints.iter().enumerate().filter(|(_, truth)| truth.labelled) {
            self.counted += 1;
            let Some((x, y)) = found.get(position).copied().flatten() else { continue };
            let distance = (f64::from(x) - truth.x).hypot(f64::from(y) - truth.y) / length;
            for (correct, threshold) in self.correct.iter_mut().zip(self.reach.thresholds()) {
                *correct += u64::from(distance < threshold);
            }
        }
        true
    }

    /// Labelled keypoints so far.
    pub fn counted(&self) -> u64 {
        self.counted
    }

    /// Shares by name, such as `pck@0.2`; empty if no keypoint is labelled.
    pub fn figures(&self) -> Vec<(String, f64)> {
        if self.counted == 0 {
            return Vec::new();
        }
        let share = |(threshold, &correct): (f64, &u64)| {
            (format!("{}@{threshold}", self.reach.name()), correct as f64 / self.counted as f64)
        };
        self.reach.thresholds().into_iter().zip(&self.correct).map(share).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::TrueKeypoint;

    fn person(head_bbox: Option<[f64; 4]>) -> Annotation {
        let at = |x, y, labelled| TrueKeypoint { x, y, labelled };
        Annotation {
            position: 0,
            keypoints: vec![at(10.0, 10.0, true), at(50.0, 10.0, true), at(0.0, 0.0, false), at(20.0, 90.0, true)],
            area: 1.0,
            area_of_box: false,
            bbox: [0.0, 0.0, 50.0, 100.0],
            head_bbox,
            crowd: false,
            ignored: false,
        }
    }

    #[test]
    fn shares_are_of_all_labelled_keypoints() {
        let mut share = KeypointShare::new(Reach::Box);
        assert_eq!(share.figures(), []);
        // Exactly, 8 of 100 away, unlabelled, not found.
        assert!(share.add(&person(None), &[Some((10.0, 10.0)), Some((50.0, 18.0)), Some((0.0, 0.0)), None]));
        let third = 1.0 / 3.0;
        let expected = [("pck@0.05", third), ("pck@0.1", 2.0 * third), ("pck@0.2", 2.0 * third)];
        assert_eq!(share.figures(), expected.map(|(name, value)| (name.to_owned(), value)));
        assert_eq!(share.counted(), 3);
    }

    #[test]
    fn heads_are_measured_by_their_diagonal() {
        let mut share = KeypointShare::new(Reach::Head);
        assert!(!share.add(&person(None), &[]), "no head, no measure");
        assert!(!share.add(&person(Some([0.0, 0.0, 0.0, 0.0])), &[]));
        assert_eq!(share.counted(), 0);
        // A diagonal of 50 makes 30; half of it is 15, a fifth 6.
        let found = [Some((10.0, 15.0)), Some((50.0, 24.0)), None, Some((20.0, 105.0))];
        assert!(share.add(&person(Some([5.0, 5.0, 30.0, 40.0])), &found));
        let third = 1.0 / 3.0;
        assert_eq!(share.figures().into_iter().map(|(_, value)| value).collect::<Vec<_>>(), [0.0, third, 2.0 * third]);
    }
}
