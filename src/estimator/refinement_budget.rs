//! Decides whether there is time to refine a frame.

use std::time::Duration;

use crate::decode::logocap::Refinement;

/// Weight of a new measurement.
const NEW: f32 = 0.2;
/// Factor by which the estimate of a level that did not fit shrinks per frame, so that the level is tried again.
const FORGET: f32 = 0.99;

/// Remembers how long refinement takes, and chooses the highest level that completes in time.
#[derive(Debug, Default)]
pub(super) struct RefinementBudget {
    /// Time of one run of the second network and what follows it, seconds.
    partial: Option<f32>,
    full: Option<f32>,
}

impl RefinementBudget {
    /// The highest level up to `wanted` whose `runs` runs of the second network fit into the time that is `left`; a level that
    /// was never measured is tried. Without a deadline, `wanted`.
    pub(super) fn choose(&mut self, wanted: Refinement, runs: usize, left: Option<Duration>) -> Refinement {
        let Some(left) = left else { return wanted };
        let fits = |each: Option<f32>| each.is_none_or(|each| each * runs as f32 <= left.as_secs_f32());
        let chosen = match wanted {
            Refinement::Full if fits(self.full) => Refinement::Full,
            Refinement::Full | Refinement::Partial if fits(self.partial) => Refinement::Partial,
            _ => Refinement::None,
        };
        if chosen != wanted {
            for each in [&mut self.partial, &mut self.full] {
                *each = each.map(|each| each * FORGET);
            }
        }
        chosen
    }

    /// Records the time of `runs` runs.
    pub(super) fn record(&mut self, level: Refinement, runs: usize, took: Duration) {
        let each = match level {
            Refinement::Full => &mut self.full,
            Refinement::Partial => &mut self.partial,
            Refinement::None => return,
        };
        if runs == 0 {
            return;
        }
        let now = took.as_secs_f32() / runs as f32;
        *each = Some(each.map_or(now, |before| before + NEW * (now - before)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn milliseconds(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    #[test]
    fn the_highest_level_that_fits_is_taken() {
        let mut budget = RefinementBudget::default();
        budget.record(Refinement::Full, 1, milliseconds(20));
        budget.record(Refinement::Partial, 2, milliseconds(20));
        for (left, runs, level) in [
            (25, 1, Refinement::Full),
            (15, 1, Refinement::Partial),
            (15, 2, Refinement::None),
            (45, 2, Refinement::Full),
            (0, 1, Refinement::None),
        ] {
            assert_eq!(budget.choose(Refinement::Full, runs, Some(milliseconds(left))), level, "{left} ms for {runs}");
        }
        assert_eq!(budget.choose(Refinement::Full, 9, None), Refinement::Full, "without a deadline");
        assert_eq!(
            budget.choose(Refinement::Partial, 1, Some(milliseconds(50))),
            Refinement::Partial,
            "never more than wanted"
        );
        assert_eq!(budget.choose(Refinement::None, 1, Some(milliseconds(50))), Refinement::None);
    }

    #[test]
    fn what_was_never_measured_is_tried() {
        let mut budget = RefinementBudget::default();
        assert_eq!(budget.choose(Refinement::Full, 3, Some(milliseconds(1))), Refinement::Full);
        budget.record(Refinement::Full, 3, milliseconds(300));
        assert_eq!(budget.choose(Refinement::Full, 3, Some(milliseconds(1))), Refinement::Partial);
        budget.record(Refinement::Partial, 3, milliseconds(300));
        assert_eq!(budget.choose(Refinement::Full, 3, Some(milliseconds(1))), Refinement::None);
    }

    #[test]
    fn what_took_too_long_once_is_tried_again() {
        let mut budget = RefinementBudget::default();
        budget.record(Refinement::Full, 1, milliseconds(60));
        budget.record(Refinement::Partial, 1, milliseconds(60));
        let frames =
            (0..1000).position(|_| budget.choose(Refinement::Full, 1, Some(milliseconds(30))) != Refinement::None);
        assert!((20..200).contains(&frames.unwrap()), "{frames:?}");
    }
}
