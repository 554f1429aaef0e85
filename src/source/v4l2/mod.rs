//! Cameras, through Linux's video interface (V4L2).
//!
//! The crate `v4l` stops for good after a camera has stalled, panics on values that it does not know, and needs libclang to
//! build; capture needs few calls of the interface, which `sys` has. Lowest first: `error`, `four_cc` and `request` are
//! plain data, `choose` picks a mode, `device` is an open camera, `backend` is what a stream must do, `buffers` and `stream`
//! are that for a device, and [`Camera`] keeps a stream going.

mod backend;
mod buffers;
mod camera;
mod choose;
mod device;
mod error;
mod four_cc;
mod request;
mod stream;
mod sys;

use std::path::{Path, PathBuf};

pub use backend::{CaptureBackend, CaptureStream, Captured, Dequeued};
pub use camera::{Camera, RetryPolicy};
pub use choose::{CaptureMode, choose, is_raw_sensor};
pub use device::{About, CaptureFormat, Control, Device};
pub use error::{CameraError, RequestError};
pub use four_cc::{FourCc, FrameEncoding};
pub use request::CaptureRequest;
pub(super) use sys::monotonic;

/// All video devices, sorted by number.
pub fn nodes() -> Vec<PathBuf> {
    let number = |path: &Path| path.file_name()?.to_str()?.strip_prefix("video")?.parse::<u32>().ok();
    let entries = std::fs::read_dir("/dev").into_iter().flatten().flatten();
    let mut found: Vec<_> = entries.filter_map(|entry| Some((number(&entry.path())?, entry.path()))).collect();
    found.sort();
    found.into_iter().map(|(_, path)| path).collect()
}
