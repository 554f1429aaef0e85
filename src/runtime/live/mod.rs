//! Cameras: the newest frame of each, until the run is stopped.
//!
//! ```text
//!  thread "camera-0"          calling thread                 thread "sinks"
//!  next_frame()               estimate()                     track, then put() to every sink
//!       |                          |                               |
//!       +--- inbox: newest of ---> +--- queue of OUTPUT_QUEUE ---> +
//!  thread "camera-1"     each camera; an                 results; a result that
//!       |                older one is                    does not fit is dropped
//!       +---             `superseded`                    (`output`)
//!       ^                          |                               |
//!       +------ empty slots -------+---------- empty slots --------+
//! ```
//!
//! Slots hold a frame and its result. Each camera has [`SLOTS_PER_CAMERA`] of them, which circulate: nothing is allocated per
//! frame, and no thread ever waits for a slower one. Every frame is processed or counted as dropped.

mod inbox;
mod job;

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, TrySendError, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use self::inbox::{Arrival, Inbox};
use self::job::Job;
use super::{Boxes, Counts, End, Observer, Outputs, RunError, Skip, estimate};
use crate::clock::UtcClock;
use crate::estimator::{EstimateError, Estimator};
use crate::sink::{FrameResult, Live, RgbCache};
use crate::source::{Source, SourceError};

/// Results that wait for the sinks.
const OUTPUT_QUEUE: usize = 4;
/// Slots per camera: one being filled, the newest, one being processed, those that wait, one being written.
const SLOTS_PER_CAMERA: usize = 3 + OUTPUT_QUEUE + 1;
/// How often a waiting thread checks whether it should stop.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// How long a stop waits for cameras and sinks.
const SHUTDOWN_GRACE: Duration = Duration::from_millis(800);
/// How long the sinks wait after a stop for the result that is being computed.
const DRAIN_TIMEOUT: Duration = Duration::from_millis(500);

/// The parts of a live run.
pub struct LivePipeline<'a> {
    /// Frame sources.
    pub cameras: Vec<Box<dyn Source>>,
    /// Estimates the poses of all cameras in turn.
    pub estimator: &'a mut dyn Estimator,
    /// Boxes in which to look for objects.
    pub boxes: &'a mut dyn Boxes,
    /// Result sinks.
    pub outputs: Outputs,
    /// Is notified of what happens.
    pub observer: &'a mut dyn Observer,
    /// Target latency, counted from the frame's capture: a frame that would miss it is refined less, and still delivered.
    pub deadline: Option<Duration>,
    /// Ends the run, from another thread or a signal.
    pub stop: Arc<AtomicBool>,
}

impl std::fmt::Debug for LivePipeline<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LivePipeline").field("cameras", &self.cameras.len()).finish_non_exhaustive()
    }
}

/// What a camera's thread reports in addition to frames.
enum Event {
    Warning(SourceError),
    Skipped(SourceError),
    Failure(SourceError),
}

/// The counts of a camera's thread, which the calling thread can read at any time.
#[derive(Debug, Clone, Default)]
struct Tally(Arc<Mutex<Counts>>);

impl Tally {
    fn set(&self, counts: Counts) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = counts;
    }

    fn get(&self) -> Counts {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts of the thread of the sinks.
#[derive(Debug, Default)]
struct Delivered {
    results: u64,
    poses: u64,
    dropped_poses: u64,
    /// Results dropped because every sink had closed.
    undelivered: u64,
}

impl LivePipeline<'_> {
    /// Processes the newest frames until `stop` is set, every sink's reader has disconnected, or all cameras end (which does not
    /// normally happen); `counts` is complete even after an error.
    ///
    /// # Errors
    /// If a camera fails for good, the model fails, or a sink cannot write. Complete results are written in every case.
    pub fn run(self, counts: &mut Counts) -> Result<End, RunError> {
        let Self { cameras, estimator, boxes, outputs, observer, deadline, stop } = self;
        let inbox = Arc::new(Inbox::new(cameras.len()));
        let (events, reported) = channel();
        let mut free = Vec::new();
        let tallies: Vec<Tally> = cameras.iter().map(|_| Tally::default()).collect();
        for (camera, source) in cameras.into_iter().enumerate() {
            let (recycle, free_slots) = sync_channel(SLOTS_PER_CAMERA);
            for _ in 0..SLOTS_PER_CAMERA {
                // The channel has room for all of them.
                let _ = recycle.try_send(Job::empty(camera));
            }
            free.push(recycle.clone());
            let capture = Capture {
                source,
                inbox: Arc::clone(&inbox),
                recycle,
                free_slots,
                events: events.clone(),
                tally: tallies[camera].clone(),
                stop: Arc::clone(&stop),
            };
            thread::Builder::new()
                .name(format!("camera-{camera}"))
                .spawn(move || capture.run())
                .map_err(RunError::Thread)?;
        }
        drop(events);
        let (results, waiting) = sync_channel(OUTPUT_QUEUE);
        let (end, ended) = sync_channel(1);
        let (recycle, stopping) = (free.clone(), Arc::clone(&stop));
        thread::Builder::new()
            .name("sinks".to_owned())
            .spawn(move || {
                let mut delivered = Delivered::default();
                let result = deliver(&outputs, waiting, &recycle, &stopping, &mut delivered);
                // With no sinks left, stop processing.
                stopping.store(true, Ordering::Relaxed);
                let _ = end.send((result, delivered));
            })
            .map_err(RunError::Thread)?;

        let mut processing = Processing {
            estimator,
            boxes,
            observer,
            counts,
            free: &free,
            results: &results,
            tallies: &tallies,
            local_counts: Counts::default(),
            deadline,
        };
        let processed = processing.run(&inbox, &reported, &stop);
        let mut local_counts = processing.local_counts;
        stop.store(true, Ordering::Relaxed);
        drop(results);
        let until = Instant::now() + SHUTDOWN_GRACE;
        wait(&reported, until);
        // Complete results are written, unless a sink hangs.
        let received = ended.recv_timeout(until.saturating_duration_since(Instant::now()));
        let ended = match received {
            Ok((delivered, done)) => {
                local_counts.processed = done.results;
                local_counts.poses = done.poses;
                local_counts.dropped_poses = done.dropped_poses;
                local_counts.dropped.output += done.undelivered;
                processed.and(delivered)
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                tracing::warn!("a sink did not take the last results within {} ms", SHUTDOWN_GRACE.as_millis());
                processed.map(|()| End::Stopped)
            }
        };
        *counts = sum(&tallies, local_counts);
        ended
    }
}

/// All counts: those of the cameras' threads, and `local_counts` of the others.
fn sum(tallies: &[Tally], local_counts: Counts) -> Counts {
    let mut counts = local_counts;
    tallies.iter().for_each(|tally| counts += tally.get());
    counts
}

/// Waits until every camera's thread has ended, with a timeout; late events are ignored.
fn wait(reported: &Receiver<Event>, until: Instant) {
    while reported.recv_timeout(until.saturating_duration_since(Instant::now())).is_ok() {}
}

/// One camera's thread.
struct Capture {
    source: Box<dyn Source>,
    inbox: Arc<Inbox>,
    recycle: SyncSender<Box<Job>>,
    free_slots: Receiver<Box<Job>>,
    events: Sender<Event>,
    tally: Tally,
    stop: Arc<AtomicBool>,
}

impl Capture {
    fn run(mut self) {
        let (mut frames, mut superseded) = (0, 0);
        while !self.stop.load(Ordering::Relaxed) {
            match self.source.next_frame() {
                Ok(Some(frame)) => {
                    frames += 1;
                    // One is always free: `SLOTS_PER_CAMERA` covers every place a slot can be.
                    if let Ok(mut job) = self.free_slots.try_recv() {
                        job.frame.fill(&frame);
                        if let Some(older) = self.inbox.put(job) {
                            superseded += 1;
                            let _ = self.recycle.try_send(older);
                        }
                    } else {
                        superseded += 1;
                    }
                }
                Ok(None) => break,
                Err(SourceError::NotYet) => {}
                Err(error) if error.is_recoverable() => {
                    let _ = self.events.send(Event::Skipped(error));
                }
                Err(error) => {
                    let _ = self.events.send(Event::Failure(error));
                    break;
                }
            }
            while let Some(warning) = self.source.next_warning() {
                let _ = self.events.send(Event::Warning(warning));
            }
            self.publish(frames, superseded);
        }
        self.publish(frames, superseded);
        self.inbox.end();
    }

    /// Publishes the counts: `frames` were taken, of which `superseded` were replaced.
    fn publish(&self, frames: u64, superseded: u64) {
        let mut counts = self.source.live_counts().unwrap_or_default();
        counts.frames = frames + counts.dropped.total();
        counts.dropped.superseded += superseded;
        self.tally.set(counts);
    }
}

/// The calling thread.
struct Processing<'a> {
    estimator: &'a mut dyn Estimator,
    boxes: &'a mut dyn Boxes,
    observer: &'a mut dyn Observer,
    /// All counts, as passed to the observer.
    counts: &'a mut Counts,
    free: &'a [SyncSender<Box<Job>>],
    results: &'a SyncSender<Box<Job>>,
    tallies: &'a [Tally],
    /// Counts of this thread.
    local_counts: Counts,
    deadline: Option<Duration>,
}

impl Processing<'_> {
    fn run(&mut self, inbox: &Inbox, reported: &Receiver<Event>, stop: &AtomicBool) -> Result<(), RunError> {
        loop {
            let arrival = inbox.take(POLL_INTERVAL);
            *self.counts = sum(self.tallies, self.local_counts);
            self.drain_events(reported)?;
            let is_over = stop.load(Ordering::Relaxed);
            match arrival {
                Arrival::Job(job) if is_over => {
                    self.local_counts.dropped.superseded += 1;
                    self.release(job);
                }
                Arrival::Job(job) => self.process(job)?,
                Arrival::NotYet if is_over => {}
                Arrival::NotYet => self.observer.alive(self.counts),
                Arrival::Ended => return Ok(()),
            }
        }
    }

    fn drain_events(&mut self, reported: &Receiver<Event>) -> Result<(), RunError> {
        while let Ok(event) = reported.try_recv() {
            match event {
                Event::Warning(warning) => self.observer.warned(&warning, self.counts),
                Event::Skipped(error) => self.observer.skipped(&error.into(), self.counts),
                Event::Failure(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn process(&mut self, mut job: Box<Job>) -> Result<(), RunError> {
        let frame = job.frame.view();
        match estimate(self.boxes, self.estimator, &frame, self.deadline, &mut job.poses) {
            Ok(times) => job.times = times,
            Err(error) => {
                let name = format!("{}: frame {}", frame.name.unwrap_or("camera"), frame.sequence);
                let source = Box::new(error);
                if !matches!(*source, EstimateError::Image { .. }) {
                    return Err(RunError::Estimate { name, source });
                }
                self.local_counts.dropped.unsupported_size += 1;
                *self.counts = sum(self.tallies, self.local_counts);
                self.observer.skipped(&Skip::Estimate { name, source }, self.counts);
                self.release(job);
                return Ok(());
            }
        }
        match self.results.try_send(job) {
            Ok(()) => self.local_counts.processed += 1,
            Err(TrySendError::Full(job) | TrySendError::Disconnected(job)) => {
                self.local_counts.dropped.output += 1;
                self.release(job);
            }
        }
        *self.counts = sum(self.tallies, self.local_counts);
        self.observer.processed(self.counts);
        Ok(())
    }

    fn release(&self, job: Box<Job>) {
        // The channel has room for every slot of a camera.
        let _ = self.free[job.camera].try_send(job);
    }
}

/// The thread of the sinks.
fn deliver(
    outputs: &Outputs,
    waiting: Receiver<Box<Job>>,
    free: &[SyncSender<Box<Job>>],
    stop: &AtomicBool,
    delivered: &mut Delivered,
) -> Result<End, RunError> {
    let (mut rgb, mut utc) = (RgbCache::default(), UtcClock::default());
    let mut stopped = None;
    let ended = loop {
        let job = match waiting.recv_timeout(POLL_INTERVAL) {
            Ok(job) => job,
            Err(RecvTimeoutError::Disconnected) => break Ok(End::SourceEnded),
            Err(RecvTimeoutError::Timeout) => {
                // A hung network must not lose results already queued for the sinks.
                if stop.load(Ordering::Relaxed) && stopped.get_or_insert_with(Instant::now).elapsed() >= DRAIN_TIMEOUT {
                    break Ok(End::Stopped);
                }
                continue;
            }
        };
        let frame = job.frame.view();
        let captured_utc = job.frame.instant().map(|instant| {
            let (time, jump) = utc.at(instant);
            if let Some(seconds) = jump {
                tracing::warn!(
                    "the system's clock was set by {seconds:+.3} s; captured_utc follows it, captured does not"
                );
            }
            time
        });
        let live = Live { age: job.frame.age(), captured_utc, camera: job.camera };
        rgb.clear();
        let result =
            FrameResult { frame, poses: &job.poses, times: job.times, live: Some(live), zones: None, rgb: &rgb };
        match outputs.put(&result) {
            Ok(ControlFlow::Continue(())) => {}
            done => {
                delivered.undelivered += 1;
                break done.map(|_| End::ReaderClosed);
            }
        }
        delivered.results += 1;
        delivered.poses += job.poses.list.len() as u64;
        delivered.dropped_poses += u64::from(job.poses.dropped);
        let _ = free[job.camera].try_send(job);
    };
    delivered.undelivered += waiting.try_iter().count() as u64;
    // From here on results are refused instead of queued.
    drop(waiting);
    let finished = outputs.finish();
    let end = ended?;
    finished.map(|()| end)
}
