//! Frames in memory, repeated as fast as they are taken.

use std::time::Instant;

use super::{Frame, Source, SourceError};
use crate::pixels::Image;

/// Cycles through images in memory, up to a number of frames.
///
/// Every frame is copied first, as a camera's is from its driver's memory, and the moment before the copy is its moment
/// of capture.
#[derive(Debug)]
pub struct Repeated {
    images: Vec<Image>,
    copy: Image,
    frames: u64,
    next: u64,
}

impl Repeated {
    /// `frames` frames of `images`, which must not be empty if there is a frame to give.
    pub fn new(images: Vec<Image>, frames: u64) -> Self {
        let frames = if images.is_empty() { 0 } else { frames };
        Self { images, copy: Image::default(), frames, next: 0 }
    }
}

impl Source for Repeated {
    fn next_frame(&mut self) -> Result<Option<Frame<'_>>, SourceError> {
        if self.next == self.frames {
            return Ok(None);
        }
        let instant = Some(Instant::now());
        let sequence = self.next;
        self.next += 1;
        self.copy.copy_from(self.images[(sequence % self.images.len() as u64) as usize].view());
        let image = self.copy.view();
        Ok(Some(Frame { image, sequence, captured: None, instant, name: None }))
    }

    fn frames(&self) -> Option<u64> {
        Some(self.frames)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Size;
    use crate::pixels::PixelFormat;

    #[test]
    fn images_take_turns() {
        let image = |value| Image::new(PixelFormat::Grey, Size::new(2, 1), vec![value; 2]).unwrap();
        let mut source = Repeated::new(vec![image(1), image(2)], 3);
        let mut seen = Vec::new();
        while let Some(frame) = source.next_frame().unwrap() {
            assert!(frame.instant.is_some());
            seen.push((frame.sequence, frame.image.data().to_vec()));
        }
        assert_eq!(seen, [(0, vec![1, 1]), (1, vec![2, 2]), (2, vec![1, 1])]);
        assert!(Repeated::new(Vec::new(), 3).next_frame().unwrap().is_none());
    }
}
