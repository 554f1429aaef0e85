//! What a camera needs from its device. Linux's video interface is one backend; tests have others.

use std::time::{Duration, Instant};

use super::device::CaptureFormat;
use super::error::CameraError;
use crate::pixels::ImageView;

/// The result of waiting for a frame.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Dequeued {
    /// Whether there is a frame, which [`CaptureStream::captured`] then gives.
    pub is_frame: bool,
    /// The driver's count.
    pub sequence: u32,
    /// When it was captured, on the driver's clock.
    pub captured: Duration,
    /// The same moment on this program's clock, from which its age counts.
    pub instant: Option<Instant>,
    /// Older frames that this one replaced.
    pub superseded: u32,
    /// Frames that the driver marked as corrupt.
    pub corrupt: u32,
}

/// A frame as it was captured.
#[derive(Debug)]
pub enum Captured<'a> {
    /// Bytes in the stream's format.
    Bytes(&'a [u8]),
    /// An image already.
    Image(ImageView<'a>),
    /// None, and why.
    Corrupt(String),
}

/// A device that streams.
pub trait CaptureStream: Send {
    /// The format of its frames.
    fn format(&self) -> CaptureFormat;

    /// Waits for a frame and dequeues the newest. The previous frame is returned to the driver.
    ///
    /// # Errors
    /// If the device fails.
    fn newest(&mut self, timeout: Duration) -> Result<Dequeued, CameraError>;

    /// The frame that was dequeued last; no bytes if there is none.
    fn captured(&mut self) -> Captured<'_>;

    /// Further details for an error message.
    fn said(&self) -> String {
        String::new()
    }
}

/// Opens streams of one device, repeatedly.
pub trait CaptureBackend: Send {
    /// Opens the device and starts it.
    ///
    /// # Errors
    /// If either fails.
    fn start(&mut self) -> Result<Box<dyn CaptureStream>, CameraError>;

    /// Whether the device exists, as far as can be said without opening it.
    fn is_present(&self) -> bool;
}
