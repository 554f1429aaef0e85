//! Why TensorRT or the CUDA driver do not do what they are asked.

/// Why TensorRT or the CUDA driver do not do what they are asked; the caller adds the file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TensorRtError {
    /// A library, or the GPU, is not there.
    #[error("{library} cannot be opened: {reason}")]
    Absent {
        /// The names that were tried.
        library: String,
        /// What the system's loader said of the one that is there but cannot be used, else of the first.
        reason: String,
    },
    /// A library is not what its name says.
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
    /// The library gave nothing back.
    #[error("TensorRT refused {what}: {reason}")]
    Refused {
        /// What was asked for.
        what: &'static str,
        /// What the library logged.
        reason: String,
    },
    /// The library returned something that no sound plan has.
    #[error("TensorRT returned nonsense: {reason}; the plan or the library is damaged")]
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
