//! What streams say before pixels.

use std::time::Duration;

use crate::geometry::Size;
use crate::pixels::{Colour, PixelFormat};
use crate::source::layout::Layout;

/// What a stream says of its frames.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StreamFormat {
    /// The pixel layout.
    pub pixels: PixelFormat,
    /// Width and height in pixels.
    pub size: Size,
    /// What YUV values mean.
    pub colour: Colour,
    /// How the planes of a frame lie in the stream.
    pub(super) layout: Layout,
}

/// What comes next in a stream, at the start of the bytes that it was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Not known before more bytes are there.
    Incomplete,
    /// So many bytes that are no frame.
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
