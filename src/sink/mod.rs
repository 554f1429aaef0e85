//! Outputs.
//!
//! A sink is chosen by its URI when the program starts: `jsonl:PATH` (`jsonl:-` is standard output) writes one JSON object per
//! frame, `unix:PATH` sends the same lines to the clients of a socket, `overlay:PATH` draws the poses onto the frames,
//! `y4m:PATH` writes the frames without drawing on them, `record:FOLDER` keeps frames, times and results, `fb:DEVICE` shows the
//! poses on a screen, `mqtt://HOST` sends results to a broker. [`http`] serves them to browsers. A sink knows neither engines nor models.
//!
//! To add one: implement [`Sink`] in a file of its own, and add its scheme to [`open`], to [`outputs`] (which protects files from
//! being overwritten), and to the lists in [`SinkError::Unknown`] and in the help of `--sink`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::estimator::StageTimes;
use crate::pixels::{ImageView, PixelFormat};
use crate::pose::{Poses, Skeleton};
use crate::source::Frame;
use crate::write::{Patient, is_standard_output};

// The metrics read them in every program.
#[cfg_attr(not(feature = "mqtt"), allow(dead_code))]
mod broker_counts;
pub mod canvas;
mod dropped_lines;
mod file;
pub mod framebuffer;
pub mod http;
mod image;
pub mod jsonl;
#[cfg(feature = "mqtt")]
pub mod mqtt;
pub mod overlay;
pub mod paint;
mod recording;
mod rgb;
mod scale;
mod socket;
mod uri;
mod video;
mod y4m;
pub mod zones;

pub use broker_counts::BrokerCounts;
pub use dropped_lines::DroppedLines;
pub use rgb::RgbCache;
pub use zones::{NamedLine, NamedZone, TrackCounts, ZoneCounter, ZoneSetup, ZoneTotals};

/// One processed frame with its results.
#[derive(Debug, Clone, Copy)]
pub struct FrameResult<'a> {
    /// The frame.
    pub frame: Frame<'a>,
    /// Its poses, in image pixels.
    pub poses: &'a Poses,
    /// Durations of its stages.
    pub times: StageTimes,
    /// Further facts about a camera's frame.
    pub live: Option<Live>,
    /// Counts of zones and lines, if there are any.
    pub zones: Option<&'a ZoneCounter>,
    /// The frame in RGB, made when the first sink needs it; cleared before each frame.
    pub rgb: &'a RgbCache,
}

impl<'a> FrameResult<'a> {
    /// The frame in RGB, 3 bytes a pixel, rows without gaps.
    pub fn rgb(&self) -> &'a [u8] {
        self.rgb.get(self.frame.image)
    }

    /// The frame in RGB, if a sink has needed it already.
    pub fn converted(&self) -> Option<ImageView<'a>> {
        let size = self.frame.image.size();
        ImageView::new(PixelFormat::Rgb, size, 3 * size.width, self.rgb.converted()?).ok()
    }
}

/// Facts about a camera's frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Live {
    /// Time from its capture to this sink.
    pub age: Option<Duration>,
    /// Time of capture in UTC by the system's clock, since 1970.
    pub captured_utc: Option<Duration>,
    /// The camera's number, in the order in which they were named.
    pub camera: usize,
}

/// Takes the results, in the order of the frames.
pub trait Sink: Send {
    /// Takes one result.
    ///
    /// # Errors
    /// If it cannot be written; [`SinkError::Closed`] if the reader has closed the output, which is not a failure.
    fn put(&mut self, result: &FrameResult<'_>) -> Result<(), SinkError>;

    /// The model was replaced: `schema` describes the results that follow.
    ///
    /// # Errors
    /// Same as [`Sink::put`].
    fn describe(&mut self, schema: &OutputSchema) -> Result<(), SinkError> {
        let _ = schema;
        Ok(())
    }

    /// Writes what is still buffered. No result follows.
    ///
    /// # Errors
    /// Same as [`Sink::put`].
    fn finish(&mut self) -> Result<(), SinkError> {
        Ok(())
    }
}

/// The kinds of pose in the results, for headers and for the colours of drawings.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct OutputSchema {
    /// Kind of the model, such as `logocap`.
    pub model: String,
    /// Name of the bundle.
    pub bundle: String,
    /// The kinds of pose, by [`crate::pose::Pose::template`]: one, or one per template.
    pub categories: Vec<Category>,
    /// Whether the kinds are templates, in which case every pose names its own.
    pub templates: bool,
    /// Maximum number of poses of a frame.
    pub poses: usize,
    /// Name of the machine.
    pub host: Option<String>,
    /// An identifier of this machine, whatever its name.
    pub device: Option<String>,
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

/// Options of sinks in addition to their URI.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Keypoints that score below are not drawn.
    pub keypoint_threshold: f32,
    /// Counts the lines that are dropped.
    pub dropped_lines: Arc<DroppedLines>,
    /// Counts results on their way to brokers.
    pub broker: Arc<BrokerCounts>,
}

/// Why a result could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SinkError {
    /// The reader has closed the output.
    #[error("{target}: the reader has closed it")]
    Closed {
        /// The output.
        target: String,
    },
    /// The URI names no kind of sink.
    #[error(
        "sink '{uri}' is not known: use jsonl:PATH, jsonl:- for standard output, unix:PATH for a socket, \
         overlay:PATH, y4m:PATH for the frames themselves, record:FOLDER, fb:/dev/fb0 for a screen, or mqtt://HOST/PREFIX for \
         a broker"
    )]
    Unknown {
        /// What was given.
        uri: String,
    },
    /// The options in a URI are wrong.
    #[error("sink '{uri}': {reason}")]
    Option {
        /// What was given.
        uri: String,
        /// What is wrong with it, and what would be right.
        reason: String,
    },
    /// Another program writes the file.
    #[error("{}: another program is writing this file; end it or choose another path", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// Another program listens on the socket.
    #[error("{}: another program listens on this socket; end it or choose another path", path.display())]
    SocketInUse {
        /// The socket.
        path: PathBuf,
    },
    /// The socket's path is that of another file.
    #[error("{}: this is not a socket and is not replaced; remove it or choose another path", path.display())]
    NoSocket {
        /// The file.
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
    /// The system cannot start a thread.
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
    /// The screen cannot be used.
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
    /// A broker is asked for. What is given may hold a password, so it is not repeated.
    #[cfg(not(feature = "mqtt"))]
    fn no_mqtt() -> Self {
        let reason =
            "this program was built without MQTT: build it with `cargo build --release --features mqtt`".to_owned();
        Self::Option { uri: "mqtt://".to_owned(), reason }
    }

    /// Distinguishes a file that another program writes from other failures.
    fn from_open(path: &Path, source: std::io::Error) -> Self {
        match source.kind() {
            std::io::ErrorKind::ResourceBusy => Self::InUse { path: path.to_owned() },
            _ => Self::Open { target: path.display().to_string(), source },
        }
    }

    /// Distinguishes a closed pipe from other failures of a write.
    fn from_write(target: &str, source: std::io::Error) -> Self {
        if source.kind() == std::io::ErrorKind::BrokenPipe {
            Self::Closed { target: target.to_owned() }
        } else {
            Self::Write { target: target.to_owned(), source }
        }
    }
}

/// Opens the sink that `uri` names. The output is opened here, so that an unwritable path is reported before any
/// work is done.
///
/// # Errors
/// If the URI does not name a sink, or its output cannot be opened.
pub fn open(uri: &str, schema: &OutputSchema, options: &Options) -> Result<Box<dyn Sink>, SinkError> {
    match uri.split_once(':') {
        #[cfg(feature = "mqtt")]
        Some(("mqtt" | "mqtts", _)) => mqtt::open(uri, schema, &options.broker),
        #[cfg(not(feature = "mqtt"))]
        Some(("mqtt" | "mqtts", _)) => Err(SinkError::no_mqtt()),
        Some(("jsonl", path)) if is_standard(path) => {
            Ok(Box::new(jsonl::JsonLines::new(Patient(std::io::stdout()), "standard output", schema)?))
        }
        Some(("jsonl", path)) if !path.is_empty() => file::open(path, schema, &options.dropped_lines),
        Some(("unix", path)) if !path.is_empty() => socket::open(path, schema, &options.dropped_lines),
        Some(("y4m", path)) if !path.is_empty() => video::open(path),
        Some(("overlay", path)) if !path.is_empty() => overlay::open(path, schema, options),
        Some(("record", path)) if !path.is_empty() => recording::open(path, schema, &options.dropped_lines),
        Some(("fb", path)) if !path.is_empty() => {
            framebuffer::open(path, Path::new(framebuffer::SYSFS), schema, options)
        }
        _ => Err(SinkError::Unknown { uri: uri.to_owned() }),
    }
}

/// Whether a sink's path means standard output.
fn is_standard(path: &str) -> bool {
    path == "-" || is_standard_output(Path::new(path))
}

/// What a sink writes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// A file, or each of several.
    Files(Vec<PathBuf>),
    /// Images in this folder, named after those that the frames are read from.
    Folder(PathBuf),
    /// A folder that nothing else may use: a recording, a spool.
    OwnFolder(PathBuf),
    /// Standard output.
    Standard,
    /// A device, or another machine.
    Device,
}

/// Files that the sink `uri` names and reads, such as certificates.
///
/// # Errors
/// As [`outputs`].
pub fn inputs(uri: &str) -> Result<Vec<PathBuf>, SinkError> {
    match uri.split_once(':') {
        #[cfg(feature = "mqtt")]
        Some(("mqtt" | "mqtts", _)) => mqtt::options::paths(uri).map(|(_, files)| files),
        _ => Ok(Vec::new()),
    }
}

/// `uri` without a password in it, for messages.
pub fn shown(uri: &str) -> String {
    #[cfg(feature = "mqtt")]
    if mqtt::options::is_mqtt(uri) {
        return mqtt::options::shown(uri);
    }
    uri.to_owned()
}

/// What the sink that `uri` names would write to; nothing is opened.
///
/// # Errors
/// If the URI does not name a sink, or an option is wrong.
pub fn outputs(uri: &str) -> Result<Output, SinkError> {
    match uri.split_once(':') {
        Some(("jsonl" | "y4m" | "overlay", path)) if is_standard(path) => Ok(Output::Standard),
        Some(("jsonl", path)) if !path.is_empty() => file::paths(path).map(Output::Files),
        Some(("overlay", path)) if !path.is_empty() && !overlay::is_video(Path::new(path))? => {
            Ok(Output::Folder(path.into()))
        }
        Some(("unix" | "y4m" | "overlay", path)) if !path.is_empty() => Ok(Output::Files(vec![path.into()])),
        Some(("record", path)) if !path.is_empty() => recording::folder(path).map(Output::OwnFolder),
        Some(("fb", path)) if !path.is_empty() => Ok(Output::Device),
        #[cfg(feature = "mqtt")]
        Some(("mqtt" | "mqtts", _)) => Ok(mqtt::options::paths(uri)?.0.map_or(Output::Device, Output::OwnFolder)),
        #[cfg(not(feature = "mqtt"))]
        Some(("mqtt" | "mqtts", _)) => Err(SinkError::no_mqtt()),
        _ => Err(SinkError::Unknown { uri: uri.to_owned() }),
    }
}
