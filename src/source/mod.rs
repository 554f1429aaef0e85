//! Where frames come from.
//!
//! A source is chosen by its URI: a camera (`/dev/video0`, or `v4l2:/dev/video0?size=1280x720&fps=30&format=YUYV`), the path of
//! an image, of a folder of images or of a `.y4m` video, or `-` for y4m on standard input.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::pixels::{ImageView, ReadError};

mod images;
mod repeated;
#[cfg(feature = "camera")]
pub mod v4l2;
mod y4m;

pub use images::Images;
pub use repeated::Repeated;
pub use y4m::{Y4m, Y4mError};

impl std::ops::AddAssign for LiveCounts {
    fn add_assign(&mut self, other: Self) {
        self.superseded += other.superseded;
        self.lost_by_driver += other.lost_by_driver;
        self.corrupt += other.corrupt;
        self.stalls += other.stalls;
        self.failures += other.failures;
        self.restarts += other.restarts;
    }
}

/// One frame, borrowed from its source until the next is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    /// The pixels.
    pub image: ImageView<'a>,
    /// Counts from 0; a gap means that the source lost frames.
    pub sequence: u64,
    /// When it was captured, on the source's own clock; `None` for files without time.
    pub captured: Option<Duration>,
    /// The same moment on this program's clock, from which a live frame's age counts.
    pub instant: Option<Instant>,
    /// What to call it: a file's path, for images; a camera's, for its frames.
    pub name: Option<&'a str>,
}

/// Gives frames, one at a time.
pub trait Source: Send {
    /// The next frame, or `None` after the last.
    ///
    /// # Errors
    /// Where a frame cannot be read. [`SourceError::is_recoverable`] tells whether the next may be asked for.
    fn next_frame(&mut self) -> Result<Option<Frame<'_>>, SourceError>;

    /// How many frames there are, where that is known beforehand.
    fn frames(&self) -> Option<u64> {
        None
    }

    /// What a live source has gone through so far; `None` for one that waits for whoever reads it.
    fn live(&self) -> Option<LiveCounts> {
        None
    }
}

/// What a live source has gone through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LiveCounts {
    /// Frames that were passed over, because there was a newer one already.
    pub superseded: u64,
    /// Frames that the source itself lost: gaps in its count.
    pub lost_by_driver: u64,
    /// Frames that were damaged.
    pub corrupt: u64,
    /// How often no frame came for a while.
    pub stalls: u64,
    /// How often the device failed or went away.
    pub failures: u64,
    /// How often it was opened or started again.
    pub restarts: u64,
}

/// Why there is no frame.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// The URI names no kind of source.
    #[error(
        "source '{uri}' is not known: use a camera such as /dev/video0, the path of an image (.jpg, .jpeg, .png), of a \
         folder of images or of a .y4m video, or - for y4m on standard input"
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
    /// The folder has no images.
    #[error("{}: no image in this folder; expected files ending in .jpg, .jpeg or .png", path.display())]
    NoImages {
        /// The folder.
        path: PathBuf,
    },
    /// A camera cannot be opened, or has failed and is being waited for.
    #[cfg(feature = "camera")]
    #[error(transparent)]
    Camera(v4l2::CameraError),
    /// What is wrong with a camera's URI.
    #[error("source '{uri}': {reason}")]
    Option {
        /// What was given.
        uri: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A live source has no frame yet; ask again.
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
        /// Its path, or what else to call it.
        name: String,
        /// What is wrong with it.
        source: Y4mError,
    },
}

impl SourceError {
    /// Whether only one frame is lost and the next may be asked for.
    pub fn is_recoverable(&self) -> bool {
        match self {
            Self::Skipped(_) | Self::NotYet => true,
            #[cfg(feature = "camera")]
            Self::Camera(_) => true,
            _ => false,
        }
    }
}

/// Opens the source that `uri` names.
///
/// # Errors
/// Where the URI names no source, or the source cannot be opened or is empty. A single image is read when its frame
/// is asked for.
pub fn open(uri: &str) -> Result<Box<dyn Source>, SourceError> {
    if uri == "-" {
        return Ok(Box::new(Y4m::new(std::io::stdin(), "standard input")?));
    }
    if let Some(camera) = camera_name(uri) {
        return open_camera(uri, camera);
    }
    let path = Path::new(uri);
    let metadata = match std::fs::metadata(path) {
        Ok(metadata) => metadata,
        // Something like `rtsp://...` is rather an unknown kind of source than a missing file.
        Err(_) if uri.contains("://") || uri.is_empty() => return Err(SourceError::Unknown { uri: uri.to_owned() }),
        Err(source) => return Err(SourceError::Open { path: path.to_owned(), source }),
    };
    if metadata.is_dir() {
        return Ok(Box::new(Images::folder(path)?));
    }
    if has_extension(path, &["y4m"]) {
        let file = std::fs::File::open(path).map_err(|source| SourceError::Open { path: path.to_owned(), source })?;
        return Ok(Box::new(Y4m::new(file, uri)?));
    }
    if has_extension(path, &IMAGE_EXTENSIONS) {
        return Ok(Box::new(Images::single(path)));
    }
    Err(SourceError::Unknown { uri: uri.to_owned() })
}

/// The camera that `uri` names, with what is asked of it, if it names one.
pub fn camera_name(uri: &str) -> Option<&str> {
    uri.strip_prefix("v4l2:").or_else(|| uri.starts_with("/dev/").then_some(uri))
}

#[cfg(feature = "camera")]
fn open_camera(uri: &str, camera: &str) -> Result<Box<dyn Source>, SourceError> {
    let wanted =
        v4l2::CaptureRequest::parse(camera).map_err(|reason| SourceError::Option { uri: uri.to_owned(), reason })?;
    Ok(Box::new(v4l2::Camera::open(wanted).map_err(SourceError::Camera)?))
}

#[cfg(not(feature = "camera"))]
fn open_camera(uri: &str, _camera: &str) -> Result<Box<dyn Source>, SourceError> {
    let reason = "this program was built without the cargo feature `camera`".to_owned();
    Err(SourceError::Option { uri: uri.to_owned(), reason })
}

/// What the names of images end in.
const IMAGE_EXTENSIONS: [&str; 3] = ["jpg", "jpeg", "png"];

fn has_extension(path: &Path, extensions: &[&str]) -> bool {
    let Some(found) = path.extension() else { return false };
    extensions.iter().any(|extension| found.eq_ignore_ascii_case(extension))
}
