//! The shift that most tracks have in common: the camera's own motion.

use heapless::Vec;

use super::motion::square;
/// Tracks that vote.
const VOTERS: usize = 12;
/// Most candidate poses per voter.
const NEAR: usize = 5;
/// Voters whose shifts are tried.
const TRIED: usize = 6;
/// Minimum number of votes that agree.
const LEAST_VOTES: usize = 3;
/// Shifts this many deviations apart agree.
const AGREEMENT: f32 = 2.5;

/// How fast the variance follows the shifts that are found.
const CAMERA_GAIN: f32 = 0.03;
/// A shift of more than this many variances of its error is believed at once.
const SURE: f32 = 20.0;

/// A track's candidates: shifts of near poses from its prediction, in pixels.
#[derive(Debug, Clone, Default)]
pub(super) struct Voter {
    shifts: Vec<(f32, f32), NEAR>,
    /// Variance of a shift that is the camera's alone, squared pixels.
    variance: f32,
}

impl Voter {
    /// A track without candidates yet, whose predicted and found place differ with this total variance.
    pub fn new(variance: f32) -> Self {
        Self { shifts: Vec::new(), variance }
    }

    /// Adds a candidate; the nearest few are kept.
    pub fn add(&mut self, shift: (f32, f32)) {
        if self.shifts.push(shift).is_err() {
            let length = |shift: (f32, f32)| square(shift.0) + square(shift.1);
            let farthest = self.shifts.iter_mut().max_by(|a, b| length(**a).total_cmp(&length(**b)));
            if let Some(farthest) = farthest.filter(|farthest| length(**farthest) > length(shift)) {
                *farthest = shift;
            }
        }
    }

    /// How well the shift `(x, y)` explains this track, 0..=1, and its own shift where it does.
    fn agrees(&self, x: f32, y: f32) -> Option<(f32, (f32, f32))> {
        let distance = |shift: &(f32, f32)| square(shift.0 - x) + square(shift.1 - y);
        let nearest = self.shifts.iter().min_by(|a, b| distance(a).total_cmp(&distance(b)))?;
        let vote = 1.0 - distance(nearest) / (square(AGREEMENT) * self.variance);
        (vote > 0.0).then_some((vote, *nearest))
    }
}

/// The voters of a frame.
pub(super) type Voters = Vec<Voter, VOTERS>;

/// The camera's own motion, found from that of the people.
#[derive(Debug, Clone, Default)]
pub(super) struct Camera {
    /// Variance of its shifts so far, squared pixels.
    variance: f32,
}

impl Camera {
    /// The shift of this frame, pixels; nothing if too few tracks agree.
    ///
    /// The mean of the shifts that agree, weighted by how sure each is, and drawn towards nothing as far as the camera
    /// has stood still so far.
    pub fn shift(&mut self, voters: &Voters) -> (f32, f32) {
        let able = voters.iter().filter(|voter| !voter.shifts.is_empty()).count();
        let votes = |x, y| voters.iter().filter_map(|voter| voter.agrees(x, y)).map(|(vote, _)| vote).sum::<f32>();
        let (mut best, mut most) = ((0.0, 0.0), votes(0.0, 0.0));
        for &(x, y) in voters.iter().take(TRIED).flat_map(|voter| &voter.shifts) {
            let found = votes(x, y);
            if found > most {
                (best, most) = ((x, y), found);
            }
        }
        let (mut count, mut weights, mut sum) = (0, 0.0, (0.0, 0.0));
        for voter in voters {
            if let Some((vote, shift)) = voter.agrees(best.0, best.1) {
                let weight = vote / voter.variance;
                (count, weights) = (count + 1, weights + weight);
                sum = (sum.0 + weight * shift.0, sum.1 + weight * shift.1);
            }
        }
        if count < LEAST_VOTES.max(able / 2) || weights <= 0.0 {
            return (0.0, 0.0);
        }
        let (x, y) = (sum.0 / weights, sum.1 / weights);
        let excess = (square(x) + square(y)) / 2.0 - 1.0 / weights;
        self.variance = (self.variance + CAMERA_GAIN * (excess - self.variance)).max(0.0);
        // A shift that is far beyond chance is believed at once.
        let variance = self.variance.max(excess - SURE / weights);
        let trust = if variance > 0.0 { variance / (variance + 1.0 / weights) } else { 0.0 };
        (trust * x, trust * y)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn voters(shifts: &[&[(f32, f32)]]) -> Voters {
        let voter = |shifts: &&[(f32, f32)]| {
            let mut voter = Voter::new(16.0);
            shifts.iter().for_each(|&shift| voter.add(shift));
            voter
        };
        shifts.iter().map(voter).collect()
    }

    #[test]
    fn what_most_tracks_did_was_the_camera() {
        let shifted =
            voters(&[&[(30.0, 1.0), (-80.0, 0.0)], &[(31.0, 0.0)], &[(5.0, 5.0), (29.0, -1.0)], &[(-40.0, 0.0)], &[]]);
        let found = Camera::default().shift(&shifted);
        assert!((found.0 - 30.0).abs() < 2.0 && found.1.abs() < 1.0, "{found:?}");
    }

    #[test]
    fn a_camera_that_stands_still_is_not_moved_by_chance() {
        let mut camera = Camera::default();
        for step in 0..50 {
            let shake = if step % 2 == 0 { 3.0 } else { -3.0 };
            let found =
                camera.shift(&voters(&[&[(shake, 0.0)], &[(0.0, -shake)], &[(-shake, shake)], &[(shake, 0.0)]]));
            assert!(found.0.abs() < 1.0 && found.1.abs() < 1.0, "{found:?}");
        }
    }

    #[test]
    fn two_people_are_no_camera() {
        let shift = |voters: &Voters| Camera::default().shift(voters);
        assert_eq!(shift(&voters(&[&[(30.0, 0.0)], &[(30.0, 0.0)]])), (0.0, 0.0));
        assert_eq!(shift(&Voters::new()), (0.0, 0.0));
    }

    #[test]
    fn the_nearest_candidates_are_kept() {
        let mut voter = Voter::new(16.0);
        (0..9).for_each(|index| voter.add((90.0 - 10.0 * index as f32, 0.0)));
        assert!(voter.agrees(10.0, 0.0).is_some() && voter.agrees(90.0, 0.0).is_none());
    }
}
