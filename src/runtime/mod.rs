//! The loop from source to sinks.
//!
//! Files wait to be read: one thread takes a frame, processes it and hands the result to every sink before it asks for the next
//! ([`Pipeline`]). Cameras do not wait ([`LivePipeline`]).

mod boxes;
mod live;
mod outputs;

pub use crate::counts::{Counts, Dropped};
pub use boxes::{Boxes, BoxesError, FoundBoxes, ListedBoxes, WholeImage};
pub use live::LivePipeline;
pub use outputs::Outputs;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::estimator::{EstimateError, Estimator, StageTimes};
use crate::pose::Poses;
use crate::sink::{FrameResult, RgbCache, SinkError};
use crate::source::{Frame, Source, SourceError};

/// Why a frame has no result though the run continues.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Skip {
    /// The frame could not be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The frame does not fit the network.
    #[error("{name}: skipped")]
    Estimate {
        /// The frame's name, or its number.
        name: String,
        /// Why it does not fit.
        source: Box<EstimateError>,
    },
}

/// Why a run ended early.
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
    /// A sink could not write a result.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// The system provides no thread.
    #[error("a thread cannot be started: {0}")]
    Thread(std::io::Error),
}

/// Follows a run.
pub trait Observer {
    /// A frame was processed.
    fn processed(&mut self, counts: &Counts) {
        let _ = counts;
    }

    /// A frame was skipped.
    fn skipped(&mut self, why: &Skip, counts: &Counts);

    /// A source has a warning: something went wrong that it recovers from by itself.
    fn warned(&mut self, warning: &SourceError, counts: &Counts) {
        let _ = (warning, counts);
    }

    /// No camera has a frame, but the loop goes on.
    fn alive(&mut self, counts: &Counts) {
        let _ = counts;
    }
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The source has no more frames.
    SourceEnded,
    /// The readers of all sinks have closed them: further results have no use.
    ReaderClosed,
    /// It was asked to stop.
    Stopped,
}

/// The parts of a run.
pub struct Pipeline<'a> {
    /// Provides the frames.
    pub source: &'a mut dyn Source,
    /// Says where in them to look.
    pub boxes: &'a mut dyn Boxes,
    /// Processes them.
    pub estimator: &'a mut dyn Estimator,
    /// Take the results.
    pub outputs: &'a Outputs,
    /// Follows the run.
    pub observer: &'a mut dyn Observer,
    /// Maximum age of a result, counted from the frame's capture, or from when it was taken.
    pub deadline: Option<Duration>,
    /// Ends the run after the frame that is being processed.
    pub stop: &'a AtomicBool,
}

impl std::fmt::Debug for Pipeline<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pipeline").field("outputs", self.outputs).finish_non_exhaustive()
    }
}

impl Pipeline<'_> {
    /// Processes every frame of the source and hands each result to all sinks; `counts` is kept up to date, errors included.
    ///
    /// A frame that cannot be read, or that fits no network, is skipped: the observer hears why, `counts` counts it.
    ///
    /// # Errors
    /// Where the source fails for good, the model fails, or a sink cannot write. The sinks are finished in every case.
    pub fn run(&mut self, counts: &mut Counts) -> Result<End, RunError> {
        let worked = self.process_all(counts);
        let finished = self.outputs.finish();
        // The first failure is the one that matters.
        let end = worked?;
        finished.map(|()| end)
    }

    fn process_all(&mut self, counts: &mut Counts) -> Result<End, RunError> {
        let mut poses = Poses::default();
        let mut rgb = RgbCache::default();
        loop {
            if self.stop.load(Ordering::Relaxed) {
                return Ok(End::Stopped);
            }
            while let Some(warning) = self.source.next_warning() {
                self.observer.warned(&warning, counts);
            }
            let frame = match self.source.next_frame() {
                Ok(Some(frame)) => frame,
                Ok(None) => return Ok(End::SourceEnded),
                Err(SourceError::NotYet) => continue,
                Err(error) if error.is_recoverable() => {
                    counts.frames += 1;
                    counts.dropped.unreadable += 1;
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
                    counts.dropped.unsupported_size += 1;
                    self.observer.skipped(&Skip::Estimate { name: name(), source: Box::new(error) }, counts);
                    continue;
                }
                Err(error) => return Err(RunError::Estimate { name: name(), source: Box::new(error) }),
            };
            rgb.clear();
            let result = FrameResult { frame, poses: &poses, times, live: None, rgb: &rgb };
            if self.outputs.put(&result)?.is_break() {
                counts.dropped.output += 1;
                return Ok(End::ReaderClosed);
            }
            counts.processed += 1;
            counts.poses += poses.list.len() as u64;
            counts.dropped_poses += u64::from(poses.dropped);
            self.observer.processed(counts);
        }
    }
}

/// Finds the boxes, then the poses in them; the times are those of both.
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
