//! Measures stages.

use std::time::{Duration, Instant};

/// Divides time into stages.
#[derive(Debug)]
pub(super) struct Stopwatch {
    last: Instant,
}

impl Stopwatch {
    pub(super) fn start() -> Self {
        Self { last: Instant::now() }
    }

    /// The time since the last lap, or since the start.
    pub(super) fn lap(&mut self) -> Duration {
        let now = Instant::now();
        let lap = now - self.last;
        self.last = now;
        lap
    }
}
