//! The shift that most tracks have in common: the camera's own motion.

use heapless::Vec;

use super::motion::square;
use crate::pose::MAX_POSES;

/// Tracks that vote.
const VOTERS: usize = 12;
/// Poses near enough to a voter to be it.
const NEAR: usize = 5;
/// Voters whose shifts are tried.
const TRIED: usize = 6;
/// Votes that agree, at least.
const LEAST_VOTES: usize = 3;
/// Shifts this near agree, in sizes.
const AGREEMENT: f32 = 0.12;

/// Where a track's pose may have gone: shifts from the prediction, in pixels.
#[derive(Debug, Clone, Default)]
pub(super) struct Voter {
    shifts: Vec<(f32, f32), NEAR>,
    tolerance: f32,
}

impl Voter {
    /// A track of this size that has no candidates yet.
    pub fn new(size: f32) -> Self {
        Self { shifts: Vec::new(), tolerance: square(AGREEMENT * size) }
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
        let vote = 1.0 - distance(nearest) / self.tolerance;
        (vote > 0.0).then_some((vote, *nearest))
    }
}

/// The voters of a frame.
pub(super) type Voters = Vec<Voter, VOTERS>;

/// The camera's shift, pixels; nothing where too few tracks agree, or no shift explains them as well.
pub(super) fn common_shift(voters: &Voters) -> (f32, f32) {
    let able = voters.iter().filter(|voter| !voter.shifts.is_empty()).count();
    let votes = |x, y| voters.iter().filter_map(|voter| voter.agrees(x, y)).map(|(vote, _)| vote).sum::<f32>();
    let resting = votes(0.0, 0.0);
    let (mut best, mut most) = ((0.0, 0.0), resting);
    for &(x, y) in voters.iter().take(TRIED).flat_map(|voter| &voter.shifts) {
        let found = votes(x, y);
        if found > most {
            (best, most) = ((x, y), found);
        }
    }
    let agreeing = voters.iter().filter(|voter| voter.agrees(best.0, best.1).is_some()).count();
    if agreeing < LEAST_VOTES.max(able / 2) {
        return (0.0, 0.0);
    }
    let mut x: Vec<f32, MAX_POSES> = Vec::new();
    let mut y: Vec<f32, MAX_POSES> = Vec::new();
    for (_, shift) in voters.iter().filter_map(|voter| voter.agrees(best.0, best.1)) {
        // There are fewer voters than places.
        let _ = (x.push(shift.0), y.push(shift.1));
    }
    let (shift_x, shift_y) = (median(&mut x), median(&mut y));
    // What is no larger than chance would make it is not taken out, and few tracks say less than many.
    let count = x.len() as f32;
    let scatter = |values: &[f32], middle: f32| values.iter().map(|value| square(value - middle)).sum::<f32>();
    let error = (scatter(&x, shift_x) + scatter(&y, shift_y)) / square(count);
    let length = square(shift_x) + square(shift_y);
    let trust = (1.0 - 2.0 * error / length.max(1e-6)).max(0.0) * count / (count + 1.0);
    (trust * shift_x, trust * shift_y)
}

fn median(values: &mut [f32]) -> f32 {
    values.sort_unstable_by(f32::total_cmp);
    let at = |index: usize| values.get(index).copied().unwrap_or_default();
    let half = values.len() / 2;
    if values.len() % 2 == 1 { at(half) } else { (at(half.saturating_sub(1)) + at(half)) / 2.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn voters(shifts: &[&[(f32, f32)]]) -> Voters {
        let voter = |shifts: &&[(f32, f32)]| {
            let mut voter = Voter::new(100.0);
            shifts.iter().for_each(|&shift| voter.add(shift));
            voter
        };
        shifts.iter().map(voter).collect()
    }

    #[test]
    fn what_most_tracks_did_was_the_camera() {
        let found = common_shift(&voters(&[
            &[(30.0, 1.0), (-80.0, 0.0)],
            &[(31.0, 0.0)],
            &[(5.0, 5.0), (29.0, -1.0)],
            &[(-40.0, 0.0)],
            &[],
        ]));
        assert!((found.0 - 30.0 * 0.75).abs() < 1.0 && found.1.abs() < 1.0, "{found:?}");
    }

    #[test]
    fn two_people_are_no_camera() {
        assert_eq!(common_shift(&voters(&[&[(30.0, 0.0)], &[(30.0, 0.0)]])), (0.0, 0.0));
        assert_eq!(common_shift(&Voters::new()), (0.0, 0.0));
    }

    #[test]
    fn the_nearest_candidates_are_kept() {
        let mut voter = Voter::new(100.0);
        (0..9).for_each(|index| voter.add((90.0 - 10.0 * index as f32, 0.0)));
        assert!(voter.agrees(10.0, 0.0).is_some() && voter.agrees(90.0, 0.0).is_none());
    }

    #[test]
    fn medians() {
        assert_eq!(median(&mut [3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&mut [4.0, 1.0]), 2.5);
        assert_eq!(median(&mut []), 0.0);
    }
}
