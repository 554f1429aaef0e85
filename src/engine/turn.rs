//! One network after the other on a device that several threads use, and when a thread should take its frame.
//!
//! A thread prepares a frame, puts its network behind the one that is running, and waits. The device then never waits for a
//! thread, but a frame that is taken too early grows old in the queue. So the next frame is admitted when the running network
//! is expected to end, less the time that preparing has taken lately; and no more than one frame is between its admission and
//! the start of its network, which keeps frames in order.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Share of the difference by which a mean moves with a measurement, and by which the mean deviation does.
const NEW: [f32; 2] = [0.125, 0.25];
/// By how many mean deviations a frame is admitted earlier than its preparation takes on average.
const DEVIATIONS: f32 = 3.0;
/// What a thread needs to wake up.
const WAKING: Duration = Duration::from_micros(100);

/// The order of the networks on one device. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Turn(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// The frame that was admitted and whose network has not been started.
    admitted: Option<u64>,
    /// Frames admitted so far.
    admissions: u64,
    /// When the admitted frame was taken.
    taken: Option<Instant>,
    /// From taking a frame to the start of its network.
    preparation: Usual,
    /// Networks that were started and have not ended: the one that runs, and one behind it.
    running: usize,
    /// When the last of them is expected to end.
    free_at: Option<Instant>,
    /// How long it is expected to take.
    expected: Duration,
    /// When a network ended last.
    ended: Option<Instant>,
}

/// Mean and mean deviation of recent durations, seconds.
#[derive(Debug, Clone, Copy, Default)]
pub struct Usual {
    mean: Option<f32>,
    deviation: f32,
}

impl Usual {
    fn record(&mut self, duration: Duration) {
        let now = duration.as_secs_f32();
        let mean = self.mean.unwrap_or(now);
        self.deviation += NEW[1] * ((now - mean).abs() - self.deviation);
        self.mean = Some(mean + NEW[0] * (now - mean));
    }

    /// The mean; zero before the first measurement.
    fn mean(&self) -> Duration {
        Duration::from_secs_f32(self.mean.unwrap_or_default())
    }

    /// What is seldom exceeded.
    fn upper(&self) -> Duration {
        Duration::from_secs_f32(self.mean.unwrap_or_default() + DEVIATIONS * self.deviation)
    }
}

impl State {
    /// From when on a frame is admitted; `None` if only a change allows that.
    fn opens_at(&self, now: Instant) -> Option<Instant> {
        match (self.admitted, self.running) {
            (None, 0) => Some(now),
            (None, 1) => {
                let free_at = self.free_at.unwrap_or(now);
                Some(free_at.checked_sub(self.preparation.upper() + WAKING).unwrap_or(now))
            }
            _ => None,
        }
    }
}

impl Turn {
    // Every change is complete under the lock.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the next frame should be taken; `None` if that is later than `timeout`.
    pub fn admit(&self, timeout: Duration) -> Option<Admission<'_>> {
        let until = Instant::now() + timeout;
        let mut state = self.lock();
        loop {
            let now = Instant::now();
            let opens_at = state.opens_at(now);
            if opens_at.is_some_and(|time| time <= now) {
                state.admissions += 1;
                let number = state.admissions;
                state.admitted = Some(number);
                return Some(Admission { turn: self, number });
            }
            if now >= until {
                return None;
            }
            let wake = opens_at.map_or(until, |time| time.min(until));
            state = (self.0.changed.wait_timeout(state, wake - now)).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits by `wait` for the end of a network that was put into the device's queue just now, and records in `usual` how long
    /// it took. Returns what `wait` does, and how long the network waited behind another before it began.
    pub fn run<T>(&self, usual: &mut Usual, wait: impl FnOnce() -> T) -> (T, Duration) {
        let running = self.begin(usual);
        let result = wait();
        let (took, waited) = running.end();
        usual.record(took);
        (result, waited)
    }

    /// A network was started, or put behind the one that runs; it usually takes as long as `usual` says.
    fn begin(&self, usual: &Usual) -> Running<'_> {
        let mut state = self.lock();
        let begun = Instant::now();
        if let Some(taken) = state.taken.take() {
            state.preparation.record(begun - taken);
        }
        state.admitted = None;
        let start = match state.free_at {
            Some(free_at) if state.running > 0 => free_at.max(begun),
            _ => begun,
        };
        state.running += 1;
        state.expected = usual.mean();
        state.free_at = Some(start + usual.mean());
        drop(state);
        self.0.changed.notify_all();
        Running { turn: self, begun }
    }
}

/// Permission to take a frame. It ends when the frame's network is started, or when it is dropped.
#[derive(Debug)]
pub struct Admission<'a> {
    turn: &'a Turn,
    number: u64,
}

impl Admission<'_> {
    /// The frame was taken just now.
    pub fn frame_taken(&self) {
        self.turn.lock().taken = Some(Instant::now());
    }
}

impl Drop for Admission<'_> {
    fn drop(&mut self) {
        let mut state = self.turn.lock();
        if state.admitted == Some(self.number) {
            (state.admitted, state.taken) = (None, None);
            drop(state);
            self.turn.0.changed.notify_all();
        }
    }
}

/// A network that was started and has not ended.
#[derive(Debug)]
struct Running<'a> {
    turn: &'a Turn,
    begun: Instant,
}

impl Running<'_> {
    /// The network has ended. Returns how long it took, and how long it waited behind another before.
    fn end(self) -> (Duration, Duration) {
        let mut state = self.turn.lock();
        let now = Instant::now();
        let start = state.ended.map_or(self.begun, |ended| ended.clamp(self.begun, now));
        state.ended = Some(now);
        state.running -= 1;
        // One behind it starts now.
        state.free_at = Some(now + state.expected);
        drop(state);
        self.turn.0.changed.notify_all();
        (now - start, start - self.begun)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_millis(5);

    fn usual(duration: Duration) -> Usual {
        let mut usual = Usual::default();
        usual.record(duration);
        usual
    }

    #[test]
    fn one_frame_at_a_time_is_on_its_way_to_the_device() {
        let turn = Turn::default();
        let first = turn.admit(SOON).unwrap();
        assert!(turn.admit(SOON).is_none());
        let running = turn.begin(&Usual::default());
        // Its network runs for an unknown time: the next may be prepared.
        let second = turn.admit(SOON).unwrap();
        drop(first);
        assert!(turn.admit(SOON).is_none(), "the first admission has ended, the second has not");
        let behind = turn.begin(&Usual::default());
        assert!(turn.admit(SOON).is_none(), "one network runs, one is behind it");
        running.end();
        drop(second);
        assert!(turn.admit(SOON).is_some());
        behind.end();
    }

    #[test]
    fn a_frame_that_needs_no_network_makes_room() {
        let turn = Turn::default();
        drop(turn.admit(SOON).unwrap());
        assert!(turn.admit(SOON).is_some());
    }

    #[test]
    fn a_frame_is_admitted_shortly_before_the_device_is_free() {
        let turn = Turn::default();
        let (network, preparation) = (Duration::from_millis(200), Duration::from_millis(50));
        let admission = turn.admit(SOON).unwrap();
        admission.frame_taken();
        std::thread::sleep(preparation);
        let begun = Instant::now();
        let running = turn.begin(&usual(network));
        assert!(turn.admit(Duration::from_millis(20)).is_none(), "180 ms too early");
        let _next = turn.admit(Duration::from_secs(60)).unwrap();
        let waited = begun.elapsed();
        assert!(waited >= Duration::from_millis(100), "{waited:?}");
        assert!(waited < network, "{waited:?}: the device will have to wait");
        running.end();
    }

    #[test]
    fn an_early_end_admits_at_once() {
        let turn = Turn::default();
        let running = turn.begin(&usual(Duration::from_secs(3600)));
        let ended = std::thread::scope(|scope| {
            let waiting = scope.spawn(|| turn.admit(Duration::from_secs(60)).is_some());
            std::thread::sleep(SOON);
            running.end();
            waiting.join().unwrap()
        });
        assert!(ended);
    }

    #[test]
    fn waiting_behind_another_is_not_part_of_a_networks_time() {
        let turn = Turn::default();
        let one = turn.begin(&Usual::default());
        let other = turn.begin(&Usual::default());
        std::thread::sleep(Duration::from_millis(30));
        let (took, waited) = one.end();
        assert!(took >= Duration::from_millis(30) && waited.is_zero(), "{took:?}, {waited:?}");
        let (took, waited) = other.end();
        assert!(waited >= Duration::from_millis(30) && took < waited, "{took:?}, {waited:?}");
    }

    #[test]
    fn a_mean_follows_and_its_upper_limit_covers_what_varies() {
        let mut usual = Usual::default();
        for step in 0..100 {
            usual.record(Duration::from_micros(if step % 2 == 0 { 400 } else { 600 }));
        }
        let (mean, upper) = (usual.mean().as_micros(), usual.upper().as_micros());
        assert!((480..520).contains(&mean) && (700..900).contains(&upper), "{mean} {upper}");
    }
}
