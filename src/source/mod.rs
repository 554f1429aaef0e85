//! Where frames come from.
//!
//! A source is chosen by its URI: the path of a picture, of a folder of pictures or of a `.y4m` video, or `-` for y4m
//! on standard input.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::pixels::{PictureView, ReadError};

mod pictures;
mod y4m;

pub use pictures::Pictures;
pub use y4m::{Y4m, Y4mError};

/// One frame, borrowed from its source until the next is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    /// The pixels.
    pub picture: PictureView<'a>,
    /// Counts from 0; a gap means that the source lost frames.
    pub sequence: u64,
    /// When it was captured, on the source's own clock; `None` for files without time.
    pub captured: Option<Duration>,
    /// What to call it: a file's path, for pictures.
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
}

/// Why there is no frame.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// The URI names no kind of source.
    #[error(
        "source '{uri}' is not known: use the path of a picture (.jpg, .jpeg, .png), of a folder of pictures or of a \
         .y4m video, or - for y4m on standard input"
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
    /// The folder has no pictures.
    #[error("{}: no picture in this folder; expected files ending in .jpg, .jpeg or .png", path.display())]
    NoPictures {
        /// The folder.
        path: PathBuf,
    },
    /// One picture of a folder cannot be read; the others may.
    #[error(transparent)]
    Skipped(ReadError),
    /// The picture cannot be read.
    #[error(transparent)]
    Picture(ReadError),
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
        matches!(self, Self::Skipped(_))
    }
}

/// Opens the source that `uri` names.
///
/// # Errors
/// Where the URI names no source, or the source cannot be opened or is empty. A single picture is read when its frame
/// is asked for.
pub fn open(uri: &str) -> Result<Box<dyn Source>, SourceError> {
    if uri == "-" {
        return Ok(Box::new(Y4m::new(std::io::stdin(), "standard input")?));
    }
    let path = Path::new(uri);
    let metadata = match std::fs::metadata(path) {
        Ok(metadata) => metadata,
        // Something like `rtsp://...` is rather an unknown kind of source than a missing file.
        Err(_) if uri.contains("://") || uri.is_empty() => return Err(SourceError::Unknown { uri: uri.to_owned() }),
        Err(source) => return Err(SourceError::Open { path: path.to_owned(), source }),
    };
    if metadata.is_dir() {
        return Ok(Box::new(Pictures::folder(path)?));
    }
    if has_extension(path, &["y4m"]) {
        let file = std::fs::File::open(path).map_err(|source| SourceError::Open { path: path.to_owned(), source })?;
        return Ok(Box::new(Y4m::new(file, uri)?));
    }
    if has_extension(path, &PICTURE_EXTENSIONS) {
        return Ok(Box::new(Pictures::single(path)));
    }
    Err(SourceError::Unknown { uri: uri.to_owned() })
}

/// What the names of pictures end in.
const PICTURE_EXTENSIONS: [&str; 3] = ["jpg", "jpeg", "png"];

fn has_extension(path: &Path, extensions: &[&str]) -> bool {
    let Some(found) = path.extension() else { return false };
    extensions.iter().any(|extension| found.eq_ignore_ascii_case(extension))
}
