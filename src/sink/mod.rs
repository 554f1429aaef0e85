//! Where poses go.
//!
//! A sink is chosen by its URI when the program starts: `jsonl:PATH` (`jsonl:-` is standard output) writes one JSON
//! object per frame, `unix:PATH` hands the same to whoever connects, `overlay:PATH` draws the poses onto the frames,
//! `y4m:PATH` records the frames as they came, `fb:DEVICE` shows the poses on a screen. [`http`] shows them in a browser. A
//! sink knows neither engines nor models.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::estimator::StageTimes;
use crate::pose::{Poses, Skeleton};
use crate::source::Frame;

pub mod canvas;
mod dropped_lines;
mod file;
pub mod framebuffer;
pub mod http;
mod image;
pub mod jsonl;
pub mod overlay;
pub mod paint;
mod record;
mod scale;
mod socket;
mod tracked;
mod uri;
mod y4m;

pub use dropped_lines::DroppedLines;
pub use tracked::{TrackCounts, Tracked};

/// Everything that is known about one answered frame.
#[derive(Debug, Clone, Copy)]
pub struct FrameResult<'a> {
    /// The frame.
    pub frame: Frame<'a>,
    /// Its poses, in image pixels.
    pub poses: &'a Poses,
    /// How long it took.
    pub times: StageTimes,
    /// What is known of a camera's frame besides.
    pub live: Option<Live>,
}

/// What is known of a camera's frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Live {
    /// Time from its capture to this sink.
    pub age: Option<Duration>,
    /// The camera's number, in the order in which they were named.
    pub camera: usize,
}

/// Takes the answers, in the order of the frames.
pub trait Sink: Send {
    /// Takes one answer.
    ///
    /// # Errors
    /// Where it cannot be written; [`SinkError::Closed`] where the reader has gone, which is no fault.
    fn put(&mut self, result: &FrameResult<'_>) -> Result<(), SinkError>;

    /// Writes what is still held back. No answer comes after it.
    ///
    /// # Errors
    /// As [`Sink::put`].
    fn finish(&mut self) -> Result<(), SinkError> {
        Ok(())
    }
}

/// What the poses are poses of: written into headers, and what decides the colours of a drawing.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct OutputSchema {
    /// Kind of the model, such as `logocap`.
    pub model: String,
    /// Name of the bundle.
    pub bundle: String,
    /// The kinds of pose, by [`crate::pose::Pose::template`]: one, or one per template.
    pub categories: Vec<Category>,
    /// Whether the kinds are templates, and poses say which one they are of.
    pub templates: bool,
    /// Most poses that a frame can have.
    pub poses: usize,
}

/// One kind of pose.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Category {
    /// Its name.
    pub name: String,
    /// Names of the keypoints, in their order.
    pub keypoints: Vec<String>,
    /// Which keypoints are joined.
    pub skeleton: Skeleton,
}

/// What a sink may be told besides its URI.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Keypoints that score below are not drawn.
    pub keypoint_threshold: f32,
    /// Where lines that are left out are counted.
    pub dropped_lines: Arc<DroppedLines>,
}

/// Why an answer could not be handed on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SinkError {
    /// Whoever read the output has closed it.
    #[error("{target}: the reader has closed it")]
    Closed {
        /// The output.
        target: String,
    },
    /// The URI names no kind of sink.
    #[error(
        "sink '{uri}' is not known: use jsonl:PATH, jsonl:- for standard output, unix:PATH for a socket, \
         overlay:PATH, y4m:PATH for the frames themselves, or fb:/dev/fb0 for a screen"
    )]
    Unknown {
        /// What was given.
        uri: String,
    },
    /// What is wrong with the options in a URI.
    #[error("sink '{uri}': {reason}")]
    Option {
        /// What was given.
        uri: String,
        /// What is wrong with it, and what would be right.
        reason: String,
    },
    /// Somebody listens on the socket already.
    #[error("{}: another program listens on this socket; end it or choose another path", path.display())]
    SocketInUse {
        /// The socket.
        path: PathBuf,
    },
    /// Something else lies where the socket would be.
    #[error("{}: this is no socket and is not replaced; remove it or choose another path", path.display())]
    NoSocket {
        /// What lies there.
        path: PathBuf,
    },
    /// The address cannot be listened on.
    #[error(
        "cannot listen on {address}; give a free port, or an address of this machine with one, such as 127.0.0.1:8080"
    )]
    Listen {
        /// The address.
        address: String,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The system gives no thread.
    #[error("a thread cannot be started")]
    Thread(#[source] std::io::Error),
    /// The output cannot be opened.
    #[error("cannot write to {target}; choose another path or make it writable")]
    Open {
        /// The output.
        target: String,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// Writing failed.
    #[error("writing to {target} failed")]
    Write {
        /// The output.
        target: String,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// Nothing can be shown on a screen.
    #[error("{}: {reason}", path.display())]
    Screen {
        /// The device.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        reason: String,
        /// What the operating system said, if it was asked.
        source: Option<std::io::Error>,
    },
    /// A drawn image would replace the one that it was drawn from.
    #[error("{path}: the drawing would overwrite its own source; give another folder for the overlay")]
    OverwritesSource {
        /// The image.
        path: PathBuf,
    },
    /// A video has one size only.
    #[error("{target}: frame {sequence} is {found} but the video is {expected}; write images into a folder instead")]
    Size {
        /// The video.
        target: String,
        /// The frame's sequence number.
        sequence: u64,
        /// The frame's size.
        found: crate::geometry::Size,
        /// The video's size.
        expected: crate::geometry::Size,
    },
    /// An image does not fit its file format.
    #[error("{target}: an image of {size} cannot be encoded: {reason}")]
    Encode {
        /// The file.
        target: String,
        /// The image's size.
        size: crate::geometry::Size,
        /// What the encoder said.
        reason: String,
    },
}

impl SinkError {
    /// Tells a closed pipe from every other failure of a write.
    fn from_write(target: &str, source: std::io::Error) -> Self {
        if source.kind() == std::io::ErrorKind::BrokenPipe {
            Self::Closed { target: target.to_owned() }
        } else {
            Self::Write { target: target.to_owned(), source }
        }
    }
}

/// Opens the sink that `uri` names. The output is opened here, so that a path that cannot be written is found out
/// before any work is done.
///
/// # Errors
/// Where the URI names no sink, or its output cannot be opened.
pub fn open(uri: &str, schema: &OutputSchema, options: &Options) -> Result<Box<dyn Sink>, SinkError> {
    match uri.split_once(':') {
        Some(("jsonl", "-")) => Ok(Box::new(jsonl::JsonLines::new(std::io::stdout(), "standard output", schema)?)),
        Some(("jsonl", path)) if !path.is_empty() => file::open(path, schema, &options.dropped_lines),
        Some(("unix", path)) if !path.is_empty() => socket::open(path, schema, &options.dropped_lines),
        Some(("y4m", path)) if !path.is_empty() => record::open(path),
        Some(("overlay", path)) if !path.is_empty() => overlay::open(path, schema, options),
        Some(("fb", path)) if !path.is_empty() => {
            framebuffer::open(path, Path::new(framebuffer::SYSFS), schema, options)
        }
        _ => Err(SinkError::Unknown { uri: uri.to_owned() }),
    }
}
