//! Errors of cameras.

use std::io;
use std::path::PathBuf;

/// A camera's error or warning.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CameraError {
    /// A system call failed.
    #[error("camera {}: {what} failed: {source}{}", path.display(), hint(source))]
    Call {
        /// The device.
        path: PathBuf,
        /// What was being done.
        what: &'static str,
        /// The system's error.
        source: io::Error,
    },
    /// It cannot do what is requested.
    #[error("camera {}: {reason}", path.display())]
    Unsupported {
        /// The device.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// No frame came for longer than the stall limit.
    #[error("camera {}: no frame for {seconds:.1} s; restarting the stream{}", path.display(), quoted(said))]
    Stalled {
        /// The device.
        path: PathBuf,
        /// For how long.
        seconds: f64,
        /// Further output of the source.
        said: String,
    },
    /// The program that reads a camera has ended, or its output makes no sense.
    #[error("camera {name}: {reason}; starting it again")]
    Child {
        /// The camera's name, without anything secret.
        name: String,
        /// What happened.
        reason: String,
    },
    /// The driver dropped frames.
    #[error("camera {}: the driver dropped {frames} frames just now; such frames are counted", path.display())]
    LostByDriver {
        /// The device.
        path: PathBuf,
        /// How many.
        frames: u32,
    },
    /// A frame is corrupt or cannot be decoded.
    #[error("camera {}: a frame is corrupt: {reason}; such frames are dropped and counted", path.display())]
    Corrupt {
        /// The device.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

impl CameraError {
    /// Whether trying again may help: the device is busy or fails, and nothing is wrong with the request.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Call { source, .. } => {
                !matches!(source.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied)
            }
            Self::Stalled { .. } | Self::Child { .. } | Self::LostByDriver { .. } | Self::Corrupt { .. } => true,
            Self::Unsupported { .. } => false,
        }
    }
}

/// Output of the source, appended to a message.
fn quoted(said: &str) -> String {
    if said.is_empty() { String::new() } else { format!("; it said: {said}") }
}

/// What the user can do about it.
fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => "; `sinew cameras` lists the cameras",
        io::ErrorKind::PermissionDenied => "; add the user to the group `video`",
        io::ErrorKind::ResourceBusy => "; another program uses it",
        _ => "",
    }
}

/// Why a request cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct RequestError {
    /// What is wrong with which option, and what would be right.
    pub reason: String,
}

impl From<String> for RequestError {
    fn from(reason: String) -> Self {
        Self { reason }
    }
}
