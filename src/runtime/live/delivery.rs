//! The thread of the sinks.

use std::ops::ControlFlow;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::POLL_INTERVAL;
use super::job::Job;
use super::lane::lock;
use super::pool::Pool;
use crate::clock::UtcClock;
use crate::runtime::{Change, End, Outputs, RunError};
use crate::sink::{FrameResult, Live, RgbCache};

/// How long the sinks wait after a stop for the result that is being computed.
const DRAIN_TIMEOUT: Duration = Duration::from_millis(500);

/// Counts of the thread of the sinks.
#[derive(Debug, Default)]
pub(super) struct Delivered {
    pub results: u64,
    pub poses: u64,
    pub dropped_poses: u64,
    /// Results dropped because every sink had closed.
    pub undelivered: u64,
}

/// Passes results to the sinks until no more can come, or every sink has closed.
pub(super) fn deliver(
    outputs: &Outputs,
    change: &Mutex<Option<Change>>,
    waiting: Receiver<Box<Job>>,
    pool: &Pool,
    stop: &AtomicBool,
    delivered: &mut Delivered,
) -> Result<End, RunError> {
    let (mut rgb, mut utc) = (RgbCache::default(), UtcClock::default());
    let (mut model, mut stopped) = (0, None);
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
        let mut described = Ok(());
        // The slot stays full until the first result of a model that reaches this thread.
        if job.model != model {
            model = job.model;
            described = lock(change).take().map_or(Ok(()), |change| outputs.replace(change));
        }
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
        match described.and_then(|()| outputs.put(&result)) {
            Ok(ControlFlow::Continue(())) => {}
            done => {
                delivered.undelivered += 1;
                break done.map(|_| End::ReaderClosed);
            }
        }
        delivered.results += 1;
        delivered.poses += job.poses.list.len() as u64;
        delivered.dropped_poses += u64::from(job.poses.dropped);
        pool.give(job);
    };
    delivered.undelivered += waiting.try_iter().count() as u64;
    // From here on results are refused instead of queued.
    drop(waiting);
    let finished = outputs.finish();
    let end = ended?;
    finished.map(|()| end)
}
