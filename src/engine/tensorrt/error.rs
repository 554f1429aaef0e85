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
        /// The system's reason for the first.
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
        /// The number that it reports.
        found: i32,
    },
    /// The library gave nothing back.
    #[error("TensorRT refused {what}: {reason}")]
    Refused {
        /// What was asked for.
        what: &'static str,
        /// What the library logged.
        reason: String,
    },
    /// The library's answers make no sense.
    #[error("TensorRT's answer makes no sense: {reason}; the plan or the library is damaged")]
    FrameResult {
        /// What it answered.
        reason: String,
    },
    /// A child process that read the plan did not come back well.
    #[error("a child process was let read the plan first, and {reason}")]
    Probe {
        /// What became of it.
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
