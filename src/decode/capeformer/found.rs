//! The keypoints of one template in one crop, from similarities to places in the image.

use heapless::Vec;

use super::{Crop, Proposal, SLOTS, TOKENS, propose};
use crate::decode::ShapeError;
use crate::decode::maps::Expected;
use crate::pose::{Keypoint, Pose};

/// Storage for one template in one crop, between the two networks that locate its keypoints.
#[derive(Debug, Clone, Default)]
pub struct Workspace {
    proposals: Vec<Proposal, SLOTS>,
}

/// Whether all values of a network's output are finite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Finiteness {
    /// All are finite.
    Finite,
    /// Some are not: there is no result.
    NotFinite,
}

impl Workspace {
    /// An empty workspace.
    pub fn new() -> Self {
        Self::default()
    }

    /// A first guess for each of the first `keypoints` rows of `similarity [K, 64]` (CapeFormer 5).
    ///
    /// # Errors
    /// If there are more than [`SLOTS`] keypoints, or fewer rows than that.
    pub fn propose(&mut self, similarity: &[f32], keypoints: usize) -> Result<Finiteness, ShapeError> {
        self.proposals.clear();
        let wrong = |axis, expected, found| ShapeError { tensor: "similarity", axis, expected, found };
        if keypoints > SLOTS {
            return Err(wrong("keypoints", Expected::Between(0, SLOTS), keypoints));
        }
        let (rows, _) = similarity.as_chunks::<TOKENS>();
        let rows = rows
            .get(..keypoints)
            .ok_or_else(|| wrong("values", Expected::Exactly(keypoints * TOKENS), similarity.len()))?;
        for row in rows {
            let Some(proposal) = propose(row) else {
                self.proposals.clear();
                return Ok(Finiteness::NotFinite);
            };
            // As many as were checked above.
            let _ = self.proposals.push(proposal);
        }
        Ok(Finiteness::Finite)
    }

    /// The first guesses, by keypoint.
    pub fn proposals(&self) -> &[Proposal] {
        &self.proposals
    }

    /// Writes the first guesses as the second network's input: x and y of each, zeros in the rows behind.
    ///
    /// # Errors
    /// If `places` has no room for all.
    pub fn write_proposals(&self, places: &mut [f32]) -> Result<(), ShapeError> {
        let (pairs, _) = places.as_chunks_mut::<2>();
        let found = pairs.len();
        if found < self.proposals.len() {
            let expected = Expected::Between(self.proposals.len(), SLOTS);
            return Err(ShapeError { tensor: "proposals", axis: "keypoints", expected, found });
        }
        let (used, behind) = pairs.split_at_mut(self.proposals.len());
        for (pair, proposal) in used.iter_mut().zip(&self.proposals) {
            *pair = [proposal.x, proposal.y];
        }
        behind.fill([0.0; 2]);
        Ok(())
    }

    /// Appends the keypoints `[K, 2]` of the second network to `pose`, in image pixels (CapeFormer 6), and scores it.
    ///
    /// The network gives no confidence. A keypoint's score is the mass of its first guess, the pose's their mean;
    /// **neither is calibrated**.
    ///
    /// # Errors
    /// If `keypoints` has fewer rows than there are proposals.
    pub fn result(&self, keypoints: &[f32], crop: &Crop, pose: &mut Pose) -> Result<Finiteness, ShapeError> {
        pose.keypoints.clear();
        pose.score = 0.0;
        let (places, _) = keypoints.as_chunks::<2>();
        let places = places.get(..self.proposals.len()).ok_or_else(|| {
            let expected = Expected::Exactly(2 * self.proposals.len());
            ShapeError { tensor: "keypoints", axis: "values", expected, found: keypoints.len() }
        })?;
        let mut sum = 0.0;
        for (&[x, y], proposal) in places.iter().zip(&self.proposals) {
            let (x, y) = crop.image_from_mask(x, y);
            if !(x.is_finite() && y.is_finite()) {
                pose.keypoints.clear();
                return Ok(Finiteness::NotFinite);
            }
            // A pose holds as many keypoints as there are identifiers.
            let _ = pose.keypoints.push(Keypoint { x, y, score: proposal.mass });
            sum += proposal.mass;
        }
        pose.score = sum / self.proposals.len().max(1) as f32;
        Ok(Finiteness::Finite)
    }

    /// By how much the second network has moved keypoint number `index` from its first guess, in sides of the crop; also
    /// uncalibrated. `None` without such a keypoint.
    pub fn movement(&self, keypoints: &[f32], index: usize) -> Option<f32> {
        let proposal = self.proposals.get(index)?;
        let &[x, y] = keypoints.as_chunks::<2>().0.get(index)?;
        let (x, y) = (x - proposal.x, y - proposal.y);
        Some(crate::decode::square_root(x * x + y * y))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;

    const CROP: Crop = Crop { x: 100.0, y: 50.0, side: 80.0 };

    /// Two keypoints, sure of cells 9 and 54.
    fn similarity() -> std::vec::Vec<f32> {
        let mut values = vec![0.0; 3 * TOKENS];
        values[9] = 50.0;
        values[TOKENS + 54] = 50.0;
        values
    }

    #[test]
    fn from_similarities_to_the_image() {
        let mut workspace = Workspace::new();
        assert_eq!(workspace.propose(&similarity(), 2), Ok(Finiteness::Finite));
        let mut places = [9.0; 6];
        workspace.write_proposals(&mut places).unwrap();
        let expected = [1.5 / 8.0, 1.5 / 8.0, 6.5 / 8.0, 6.5 / 8.0, 0.0, 0.0];
        assert!(places.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 1e-6), "{places:?}");

        let mut pose = Pose::default();
        let moved = [0.5, 0.25, 0.8125, 0.8125, 0.0, 0.0];
        assert_eq!(workspace.result(&moved, &CROP, &mut pose), Ok(Finiteness::Finite));
        assert_eq!((pose.keypoints[0].x, pose.keypoints[0].y), (100.0, 30.0));
        assert_eq!((pose.keypoints[1].x, pose.keypoints[1].y), (125.0, 75.0));
        assert!(pose.score > 0.99 && pose.keypoints.len() == 2);
        assert!((workspace.movement(&moved, 0).unwrap() - 0.318_690_1).abs() < 1e-5);
        assert_eq!(workspace.movement(&moved, 2), None);
    }

    #[test]
    fn what_is_not_finite_gives_no_pose() {
        let mut workspace = Workspace::new();
        let mut values = similarity();
        values[70] = f32::NAN;
        assert_eq!(workspace.propose(&values, 2), Ok(Finiteness::NotFinite));
        assert_eq!(workspace.proposals(), []);
        assert_eq!(workspace.propose(&values, 1), Ok(Finiteness::Finite), "the row behind does not count");
        let mut pose = Pose::default();
        for place in [f32::NAN, f32::INFINITY] {
            assert_eq!(workspace.result(&[0.5, place], &CROP, &mut pose), Ok(Finiteness::NotFinite));
            assert!(pose.keypoints.is_empty());
        }
    }

    #[test]
    fn shapes_are_checked() {
        let mut workspace = Workspace::new();
        assert!(workspace.propose(&similarity(), 4).is_err());
        assert!(workspace.propose(&similarity(), SLOTS + 1).is_err());
        assert_eq!(workspace.propose(&similarity(), 3), Ok(Finiteness::Finite));
        assert!(workspace.write_proposals(&mut [0.0; 5]).is_err());
        assert!(workspace.result(&[0.5; 5], &CROP, &mut Pose::default()).is_err());
    }
}
