//! Cameras: the newest frame of each, forever.
//!
//! One thread per camera takes frames and leaves the newest; the calling thread answers them; one thread hands answers to the
//! sinks. Boxes with frames go round between them, so that nothing is allocated and nobody waits for anybody slower: an older
//! frame that nobody has fetched is passed over, and an answer that the sinks are too slow for is left out. Both are counted:
//! every frame is answered or counted as one of the others.

mod inbox;
mod job;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, TrySendError, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use self::inbox::{Arrival, Inbox};
use self::job::Job;
use super::{Boxes, Counts, End, Observer, RunError, Skip, estimate, finish_all, put_all};
use crate::estimator::{EstimateError, Estimator};
use crate::sink::{FrameResult, Live, Sink};
use crate::source::{LiveCounts, Source, SourceError};

/// Answers that wait for the sinks.
const OUTPUT_QUEUE: usize = 4;
/// Boxes per camera: one being filled, the newest, one being answered, those that wait, one being handed on.
const SLOTS_PER_CAMERA: usize = 3 + OUTPUT_QUEUE + 1;
/// How often whoever waits looks whether it should stop.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// How long a stop waits for cameras and sinks.
const SHUTDOWN_GRACE: Duration = Duration::from_millis(800);
/// How long the sinks wait after a stop for the answer that is being computed.
const DRAIN_TIMEOUT: Duration = Duration::from_millis(500);

/// What the threads join.
pub struct LivePipeline<'a> {
    /// Where frames come from.
    pub cameras: Vec<Box<dyn Source>>,
    /// What answers them, one for each camera.
    pub estimators: &'a mut [Box<dyn Estimator>],
    /// Where in frames to look.
    pub boxes: &'a mut dyn Boxes,
    /// Where the answers go.
    pub sinks: Vec<Box<dyn Sink>>,
    /// Who watches.
    pub observer: &'a mut dyn Observer,
    /// How old an answer should be at most, counted from the frame's capture.
    pub deadline: Option<Duration>,
    /// Ends the work, from another thread or a signal.
    pub stop: Arc<AtomicBool>,
}

impl std::fmt::Debug for LivePipeline<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LivePipeline").field("cameras", &self.cameras.len()).finish_non_exhaustive()
    }
}

/// What a camera's thread says besides frames.
enum Event {
    Skipped(SourceError),
    Failed(SourceError),
}

/// What a camera's thread has done so far.
#[derive(Debug, Clone, Copy, Default)]
struct Captured {
    frames: u64,
    superseded: u64,
    live: LiveCounts,
}

/// Where a camera's thread says what it has done: whoever watches wants to know before it ends.
#[derive(Debug, Clone, Default)]
struct Tally(Arc<Mutex<Captured>>);

impl Tally {
    fn set(&self, captured: Captured) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = captured;
    }

    fn get(&self) -> Captured {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What all cameras' threads have done so far, and the frames that were `released` without an answer after that.
fn tell(tallies: &[Tally], released: u64, counts: &mut Counts) {
    (counts.frames, counts.superseded, counts.live) = (0, released, LiveCounts::default());
    for captured in tallies.iter().map(Tally::get) {
        counts.frames += captured.frames;
        counts.superseded += captured.superseded;
        counts.live += captured.live;
    }
}

/// What the sinks' thread has done.
#[derive(Debug, Default)]
struct Delivered {
    results: u64,
    poses: u64,
    dropped_poses: u64,
    /// Answers that no sink took, because one had ended.
    undelivered: u64,
}

impl LivePipeline<'_> {
    /// Answers the newest frames until all cameras end, which they do not by themselves, a sink's reader goes, or `stop` is
    /// set; `counts` holds what happened, errors included.
    ///
    /// # Errors
    /// Where a camera fails for good, the model fails, or a sink cannot write. What was answered is handed on in every case.
    pub fn run(self, counts: &mut Counts) -> Result<End, RunError> {
        let Self { cameras, estimators, boxes, sinks, observer, deadline, stop } = self;
        let inbox = Arc::new(Inbox::new(cameras.len()));
        let (events, happened) = channel();
        let mut free = Vec::new();
        let tallies: Vec<Tally> = cameras.iter().map(|_| Tally::default()).collect();
        for (camera, source) in cameras.into_iter().enumerate() {
            let (give, boxes) = sync_channel(SLOTS_PER_CAMERA);
            for _ in 0..SLOTS_PER_CAMERA {
                // There is room for all of them.
                let _ = give.try_send(Job::empty(camera));
            }
            free.push(give.clone());
            let capture = Capture {
                source,
                inbox: Arc::clone(&inbox),
                give,
                boxes,
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
        let (give, stopping) = (free.clone(), Arc::clone(&stop));
        thread::Builder::new()
            .name("sinks".to_owned())
            .spawn(move || {
                let mut delivered = Delivered::default();
                let worked = deliver(sinks, &waiting, &give, &stopping, &mut delivered);
                // Nobody answers frames for sinks that have ended.
                stopping.store(true, Ordering::Relaxed);
                let _ = end.send((worked, delivered));
            })
            .map_err(RunError::Thread)?;

        let mut answering = Processing {
            estimators,
            boxes,
            observer,
            counts,
            free: &free,
            results: &results,
            tallies: &tallies,
            released: 0,
            deadline,
        };
        let worked = answering.run(&inbox, &happened, &stop);
        let released = answering.released;
        stop.store(true, Ordering::Relaxed);
        drop(results);
        let until = Instant::now() + SHUTDOWN_GRACE;
        wait(&happened, until);
        tell(&tallies, released, counts);
        // What was computed is handed on, unless a sink hangs.
        match ended.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok((delivered, sums)) => {
                counts.processed = sums.results;
                counts.poses = sums.poses;
                counts.dropped_poses = sums.dropped_poses;
                counts.dropped_by_output += sums.undelivered;
                worked.and(delivered)
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                tracing::warn!("a sink did not take the last results within {} ms", SHUTDOWN_GRACE.as_millis());
                worked.map(|()| End::SourceEnded)
            }
        }
    }
}

/// Waits until every camera's thread has ended, but not for long; nobody hears what is still said.
fn wait(happened: &Receiver<Event>, until: Instant) {
    while happened.recv_timeout(until.saturating_duration_since(Instant::now())).is_ok() {}
}

/// One camera's thread.
struct Capture {
    source: Box<dyn Source>,
    inbox: Arc<Inbox>,
    give: SyncSender<Box<Job>>,
    boxes: Receiver<Box<Job>>,
    events: Sender<Event>,
    tally: Tally,
    stop: Arc<AtomicBool>,
}

impl Capture {
    fn run(mut self) {
        let mut captured = Captured::default();
        while !self.stop.load(Ordering::Relaxed) {
            match self.source.next_frame() {
                Ok(Some(frame)) => {
                    captured.frames += 1;
                    // One is always free: `SLOTS_PER_CAMERA` counts all places where the others can be.
                    if let Ok(mut job) = self.boxes.try_recv() {
                        job.held.fill(&frame);
                        if let Some(older) = self.inbox.put(job) {
                            captured.superseded += 1;
                            let _ = self.give.try_send(older);
                        }
                    } else {
                        captured.superseded += 1;
                    }
                }
                Ok(None) => break,
                Err(SourceError::NotYet) => {}
                Err(error) if error.is_recoverable() => {
                    let _ = self.events.send(Event::Skipped(error));
                }
                Err(error) => {
                    let _ = self.events.send(Event::Failed(error));
                    break;
                }
            }
            captured.live = self.source.live().unwrap_or_default();
            self.tally.set(captured);
        }
        captured.live = self.source.live().unwrap_or_default();
        self.tally.set(captured);
        self.inbox.end();
    }
}

/// The calling thread.
struct Processing<'a> {
    estimators: &'a mut [Box<dyn Estimator>],
    boxes: &'a mut dyn Boxes,
    observer: &'a mut dyn Observer,
    counts: &'a mut Counts,
    free: &'a [SyncSender<Box<Job>>],
    results: &'a SyncSender<Box<Job>>,
    tallies: &'a [Tally],
    /// Frames that were fetched only when the work was to end.
    released: u64,
    deadline: Option<Duration>,
}

impl Processing<'_> {
    fn run(&mut self, inbox: &Inbox, happened: &Receiver<Event>, stop: &AtomicBool) -> Result<(), RunError> {
        loop {
            let arrival = inbox.take(POLL_INTERVAL);
            tell(self.tallies, self.released, self.counts);
            self.hear(happened)?;
            let is_over = stop.load(Ordering::Relaxed);
            match arrival {
                Arrival::Job(job) if is_over => {
                    self.released += 1;
                    self.release(job);
                }
                Arrival::Job(job) => self.result(job)?,
                Arrival::NotYet if is_over => {}
                Arrival::NotYet => self.observer.alive(self.counts),
                Arrival::Ended => return Ok(()),
            }
        }
    }

    fn hear(&mut self, happened: &Receiver<Event>) -> Result<(), RunError> {
        while let Ok(event) = happened.try_recv() {
            match event {
                Event::Skipped(error) => self.observer.skipped(&error.into(), self.counts),
                Event::Failed(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn result(&mut self, mut job: Box<Job>) -> Result<(), RunError> {
        let Ok(frame) = job.held.frame() else { unreachable!("a copy of an image is one") };
        match estimate(self.boxes, self.estimators[job.camera].as_mut(), &frame, self.deadline, &mut job.poses) {
            Ok(times) => job.times = times,
            Err(error) => {
                let name = format!("{}: frame {}", frame.name.unwrap_or("camera"), frame.sequence);
                let source = Box::new(error);
                if !matches!(*source, EstimateError::Image { .. }) {
                    return Err(RunError::Estimate { name, source });
                }
                self.counts.unsupported_size += 1;
                self.observer.skipped(&Skip::Estimate { name, source }, self.counts);
                self.release(job);
                return Ok(());
            }
        }
        match self.results.try_send(job) {
            Ok(()) => self.counts.processed += 1,
            Err(TrySendError::Full(job) | TrySendError::Disconnected(job)) => {
                self.counts.dropped_by_output += 1;
                self.release(job);
            }
        }
        self.observer.processed(self.counts);
        Ok(())
    }

    fn release(&self, job: Box<Job>) {
        // There is room for every box of a camera.
        let _ = self.free[job.camera].try_send(job);
    }
}

/// The sinks' thread.
fn deliver(
    mut sinks: Vec<Box<dyn Sink>>,
    waiting: &Receiver<Box<Job>>,
    free: &[SyncSender<Box<Job>>],
    stop: &AtomicBool,
    delivered: &mut Delivered,
) -> Result<End, RunError> {
    let mut worked = Ok(End::SourceEnded);
    let mut stopped = None;
    loop {
        let job = match waiting.recv_timeout(POLL_INTERVAL) {
            Ok(job) => job,
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                // A network that hangs must not take with it what the sinks still hold.
                if stop.load(Ordering::Relaxed) && stopped.get_or_insert_with(Instant::now).elapsed() >= DRAIN_TIMEOUT {
                    break;
                }
                continue;
            }
        };
        let Ok(frame) = job.held.frame() else { unreachable!("a copy of an image is one") };
        let live = Live { age: job.held.age(), camera: job.camera };
        let result = FrameResult { frame, poses: &job.poses, times: job.times, live: Some(live) };
        worked = put_all(&mut sinks, &result);
        if !matches!(worked, Ok(End::SourceEnded)) {
            // This one, and those that wait.
            delivered.undelivered += 1 + waiting.try_iter().count() as u64;
            break;
        }
        delivered.results += 1;
        delivered.poses += job.poses.list.len() as u64;
        delivered.dropped_poses += u64::from(job.poses.dropped);
        let _ = free[job.camera].try_send(job);
    }
    let finished = finish_all(&mut sinks);
    if matches!(worked, Ok(End::SourceEnded)) { finished } else { worked }
}
