//! ONNX Runtime: networks on the CPU, faster than tract and with real 8-bit arithmetic, or on an NVIDIA GPU if its library was
//! built for that ([`Provider`]).
//!
//! Its library is opened at run time, from `SINEW_ONNXRUNTIME_LIBRARY` or where the system finds libraries; nothing of it is
//! needed to build this program. A run allocates.

mod network;
mod providers;

use std::error::Error as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use ort::LoadDynamicError;
use ort::environment::Environment;
use ort::session::Session;
use ort::value::{TensorElementType, ValueType};

use self::network::OrtEngine;
use super::files::Graph;
use super::{
    Backend, DataType, Engine, EngineError, EngineFiles, OpenBackend, Precision, Provider, Signature, TensorSpec,
};

/// Names the library.
const VARIABLE: &str = "SINEW_ONNXRUNTIME_LIBRARY";
/// Name of the library otherwise.
const LIBRARY: &str = "libonnxruntime.so";

/// What all networks on ONNX Runtime share.
#[derive(Debug)]
pub(super) struct OnnxRuntime {
    environment: Environment,
    provider: Provider,
    threads: usize,
}

impl OnnxRuntime {
    /// Opens the library, once per process, and lets it open what the provider needs.
    pub(super) fn new(provider: Provider, threads: usize) -> Result<Self, EngineError> {
        let unavailable = |reason: String| EngineError::Unavailable { backend: "onnxruntime", reason };
        let environment = environment().map_err(unavailable)?;
        providers::check(&environment, provider).map_err(unavailable)?;
        Ok(Self { environment, provider, threads })
    }

    /// `has_narrow_scales` says that Q and DQ have scales of 16 bits.
    fn session(
        &self,
        graph: Graph,
        has_narrow_scales: bool,
        options: Option<&providers::Options>,
    ) -> Result<Session, String> {
        let build = || -> Result<Session, ort::Error> {
            let mut builder = Session::builder(&self.environment)?;
            // Spinning makes a network slightly faster and everything else slower.
            builder = builder.with_intra_op_spinning(false)?;
            // Without it, sums of two 8-bit products are cut off at 16 bits by x86-64 processors without VNNI.
            builder = builder.with_precise_qmm()?;
            if has_narrow_scales {
                // It quantises biases by the product of two scales, which 16 bits do not hold (findings/onnxruntime-half-scales.sh).
                builder = builder.with_disabled_optimizers("WeightBiasQuantization")?;
            }
            if self.threads > 0 {
                builder = builder.with_intra_threads(self.threads)?;
            }
            if let Some(options) = options {
                builder = providers::register(builder, options)?;
            }
            for (name, bytes) in graph.external {
                builder = builder.with_external_initializer_file_in_memory(name, bytes)?;
            }
            builder.commit_from_memory(&graph.model)
        };
        build().map_err(|error| error.to_string())
    }
}

/// There can be only one environment, which lives as long as the process.
fn environment() -> Result<Environment, String> {
    static ENVIRONMENT: OnceLock<Result<Environment, String>> = OnceLock::new();
    let start = || {
        let library = std::env::var_os(VARIABLE).map_or_else(|| LIBRARY.into(), PathBuf::from);
        let builder = ort::init_from(&library).map_err(|error| {
            // The system's reason is one level down.
            let reason = match &error {
                LoadDynamicError::Dlopen { error, .. } => error.source().map(ToString::to_string),
                _ => None,
            };
            let reason = reason.map_or_else(String::new, |reason| format!(": {reason}"));
            format!("{error}{reason}; install ONNX Runtime, or name its library with {VARIABLE}")
        })?;
        builder.build().map_err(|error| error.to_string())
    };
    ENVIRONMENT.get_or_init(start).clone()
}

/// A provider, and what is missing if it does not work.
type Tried = (Provider, Result<(), String>);

/// Which of the providers for GPUs the installed library has, and whether each works.
///
/// # Errors
/// If the library itself cannot be opened.
pub(crate) fn gpu_providers() -> Result<Vec<Tried>, String> {
    let environment = environment()?;
    let gpu = Provider::ALL.into_iter().filter(|&provider| provider != Provider::Cpu && providers::has(provider));
    Ok(gpu.map(|provider| (provider, providers::check(&environment, provider))).collect())
}

impl OpenBackend for OnnxRuntime {
    fn backend(&self) -> Backend {
        Backend::OnnxRuntime(self.provider)
    }

    fn open(&self, files: &EngineFiles, signature: Signature) -> Result<Box<dyn Engine>, EngineError> {
        let precision = files.precision.unwrap_or(Precision::default_of(self.backend()));
        let file = match (self.provider, precision) {
            (Provider::Cpu, _) => files.typed_for_cpu(precision)?,
            // Its option for 16 bits makes the original graph sufficient.
            (Provider::TensorRt, Precision::Fp16) => files.fp16.as_ref().unwrap_or(&files.fp32),
            (Provider::Cuda | Provider::TensorRt, _) => files.typed_for_gpu(precision)?,
        };
        let path = file.onnx.clone();
        let options = providers::Options::of(self.provider, files, file, precision)?;
        let has_narrow_scales = files.int8_fp16.as_ref() == Some(file);
        let session = self.session(file.read()?, has_narrow_scales, options.as_ref()).map_err(|reason| {
            EngineError::Load { path: path.clone(), stage: "ONNX Runtime cannot read this graph", reason }
        })?;
        for (kind, specs, found) in
            [("input", &signature.inputs, session.inputs()), ("output", &signature.outputs, session.outputs())]
        {
            for spec in specs {
                let outlet = found.iter().find(|outlet| outlet.name() == spec.name);
                check(&path, kind, spec, outlet.map(|outlet| outlet.dtype()))?;
            }
        }
        let mut engine = OrtEngine::new(path, signature, session);
        if let Some(providers::Options::TensorRt { cache, .. }) = &options {
            let (label, cache) = (&files.label, cache.display());
            tracing::info!("{label}: TensorRT builds an engine unless {cache} has it, which takes minutes");
            engine.warm_up()?;
        }
        Ok(Box::new(engine))
    }
}

/// Compares a tensor of the graph with the manifest; open extents are compared after a run.
fn check(path: &Path, kind: &'static str, spec: &TensorSpec, found: Option<&ValueType>) -> Result<(), EngineError> {
    let element = match spec.data_type {
        DataType::F32 => TensorElementType::Float32,
        DataType::I32 => TensorElementType::Int32,
    };
    let fits = matches!(found, Some(ValueType::Tensor { ty, shape, .. }) if *ty == element
        && shape.len() == spec.shape.len()
        && shape.iter().zip(&spec.shape).all(|(&found, &wanted)| found < 0 || found as usize == wanted));
    if fits {
        return Ok(());
    }
    Err(EngineError::Tensor {
        path: path.to_owned(),
        kind,
        tensor: spec.name.clone(),
        found: found.map_or_else(|| "not in the graph".to_owned(), ToString::to_string),
        expected: spec.to_string(),
    })
}
