//! Limits of image files, and errors.

use std::path::PathBuf;

use crate::geometry::Size;

/// Limits of an image file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Maximum number of pixels.
    pub pixels: usize,
    /// Maximum size of a file, bytes.
    pub bytes: u64,
}

impl Default for Limits {
    /// 64 megapixels in 256 MiB.
    fn default() -> Self {
        Self { pixels: 64 << 20, bytes: 256 << 20 }
    }
}

/// Why an image could not be read, and which.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The file cannot be read.
    #[error("{}: cannot be read; check the path and its permissions", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The file is not a usable image.
    #[error("{}: {source}", path.display())]
    Image {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: DecodeError,
    },
}

/// Why bytes are not a usable image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The file is empty.
    #[error("the file is empty; write it again")]
    Empty,
    /// Neither JPEG nor PNG.
    #[error("found {start}, expected JPEG or PNG; convert it to one of them")]
    Unknown {
        /// What was found.
        start: String,
    },
    /// A valid file of an unsupported kind.
    #[error(
        "the {kind} has {what}, which is not supported; convert it, for example with ImageMagick's 'convert INPUT OUTPUT.png'"
    )]
    Unsupported {
        /// JPEG or PNG.
        kind: &'static str,
        /// What is not supported.
        what: &'static str,
    },
    /// Four-colour JPEG, made for printing.
    #[error("found a CMYK JPEG, which is made for printing; convert it to RGB")]
    Cmyk,
    /// A side is 0.
    #[error("the image is {size} and has no pixels; write it again")]
    NoPixels {
        /// Its size.
        size: Size,
    },
    /// More pixels than allowed.
    #[error("the image is {size}, more than the {limit} pixels that are allowed; scale it down")]
    Size {
        /// Its size.
        size: Size,
        /// Maximum number of pixels.
        limit: usize,
    },
    /// The end is missing.
    #[error("the {kind} is cut off: its end is missing; copy or write it again")]
    Cut {
        /// JPEG or PNG.
        kind: &'static str,
    },
    /// The bytes are invalid.
    #[error("the {kind} is broken: {reason}; copy or write it again")]
    Broken {
        /// JPEG or PNG.
        kind: &'static str,
        /// What the decoder said.
        reason: String,
    },
}
