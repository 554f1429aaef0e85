//! Results that wait in memory, between the thread of the sinks and the one of the network.
//!
//! Putting one in copies it into a ring of bytes, which is made once, and never waits: a full ring drops its oldest results.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::super::OutputSchema;
use super::super::broker_counts::{BrokerCounts, Loss};

/// Bytes before each result: its length and its camera.
const PREFIX: usize = 8;

/// Records in a ring of bytes, oldest first.
#[derive(Debug)]
pub(super) struct Ring {
    bytes: Box<[u8]>,
    start: usize,
    used: usize,
    records: u64,
}

impl Ring {
    /// A ring of `bytes` bytes, prefixes included.
    pub fn new(bytes: usize) -> Self {
        Self { bytes: vec![0; bytes].into(), start: 0, used: 0, records: 0 }
    }

    /// Appends a record, if there is room.
    pub fn push(&mut self, camera: u32, payload: &[u8]) -> bool {
        let Ok(length) = u32::try_from(payload.len()) else { return false };
        if PREFIX + payload.len() > self.bytes.len() - self.used {
            return false;
        }
        self.append(&length.to_le_bytes());
        self.append(&camera.to_le_bytes());
        self.append(payload);
        self.records += 1;
        true
    }

    /// Removes the oldest record. Appends its payload to `payload`, and returns its camera.
    pub fn pop_into(&mut self, payload: &mut Vec<u8>) -> Option<u32> {
        let (length, camera) = self.front()?;
        let (first, second) = self.slices(PREFIX, length);
        payload.extend_from_slice(first);
        payload.extend_from_slice(second);
        self.remove(length);
        Some(camera)
    }

    /// Removes the oldest record; whether there was one.
    pub fn pop(&mut self) -> bool {
        let front = self.front();
        if let Some((length, _)) = front {
            self.remove(length);
        }
        front.is_some()
    }

    pub fn records(&self) -> u64 {
        self.records
    }

    /// Length and camera of the oldest record.
    fn front(&self) -> Option<(usize, u32)> {
        if self.records == 0 {
            return None;
        }
        let number = |offset| {
            let (first, second) = self.slices(offset, 4);
            let mut number = [0; 4];
            number[..first.len()].copy_from_slice(first);
            number[first.len()..].copy_from_slice(second);
            u32::from_le_bytes(number)
        };
        Some((number(0) as usize, number(4)))
    }

    fn remove(&mut self, length: usize) {
        self.start = (self.start + PREFIX + length) % self.bytes.len();
        self.used -= PREFIX + length;
        self.records -= 1;
    }

    /// So many bytes from `offset` on, in the two parts that the end of the ring may split them into.
    fn slices(&self, offset: usize, length: usize) -> (&[u8], &[u8]) {
        let from = (self.start + offset) % self.bytes.len();
        let first = length.min(self.bytes.len() - from);
        (&self.bytes[from..from + first], &self.bytes[..length - first])
    }

    fn append(&mut self, part: &[u8]) {
        let from = (self.start + self.used) % self.bytes.len();
        let first = part.len().min(self.bytes.len() - from);
        self.bytes[from..from + first].copy_from_slice(&part[..first]);
        self.bytes[..part.len() - first].copy_from_slice(&part[first..]);
        self.used += part.len();
    }
}

/// What was last seen of a camera.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct CameraState {
    /// Results so far.
    pub frames: u64,
    /// Poses in the newest.
    pub poses: usize,
    /// Its age.
    pub age: Option<Duration>,
}

/// When the run ends: until when results may still be sent.
pub(super) type Deadline = Option<Instant>;

#[derive(Debug)]
struct State {
    ring: Ring,
    cameras: Vec<CameraState>,
    /// Bytes in the ring from which on the network's thread wants to be woken.
    wake_at: usize,
    ending: Deadline,
    /// Another model's description, which the network's thread has not seen.
    described: Option<Description>,
}

/// What results are: the schema, and their header as a JSON object.
pub(super) type Description = (OutputSchema, Vec<u8>);

/// The queue that both threads share.
#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    /// A byte in it wakes the network's thread.
    waker: UnixStream,
    counts: Arc<BrokerCounts>,
}

impl Queue {
    /// A queue of so many bytes, and the pipe that wakes the network's thread.
    pub fn new(bytes: usize, counts: Arc<BrokerCounts>) -> io::Result<(Arc<Self>, UnixStream)> {
        let (waker, woken) = UnixStream::pair()?;
        waker.set_nonblocking(true)?;
        woken.set_nonblocking(true)?;
        let state = State { ring: Ring::new(bytes), cameras: Vec::new(), wake_at: 0, described: None, ending: None };
        Ok((Arc::new(Self { state: Mutex::new(state), waker, counts }), woken))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The results that follow are another model's.
    pub fn describe(&self, schema: OutputSchema, header: Vec<u8>) {
        self.lock().described = Some((schema, header));
    }

    /// The newest description, once.
    pub fn described(&self) -> Option<Description> {
        self.lock().described.take()
    }

    /// Wakes the network's thread.
    pub fn wake(&self) {
        // A full pipe wakes it too.
        let _ = (&self.waker).write(&[1]);
    }

    /// Takes a result of a camera, dropping the oldest ones if there is no room.
    pub fn put(&self, camera: u32, line: &[u8]) {
        self.counts.on_accepted(1);
        let (mut dropped, mut state) = (0, self.lock());
        if PREFIX + line.len() > state.ring.bytes.len() {
            // There would not be room for it alone.
            dropped += 1;
        } else {
            while !state.ring.push(camera, line) {
                dropped += 1;
                state.ring.pop();
            }
        }
        let is_wanted = state.ring.used >= state.wake_at;
        if is_wanted {
            state.wake_at = usize::MAX;
        }
        drop(state);
        if dropped > 0 {
            self.counts.on_dropped(Loss::Queue, dropped);
        }
        if is_wanted {
            self.wake();
        }
    }

    /// Takes note of a camera's newest result.
    pub fn note(&self, camera: usize, poses: usize, age: Option<Duration>) {
        let mut state = self.lock();
        if state.cameras.len() <= camera {
            state.cameras.resize(camera + 1, CameraState::default());
        }
        let noted = &mut state.cameras[camera];
        *noted = CameraState { frames: noted.frames + 1, poses, age };
    }

    /// The oldest result, as [`Ring::pop_into`].
    pub fn take(&self, payload: &mut Vec<u8>) -> Option<u32> {
        self.lock().ring.pop_into(payload)
    }

    pub fn is_empty(&self) -> bool {
        self.lock().ring.records() == 0
    }

    /// Share of the queue that is in use, 0 to 1.
    pub fn fill(&self) -> f64 {
        let state = self.lock();
        state.ring.used as f64 / state.ring.bytes.len() as f64
    }

    /// Drops all results, for a reason.
    pub fn clear(&self, why: Loss) {
        let mut state = self.lock();
        self.counts.on_dropped(why, state.ring.records());
        while state.ring.pop() {}
    }

    /// The cameras, into `cameras`.
    pub fn cameras(&self, cameras: &mut Vec<CameraState>) {
        cameras.clear();
        cameras.extend_from_slice(&self.lock().cameras);
    }

    /// Asks to be woken when a share of the queue (0: any result) is in use, or not at all; whether that is so already. The run's
    /// end always wakes.
    pub fn wake_at(&self, share: Option<f64>) -> bool {
        let mut state = self.lock();
        let bytes = share.map(|share| ((state.ring.bytes.len() as f64 * share) as usize).max(1));
        state.wake_at = bytes.unwrap_or(usize::MAX);
        let is_so = state.ring.used >= state.wake_at;
        if is_so {
            state.wake_at = usize::MAX;
        }
        is_so
    }

    /// No result follows; those that wait may be sent until `deadline`.
    pub fn end(&self, deadline: Instant) {
        self.lock().ending.get_or_insert(deadline);
        self.wake();
    }

    /// Whether and until when.
    pub fn ending(&self) -> Deadline {
        self.lock().ending
    }
}

/// Empties the pipe that has woken the network's thread.
pub(super) fn drain(woken: &UnixStream) {
    let mut bytes = [0; 64];
    let mut woken: &UnixStream = woken;
    while woken.read(&mut bytes).is_ok_and(|count| count == bytes.len()) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_keeps_the_order_across_its_end() {
        let mut ring = Ring::new(100);
        let (mut written, mut read) = (0_u32, 0);
        let mut payload = Vec::new();
        for turn in 0..1000_usize {
            let text = |number: u32| vec![number as u8; number as usize % 40];
            while ring.push(written, &text(written)) {
                written += 1;
            }
            for _ in 0..=turn % 3 {
                payload.clear();
                let Some(camera) = ring.pop_into(&mut payload) else { break };
                assert_eq!((camera, &payload), (read, &text(read)));
                read += 1;
            }
            assert_eq!(ring.records(), u64::from(written - read));
        }
        assert!(read > 500);
        while ring.pop() {}
        assert_eq!((ring.used, ring.records), (0, 0));
    }

    #[test]
    fn a_full_queue_drops_the_oldest_and_counts_them() {
        let counts = Arc::<BrokerCounts>::default();
        let (queue, _woken) = Queue::new(10 * (PREFIX + 4), Arc::clone(&counts)).unwrap();
        (0..25_u32).for_each(|number| queue.put(7, &number.to_le_bytes()));
        let mut left = Vec::new();
        assert_eq!(queue.take(&mut left), Some(7));
        assert_eq!(left, 15_u32.to_le_bytes());
        assert_eq!((counts.accepted(), counts.dropped(), counts.waiting()), (25, 15, 10));
        // Longer than all of it: the others stay.
        queue.put(0, &[0; 1000]);
        left.clear();
        assert_eq!(queue.take(&mut left), Some(7));
        assert_eq!(left, 16_u32.to_le_bytes());
        assert_eq!((counts.accepted(), counts.by_loss()[0]), (26, ("queue", 16)));
    }

    #[test]
    fn the_thread_is_woken_once() {
        let (queue, woken) = Queue::new(1000, Arc::default()).unwrap();
        let bytes = |woken: &UnixStream| {
            let mut buffer = [0; 64];
            let mut woken = woken;
            woken.read(&mut buffer).unwrap_or(0)
        };
        assert!(!queue.wake_at(Some(0.0)));
        (0..5).for_each(|_| queue.put(0, b"a"));
        assert_eq!(bytes(&woken), 1);
        assert!(queue.wake_at(Some(0.0)), "there are results already");
        assert!(!queue.wake_at(Some(0.5)));
        queue.put(0, b"a");
        assert_eq!(bytes(&woken), 0);
        queue.put(0, &[0; 500]);
        assert_eq!(bytes(&woken), 1);
    }
}
