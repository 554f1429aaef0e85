//! Headers before pixels.

use std::time::Duration;

use crate::geometry::Size;
use crate::pixels::{Colour, PixelFormat};
use crate::source::layout::Layout;

/// Format of a stream's frames.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StreamFormat {
    /// The pixel layout.
    pub pixels: PixelFormat,
    /// Width and height in pixels.
    pub size: Size,
    /// Meaning of YUV values.
    pub colour: Colour,
    /// Layout of a frame's planes in the stream.
    pub(super) layout: Layout,
}

/// What comes next in a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Unknown until there are more bytes.
    Incomplete,
    /// This many bytes that are not part of a frame.
    Other(usize),
    /// A frame.
    Frame(FrameHeader),
}

/// A frame that begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FrameHeader {
    /// Bytes of this header.
    pub header: usize,
    /// Bytes of pixels behind it.
    pub payload: usize,
    /// Pixels that stand before these and that the stream does not repeat: its number in the stream.
    pub prefix: Option<usize>,
    /// When the frame is shown, on the stream's clock.
    pub time: Option<Duration>,
}
