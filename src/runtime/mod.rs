//! The loop from source to sink.
//!
//! Files wait for whoever reads them: one thread takes a frame, answers it and hands it to every sink before it asks for
//! the next ([`Pipeline`]). Cameras do not ([`LivePipeline`]).

mod boxes;
mod live;

pub use boxes::{Boxes, BoxesError, FoundBoxes, ListedBoxes, WholeImage};
pub use live::LivePipeline;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::estimator::{EstimateError, Estimator, StageTimes};
use crate::pose::Poses;
use crate::sink::{FrameResult, Sink, SinkError};
use crate::source::{Frame, LiveCounts, Source, SourceError};

/// What has happened so far. Of cameras, `poses` and `dropped_poses` are known at the end only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Frames that the source gave, or failed to give.
    pub frames: u64,
    /// Frames whose answer reached the sinks.
    pub processed: u64,
    /// Frames that could not be read.
    pub unreadable: u64,
    /// Frames that do not fit the network.
    pub unsupported_size: u64,
    /// Poses in all answers.
    pub poses: u64,
    /// Poses that were found but were too many, or not finite.
    pub dropped_poses: u64,
    /// Of cameras: frames that nobody fetched before there was a newer one.
    pub superseded: u64,
    /// Of cameras: answers that the sinks were too slow for.
    pub dropped_by_output: u64,
    /// What the cameras went through.
    pub live: LiveCounts,
}

impl Counts {
    /// Frames without an answer.
    pub fn skipped(&self) -> u64 {
        self.unreadable + self.unsupported_size
    }
}

/// Why a frame got no answer though the work goes on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Skip {
    /// It could not be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// It does not fit the network.
    #[error("{name}: skipped")]
    Estimate {
        /// The frame's name, or its number.
        name: String,
        /// Why it does not fit.
        source: Box<EstimateError>,
    },
}

/// Why the work ended early.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The source failed for good.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The model failed.
    #[error("{name}: no result")]
    Estimate {
        /// The frame's name, or its number.
        name: String,
        /// What failed.
        source: Box<EstimateError>,
    },
    /// An answer could not be handed on.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// The system gives no thread.
    #[error("a thread cannot be started: {0}")]
    Thread(std::io::Error),
}

/// Watches the work.
pub trait Observer {
    /// A frame was answered.
    fn processed(&mut self, counts: &Counts) {
        let _ = counts;
    }

    /// A frame was skipped, or a camera has said something.
    fn skipped(&mut self, why: &Skip, counts: &Counts);

    /// No camera has a frame, but the loop goes on.
    fn alive(&mut self, counts: &Counts) {
        let _ = counts;
    }
}

/// How the work ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The source has no more frames.
    SourceEnded,
    /// Whoever read a sink's output has closed it: nobody waits for more.
    ReaderClosed,
    /// It was asked to stop.
    Stopped,
}

/// What the loop joins.
pub struct Pipeline<'a> {
    /// Where frames come from.
    pub source: &'a mut dyn Source,
    /// Where in them to look.
    pub boxes: &'a mut dyn Boxes,
    /// What answers them.
    pub estimator: &'a mut dyn Estimator,
    /// Where the answers go.
    pub sinks: &'a mut [Box<dyn Sink>],
    /// Who watches.
    pub observer: &'a mut dyn Observer,
    /// How old an answer should be at most, counted from the frame's capture, or from when it was taken.
    pub deadline: Option<Duration>,
    /// Ends the work after the frame that is being answered.
    pub stop: &'a AtomicBool,
}

impl std::fmt::Debug for Pipeline<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pipeline").field("sinks", &self.sinks.len()).finish_non_exhaustive()
    }
}

impl Pipeline<'_> {
    /// Answers every frame of the source and hands each answer to all sinks; `counts` is kept up to date, errors
    /// included.
    ///
    /// A frame that cannot be read, or that fits no network, is skipped: the observer hears why, `counts` counts it.
    ///
    /// # Errors
    /// Where the source fails for good, the model fails, or a sink cannot write. The sinks are finished in every case.
    pub fn run(&mut self, counts: &mut Counts) -> Result<End, RunError> {
        let worked = self.process_all(counts);
        let finished = finish_all(self.sinks);
        // What failed first is what matters.
        match worked {
            Ok(End::SourceEnded | End::Stopped) => finished,
            other => other,
        }
    }

    fn process_all(&mut self, counts: &mut Counts) -> Result<End, RunError> {
        let mut poses = Poses::default();
        loop {
            if self.stop.load(Ordering::Relaxed) {
                return Ok(End::Stopped);
            }
            let frame = match self.source.next_frame() {
                Ok(Some(frame)) => frame,
                Ok(None) => return Ok(End::SourceEnded),
                Err(SourceError::NotYet) => continue,
                Err(error) if error.is_recoverable() => {
                    counts.frames += 1;
                    counts.unreadable += 1;
                    self.observer.skipped(&error.into(), counts);
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            counts.frames += 1;
            let name = || frame.name.map_or_else(|| format!("frame {}", frame.sequence), str::to_owned);
            let times = match estimate(self.boxes, self.estimator, &frame, self.deadline, &mut poses) {
                Ok(times) => times,
                Err(error @ EstimateError::Image { .. }) => {
                    counts.unsupported_size += 1;
                    self.observer.skipped(&Skip::Estimate { name: name(), source: Box::new(error) }, counts);
                    continue;
                }
                Err(error) => return Err(RunError::Estimate { name: name(), source: Box::new(error) }),
            };
            let result = FrameResult { frame, poses: &poses, times, live: None };
            if put_all(self.sinks, &result)? == End::ReaderClosed {
                return Ok(End::ReaderClosed);
            }
            counts.processed += 1;
            counts.poses += poses.list.len() as u64;
            counts.dropped_poses += u64::from(poses.dropped);
            self.observer.processed(counts);
        }
    }
}

/// Finds the boxes and answers them; the times are those of both.
fn estimate(
    boxes: &mut dyn Boxes,
    estimator: &mut dyn Estimator,
    frame: &Frame<'_>,
    deadline: Option<Duration>,
    poses: &mut Poses,
) -> Result<StageTimes, EstimateError> {
    let begun = frame.instant.unwrap_or_else(Instant::now);
    estimator.due(deadline.and_then(|deadline| begun.checked_add(deadline)));
    let (boxes, mut times) = boxes.boxes(frame)?;
    times += estimator.estimate(frame.image, boxes, poses)?;
    Ok(times)
}

/// Hands an answer to all sinks, until one fails or its reader has gone.
fn put_all(sinks: &mut [Box<dyn Sink>], result: &FrameResult<'_>) -> Result<End, RunError> {
    for sink in sinks {
        if quiet(sink.put(result))? == End::ReaderClosed {
            return Ok(End::ReaderClosed);
        }
    }
    Ok(End::SourceEnded)
}

/// Finishes all sinks, whatever becomes of the others; what went wrong first is answered.
fn finish_all(sinks: &mut [Box<dyn Sink>]) -> Result<End, RunError> {
    let mut finished = Ok(End::SourceEnded);
    for sink in sinks {
        let this = quiet(sink.finish());
        finished = finished.and_then(|end| if end == End::ReaderClosed { Ok(end) } else { this });
    }
    finished
}

/// A reader that has gone is an end, not an error.
fn quiet(result: Result<(), SinkError>) -> Result<End, RunError> {
    match result {
        Ok(()) => Ok(End::SourceEnded),
        Err(SinkError::Closed { .. }) => Ok(End::ReaderClosed),
        Err(error) => Err(error.into()),
    }
}
