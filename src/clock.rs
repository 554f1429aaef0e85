//! The monotonic clock, which tests can move ahead instead of waiting.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_move_together() {
        let clock = Clock::default();
        let start = clock.clone().now();
        clock.clone().advance(Duration::from_secs(3600));
        assert!(clock.elapsed(start) >= Duration::from_secs(3600));
        assert!(clock.elapsed(start) < Duration::from_secs(7200));
    }
}
