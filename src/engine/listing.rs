//! A backend that opens nothing and writes down what it is asked for: which networks a model needs, in which shapes.

use std::sync::{Arc, Mutex};

use super::{Backend, DeviceTensor, Engine, EngineError, EngineFiles, OpenBackend, Signature};

/// A network and the shapes that it is opened for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// Its files.
    pub files: EngineFiles,
    /// Its tensors.
    pub signature: Signature,
}

/// What was asked for so far.
#[derive(Debug, Clone, Default)]
pub struct Listing(Arc<Mutex<Vec<Network>>>);

impl Listing {
    /// All networks, in the order in which they were opened.
    pub fn networks(&self) -> Vec<Network> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }
}

impl OpenBackend for Listing {
    fn backend(&self) -> Backend {
        Backend::Auto
    }

    fn open(&self, files: &EngineFiles, signature: Signature) -> Result<Box<dyn Engine>, EngineError> {
        let network = Network { files: files.clone(), signature: signature.clone() };
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push(network);
        Ok(Box::new(Listed { signature, values: Vec::new(), indices: Vec::new() }))
    }
}

/// Takes inputs, and does nothing with them.
#[derive(Debug)]
struct Listed {
    signature: Signature,
    values: Vec<f32>,
    indices: Vec<i32>,
}

impl Listed {
    fn volume(&self, index: usize) -> usize {
        self.signature.inputs[index].shape.iter().product()
    }
}

impl Engine for Listed {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn input(&mut self, index: usize) -> &mut [f32] {
        self.values.resize(self.volume(index), 0.0);
        &mut self.values
    }

    fn indices(&mut self, index: usize) -> &mut [i32] {
        self.indices.resize(self.volume(index), 0);
        &mut self.indices
    }

    fn run(&mut self) -> Result<(), EngineError> {
        Err(EngineError::Unavailable { backend: "listing", reason: "it runs nothing".to_owned() })
    }

    fn output(&self, _index: usize) -> &[f32] {
        &[]
    }

    fn export_output(&self, _index: usize) -> DeviceTensor {
        DeviceTensor::new(Arc::new(()))
    }

    fn bind_input(&mut self, _index: usize, _tensor: &DeviceTensor) -> Result<(), EngineError> {
        Ok(())
    }
}
