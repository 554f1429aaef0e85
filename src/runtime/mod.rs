//! The loop from source to sinks.
//!
//! Files wait to be read: one thread takes a frame, processes it and passes the result to every sink before it takes the next
//! ([`Pipeline`]). Cameras do not wait ([`LivePipeline`]).

mod boxes;
mod live;
mod outputs;
mod tracking;

pub use crate::counts::{Counts, Dropped};
#[cfg(feature = "cli")]
pub(crate) use boxes::touches;
pub use boxes::{Boxes, BoxesError, FoundBoxes, ListedBoxes, WholeImage};
pub use live::{FrameKind, LivePipeline, Model, Replacement, Replacements};
pub use outputs::{Change, Outputs};
#[cfg(feature = "cli")]
pub(crate) use tracking::CameraTracker;
pub use tracking::{Tracking, TrackingError};

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::estimator::{EstimateError, Estimator, Request, StageTimes};
use crate::pose::Poses;
use crate::sink::{FrameResult, RgbCache, SinkError};
use crate::source::{Frame, Source, SourceError};

/// Why a frame was skipped; the run continues.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Skip {
    /// The frame could not be read.
    #[error(transparent)]
    Unreadable(#[from] SourceError),
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

/// Is notified of what happens in a run.
pub trait Observer {
    /// A frame was processed.
    fn processed(&mut self, counts: &Counts) {
        let _ = counts;
    }

    /// A frame was skipped.
    fn skipped(&mut self, why: &Skip, counts: &Counts);

    /// A source warns of something from which it recovers by itself.
    fn warned(&mut self, warning: &SourceError, counts: &Counts) {
        let _ = (warning, counts);
    }

    /// No camera has a frame, but the loop is running.
    fn alive(&mut self, counts: &Counts) {
        let _ = counts;
    }
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The source has no more frames.
    SourceEnded,
    /// The readers of all sinks have disconnected.
    ReaderClosed,
    /// It was stopped.
    Stopped,
}

/// The parts of a run.
pub struct Pipeline<'a> {
    /// Frame source.
    pub source: &'a mut dyn Source,
    /// Boxes in which to look for objects.
    pub boxes: &'a mut dyn Boxes,
    /// Estimates the poses.
    pub estimator: &'a mut dyn Estimator,
    /// Result sinks.
    pub outputs: &'a Outputs,
    /// Is notified of what happens.
    pub observer: &'a mut dyn Observer,
    /// Target latency, counted from the frame's capture, or from when it was read: a frame that would miss it is refined less.
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
    /// Processes every frame of the source and passes each result to all sinks; `counts` is complete even after an error.
    ///
    /// A frame that cannot be read, or that fits no network, is skipped, counted, and reported to the observer.
    ///
    /// # Errors
    /// If the source fails for good, the model fails, or a sink cannot write. The sinks are finished in every case.
    pub fn run(&mut self, counts: &mut Counts) -> Result<End, RunError> {
        let worked = self.process_all(counts);
        // Those that came with the end.
        self.pass_warnings(counts);
        let finished = self.outputs.finish();
        // The first failure is the one that matters.
        let end = worked?;
        finished.map(|()| end)
    }

    fn pass_warnings(&mut self, counts: &Counts) {
        while let Some(warning) = self.source.next_warning() {
            self.observer.warned(&warning, counts);
        }
    }

    fn process_all(&mut self, counts: &mut Counts) -> Result<End, RunError> {
        let mut poses = Poses::default();
        let mut rgb = RgbCache::default();
        loop {
            if self.stop.load(Ordering::Relaxed) {
                return Ok(End::Stopped);
            }
            self.pass_warnings(counts);
            let frame = match self.source.next_frame() {
                Ok(Some(frame)) => frame,
                Ok(None) => return Ok(End::SourceEnded),
                Err(SourceError::NotYet) => continue,
                Err(error) if error.is_recoverable() => {
                    counts.frames += error.lost_frames();
                    counts.dropped.unreadable += error.lost_frames();
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
            let result = FrameResult { frame, poses: &poses, times, live: None, zones: None, rgb: &rgb };
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
    let deadline = deadline.and_then(|deadline| begun.checked_add(deadline));
    let (boxes, mut times) = boxes.boxes(frame, deadline)?;
    times += estimator.estimate(&Request { image: frame.image, boxes, deadline }, poses)?;
    Ok(times)
}

#[cfg(all(test, feature = "camera"))]
mod tests {
    use super::*;
    use crate::geometry::Size;
    use crate::pixels::{Image, PixelFormat};
    use crate::source::v4l2::CameraError;

    /// A camera that warns before each of its two frames, and with its end.
    struct Warning {
        image: Image,
        frames: u64,
        warned: u64,
    }

    impl Source for Warning {
        fn next_frame(&mut self) -> Result<Option<Frame<'_>>, SourceError> {
            self.frames += 1;
            let (image, sequence) = (self.image.view(), self.frames - 1);
            let frame = Frame { image, sequence, captured: None, instant: None, name: None };
            Ok((sequence < 2).then_some(frame))
        }

        fn next_warning(&mut self) -> Option<SourceError> {
            let is_due = self.warned <= self.frames;
            self.warned += u64::from(is_due);
            let warning = CameraError::Stalled { path: "/dev/video0".into(), seconds: 1.0, said: String::new() };
            is_due.then_some(SourceError::Camera(warning))
        }
    }

    struct NoPoses;

    impl Estimator for NoPoses {
        fn estimate(&mut self, _: &Request<'_>, _: &mut Poses) -> Result<StageTimes, EstimateError> {
            Ok(StageTimes::default())
        }
    }

    struct Warnings(u64);

    impl Observer for Warnings {
        fn skipped(&mut self, why: &Skip, _: &Counts) {
            panic!("no frame is skipped: {why}");
        }

        fn warned(&mut self, _: &SourceError, _: &Counts) {
            self.0 += 1;
        }
    }

    #[test]
    fn a_cameras_warnings_are_no_unreadable_frames() {
        let image = Image::new(PixelFormat::Grey, Size::new(1, 1), vec![0]).unwrap();
        let (mut source, mut warnings, mut counts) =
            (Warning { image, frames: 0, warned: 0 }, Warnings(0), Counts::default());
        let mut pipeline = Pipeline {
            source: &mut source,
            boxes: &mut WholeImage,
            estimator: &mut NoPoses,
            outputs: &Outputs::default(),
            observer: &mut warnings,
            deadline: None,
            stop: &AtomicBool::new(false),
        };
        assert_eq!(pipeline.run(&mut counts).unwrap(), End::SourceEnded);
        assert_eq!((warnings.0, counts.frames, counts.processed, counts.dropped.unreadable), (4, 2, 2, 0));
    }
}
