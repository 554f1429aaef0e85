//! Lanes: threads that each take a frame, estimate its poses and hand the result on, in the order of the frames.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, SyncSender, TrySendError};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::POLL_INTERVAL;
use super::capture::{Event, Tally};
use super::inbox::{Arrival, Inbox};
use super::job::Job;
use super::pool::Pool;
use super::replacement::{FrameKind, Model, Replacement};
use crate::engine::Turn;
use crate::estimator::{EstimateError, StageTimes};
use crate::pose::Poses;
use crate::runtime::{Change, RunError, Skip, estimate};
use crate::source::Frame;

/// What the lanes of a run share.
pub(super) struct Shared<'a> {
    pub inbox: &'a Inbox,
    pub results: &'a SyncSender<Box<Job>>,
    pub pool: &'a Pool,
    pub stop: &'a AtomicBool,
    /// Makes all lanes but the first end after their current frame.
    pub retire: AtomicBool,
    /// What the newest model changes for the outputs, until its first result reaches them.
    pub change: &'a Mutex<Option<Change>>,
    /// Kinds of frame so far.
    pub seen: Mutex<Vec<FrameKind>>,
    /// Which result is handed on next.
    pub order: Order,
    /// Counts of all lanes.
    pub tally: Tally,
    /// How often no lane had a frame.
    pub idle: Mutex<u64>,
}

impl Shared<'_> {
    /// Remembers the kind of a frame.
    fn see(&self, frame: &Frame<'_>) {
        let kind = (frame.image.size(), frame.image.format());
        let mut seen = lock(&self.seen);
        if !seen.contains(&kind) {
            seen.push(kind);
        }
    }

    /// Closes the inbox; frames in it count as superseded, as the run has ended before them.
    pub fn close(&self) {
        for job in self.inbox.close() {
            self.tally.change(|counts| counts.dropped.superseded += 1);
            self.pool.give(job);
        }
    }
}

/// Values are replaced whole under these locks: a thread that panicked has left nothing half done.
pub(super) fn lock<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Frames leave the lanes in the order in which they were taken.
#[derive(Debug, Default)]
pub(super) struct Order {
    next: Mutex<u64>,
    changed: Condvar,
}

impl Order {
    /// Waits until all frames before this one have left.
    fn wait(&self, number: u64) {
        let next = lock(&self.next);
        drop(self.changed.wait_while(next, |next| *next < number).unwrap_or_else(PoisonError::into_inner));
    }
}

/// A frame's place in the order; the frame has left when it is dropped, also by a panic.
struct Place<'a> {
    order: &'a Order,
    number: u64,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.order.wait(self.number);
        *lock(&self.order.next) = self.number + 1;
        self.order.changed.notify_all();
    }
}

/// The outcome of a step.
pub(super) enum Step {
    /// A frame left, or there was none yet.
    Done,
    /// A frame does not fit the network.
    Skipped(Skip),
    /// All cameras have ended.
    Ended,
}

/// One lane.
pub(super) struct Lane<'a> {
    pub model: Model<'a>,
    /// How often the model was replaced.
    pub number: u64,
    /// The model to try on the next frame.
    pub candidate: Option<Replacement>,
    /// The outcome of the last one that was tried.
    pub tried: Option<Result<(), EstimateError>>,
    /// When it takes a frame; `None` if it is the only lane: whenever it has none.
    pub turn: Option<Turn>,
    pub shared: &'a Shared<'a>,
}

impl Lane<'_> {
    /// Takes a frame, if one comes soon, until its result is handed on.
    pub fn step(&mut self) -> Result<Step, RunError> {
        let shared = self.shared;
        let turn = self.turn.clone();
        let admission = match &turn {
            None => None,
            Some(turn) => match turn.admit(POLL_INTERVAL) {
                None => return Ok(Step::Done),
                admission => admission,
            },
        };
        let (job, number) = match shared.inbox.take(POLL_INTERVAL) {
            Arrival::Job(job, number) => (job, number),
            Arrival::NotYet => {
                *lock(&shared.idle) += 1;
                return Ok(Step::Done);
            }
            Arrival::Ended => return Ok(Step::Ended),
        };
        if let Some(admission) = &admission {
            admission.frame_taken();
        }
        let place = Place { order: &shared.order, number };
        if shared.stop.load(Ordering::Relaxed) {
            shared.tally.change(|counts| counts.dropped.superseded += 1);
            shared.pool.give(job);
            return Ok(Step::Done);
        }
        let mut job = job;
        let frame = job.frame.view();
        shared.see(&frame);
        let estimated = self.estimate(&frame, &mut job.poses);
        job.model = self.number;
        drop(admission);
        shared.order.wait(number);
        let step = match estimated {
            Ok(times) => {
                job.times = times;
                match shared.results.try_send(job) {
                    Ok(()) => shared.tally.change(|counts| counts.processed += 1),
                    Err(TrySendError::Full(job) | TrySendError::Disconnected(job)) => {
                        shared.tally.change(|counts| counts.dropped.output += 1);
                        shared.pool.give(job);
                    }
                }
                Ok(Step::Done)
            }
            Err(error) => {
                let name = format!("{}: frame {}", frame.name.unwrap_or("camera"), frame.sequence);
                let source = Box::new(error);
                let is_skipped = matches!(*source, EstimateError::Image { .. });
                shared.pool.give(job);
                if is_skipped {
                    shared.tally.change(|counts| counts.dropped.unsupported_size += 1);
                    Ok(Step::Skipped(Skip::Estimate { name, source }))
                } else {
                    // The run ends first.
                    shared.tally.change(|counts| counts.dropped.superseded += 1);
                    Err(RunError::Estimate { name, source })
                }
            }
        };
        drop(place);
        step
    }

    /// Estimates a frame's poses with the candidate, which replaces the model if that succeeds, or else with the model.
    fn estimate(&mut self, frame: &Frame<'_>, poses: &mut Poses) -> Result<StageTimes, EstimateError> {
        let with = |model: &mut Model<'_>, poses: &mut Poses| {
            estimate(model.boxes.as_mut(), model.estimator.as_mut(), frame, model.deadline, poses)
        };
        if let Some(Replacement { mut model, change }) = self.candidate.take() {
            match with(&mut model, poses) {
                Ok(times) => {
                    self.model = model;
                    self.number += 1;
                    *lock(self.shared.change) = Some(change);
                    self.tried = Some(Ok(()));
                    return Ok(times);
                }
                Err(error) => self.tried = Some(Err(error)),
            }
        }
        with(&mut self.model, poses)
    }

    /// Takes frames until all cameras have ended, one fails, or it is to retire, on a thread of its own.
    pub fn run(mut self, events: &Sender<Event>) {
        while !self.shared.retire.load(Ordering::Relaxed) {
            let event = match self.step() {
                Ok(Step::Done) => continue,
                Ok(Step::Ended) => return,
                Ok(Step::Skipped(skip)) => Event::Skipped(skip),
                Err(error) => Event::Failure(error),
            };
            let is_over = matches!(event, Event::Failure(_));
            let _ = events.send(event);
            if is_over {
                return self.shared.close();
            }
        }
    }
}
