//! A frame on its way through the threads, with room for its answer.

use std::time::{Duration, Instant};

use crate::estimator::StageTimes;
use crate::pixels::{ImageBuffer, ImageError};
use crate::pose::Poses;
use crate::source::Frame;

/// A frame and its answer. Boxes of these go round; after the first frames nothing is allocated for them.
#[derive(Debug)]
pub(super) struct Job {
    /// Which camera it is of.
    pub camera: usize,
    /// The frame.
    pub held: OwnedFrame,
    /// Its answer.
    pub poses: Poses,
    /// How long that took.
    pub times: StageTimes,
}

/// A frame in its own memory.
#[derive(Debug)]
pub(super) struct OwnedFrame {
    image: ImageBuffer,
    sequence: u64,
    captured: Option<Duration>,
    instant: Option<Instant>,
    name: Option<String>,
}

impl Job {
    pub fn empty(camera: usize) -> Box<Self> {
        Box::new(Self {
            camera,
            held: OwnedFrame { image: ImageBuffer::default(), sequence: 0, captured: None, instant: None, name: None },
            poses: Poses::default(),
            times: StageTimes::default(),
        })
    }
}

impl OwnedFrame {
    /// Becomes a copy of `frame`.
    pub fn fill(&mut self, frame: &Frame<'_>) {
        self.image.fill(frame.image);
        (self.sequence, self.captured, self.instant) = (frame.sequence, frame.captured, frame.instant);
        match (frame.name, &mut self.name) {
            (Some(name), Some(kept)) if name == kept => {}
            (name, kept) => *kept = name.map(str::to_owned),
        }
    }

    /// The frame, borrowed.
    pub fn frame(&self) -> Result<Frame<'_>, ImageError> {
        Ok(Frame {
            image: self.image.view()?,
            sequence: self.sequence,
            captured: self.captured,
            instant: self.instant,
            name: self.name.as_deref(),
        })
    }

    /// Time since it was captured.
    pub fn age(&self) -> Option<Duration> {
        self.instant.map(|instant| instant.elapsed())
    }
}
