//! Frames from cameras, images and videos, one at a time.
//!
//! A source is chosen by its URI: a camera (`/dev/video0`, or `v4l2:/dev/video0?size=1280x720&fps=30&format=YUYV`), the path of
//! an image, of a folder of images or of a video, an address such as `rtsp://camera/stream`, or `-` for y4m on standard input. See
//! [`open()`].

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::counts::Counts;
use crate::pixels::{ImageView, ReadError};

#[cfg(feature = "camera")]
#[doc(hidden)]
pub mod child;
mod file_uri;
mod images;
mod layout;
mod lookahead;
mod open;
pub(crate) mod recording;
mod repeated;
mod replay;
#[cfg(feature = "camera")]
#[doc(hidden)]
pub mod v4l2;
mod y4m;

#[doc(hidden)]
pub use images::Images;
pub use open::open;
#[doc(hidden)]
pub use open::{camera_name, files_of, masked, recording_of, shown};
#[doc(hidden)]
pub use repeated::Repeated;
pub use replay::Replay;
pub use y4m::{Y4m, Y4mError};

/// One frame, borrowed from its source until the next is requested.
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    /// The pixels.
    pub image: ImageView<'a>,
    /// Counts from 0; a gap means that the driver dropped frames.
    pub sequence: u64,
    /// When it was captured, on the source's own clock; `None` for files without times.
    pub captured: Option<Duration>,
    /// The same moment on this program's clock, from which a live frame's age counts.
    pub instant: Option<Instant>,
    /// The path of the image's file, or of the camera.
    pub name: Option<&'a str>,
}

/// A source of frames.
pub trait Source: Send {
    /// The next frame, or `None` after the last.
    ///
    /// # Errors
    /// If a frame cannot be read. [`SourceError::is_recoverable`] tells whether the next may be requested.
    fn next_frame(&mut self) -> Result<Option<Frame<'_>>, SourceError>;

    /// Takes the next warning of something from which the source recovers by itself, such as a camera that stalled or frames that
    /// its driver dropped. Drain before each frame, until it returns `None`.
    fn next_warning(&mut self) -> Option<SourceError> {
        None
    }

    /// The number of frames, if known in advance.
    fn frames(&self) -> Option<u64> {
        None
    }

    /// Counts of a live source so far: its own part of [`Counts`]. `None` for non-live sources.
    fn live_counts(&self) -> Option<Counts> {
        None
    }
}

/// Why there is no frame.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// The URI names no kind of source.
    #[error(
        "source '{uri}' is not known: use a camera such as /dev/video0, rtsp://... or csi://0, the path of an image (JPEG, PNG), \
         of a folder of images or of a video, ffmpeg:ADDRESS, gst:PIPELINE, replay:FOLDER, or - for y4m on standard input"
    )]
    Unknown {
        /// What was given.
        uri: String,
    },
    /// The file or folder cannot be opened.
    #[error("{}: cannot be opened; check the path and its permissions", path.display())]
    Open {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The file is neither an image nor a video.
    #[error(
        "{}: found {found}, expected a JPEG, a PNG or a video; if ffmpeg can read it, name it ffmpeg:{}",
        path.display(),
        path.display()
    )]
    Content {
        /// The file.
        path: PathBuf,
        /// What its first bytes look like.
        found: String,
    },
    /// The folder has no images.
    #[error(
        "{}: no image in this folder; expected JPEG or PNG files, ending in .jpg, .jpeg or .png or without an ending",
        path.display()
    )]
    NoImages {
        /// The folder.
        path: PathBuf,
    },
    /// An error or warning of a camera.
    #[cfg(feature = "camera")]
    #[error(transparent)]
    Camera(v4l2::CameraError),
    /// The program that decodes a video is missing, has failed, or warns.
    #[error("{name}: {reason}")]
    Child {
        /// The video's name, without anything secret.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// Frames of a video could not be decoded; the others were read.
    #[error("{name}: {lost} of {frames} frames could not be decoded; {said}")]
    Undecodable {
        /// The video's name.
        name: String,
        /// Number of lost frames.
        lost: u64,
        /// Number of frames in the file.
        frames: u64,
        /// The decoder's last lines.
        said: String,
    },
    /// A recording is damaged, or is none.
    #[error("{}: {reason}", path.display())]
    Recording {
        /// The folder, or the file in it.
        path: PathBuf,
        /// What is wrong, and where.
        reason: String,
    },
    /// A camera's URI is wrong.
    #[error("source '{uri}': {reason}")]
    Option {
        /// What was given.
        uri: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A live source has no frame yet; try again.
    #[error("no frame yet")]
    NotYet,
    /// One image of a folder cannot be read; the others may.
    #[error(transparent)]
    Skipped(ReadError),
    /// The image cannot be read.
    #[error(transparent)]
    Image(ReadError),
    /// The video cannot be read.
    #[error("{name}: {source}")]
    Video {
        /// Its path or name.
        name: String,
        /// What is wrong with it.
        source: Y4mError,
    },
}

impl SourceError {
    /// Whether only some frames are lost and the next may be requested.
    pub fn is_recoverable(&self) -> bool {
        matches!(self, Self::Skipped(_) | Self::Undecodable { .. } | Self::NotYet)
    }

    /// Number of frames that are lost if it is recoverable.
    pub fn lost_frames(&self) -> u64 {
        match self {
            Self::NotYet => 0,
            Self::Undecodable { lost, .. } => *lost,
            _ => 1,
        }
    }
}
