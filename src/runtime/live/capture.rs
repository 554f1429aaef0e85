//! The threads of the cameras.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};

use super::inbox::Inbox;
use super::pool::Pool;
use crate::runtime::{Counts, RunError, Skip};
use crate::source::{Source, SourceError};

/// What a thread reports in addition to frames and results.
pub(super) enum Event {
    Warning(SourceError),
    Skipped(Skip),
    Failure(RunError),
}

/// The counts of a thread, which the calling thread can read at any time.
#[derive(Debug, Clone, Default)]
pub(super) struct Tally(Arc<Mutex<Counts>>);

impl Tally {
    pub fn change(&self, change: impl FnOnce(&mut Counts)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub fn get(&self) -> Counts {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One camera's thread.
pub(super) struct Capture {
    pub camera: usize,
    pub source: Box<dyn Source>,
    pub inbox: Arc<Inbox>,
    pub pool: Arc<Pool>,
    pub events: Sender<Event>,
    pub tally: Tally,
    pub stop: Arc<AtomicBool>,
}

impl Capture {
    pub fn run(mut self) {
        let (mut frames, mut superseded) = (0, 0);
        while !self.stop.load(Ordering::Relaxed) {
            match self.source.next_frame() {
                Ok(Some(frame)) => {
                    frames += 1;
                    // One is always free: there are slots for every place that one can be in.
                    if let Some(mut job) = self.pool.take(self.camera) {
                        job.frame.fill(&frame);
                        if let Some(older) = self.inbox.put(job) {
                            superseded += 1;
                            self.pool.give(older);
                        }
                    } else {
                        superseded += 1;
                    }
                }
                Ok(None) => break,
                Err(SourceError::NotYet) => {}
                Err(error) if error.is_recoverable() => {
                    let _ = self.events.send(Event::Skipped(error.into()));
                }
                Err(error) => {
                    let _ = self.events.send(Event::Failure(error.into()));
                    break;
                }
            }
            self.pass_warnings();
            self.publish(frames, superseded);
        }
        // Those that came with the end.
        self.pass_warnings();
        self.publish(frames, superseded);
        self.inbox.end();
    }

    fn pass_warnings(&mut self) {
        while let Some(warning) = self.source.next_warning() {
            let _ = self.events.send(Event::Warning(warning));
        }
    }

    /// Publishes the counts: `frames` were taken, of which `superseded` were replaced.
    fn publish(&self, frames: u64, superseded: u64) {
        let mut counts = self.source.live_counts().unwrap_or_default();
        counts.frames = frames + counts.dropped.total();
        counts.dropped.superseded += superseded;
        self.tally.change(|tally| *tally = counts);
    }
}
