//! The backend options, for commands that do not read a configuration.

use clap::Args;

use crate::engine::{Backend, EngineError, Provider};

/// What runs the networks.
#[derive(Debug, Clone, Copy, Args)]
pub struct BackendArguments {
    /// What runs the networks: auto, tensorrt, tract or onnxruntime
    #[arg(long, value_name = "NAME", default_value_t)]
    backend: Backend,
    /// What onnxruntime computes with: cpu, cuda or tensorrt [default: cpu]
    #[arg(long, value_name = "NAME")]
    provider: Option<Provider>,
}

impl BackendArguments {
    /// The backend with its provider.
    ///
    /// # Errors
    /// If a provider is given for a backend without providers.
    pub fn chosen(self) -> Result<Backend, EngineError> {
        self.backend.with_provider(self.provider)
    }
}
