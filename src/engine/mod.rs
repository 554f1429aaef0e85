//! Tensors in, tensors out: one trait, and backends chosen by name.
//!
//! A [`Session`] is a backend, started once; it opens an [`Engine`] for every network. Tensors are contiguous, the last axis
//! fastest; they hold `f32`, except for inputs of indices, which hold `i32`.

mod error;
mod external;
mod files;
#[cfg_attr(not(any(feature = "onnxruntime", feature = "tensorrt")), expect(dead_code, reason = "for GPUs"))]
pub(crate) mod folder;
#[cfg(feature = "onnxruntime")]
mod onnxruntime;
mod precision;
mod provider;
mod recording;
#[cfg(feature = "tensorrt")]
#[doc(hidden)]
pub mod tensorrt;
#[cfg(feature = "tract")]
mod tract;
mod turn;
#[cfg(feature = "onnxruntime")]
pub(crate) use self::onnxruntime::gpu_providers;
#[cfg(feature = "tract")]
#[doc(hidden)]
pub use self::tract::keep_memory;

use std::any::Any;
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Once};
use std::time::Duration;

pub use error::EngineError;
pub(crate) use external::{beside, external_files};
pub(crate) use files::MAX_GRAPH_BYTES;
#[doc(hidden)]
pub use files::{EngineFiles, GraphFile};
pub use precision::{Precision, PrecisionError};
pub use provider::{Provider, ProviderError};
#[doc(hidden)]
pub use recording::Recording;
#[doc(hidden)]
pub use turn::{Admission, Turn, Usual};

/// Which library runs the networks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Backend {
    /// TensorRT if it works, else tract; the choice is logged once.
    #[default]
    Auto,
    /// TensorRT, on an NVIDIA GPU.
    TensorRt,
    /// tract, on the CPU.
    Tract,
    /// ONNX Runtime, if its library is installed: on the CPU, where it is faster than tract, or on a GPU with the libraries of
    /// another provider.
    OnnxRuntime(Provider),
}

impl Backend {
    /// The same, computing with `provider`; `None` changes nothing.
    ///
    /// # Errors
    /// If this is not ONNX Runtime, the only backend with providers.
    pub fn with_provider(self, provider: Option<Provider>) -> Result<Self, EngineError> {
        match (self, provider) {
            (backend, None) => Ok(backend),
            (Self::OnnxRuntime(_), Some(provider)) => Ok(Self::OnnxRuntime(provider)),
            (backend, Some(provider)) => Err(EngineError::NoProviders { backend, provider }),
        }
    }

    /// Calls `open` with this backend. For [`Backend::Auto`] that is TensorRT, or tract if TensorRT fails; the reason is logged
    /// once.
    ///
    /// `reason` returns why the backend does not work, given an error; `None` means that falling back to tract would not help.
    ///
    /// # Errors
    /// Returns the error of `open`.
    pub fn open_with_fallback<T, E>(
        self,
        mut open: impl FnMut(Self) -> Result<T, E>,
        reason: impl FnOnce(&E) -> Option<String>,
    ) -> Result<T, E> {
        static SAID: Once = Once::new();
        if self != Self::Auto {
            return open(self);
        }
        match open(Self::TensorRt) {
            Ok(opened) => {
                SAID.call_once(|| tracing::info!("backend auto: taking tensorrt"));
                Ok(opened)
            }
            Err(error) => match reason(&error) {
                Some(reason) => {
                    SAID.call_once(|| tracing::info!("backend auto: taking tract, because {reason}"));
                    open(Self::Tract)
                }
                None => Err(error),
            },
        }
    }
}

impl FromStr for Backend {
    type Err = EngineError;

    fn from_str(name: &str) -> Result<Self, EngineError> {
        match name {
            "auto" => Ok(Self::Auto),
            "tensorrt" => Ok(Self::TensorRt),
            "tract" => Ok(Self::Tract),
            "onnxruntime" => Ok(Self::OnnxRuntime(Provider::Cpu)),
            other => Err(EngineError::UnknownBackend(other.to_owned())),
        }
    }
}

impl fmt::Display for Backend {
    /// Its name on the command line, followed by the provider unless that is the CPU.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::TensorRt => "tensorrt",
            Self::Tract => "tract",
            Self::OnnxRuntime(_) => "onnxruntime",
        })?;
        match self {
            Self::OnnxRuntime(provider) if *provider != Provider::Cpu => write!(f, " ({provider})"),
            _ => Ok(()),
        }
    }
}

/// Which side accesses a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[doc(hidden)]
pub enum Memory {
    /// The program, through [`Engine::input`] and [`Engine::output`].
    Host,
    /// Only engines: an output is passed from [`Engine::export_output`] to [`Engine::bind_input`] and stays in the
    /// backend's memory.
    Device,
}

/// Data type of a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
#[doc(hidden)]
pub enum DataType {
    /// 32-bit floating point.
    #[default]
    F32,
    /// 32-bit integers; only for inputs that are indices.
    I32,
}

impl fmt::Display for DataType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "float32",
            Self::I32 => "int32",
        })
    }
}

/// Name, type and shape of one tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
#[doc(hidden)]
pub struct TensorSpec {
    /// Its name in the graph.
    pub name: String,
    /// Its data type.
    pub data_type: DataType,
    /// Its extents.
    pub shape: Vec<usize>,
    /// Which side accesses it.
    pub memory: Memory,
}

impl fmt::Display for TensorSpec {
    /// Type and shape: `float32 [1, 3, 256, 256]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.data_type, self.shape)
    }
}

/// The tensors of an engine, in the order of their indices.
#[derive(Debug, Clone, PartialEq, Eq)]
#[doc(hidden)]
pub struct Signature {
    /// Inputs.
    pub inputs: Vec<TensorSpec>,
    /// Outputs.
    pub outputs: Vec<TensorSpec>,
}

/// A network and the shapes to open it for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[doc(hidden)]
pub struct Network {
    /// Its files.
    pub files: EngineFiles,
    /// Its tensors.
    pub signature: Signature,
}

/// A network, ready to run for fixed shapes.
#[doc(hidden)]
pub trait Engine: Send + fmt::Debug {
    /// Names and shapes of all inputs and outputs; indices below are positions in it.
    fn signature(&self) -> &Signature;

    /// The values of an input, to be written in place; they persist between runs.
    ///
    /// # Panics
    /// If there is no such input, or it holds indices or is bound to another engine.
    fn input(&mut self, index: usize) -> &mut [f32];

    /// The same for an input of [`DataType::I32`].
    ///
    /// # Panics
    /// If there is no such input, or it holds no indices or is bound to another engine.
    fn indices(&mut self, index: usize) -> &mut [i32];

    /// Runs the network once.
    ///
    /// # Errors
    /// If the backend fails, or an input of another engine was never bound.
    fn run(&mut self) -> Result<(), EngineError>;

    /// Starts a run, which goes on beside those of other engines where the backend can do that. Until [`Engine::wait`], inputs must
    /// not be written, nor outputs read.
    ///
    /// # Errors
    /// Same as [`Engine::run`].
    fn start(&mut self) -> Result<(), EngineError> {
        self.run()
    }

    /// Waits for the end of the run that was started.
    ///
    /// # Errors
    /// Same as [`Engine::run`].
    fn wait(&mut self) -> Result<(), EngineError> {
        Ok(())
    }

    /// How long the last run waited for that of another frame, before the network began.
    fn waited(&self) -> Duration {
        Duration::ZERO
    }

    /// The values of an output after the last run; zeros before the first.
    ///
    /// # Panics
    /// If there is no such output.
    fn output(&self, index: usize) -> &[f32];

    /// An output of the last run for another engine of the same session, without a copy if the backend allows it.
    ///
    /// # Panics
    /// If there is no such output.
    fn export_output(&self, index: usize) -> DeviceTensor;

    /// Binds the output of another engine as input, until the next one is bound.
    ///
    /// # Errors
    /// If it comes from another backend or has another shape.
    ///
    /// # Panics
    /// If there is no such input.
    fn bind_input(&mut self, index: usize, tensor: &DeviceTensor) -> Result<(), EngineError>;
}

/// An output of one engine that another takes as input, in the backend's own form.
#[derive(Debug, Clone)]
#[doc(hidden)]
pub struct DeviceTensor(Arc<dyn Any + Send + Sync>);

impl DeviceTensor {
    /// For backends: wraps a tensor.
    pub fn new<T: Any + Send + Sync>(tensor: Arc<T>) -> Self {
        Self(tensor)
    }

    /// For backends: the tensor, if it has the backend's own form.
    pub fn tensor<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        Arc::clone(&self.0).downcast().ok()
    }
}

/// A started backend, with what its engines share (threads, a device's context).
#[derive(Debug)]
#[doc(hidden)]
pub struct Session {
    opener: Arc<dyn OpenBackend>,
    precision: Option<Precision>,
    has_twin: bool,
}

/// The interface of a backend to [`Session`].
trait OpenBackend: Send + Sync + fmt::Debug {
    fn backend(&self) -> Backend;
    fn open(&self, files: &EngineFiles, signature: Signature) -> Result<Box<dyn Engine>, EngineError>;

    /// In which order engines of several threads run; `None` if the networks run on the CPU, where threads gain nothing.
    fn turn(&self) -> Option<&Turn> {
        None
    }
}

impl Session {
    /// Starts a backend. `threads` is for CPU backends; 0 means one per core. [`Backend::Auto`] starts tract: whether TensorRT
    /// works is only known when its engines are opened, see [`Backend::open_with_fallback`].
    ///
    /// # Errors
    /// If the backend is not installed, or the threads cannot be started.
    pub fn new(backend: Backend, threads: usize) -> Result<Self, EngineError> {
        let opener = match backend {
            Backend::TensorRt => start_tensorrt()?,
            Backend::Auto | Backend::Tract => start_tract(threads)?,
            Backend::OnnxRuntime(provider) => start_onnxruntime(provider, threads)?,
        };
        Ok(Self::of(opener))
    }

    fn of(opener: Arc<dyn OpenBackend>) -> Self {
        Self { opener, precision: None, has_twin: true }
    }

    /// The same with another precision for its engines; `None` is the backend's default.
    #[must_use]
    pub fn with_precision(self, precision: Option<Precision>) -> Self {
        Self { precision, ..self }
    }

    /// The same, recording the inputs of its engines.
    #[must_use]
    pub fn with_recorder(self, recording: Recording) -> Self {
        Self { opener: Arc::new(recording::Recorder::new(self.opener, recording)), ..self }
    }

    /// Whether runs go on while the program does something else: networks do not run on the CPU.
    pub fn is_asynchronous(&self) -> bool {
        self.opener.turn().is_some()
    }

    /// The same backend for a second thread, and the order in which engines of both run. What can be shared between engines of
    /// the same network, their weights, is. `None` if networks run on the CPU.
    pub fn twin(&self) -> Option<(Self, Turn)> {
        let turn = self.opener.turn().filter(|_| self.has_twin)?.clone();
        Some((Self { opener: Arc::clone(&self.opener), ..*self }, turn))
    }

    /// The same, for one thread only.
    #[must_use]
    pub fn without_twin(self) -> Self {
        Self { has_twin: false, ..self }
    }

    /// The precision of its engines; see [`EngineFiles::precision`].
    pub fn precision(&self) -> Option<Precision> {
        self.precision
    }

    /// Starts TensorRT from the given libraries.
    ///
    /// # Errors
    /// If a library or the GPU is missing.
    #[cfg(feature = "tensorrt")]
    pub fn tensorrt(installation: tensorrt::Installation) -> Result<Self, EngineError> {
        Ok(Self::of(Arc::new(tensorrt::TensorRt::new(installation)?)))
    }

    /// The backend that was started; never [`Backend::Auto`].
    pub fn backend(&self) -> Backend {
        self.opener.backend()
    }

    /// Opens a network for the shapes of `signature`, which the file must have by name and shape.
    ///
    /// # Errors
    /// If the file is not readable, not a graph that the backend can run, or has other tensors.
    pub fn open(&self, files: &EngineFiles, signature: Signature) -> Result<Box<dyn Engine>, EngineError> {
        self.opener.open(files, signature)
    }
}

#[cfg(feature = "tract")]
fn start_tract(threads: usize) -> Result<Arc<dyn OpenBackend>, EngineError> {
    Ok(Arc::new(tract::Tract::new(threads)?))
}

#[cfg(not(feature = "tract"))]
fn start_tract(_threads: usize) -> Result<Arc<dyn OpenBackend>, EngineError> {
    Err(EngineError::NotBuilt("tract"))
}

#[cfg(feature = "onnxruntime")]
fn start_onnxruntime(provider: Provider, threads: usize) -> Result<Arc<dyn OpenBackend>, EngineError> {
    Ok(Arc::new(onnxruntime::OnnxRuntime::new(provider, threads)?))
}

#[cfg(not(feature = "onnxruntime"))]
fn start_onnxruntime(_provider: Provider, _threads: usize) -> Result<Arc<dyn OpenBackend>, EngineError> {
    Err(EngineError::NotBuilt("onnxruntime"))
}

#[cfg(feature = "tensorrt")]
fn start_tensorrt() -> Result<Arc<dyn OpenBackend>, EngineError> {
    Ok(Arc::new(tensorrt::TensorRt::new(tensorrt::Installation::from_environment())?))
}

#[cfg(not(feature = "tensorrt"))]
fn start_tensorrt() -> Result<Arc<dyn OpenBackend>, EngineError> {
    Err(EngineError::NotBuilt("tensorrt"))
}
