//! What can be wrong with an annotation file.

use std::io;
use std::path::{Path, PathBuf};

/// Why a file of annotations or results cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// The file is not JSON of the expected form.
    #[error("{}: {key}: {message}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Where in it, such as `annotations[3].area`.
        key: String,
        /// What is wrong there, with line and column.
        message: String,
    },
    /// A value has the right type but cannot be used.
    #[error("{}: {key}: found {found}, expected {expected}", path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// Where in it, such as `annotations[3].keypoints`.
        key: String,
        /// The value.
        found: String,
        /// What it should be.
        expected: String,
    },
    /// The file as a whole cannot be used.
    #[error("{}: {reason}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// Why not, and what to do.
        reason: String,
    },
}

impl FileError {
    /// A value at `key` that cannot be used.
    pub fn value(path: &Path, key: impl Into<String>, found: impl Into<String>, expected: impl Into<String>) -> Self {
        Self::Value { path: path.into(), key: key.into(), found: found.into(), expected: expected.into() }
    }

    /// A file that cannot be used as a whole.
    pub fn content(path: &Path, reason: impl Into<String>) -> Self {
        Self::Content { path: path.into(), reason: reason.into() }
    }
}
