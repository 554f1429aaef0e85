//! One network on ONNX Runtime: tensors in host memory, copied by ONNX Runtime if its provider computes elsewhere.

use std::path::PathBuf;
use std::sync::Arc;

use ort::session::{Session, SessionInputValue};
use ort::value::TensorRef;

use crate::engine::{DataType, DeviceTensor, Engine, EngineError, Memory, Signature, TensorSpec};

#[derive(Debug)]
enum Input {
    Values(Vec<f32>),
    Indices(Vec<i32>),
    /// An output of another engine; `None` until it is bound.
    FromEngine(Option<Arc<Vec<f32>>>),
}

#[derive(Debug)]
pub(super) struct OrtEngine {
    path: PathBuf,
    signature: Signature,
    session: Session,
    inputs: Vec<Input>,
    outputs: Vec<Arc<Vec<f32>>>,
}

impl OrtEngine {
    /// An engine for tensors of these shapes; inputs are zeros.
    pub(super) fn new(path: PathBuf, signature: Signature, session: Session) -> Self {
        let values = |spec: &TensorSpec| vec![0.0; spec.shape.iter().product()];
        let inputs = (signature.inputs.iter())
            .map(|spec| match (spec.memory, spec.data_type) {
                (Memory::Device, _) => Input::FromEngine(None),
                (Memory::Host, DataType::F32) => Input::Values(values(spec)),
                (Memory::Host, DataType::I32) => Input::Indices(vec![0; spec.shape.iter().product()]),
            })
            .collect();
        let outputs = signature.outputs.iter().map(|spec| Arc::new(values(spec))).collect();
        Self { path, signature, session, inputs, outputs }
    }

    /// Runs the network on zeros, as a provider may build something on the first run.
    pub(super) fn warm_up(&mut self) -> Result<(), EngineError> {
        let unbound = |input: &Input| matches!(input, Input::FromEngine(None));
        let unbound: Vec<usize> = (0..self.inputs.len()).filter(|&index| unbound(&self.inputs[index])).collect();
        for &index in &unbound {
            let zeros = vec![0.0; self.signature.inputs[index].shape.iter().product()];
            self.inputs[index] = Input::FromEngine(Some(Arc::new(zeros)));
        }
        let ran = self.run();
        for index in unbound {
            self.inputs[index] = Input::FromEngine(None);
        }
        for output in &mut self.outputs {
            *output = Arc::new(vec![0.0; output.len()]);
        }
        ran
    }
}

impl Engine for OrtEngine {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn input(&mut self, index: usize) -> &mut [f32] {
        match &mut self.inputs[index] {
            Input::Values(values) => values,
            _ => panic!("input {index} is one of indices, or comes from another engine"),
        }
    }

    fn indices(&mut self, index: usize) -> &mut [i32] {
        match &mut self.inputs[index] {
            Input::Indices(values) => values,
            _ => panic!("input {index} does not hold indices"),
        }
    }

    fn run(&mut self) -> Result<(), EngineError> {
        let Self { path, signature, session, inputs, outputs } = self;
        let failed = |reason: String| EngineError::Run { path: path.clone(), reason };
        let mut named: Vec<(&str, SessionInputValue<'_>)> = Vec::with_capacity(inputs.len());
        for (spec, input) in signature.inputs.iter().zip(&*inputs) {
            let shape = &spec.shape[..];
            let value = match input {
                Input::Values(values) => TensorRef::from_array_view((shape, &values[..])).map(Into::into),
                Input::Indices(values) => TensorRef::from_array_view((shape, &values[..])).map(Into::into),
                Input::FromEngine(Some(values)) => TensorRef::from_array_view((shape, &values[..])).map(Into::into),
                Input::FromEngine(None) => {
                    return Err(EngineError::DeviceTensor {
                        path: path.clone(),
                        tensor: spec.name.clone(),
                        reason: "it was never bound".to_owned(),
                    });
                }
            };
            named.push((&spec.name, value.map_err(|error: ort::Error| failed(error.to_string()))?));
        }
        let found = session.run(named).map_err(|error| failed(error.to_string()))?;
        for (spec, output) in signature.outputs.iter().zip(outputs) {
            let values = (found.get(&spec.name).ok_or_else(|| "it is missing".to_owned()))
                .and_then(|value| value.try_extract_tensor::<f32>().map_err(|error| error.to_string()))
                .map_err(|reason| failed(format!("output `{}`: {reason}", spec.name)))?;
            let (shape, values) = values;
            if !shape.iter().map(|&extent| extent as usize).eq(spec.shape.iter().copied()) {
                let expected = &spec.shape;
                return Err(failed(format!("output `{}` is {shape:?}, expected {expected:?}", spec.name)));
            }
            // An engine that the last one was bound to may still hold it.
            match Arc::get_mut(output) {
                Some(kept) => kept.copy_from_slice(values),
                None => *output = Arc::new(values.to_vec()),
            }
        }
        Ok(())
    }

    fn output(&self, index: usize) -> &[f32] {
        &self.outputs[index]
    }

    fn export_output(&self, index: usize) -> DeviceTensor {
        DeviceTensor::new(Arc::clone(&self.outputs[index]))
    }

    fn bind_input(&mut self, index: usize, tensor: &DeviceTensor) -> Result<(), EngineError> {
        let spec = &self.signature.inputs[index];
        let fail =
            |reason: String| EngineError::DeviceTensor { path: self.path.clone(), tensor: spec.name.clone(), reason };
        let values: Arc<Vec<f32>> = tensor.tensor().ok_or_else(|| fail("it comes from another backend".to_owned()))?;
        if values.len() != spec.shape.iter().product::<usize>() {
            return Err(fail(format!("it has {} values, expected {:?}", values.len(), spec.shape)));
        }
        self.inputs[index] = Input::FromEngine(Some(values));
        Ok(())
    }
}
