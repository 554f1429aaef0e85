//! The monotonic clock, which tests can move ahead instead of waiting, and its moments in UTC.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
#[cfg(feature = "sinks")]
use std::time::{SystemTime, UNIX_EPOCH};

/// The system's monotonic clock plus the time by which [`Clock::advance`] has moved it. Clones move together.
#[derive(Debug, Clone, Default)]
pub struct Clock {
    ahead_nanoseconds: Arc<AtomicU64>,
}

impl Clock {
    /// The current moment on this clock.
    pub fn now(&self) -> Instant {
        Instant::now() + Duration::from_nanos(self.ahead_nanoseconds.load(Ordering::Relaxed))
    }

    /// Moves the clock ahead, for all of its clones.
    pub fn advance(&self, by: Duration) {
        let nanoseconds = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
        self.ahead_nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    /// Time since `since` on this clock; zero if `since` is later.
    pub fn elapsed(&self, since: Instant) -> Duration {
        self.now().saturating_duration_since(since)
    }
}

/// Difference between the two clocks from one frame to the next above which the system's clock must have been set, seconds.
#[cfg(feature = "sinks")]
const JUMP: f64 = 0.5;

/// Converts moments to UTC by the system's current clock: if that is set, for example by NTP, later moments follow it.
#[cfg(feature = "sinks")]
#[derive(Debug, Default)]
pub(crate) struct UtcClock {
    /// The last pair of times.
    last: Option<(Instant, Duration)>,
}

#[cfg(feature = "sinks")]
impl UtcClock {
    /// The time since 1970 of a moment, and by how many seconds the system's clock was set since the last call, if at all.
    pub fn at(&mut self, moment: Instant) -> (Duration, Option<f64>) {
        self.at_times(moment, Instant::now(), SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
    }

    fn at_times(&mut self, moment: Instant, now: Instant, utc: Duration) -> (Duration, Option<f64>) {
        let jump = self.last.replace((now, utc)).and_then(|(before, then)| {
            let passed = now.saturating_duration_since(before).as_secs_f64();
            let seconds = utc.as_secs_f64() - then.as_secs_f64() - passed;
            (seconds.abs() > JUMP).then_some(seconds)
        });
        let time = match now.checked_duration_since(moment) {
            Some(ago) => utc.saturating_sub(ago),
            None => utc.saturating_add(moment.saturating_duration_since(now)),
        };
        (time, jump)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(feature = "sinks")]
    #[test]
    fn the_system_s_clock_may_be_set() {
        let (start, seconds) = (Instant::now() + Duration::from_secs(100), Duration::from_secs_f64);
        let mut clock = UtcClock::default();
        // At that moment it is 1000 s after 1970.
        assert_eq!(clock.at_times(start, start + seconds(0.25), seconds(1000.25)), (seconds(1000.0), None));
        // A moment in the future, and a clock that is slewed slightly.
        assert_eq!(
            clock.at_times(start + seconds(2.0), start + seconds(1.0), seconds(1000.9)),
            (seconds(1001.9), None)
        );
        // Set back by a minute, then left alone.
        let (time, jump) = clock.at_times(start + seconds(2.0), start + seconds(2.0), seconds(941.9));
        assert_eq!(time, seconds(941.9));
        assert!(jump.is_some_and(|jump| (jump + 60.0).abs() < 1e-6), "{jump:?}");
        assert_eq!(clock.at_times(start + seconds(3.0), start + seconds(3.0), seconds(942.9)), (seconds(942.9), None));
    }

    #[test]
    fn clones_move_together() {
        let clock = Clock::default();
        let start = clock.clone().now();
        clock.clone().advance(Duration::from_secs(3600));
        assert!(clock.elapsed(start) >= Duration::from_secs(3600));
        assert!(clock.elapsed(start) < Duration::from_secs(7200));
    }
}
