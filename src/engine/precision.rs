//! Numeric precision of a network.

use std::fmt;
use std::str::FromStr;

use super::{Backend, Provider};

/// Numeric precision of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32-bit floating point.
    Fp32,
    /// 16-bit floating point.
    Fp16,
    /// 8-bit integers where the network was quantised, floating point elsewhere.
    Int8,
}

impl Precision {
    /// A backend's default: 16 bits on TensorRT, also through ONNX Runtime, else 32.
    pub fn default_of(backend: Backend) -> Self {
        match backend {
            Backend::TensorRt | Backend::OnnxRuntime(Provider::TensorRt) => Self::Fp16,
            Backend::Auto | Backend::Tract | Backend::OnnxRuntime(Provider::Cpu | Provider::Cuda) => Self::Fp32,
        }
    }

    /// Its name on the command line, in manifests and in side-cars.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fp32 => "fp32",
            Self::Fp16 => "fp16",
            Self::Int8 => "int8",
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// An unknown precision.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown precision `{0}`, expected `fp32`, `fp16` or `int8`")]
pub struct PrecisionError(String);

impl FromStr for Precision {
    type Err = PrecisionError;

    fn from_str(name: &str) -> Result<Self, PrecisionError> {
        let known = [Self::Fp32, Self::Fp16, Self::Int8];
        known.into_iter().find(|precision| precision.name() == name).ok_or_else(|| PrecisionError(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for precision in [Precision::Fp32, Precision::Fp16, Precision::Int8] {
            assert_eq!(precision.to_string().parse(), Ok(precision));
        }
        assert!("fp8".parse::<Precision>().unwrap_err().to_string().contains("int8"));
    }
}
