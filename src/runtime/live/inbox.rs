//! The newest frame of each camera.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::job::Job;

/// One slot per camera holding its newest frame.
#[derive(Debug)]
pub(super) struct Inbox {
    slots: Mutex<Slots>,
    arrived: Condvar,
}

#[derive(Debug)]
struct Slots {
    newest: Vec<Option<Box<Job>>>,
    /// Cameras that may still deliver.
    running: usize,
    /// The camera whose turn it is.
    turn: usize,
    /// Frames taken so far.
    taken: u64,
    /// Whether frames are still accepted.
    is_open: bool,
}

/// What [`Inbox::take`] found.
#[derive(Debug)]
pub(super) enum Arrival {
    /// A frame, and its number in the order of those that were taken.
    Job(Box<Job>, u64),
    /// No frame arrived in time.
    NotYet,
    /// All cameras have ended.
    Ended,
}

impl Inbox {
    pub fn new(cameras: usize) -> Self {
        let newest = (0..cameras).map(|_| None).collect();
        Self {
            slots: Mutex::new(Slots { newest, running: cameras, turn: 0, taken: 0, is_open: true }),
            arrived: Condvar::new(),
        }
    }

    // Slots are moved whole under the lock: a thread that panicked has left nothing half done.
    fn lock(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stores a camera's newest frame; returns the one that it replaces, if that was not taken, or itself once closed.
    pub fn put(&self, job: Box<Job>) -> Option<Box<Job>> {
        let mut slots = self.lock();
        if !slots.is_open {
            return Some(job);
        }
        let camera = job.camera;
        let older = slots.newest[camera].replace(job);
        drop(slots);
        self.arrived.notify_one();
        older
    }

    /// A camera has ended.
    pub fn end(&self) {
        self.lock().running -= 1;
        self.arrived.notify_all();
    }

    /// No frame can be taken any more; returns those that wait.
    pub fn close(&self) -> Vec<Box<Job>> {
        let mut slots = self.lock();
        slots.is_open = false;
        self.arrived.notify_all();
        slots.newest.iter_mut().filter_map(Option::take).collect()
    }

    /// The newest frame of the camera whose turn it is, or of the next that has one.
    pub fn take(&self, timeout: Duration) -> Arrival {
        let slots = self.lock();
        let waiting =
            |slots: &mut Slots| slots.is_open && slots.running > 0 && slots.newest.iter().all(Option::is_none);
        let (mut slots, _) =
            (self.arrived.wait_timeout_while(slots, timeout, waiting)).unwrap_or_else(PoisonError::into_inner);
        let cameras = slots.newest.len();
        for step in 0..cameras {
            let camera = (slots.turn + step) % cameras;
            if let Some(job) = slots.newest[camera].take() {
                slots.turn = (camera + 1) % cameras;
                slots.taken += 1;
                return Arrival::Job(job, slots.taken - 1);
            }
        }
        if slots.running == 0 || !slots.is_open { Arrival::Ended } else { Arrival::NotYet }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn empty(camera: usize) -> Box<Job> {
        let mut job = Job::empty();
        job.camera = camera;
        job
    }

    fn taken(inbox: &Inbox) -> Option<usize> {
        match inbox.take(Duration::ZERO) {
            Arrival::Job(job, _) => Some(job.camera),
            _ => None,
        }
    }

    #[test]
    fn only_the_newest_is_kept() {
        let inbox = Inbox::new(1);
        assert!(matches!(inbox.take(Duration::ZERO), Arrival::NotYet));
        assert!(inbox.put(empty(0)).is_none());
        assert!(inbox.put(empty(0)).is_some());
        assert!(inbox.put(empty(0)).is_some());
        assert_eq!(taken(&inbox), Some(0));
        assert!(inbox.put(empty(0)).is_none());
        inbox.end();
        // A frame that is in its slot is still processed.
        assert_eq!(taken(&inbox), Some(0));
        assert!(matches!(inbox.take(Duration::from_secs(60)), Arrival::Ended));
    }

    #[test]
    fn nothing_is_taken_once_it_is_closed() {
        let inbox = Inbox::new(2);
        inbox.put(empty(1));
        assert_eq!(inbox.close().len(), 1);
        assert!(inbox.put(empty(0)).is_some());
        assert!(matches!(inbox.take(Duration::from_secs(60)), Arrival::Ended));
    }

    #[test]
    fn cameras_take_turns() {
        let inbox = Inbox::new(3);
        let mut order = Vec::new();
        for _ in 0..4 {
            // The first and the last camera deliver faster than frames are taken.
            inbox.put(empty(0));
            inbox.put(empty(2));
            order.push(taken(&inbox).unwrap());
        }
        assert_eq!(order, [0, 2, 0, 2]);
        inbox.put(empty(1));
        assert_eq!(taken(&inbox), Some(0));
        assert_eq!(taken(&inbox), Some(1));
    }
}
