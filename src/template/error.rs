//! Errors in the contents of a template or of an annotation.

/// Why contents cannot be used; the caller adds the file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct ContentError {
    /// What is wrong with them, and what would be right.
    pub reason: String,
}

impl From<String> for ContentError {
    fn from(reason: String) -> Self {
        Self { reason }
    }
}
