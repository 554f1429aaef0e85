//! A frame on its way through the threads, with memory for its result.

use std::time::{Duration, Instant};

use crate::estimator::StageTimes;
use crate::pixels::Image;
use crate::pose::Poses;
use crate::source::Frame;

/// A frame and its result. A fixed number of these slots circulates; after the first frames nothing is allocated for them.
#[derive(Debug)]
pub(super) struct Job {
    /// Number of its camera.
    pub camera: usize,
    /// Number of the model that found the poses: how often it was replaced before.
    pub model: u64,
    /// The frame.
    pub frame: OwnedFrame,
    /// Its poses.
    pub poses: Poses,
    /// Time that each stage took.
    pub times: StageTimes,
}

/// A frame in its own memory.
#[derive(Debug)]
pub(super) struct OwnedFrame {
    image: Image,
    sequence: u64,
    captured: Option<Duration>,
    instant: Option<Instant>,
    /// Kept where a frame has none: its memory is for the next.
    name: String,
    has_name: bool,
}

impl Job {
    pub fn empty() -> Box<Self> {
        Box::new(Self {
            camera: 0,
            model: 0,
            frame: OwnedFrame {
                image: Image::default(),
                sequence: 0,
                captured: None,
                instant: None,
                name: String::new(),
                has_name: false,
            },
            poses: Poses::default(),
            times: StageTimes::default(),
        })
    }
}

impl OwnedFrame {
    /// Copies `frame` into this slot.
    pub fn fill(&mut self, frame: &Frame<'_>) {
        self.image.copy_from(frame.image);
        (self.sequence, self.captured, self.instant) = (frame.sequence, frame.captured, frame.instant);
        self.has_name = frame.name.is_some();
        self.name.clear();
        self.name.push_str(frame.name.unwrap_or_default());
    }

    /// The frame, borrowed.
    pub fn view(&self) -> Frame<'_> {
        Frame {
            image: self.image.view(),
            sequence: self.sequence,
            captured: self.captured,
            instant: self.instant,
            name: self.has_name.then_some(&self.name),
        }
    }

    /// When it was captured.
    pub fn instant(&self) -> Option<Instant> {
        self.instant
    }

    /// Time since it was captured.
    pub fn age(&self) -> Option<Duration> {
        self.instant.map(|instant| instant.elapsed())
    }
}
