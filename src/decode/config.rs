//! Shared by the decoders' hyper-parameters.

use heapless::Vec;

use crate::pose::MAX_KEYPOINTS;

/// OKS sigmas, one per keypoint.
///
/// # Errors
/// If there are more than [`MAX_KEYPOINTS`].
pub(super) fn sigmas(sigmas: &[f32]) -> Result<Vec<f32, MAX_KEYPOINTS>, ConfigError> {
    Vec::from_slice(sigmas).map_err(|_| ConfigError {
        key: "keypoints.sigmas",
        expected: "no more keypoints than 100",
        found: sigmas.len() as f64,
    })
}

/// A hyper-parameter that the decoder cannot work with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ConfigError {
    /// The manifest's key.
    pub key: &'static str,
    /// The valid values.
    pub expected: &'static str,
    /// Its value.
    pub found: f64,
}

impl ConfigError {
    /// The error of the first rule that does not hold; a rule is a key, the valid values, whether it holds, and the value.
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
