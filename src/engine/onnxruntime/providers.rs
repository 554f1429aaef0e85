//! Execution providers for NVIDIA's GPUs: separate libraries, which ONNX Runtime opens when one is requested.
//!
//! **None of them has run on a GPU yet.** Tests cover that one that does not work is refused with the reason.

use std::path::PathBuf;

use ort::environment::Environment;
use ort::ep::{CUDA, ExecutionProvider as _, TensorRT};
use ort::session::Session;
use ort::session::builder::SessionBuilder;

use super::VARIABLE;
use crate::engine::folder::engines_folder;
use crate::engine::{EngineError, EngineFiles, GraphFile, Precision, Provider};

/// A provider's options for one network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Options {
    /// No options.
    Cuda,
    /// Cache of engines, and types that they may compute in.
    TensorRt {
        /// A folder for this graph with these weights: ONNX Runtime itself ignores weights when it looks up engines.
        cache: PathBuf,
        /// Whether 16 bits may be used.
        fp16: bool,
        /// Whether the graph is quantised.
        int8: bool,
    },
}

impl Options {
    /// The options for a network's graph; `None` for the CPU. Creates the folder.
    pub(super) fn of(
        provider: Provider,
        files: &EngineFiles,
        graph: &GraphFile,
        precision: Precision,
    ) -> Result<Option<Self>, EngineError> {
        if provider != Provider::TensorRt {
            return Ok((provider == Provider::Cuda).then_some(Self::Cuda));
        }
        let short = |sha256: &str| sha256.chars().take(8).collect::<String>();
        let (label, graph_hash, weights) =
            (files.label.replace('/', "-"), short(&graph.sha256), short(&files.fp32.sha256));
        let cache = engines_folder().join(format!("onnxruntime/{label}-{precision}-{graph_hash}-{weights}"));
        std::fs::create_dir_all(&cache).map_err(|source| EngineError::Write { path: cache.clone(), source })?;
        let int8 = precision == Precision::Int8 && files.int8.is_some();
        Ok(Some(Self::TensorRt { cache, fp16: precision != Precision::Fp32, int8 }))
    }
}

/// Adds the provider. What it cannot compute goes to CUDA where that works, then to the CPU.
pub(super) fn register(builder: SessionBuilder, options: &Options) -> Result<SessionBuilder, ort::Error> {
    let cuda = CUDA::default().build();
    let providers = match options {
        Options::Cuda => vec![cuda.error_on_failure()],
        Options::TensorRt { cache, fp16, int8 } => {
            let tensorrt = TensorRT::default()
                .with_engine_cache(true)
                .with_engine_cache_path(cache.display())
                .with_timing_cache(true)
                .with_timing_cache_path(cache.display())
                .with_fp16(*fp16)
                .with_int8(*int8);
            vec![tensorrt.build().error_on_failure(), cuda]
        }
    };
    Ok(builder.with_execution_providers(providers)?)
}

/// Whether the opened library was built with a provider.
pub(super) fn has(provider: Provider) -> bool {
    match provider {
        Provider::Cpu => true,
        Provider::Cuda => CUDA::is_available().unwrap_or(false),
        Provider::TensorRt => TensorRT::is_available().unwrap_or(false),
    }
}

/// Checks that a provider and the libraries that it needs can be opened; the error says what is missing.
pub(super) fn check(environment: &Environment, provider: Provider) -> Result<(), String> {
    if !has(provider) {
        return Err(format!(
            "this library has no provider `{provider}`: libonnxruntime_providers_{provider}.so belongs to the builds for NVIDIA's \
             GPUs; name the libonnxruntime.so of such a build with {VARIABLE} (docs/tensorrt.md)"
        ));
    }
    let refused = |error: ort::Error| {
        // The reason follows a position in ONNX Runtime's sources.
        let text = error.to_string();
        let reason = text.rsplit_once("FAIL : ").map_or(&*text, |(_, reason)| reason).trim();
        format!("provider `{provider}` does not start: {reason}; install what is missing, or take --provider cpu")
    };
    let mut builder = Session::builder(environment).map_err(refused)?;
    match provider {
        Provider::Cpu => Ok(()),
        Provider::Cuda => CUDA::default().register(&mut builder),
        Provider::TensorRt => TensorRT::default().register(&mut builder),
    }
    .map_err(refused)
}
