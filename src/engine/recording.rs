//! Records the inputs of every network, for calibration.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use super::{Backend, DataType, DeviceTensor, Engine, EngineError, EngineFiles, Memory, OpenBackend, Signature};
use crate::npz::{self, Array, Arrays};

/// Where inputs are recorded, and how many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recording {
    /// One folder per role below it, one file per run: `backbone/0000.npz`, its arrays named as the inputs.
    pub folder: PathBuf,
    /// Maximum number of files per role.
    pub limit: usize,
}

/// A backend whose engines record their inputs.
#[derive(Debug)]
pub(super) struct Recorder {
    inner: Arc<dyn OpenBackend>,
    recording: Recording,
    /// Files written so far, by role.
    counts: Arc<Mutex<HashMap<String, usize>>>,
}

impl Recorder {
    pub(super) fn new(inner: Arc<dyn OpenBackend>, recording: Recording) -> Self {
        Self { inner, recording, counts: Arc::default() }
    }
}

impl OpenBackend for Recorder {
    fn backend(&self) -> Backend {
        self.inner.backend()
    }

    /// Opens an engine with all tensors in host memory.
    fn open(&self, files: &EngineFiles, signature: Signature) -> Result<Box<dyn Engine>, EngineError> {
        let role = files.label.rsplit('/').next().unwrap_or_default().to_owned();
        let folder = self.recording.folder.join(&role);
        std::fs::create_dir_all(&folder)
            .map_err(|error| EngineError::Record { path: folder.clone(), reason: error.to_string() })?;
        let mut open = signature.clone();
        for spec in open.inputs.iter_mut().chain(&mut open.outputs) {
            spec.memory = Memory::Host;
        }
        Ok(Box::new(Recorded {
            inner: self.inner.open(files, open)?,
            signature,
            folder,
            role,
            limit: self.recording.limit,
            counts: Arc::clone(&self.counts),
        }))
    }
}

#[derive(Debug)]
struct Recorded {
    inner: Box<dyn Engine>,
    signature: Signature,
    folder: PathBuf,
    role: String,
    limit: usize,
    counts: Arc<Mutex<HashMap<String, usize>>>,
}

impl Recorded {
    /// The number of the next file, up to the limit.
    fn next(&self) -> Option<usize> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(self.role.clone()).or_default();
        let number = *count;
        (number < self.limit).then(|| {
            *count += 1;
            number
        })
    }

    fn arrays(&mut self) -> Arrays {
        let mut arrays = Arrays::new();
        for (index, spec) in self.signature.inputs.iter().enumerate() {
            let array = match spec.data_type {
                DataType::F32 => Array::from_f32(&spec.shape, self.inner.input(index).to_vec()),
                DataType::I32 => {
                    let values = self.inner.indices(index).iter().map(|&value| i64::from(value)).collect();
                    Array::from_i64(&spec.shape, values)
                }
            };
            arrays.insert(spec.name.clone(), array.expect("an engine has as many values as its shape says"));
        }
        arrays
    }
}

impl Engine for Recorded {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn input(&mut self, index: usize) -> &mut [f32] {
        self.inner.input(index)
    }

    fn indices(&mut self, index: usize) -> &mut [i32] {
        self.inner.indices(index)
    }

    fn run(&mut self) -> Result<(), EngineError> {
        if let Some(number) = self.next() {
            let path = self.folder.join(format!("{number:04}.npz"));
            npz::write(&path, &self.arrays())
                .map_err(|error| EngineError::Record { path, reason: error.to_string() })?;
        }
        self.inner.run()
    }

    fn output(&self, index: usize) -> &[f32] {
        self.inner.output(index)
    }

    fn export_output(&self, index: usize) -> DeviceTensor {
        DeviceTensor::new(Arc::new(self.inner.output(index).to_vec()))
    }

    fn bind_input(&mut self, index: usize, tensor: &DeviceTensor) -> Result<(), EngineError> {
        let spec = &self.signature.inputs[index];
        let fail = |reason: &str| EngineError::DeviceTensor {
            path: self.folder.clone(),
            tensor: spec.name.clone(),
            reason: reason.to_owned(),
        };
        let values = tensor.tensor::<Vec<f32>>().ok_or_else(|| fail("it was not recorded"))?;
        let target = self.inner.input(index);
        if values.len() != target.len() {
            return Err(fail("it has another size"));
        }
        target.copy_from_slice(&values);
        Ok(())
    }
}
