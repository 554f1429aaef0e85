//! Errors of engines.

use std::path::PathBuf;

use super::precision::Precision;
use super::{Backend, Provider};

/// Why an engine does not open or run: the file, the tensor if there is one, what was found and what was expected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// No backend of that name.
    #[error("unknown backend `{0}`, expected `auto`, `tensorrt`, `tract` or `onnxruntime`")]
    UnknownBackend(String),
    /// A provider was given for a backend that has none.
    #[error("provider `{provider}` is one of ONNX Runtime's: take --backend onnxruntime, not {backend}")]
    NoProviders {
        /// The backend.
        backend: Backend,
        /// What was asked for.
        provider: Provider,
    },
    /// This program was built without the backend.
    #[error("backend `{0}` is not part of this program: build it with the cargo feature of that name")]
    NotBuilt(&'static str),
    /// The backend does not work on this machine.
    #[error("backend `{backend}`: {reason}")]
    Unavailable {
        /// Its name.
        backend: &'static str,
        /// What is missing.
        reason: String,
    },
    /// A network has no TensorRT engine yet.
    #[error("{}: there is no such engine; {remedy}", path.display())]
    NoEngine {
        /// Its expected path.
        path: PathBuf,
        /// What to do.
        remedy: String,
    },
    /// A TensorRT engine was built from or for something else.
    #[error("{}: {what}: found {found}, expected {expected}; {remedy}", path.display())]
    Stale {
        /// The engine.
        path: PathBuf,
        /// What differs.
        what: &'static str,
        /// What the engine or its side-car has.
        found: String,
        /// What is expected here.
        expected: String,
        /// What to do.
        remedy: String,
    },
    /// That number of threads cannot be started.
    #[error("{threads} threads for the engines: {reason}")]
    Threads {
        /// What was asked for.
        threads: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// The file cannot be read.
    #[error("{}: cannot be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The file has changed since the bundle was checked.
    #[error(
        "{}: its SHA-256 is {found}, expected {expected}: the file was changed after the bundle was checked, start again",
        path.display()
    )]
    Changed {
        /// The file.
        path: PathBuf,
        /// The file's hash.
        found: String,
        /// The hash that the bundle lists.
        expected: String,
    },
    /// A file or folder cannot be written.
    #[error("{}: cannot be written: {source}; choose another folder with SINEW_ENGINES", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The input of a network cannot be written down.
    #[error("{}: cannot be written: {reason}", path.display())]
    Record {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        reason: String,
    },
    /// A bundle has no graph of a precision.
    #[error("{label} has no {precision} graph: {remedy}")]
    NoGraph {
        /// The network, as bundle and role.
        label: String,
        /// What was asked for.
        precision: Precision,
        /// What to do.
        remedy: String,
    },
    /// The program that builds engines failed.
    #[error("{}: {reason}", program.display())]
    Builder {
        /// The program.
        program: PathBuf,
        /// What happened.
        reason: String,
    },
    /// The file is not a graph that the backend can run.
    #[error("{}: {stage}: {reason}", path.display())]
    Load {
        /// The file.
        path: PathBuf,
        /// What was being done.
        stage: &'static str,
        /// The backend's reason.
        reason: String,
    },
    /// A tensor of the file is not what the manifest says.
    #[error("{}: {kind} `{tensor}` is {found}, the manifest says {expected}", path.display())]
    Tensor {
        /// The file.
        path: PathBuf,
        /// `input` or `output`.
        kind: &'static str,
        /// The tensor's name.
        tensor: String,
        /// What the file has.
        found: String,
        /// What the manifest says.
        expected: String,
    },
    /// The network failed on a frame.
    #[error("{}: the network failed: {reason}", path.display())]
    Run {
        /// The file.
        path: PathBuf,
        /// The backend's reason.
        reason: String,
    },
    /// The output of another engine does not fit an input, or was never bound.
    #[error("{}: input `{tensor}` from another engine: {reason}", path.display())]
    DeviceTensor {
        /// The file.
        path: PathBuf,
        /// The tensor's name.
        tensor: String,
        /// What is wrong with it.
        reason: String,
    },
}
