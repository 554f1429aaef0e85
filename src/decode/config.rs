//! What is wrong with a hyper-parameter.

/// A hyper-parameter that the decoder cannot work with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ConfigError {
    /// The manifest's key.
    pub key: &'static str,
    /// What it may be.
    pub expected: &'static str,
    /// What it is.
    pub found: f64,
}

impl ConfigError {
    /// The first rule that does not hold: its key, what the value may be, whether it holds, and the value.
    pub(super) fn first(rules: impl IntoIterator<Item = (&'static str, &'static str, bool, f64)>) -> Result<(), Self> {
        match rules.into_iter().find(|&(_, _, holds, _)| !holds) {
            Some((key, expected, _, found)) => Err(Self { key, expected, found }),
            None => Ok(()),
        }
    }
}

impl core::fmt::Display for ConfigError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "`{}` is {}, expected {}", self.key, self.found, self.expected)
    }
}

impl core::error::Error for ConfigError {}
