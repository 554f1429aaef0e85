//! Errors of TensorRT and of the CUDA driver.

/// An error of TensorRT or of the CUDA driver; the caller adds the file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TensorRtError {
    /// A library, or the GPU, is not there.
    #[error("{library} cannot be opened: {reason}")]
    Absent {
        /// The names that were tried.
        library: String,
        /// The loader's error for the one that exists but cannot be used, else for the first.
        reason: String,
    },
    /// A library lacks a symbol that its name promises.
    #[error("{library} has no function `{symbol}`: it is another library, or too old")]
    Symbol {
        /// The library.
        library: String,
        /// What it lacks.
        symbol: &'static str,
    },
    /// A version whose tables are not known.
    #[error(
        "{library} reports version {found}, which this program does not know: expected TensorRT 8.5 or 8.6, 10 or 11, and \
         the major of the file's name"
    )]
    Version {
        /// The library.
        library: String,
        /// The number that it reports, and what it stands for.
        found: String,
    },
    /// The library returned null.
    #[error("TensorRT refused {what}: {reason}")]
    Refused {
        /// What was asked for.
        what: &'static str,
        /// What the library logged.
        reason: String,
    },
    /// The library returned something that no valid engine has.
    #[error("TensorRT returned nonsense: {reason}; the engine or the library is damaged")]
    Unexpected {
        /// What it returned.
        reason: String,
    },
    /// A child process that tried the library first failed or died.
    #[error("a child process that tries {what} first failed: {reason}")]
    Probe {
        /// What it tried.
        what: &'static str,
        /// How it ended, and what it wrote.
        reason: String,
    },
    /// The driver failed.
    #[error("{what} failed: {reason}")]
    Cuda {
        /// What was being done.
        what: &'static str,
        /// The driver's name for the error.
        reason: String,
    },
}
