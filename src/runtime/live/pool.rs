//! The slots that are empty.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use super::job::Job;
use super::{LANES, OUTPUT_QUEUE};

/// Empty slots. All cameras share them, so that each further one costs the memory of two frames.
#[derive(Debug)]
pub(super) struct Pool(Mutex<VecDeque<Box<Job>>>);

impl Pool {
    /// As many as can be in use at once: for each camera one being filled and its newest; those being processed, those that
    /// wait for the sinks, and one being written.
    pub fn new(cameras: usize) -> Self {
        let count = 2 * cameras + LANES + OUTPUT_QUEUE + 1;
        Self(Mutex::new((0..count).map(|_| Job::empty()).collect()))
    }

    /// An empty slot for a camera.
    pub fn take(&self, camera: usize) -> Option<Box<Job>> {
        // The one that was empty for longest, so that all have their memory soon.
        let mut job = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop_front()?;
        job.camera = camera;
        Some(job)
    }

    /// Takes a slot back.
    pub fn give(&self, job: Box<Job>) {
        // There is room for all of them.
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push_back(job);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_slot_for_every_place_one_can_be_in() {
        let pool = Pool::new(3);
        let taken: Vec<_> = (0..100).map_while(|number| pool.take(number % 3)).collect();
        assert_eq!(taken.len(), 6 + LANES + OUTPUT_QUEUE + 1);
        taken.into_iter().for_each(|job| pool.give(job));
        assert_eq!(pool.take(2).unwrap().camera, 2);
    }
}
