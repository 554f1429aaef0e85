//! Execution providers of ONNX Runtime.

use std::fmt;
use std::str::FromStr;

/// An execution provider of ONNX Runtime. Those for NVIDIA's GPUs are separate libraries, which ONNX Runtime opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    /// The CPU; every build of ONNX Runtime has it.
    #[default]
    Cpu,
    /// CUDA and cuDNN, on an NVIDIA GPU.
    Cuda,
    /// TensorRT, on an NVIDIA GPU: ONNX Runtime builds the engines by itself, when a network is opened.
    TensorRt,
}

impl Provider {
    /// All providers.
    pub const ALL: [Self; 3] = [Self::Cpu, Self::Cuda, Self::TensorRt];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
            Self::TensorRt => "tensorrt",
        }
    }
}

/// An unknown provider.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown provider `{0}`, expected `cpu`, `cuda` or `tensorrt`")]
pub struct ProviderError(String);

impl FromStr for Provider {
    type Err = ProviderError;

    fn from_str(name: &str) -> Result<Self, ProviderError> {
        let known = Self::ALL.into_iter().find(|provider| provider.name() == name);
        known.ok_or_else(|| ProviderError(name.to_owned()))
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn providers_have_names() {
        for provider in Provider::ALL {
            assert_eq!(provider.to_string().parse::<Provider>().unwrap(), provider);
        }
        let error = "rocm".parse::<Provider>().unwrap_err().to_string();
        assert_eq!(error, "unknown provider `rocm`, expected `cpu`, `cuda` or `tensorrt`");
    }
}
