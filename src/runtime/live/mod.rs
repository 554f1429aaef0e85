//! Cameras: the newest frame of each, until the run is stopped.
//!
//! ```text
//!  thread "camera-0"            calling thread                        thread "sinks"
//!  next_frame()                 warp, network, decode                 track, then put() to every sink
//!       |                            |                                      |
//!       +--- inbox: newest of -----> +-- order of frames --+                |
//!  thread "camera-1" each camera;    |                     +-- queue of --> +
//!       |            an older one    | thread "lane-1"     |  OUTPUT_QUEUE
//!       +---         is `superseded` + warp, network, decode  results; one that does not
//!       ^                            |                        fit is dropped (`output`)
//!       +---------- empty slots -----+----------- empty slots --------------+
//! ```
//!
//! Where networks run on the CPU there is one lane, the calling thread. Elsewhere there are [`LANES`], which work on frames
//! that follow each other, so that the GPU always has a network to run:
//!
//! ```text
//!  GPU       | network 1            | network 2            | network 3
//!  calling   | (waits)              | decode 1    | warp 3 | (waits)
//!  lane-1    |               warp 2 | (waits)              | decode 2    | warp 4
//! ```
//!
//! A lane takes its frame, the newest there is, only when the GPU is about to be free ([`Turn`](crate::engine::Turn)): no frame
//! gets old in between. Each lane has an estimator of its own, and no estimator keeps anything from one frame for the next but
//! the times that `--deadline` goes by; what does, tracking, gets results in the order of the frames.
//!
//! Slots hold a frame and its result. There is one for every place that one can be in, and they circulate ([`Pool`]): nothing is
//! allocated per frame, and no thread ever waits for a slower one. Every frame is processed or counted as dropped.

mod capture;
mod delivery;
mod inbox;
mod job;
mod lane;
mod pool;
mod replacement;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};

use self::capture::{Capture, Event, Tally};
use self::delivery::{Delivered, deliver};
use self::inbox::Inbox;
use self::lane::{Lane, Order, Shared, Step, lock};
use self::pool::Pool;
use self::replacement::NoReplacements;
pub use self::replacement::{FrameKind, Model, Replacement, Replacements};
use super::{Boxes, Change, Counts, End, Observer, Outputs, RunError, WholeImage};
use crate::estimator::{Estimator, Twin};
use crate::source::Source;

/// Threads that process frames where networks do not run on the CPU: two, as one of them decodes and warps while the network
/// of the other runs.
const LANES: usize = 2;
/// Results that wait for the sinks.
const OUTPUT_QUEUE: usize = 4;
/// How often a waiting thread checks whether it should stop.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// How long a stop waits for cameras and sinks.
const SHUTDOWN_GRACE: Duration = Duration::from_millis(800);

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

impl LivePipeline<'_> {
    /// Processes the newest frames until `stop` is set, every sink's reader has disconnected, or all cameras end (which does not
    /// normally happen); `counts` is complete even after an error.
    ///
    /// # Errors
    /// If a camera fails for good, the model fails, or a sink cannot write. Complete results are written in every case.
    pub fn run(self, counts: &mut Counts) -> Result<End, RunError> {
        self.run_replacing(counts, &mut NoReplacements)
    }

    /// The same, with models that `replacements` yields in place of the first one. Frames that arrive while a replacement is tried
    /// are processed by it or superseded, as those that arrive during any other.
    ///
    /// # Errors
    /// The same; not if a replacement fails.
    pub fn run_replacing(self, counts: &mut Counts, replacements: &mut dyn Replacements) -> Result<End, RunError> {
        let Self { cameras, estimator, boxes, outputs, observer, deadline, stop } = self;
        let inbox = Arc::new(Inbox::new(cameras.len()));
        let (events, reported) = channel();
        let pool = Arc::new(Pool::new(cameras.len()));
        let tallies: Vec<Tally> = cameras.iter().map(|_| Tally::default()).collect();
        for (camera, source) in cameras.into_iter().enumerate() {
            let capture = Capture {
                camera,
                source,
                inbox: Arc::clone(&inbox),
                pool: Arc::clone(&pool),
                events: events.clone(),
                tally: tallies[camera].clone(),
                stop: Arc::clone(&stop),
            };
            thread::Builder::new()
                .name(format!("camera-{camera}"))
                .spawn(move || capture.run())
                .map_err(RunError::Thread)?;
        }
        let (results, waiting) = sync_channel(OUTPUT_QUEUE);
        let (end, ended) = sync_channel(1);
        let (emptied, stopping) = (Arc::clone(&pool), Arc::clone(&stop));
        let change = Arc::<Mutex<Option<Change>>>::default();
        let changes = Arc::clone(&change);
        thread::Builder::new()
            .name("sinks".to_owned())
            .spawn(move || {
                let mut delivered = Delivered::default();
                let result = deliver(&outputs, &changes, waiting, &emptied, &stopping, &mut delivered);
                // With no sinks left, stop processing.
                stopping.store(true, Ordering::Relaxed);
                let _ = end.send((result, delivered));
            })
            .map_err(RunError::Thread)?;

        let shared = Shared {
            inbox: &inbox,
            results: &results,
            pool: &pool,
            stop: &stop,
            retire: AtomicBool::new(false),
            change: &change,
            seen: Mutex::default(),
            order: Order::default(),
            tally: Tally::default(),
            idle: Mutex::new(0),
        };
        let model = Model { estimator: Box::new(estimator), boxes: Box::new(boxes), deadline };
        let lane = Lane { model, number: 0, candidate: None, tried: None, turn: None, shared: &shared };
        let mut supervision = Supervision { observer, counts, tallies: &tallies, shared: &shared, told: 0, idle: 0 };
        let processed = thread::scope(|scope| {
            // Ends the other lanes, however this one ends.
            let _closing = Closing(&shared);
            supervision.run(lane, scope, events, &reported, replacements)
        });
        // The last frames of the other lanes.
        let processed = processed.and(supervision.tell(&reported));
        let mut local_counts = shared.tally.get();
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

/// Closes the inbox when it is dropped, which ends all lanes.
struct Closing<'a>(&'a Shared<'a>);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// What the calling thread does besides its lane: it tells the observer of all of them.
struct Supervision<'a> {
    observer: &'a mut dyn Observer,
    /// All counts, as passed to the observer.
    counts: &'a mut Counts,
    tallies: &'a [Tally],
    shared: &'a Shared<'a>,
    /// Results of which the observer was told.
    told: u64,
    /// How often no lane had a frame, as far as the observer was told.
    idle: u64,
}

impl<'a> Supervision<'a> {
    /// Works in the first lane; starts the others once its engines are open, and has them end before a replacement is tried.
    fn run<'s>(
        &mut self,
        mut lane: Lane<'_>,
        scope: &'s Scope<'s, '_>,
        events: Sender<Event>,
        reported: &Receiver<Event>,
        replacements: &mut dyn Replacements,
    ) -> Result<(), RunError>
    where
        'a: 's,
    {
        // `None` until the first lane's engines are open.
        let mut others: Option<Vec<ScopedJoinHandle<'s, ()>>> = None;
        loop {
            let step = lane.step()?;
            self.tell(reported)?;
            match step {
                Step::Done => {}
                Step::Skipped(skip) => self.observer.skipped(&skip, self.counts),
                Step::Ended => return Ok(()),
            }
            if let Some(outcome) = lane.tried.take() {
                replacements.tried(outcome);
            }
            if self.told > 0 && others.is_none() && lane.candidate.is_none() {
                others = Some(start_lanes(&mut lane, self.shared, scope, &events));
            }
            // The outputs must have heard of the last one.
            if lane.candidate.is_none() && lock(self.shared.change).is_none() {
                lane.candidate = replacements.next(&lock(&self.shared.seen));
            }
            if lane.candidate.is_some()
                && let Some(others) = others.take()
            {
                self.retire(&mut lane, others);
            }
        }
    }

    /// Ends the other lanes.
    fn retire(&self, first: &mut Lane<'_>, others: Vec<ScopedJoinHandle<'_, ()>>) {
        self.shared.retire.store(true, Ordering::Relaxed);
        for other in others {
            if let Err(panic) = other.join() {
                std::panic::resume_unwind(panic);
            }
        }
        self.shared.retire.store(false, Ordering::Relaxed);
        first.turn = None;
    }

    /// Tells the observer what happened since the last time.
    fn tell(&mut self, reported: &Receiver<Event>) -> Result<(), RunError> {
        self.drain(reported)?;
        let lanes = self.shared.tally.get();
        let results = lanes.processed + lanes.dropped.output;
        while self.told < results {
            self.told += 1;
            self.observer.processed(self.counts);
        }
        let idle = *lock(&self.shared.idle);
        // After a stop there is nothing to wait for.
        if idle > self.idle && !self.shared.stop.load(Ordering::Relaxed) {
            self.observer.alive(self.counts);
        }
        self.idle = idle;
        Ok(())
    }

    /// Passes events on.
    fn drain(&mut self, reported: &Receiver<Event>) -> Result<(), RunError> {
        *self.counts = sum(self.tallies, self.shared.tally.get());
        while let Ok(event) = reported.try_recv() {
            match event {
                Event::Warning(warning) => self.observer.warned(&warning, self.counts),
                Event::Skipped(skip) => self.observer.skipped(&skip, self.counts),
                Event::Failure(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Starts the lanes besides the first, if the model gains from it. Without them frames take turns, which is only slower.
fn start_lanes<'s, 'a: 's>(
    first: &mut Lane<'_>,
    shared: &'a Shared<'a>,
    scope: &'s Scope<'s, '_>,
    events: &Sender<Event>,
) -> Vec<ScopedJoinHandle<'s, ()>> {
    let mut started = Vec::new();
    for number in 1..LANES {
        let Twin { estimator, turn } = match first.model.estimator.twin() {
            Ok(Some(twin)) => twin,
            Ok(None) => break,
            Err(error) => {
                tracing::warn!("frames take turns, because a second set of engines does not open: {error}");
                break;
            }
        };
        let model = Model { estimator, boxes: Box::new(WholeImage), deadline: first.model.deadline };
        let turn_of_it = Some(turn.clone());
        let lane = Lane { model, number: first.number, candidate: None, tried: None, turn: turn_of_it, shared };
        let events = events.clone();
        match thread::Builder::new().name(format!("lane-{number}")).spawn_scoped(scope, move || lane.run(&events)) {
            Ok(thread) => started.push(thread),
            Err(error) => {
                tracing::warn!("frames take turns, because a thread cannot be started: {error}");
                break;
            }
        }
        first.turn = Some(turn);
    }
    started
}
