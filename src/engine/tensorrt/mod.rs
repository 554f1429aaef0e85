//! TensorRT: engines that were built on the board, run by the board's own library.
//!
//! Nothing of NVIDIA's is needed to build this program. libnvinfer and the CUDA driver are opened at run time, and called
//! through tables of functions whose slots are written down here for three major versions (`layout`). **It has never run
//! against a real libnvinfer**: tests drive it with doubles of all three layouts and of the driver. Unsafe code
//! lives in `library`, `logger` and `driver`, and in `session` where memory is bound; the others are plain.

#![allow(unsafe_code)]

mod driver;
mod error;
mod layout;
mod library;
mod loader;
mod logger;
mod probe;
mod session;
mod sidecar;
mod trtexec;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

pub use driver::DeviceFacts;
pub use error::TensorRtError;
pub use layout::Version;
pub use probe::Probe;
pub use sidecar::{Sidecar, TensorFacts, sha256};
pub use trtexec::{Builder, Machine, find as find_trtexec};

use self::driver::{Device, Stream};
use self::library::{Library, Plan};
use self::session::{Queue, TrtEngine, failure};
use super::folder::engines_folder;
use super::turn::Turn;
use super::{Backend, Engine, EngineError, EngineFiles, GraphFile, OpenBackend, Precision, Signature};

/// Where the libraries and the engines are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Installation {
    /// The file of libnvinfer; `None` is the newest installed one.
    pub library: Option<PathBuf>,
    /// The file of the CUDA driver; `None` is the installed one.
    pub driver: Option<PathBuf>,
    /// The folder of engines.
    pub engines: PathBuf,
    /// How an engine is tried before this process reads it; `None` skips that.
    pub probe: Option<Probe>,
}

impl Installation {
    /// What the environment says: `SINEW_TENSORRT_LIBRARY`, `SINEW_CUDA_LIBRARY`, and the folder of engines.
    pub fn from_environment() -> Self {
        let path = |name: &str| std::env::var_os(name).map(PathBuf::from);
        Self {
            library: path("SINEW_TENSORRT_LIBRARY"),
            driver: path("SINEW_CUDA_LIBRARY"),
            engines: engines_folder(),
            probe: Probe::of_this_program(),
        }
    }

    /// Version of the library and facts of the GPU, once a runtime could be made: a driver that is too old for the library
    /// shows only then.
    ///
    /// # Errors
    /// If the library or the GPU is missing, or the library refuses to make a runtime.
    pub fn machine(&self) -> Result<Machine, EngineError> {
        let opened = TensorRt::new(self.clone())?;
        match &self.probe {
            Some(probe) => probe.check_runtime().map_err(unavailable)?,
            None => opened.check_runtime()?,
        }
        Ok(Machine { version: opened.library.version(), device: opened.device.facts().clone() })
    }

    /// Makes a runtime in this process and deletes it.
    ///
    /// # Errors
    /// Same as [`Self::machine`].
    pub fn probe_runtime_here(&self) -> Result<(), EngineError> {
        TensorRt::new(self.clone())?.check_runtime()
    }

    /// Lets the library read an engine in this process.
    ///
    /// # Errors
    /// If the library, the GPU or the engine does not work.
    pub fn probe_here(&self, plan: &Path) -> Result<(), EngineError> {
        let opened = TensorRt::new(self.clone())?;
        let bytes = std::fs::read(plan).map_err(|source| EngineError::Read { path: plan.to_owned(), source })?;
        let failed = |error| failure(plan, error);
        opened.device.enter().map_err(failed)?;
        opened.library.load(&bytes).map_err(failed)?.tensors().map_err(failed)?;
        Ok(())
    }

    /// The path, existing or not, of a network's engine for these shapes.
    pub fn plan(&self, files: &EngineFiles, signature: &Signature) -> PathBuf {
        let (label, tag) = (files.label.replace('/', "-"), sidecar::shape_tag(signature));
        self.engines.join(format!("{label}-{}-{tag}.engine", precision(files)))
    }
}

/// The precision of a network's engine.
fn precision(files: &EngineFiles) -> Precision {
    files.precision.unwrap_or(Precision::default_of(Backend::TensorRt))
}

/// The graph that a library of this major version builds a network's engine from.
fn source(files: &EngineFiles, major: u32) -> Result<&GraphFile, EngineError> {
    match (precision(files), &files.int8) {
        (Precision::Fp32, _) => Ok(&files.fp32),
        (precision, _) if major >= trtexec::STRONGLY_TYPED => files.typed_for_gpu(precision),
        (Precision::Int8, Some(quantised)) => Ok(quantised),
        // The builder is asked for 16 bits by a flag.
        _ => Ok(&files.fp32),
    }
}

/// What all networks on TensorRT share: the library and the GPU.
#[derive(Debug)]
pub(super) struct TensorRt {
    library: Arc<Library>,
    device: Arc<Device>,
    installation: Installation,
    turn: Turn,
    /// In which the networks of all frames run; made for the first engine.
    stream: OnceLock<Arc<Stream>>,
    /// Engines in use, by path: a second one of the same network shares the weights. Locked while one is opened, as a library
    /// reads them one at a time.
    plans: Mutex<Vec<(PathBuf, Weak<Plan>)>>,
}

impl TensorRt {
    /// Opens the driver, then the library.
    pub(super) fn new(installation: Installation) -> Result<Self, EngineError> {
        let device = Device::open(installation.driver.as_deref()).map_err(unavailable)?;
        let library = Library::open(installation.library.as_deref()).map_err(unavailable)?;
        let (turn, stream, plans) = Default::default();
        Ok(Self { library, device, installation, turn, stream, plans })
    }

    /// The stream of all frames' networks. Engines are opened one at a time, so that it is made once.
    fn stream(&self) -> Result<Arc<Stream>, TensorRtError> {
        match self.stream.get() {
            Some(stream) => Ok(Arc::clone(stream)),
            None => {
                let stream = Arc::new(Stream::new(&self.device, false)?);
                Ok(Arc::clone(self.stream.get_or_init(|| stream)))
            }
        }
    }

    fn check_runtime(&self) -> Result<(), EngineError> {
        self.device.enter().and_then(|()| self.library.check_runtime()).map_err(unavailable)
    }
}

fn unavailable(error: TensorRtError) -> EngineError {
    EngineError::Unavailable { backend: "tensorrt", reason: error.to_string() }
}

impl OpenBackend for TensorRt {
    fn backend(&self) -> Backend {
        Backend::TensorRt
    }

    fn turn(&self) -> Option<&Turn> {
        self.device.takes_several_frames().then_some(&self.turn)
    }

    /// Checks the engine's side-car, then lets the library read the engine, unless it is in use already.
    fn open(&self, files: &EngineFiles, signature: Signature) -> Result<Box<dyn Engine>, EngineError> {
        let path = self.installation.plan(files, &signature);
        let mut plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        let failed = |error| failure(&path, error);
        let queue = Queue { stream: self.stream().map_err(failed)?, turn: self.turn.clone() };
        plans.retain(|(_, plan)| plan.strong_count() > 0);
        let known = plans.iter().find(|(known, _)| *known == path).and_then(|(_, plan)| plan.upgrade());
        if let Some(plan) = known {
            match TrtEngine::new(&path, plan, &self.device, &queue, signature.clone()) {
                Ok(engine) => return Ok(Box::new(engine)),
                // TensorRT 8 lets only one of them have open shapes.
                Err(error) => tracing::debug!("{}: has its own weights: {error}", path.display()),
            }
        }
        let plan = read(&path, files)?;
        let sidecar = Sidecar::read(&path)?;
        sidecar.check_files(&path, &plan, files, &signature)?;
        sidecar.check_machine(&path, self.library.version(), self.device.facts())?;
        if let Some(probe) = &self.installation.probe {
            probe.run(&path, &sidecar.engine_sha256, self.library.version()).map_err(failed)?;
        }
        self.device.enter().map_err(failed)?;
        let loaded = Arc::new(self.library.load(&plan).map_err(failed)?);
        let engine = TrtEngine::new(&path, Arc::clone(&loaded), &self.device, &queue, signature)?;
        plans.push((path, Arc::downgrade(&loaded)));
        Ok(Box::new(engine))
    }
}

fn read(path: &Path, files: &EngineFiles) -> Result<Vec<u8>, EngineError> {
    std::fs::read(path).map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound => {
            EngineError::NoEngine { path: path.to_owned(), remedy: sidecar::remedy(&files.label, precision(files)) }
        }
        _ => EngineError::Read { path: path.to_owned(), source },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn from_11_on_plans_are_built_from_graphs_of_their_types() {
        let graph = |name: &str| GraphFile { onnx: name.into(), sha256: String::new(), external: Vec::new() };
        let mut files = EngineFiles {
            fp32: graph("a.onnx"),
            fp16: Some(graph("a.fp16.onnx")),
            int8: Some(graph("a.int8.onnx")),
            int8_fp16: Some(graph("a.int8-fp16.onnx")),
            int8_cpu: Some(graph("a.int8-cpu.onnx")),
            precision: None,
            label: "bundle/backbone".to_owned(),
            has_open_shapes: false,
        };
        let sources = |precision, files: &mut EngineFiles| {
            files.precision = Some(precision);
            [8, 10, 11].map(|major| source(files, major).unwrap().onnx.display().to_string())
        };
        assert_eq!(sources(Precision::Fp32, &mut files), ["a.onnx"; 3]);
        assert_eq!(sources(Precision::Fp16, &mut files), ["a.onnx", "a.onnx", "a.fp16.onnx"]);
        assert_eq!(sources(Precision::Int8, &mut files), ["a.int8.onnx", "a.int8.onnx", "a.int8-fp16.onnx"]);
        files.int8_fp16 = None;
        assert_eq!(sources(Precision::Int8, &mut files), ["a.int8.onnx"; 3]);
        files.int8 = None;
        assert_eq!(sources(Precision::Int8, &mut files), ["a.onnx", "a.onnx", "a.fp16.onnx"]);
    }
}
