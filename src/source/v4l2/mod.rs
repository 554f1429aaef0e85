//! Cameras, through Linux's video interface.
//!
//! The crate `v4l` stops for good after a camera has stalled, panics on values that it does not know, and needs libclang to
//! build; what capture needs of the interface are these few calls, which `sys` has. `device` asks a camera what it is and sets it,
//! `stream` moves buffers, and [`Camera`] goes on whatever happens.

mod camera;
mod choose;
mod device;
mod four_cc;
pub mod mjpeg;
mod request;
mod stream;
mod sys;

use std::io;
use std::path::{Path, PathBuf};

pub use camera::{Camera, CaptureBackend, CaptureStream, Dequeued, RetryPolicy};
pub use choose::{CaptureMode, choose, is_raw_sensor};
pub use device::{About, CaptureFormat, Control, Device};
pub use four_cc::{FourCc, FrameEncoding};
pub use request::CaptureRequest;

/// What is wrong with a camera.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CameraError {
    /// A call failed.
    #[error("camera {}: {what} failed: {source}{}", path.display(), hint(source))]
    Call {
        /// The device.
        path: PathBuf,
        /// What was being done.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// It cannot give what is wanted.
    #[error("camera {}: {reason}", path.display())]
    Unfit {
        /// The device.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// There was no frame for a while.
    #[error("camera {}: no frame for {seconds:.1} s; starting the stream again", path.display())]
    Stalled {
        /// The device.
        path: PathBuf,
        /// How long.
        seconds: f64,
    },
    /// Frames are missing.
    #[error("camera {}: frames are lost before they come here, {frames} just now; they are counted", path.display())]
    Lost {
        /// The device.
        path: PathBuf,
        /// How many.
        frames: u32,
    },
    /// A frame is no image.
    #[error("camera {}: a frame is corrupt: {reason}; such frames are left out and counted", path.display())]
    Damaged {
        /// The device.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

impl CameraError {
    /// Whether waiting may help: the device is busy, or fails, and nothing is wrong with what was asked of it.
    pub fn passes(&self) -> bool {
        match self {
            Self::Call { source, .. } => {
                !matches!(source.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied)
            }
            Self::Stalled { .. } | Self::Lost { .. } | Self::Damaged { .. } => true,
            Self::Unfit { .. } => false,
        }
    }
}

/// What to do about it.
fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => "; `sinew cameras` lists what is there",
        io::ErrorKind::PermissionDenied => "; add the user to the group `video`",
        io::ErrorKind::ResourceBusy => "; another program uses it",
        _ => "",
    }
}

/// All nodes of cameras, sorted by number.
pub fn nodes() -> Vec<PathBuf> {
    let number = |path: &Path| path.file_name()?.to_str()?.strip_prefix("video")?.parse::<u32>().ok();
    let entries = std::fs::read_dir("/dev").into_iter().flatten().flatten();
    let mut found: Vec<_> = entries.filter_map(|entry| Some((number(&entry.path())?, entry.path()))).collect();
    found.sort();
    found.into_iter().map(|(_, path)| path).collect()
}
