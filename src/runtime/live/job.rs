//! A frame on its way through the threads, with room for its answer.

use std::time::{Duration, Instant};

use crate::estimator::StageTimes;
use crate::geometry::Size;
use crate::pixels::{Colour, PictureError, PictureView, PixelFormat};
use crate::pose::Poses;
use crate::source::Frame;

/// A frame and its answer. Boxes of these go round; after the first frames nothing is allocated for them.
#[derive(Debug)]
pub(super) struct Job {
    /// Which camera it is of.
    pub camera: usize,
    /// The frame.
    pub held: Held,
    /// Its answer.
    pub poses: Poses,
    /// How long that took.
    pub times: StageTimes,
}

/// A frame in its own memory.
#[derive(Debug)]
pub(super) struct Held {
    bytes: Vec<u8>,
    format: PixelFormat,
    size: Size,
    stride: usize,
    colour: Colour,
    sequence: u64,
    captured: Option<Duration>,
    instant: Option<Instant>,
    name: Option<String>,
}

impl Job {
    pub fn empty(camera: usize) -> Box<Self> {
        Box::new(Self {
            camera,
            held: Held {
                bytes: Vec::new(),
                format: PixelFormat::Grey,
                size: Size::new(0, 0),
                stride: 0,
                colour: Colour::default(),
                sequence: 0,
                captured: None,
                instant: None,
                name: None,
            },
            poses: Poses::default(),
            times: StageTimes::default(),
        })
    }
}

impl Held {
    /// Becomes a copy of `frame`.
    pub fn fill(&mut self, frame: &Frame<'_>) {
        let picture = frame.picture;
        (self.format, self.size, self.stride) = (picture.format(), picture.size(), picture.stride());
        self.colour = picture.colour();
        // The view's check has seen that it has so many.
        let needed = self.format.picture_bytes(self.size, self.stride).unwrap_or_default();
        self.bytes.clear();
        self.bytes.extend_from_slice(&picture.data()[..needed]);
        (self.sequence, self.captured, self.instant) = (frame.sequence, frame.captured, frame.instant);
        match (frame.name, &mut self.name) {
            (Some(name), Some(kept)) if name == kept => {}
            (name, kept) => *kept = name.map(str::to_owned),
        }
    }

    /// The frame, borrowed.
    pub fn frame(&self) -> Result<Frame<'_>, PictureError> {
        let picture = PictureView::new(self.format, self.size, self.stride, &self.bytes)?.with_colour(self.colour);
        Ok(Frame {
            picture,
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
