//! ONNX Runtime: the networks on the CPU, faster than tract, and with real 8-bit arithmetic.
//!
//! Its library is opened at run time, from `SINEW_ONNXRUNTIME_LIBRARY` or where the system finds libraries; nothing of it is
//! needed to build this program. A run allocates.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use ort::session::{Session, SessionInputValue};
use ort::value::{TensorElementType, TensorRef, ValueType};

use super::files::Graph;
use super::{
    Backend, DataType, DeviceTensor, Engine, EngineError, EngineFiles, Memory, OpenBackend, Precision, Signature,
    TensorSpec,
};

/// Names the library.
const VARIABLE: &str = "SINEW_ONNXRUNTIME_LIBRARY";
/// What the system is asked for otherwise.
const LIBRARY: &str = "libonnxruntime.so";

/// What all networks on ONNX Runtime share.
#[derive(Debug)]
pub(super) struct OnnxRuntime {
    environment: ort::environment::Environment,
    threads: usize,
}

impl OnnxRuntime {
    /// Opens the library, once per process.
    pub(super) fn new(threads: usize) -> Result<Self, EngineError> {
        // There can be one environment only, and it lives as long as the process.
        static ENVIRONMENT: OnceLock<Result<ort::environment::Environment, String>> = OnceLock::new();
        let environment = ENVIRONMENT.get_or_init(|| {
            let library = std::env::var_os(VARIABLE).map_or_else(|| LIBRARY.into(), PathBuf::from);
            let builder = ort::init_from(&library)
                .map_err(|error| format!("{error}; install ONNX Runtime, or name its library with {VARIABLE}"))?;
            builder.build().map_err(|error| error.to_string())
        });
        match environment {
            Ok(environment) => Ok(Self { environment: environment.clone(), threads }),
            Err(reason) => Err(EngineError::Unavailable { backend: "onnxruntime", reason: reason.clone() }),
        }
    }
}

impl OpenBackend for OnnxRuntime {
    fn backend(&self) -> Backend {
        Backend::OnnxRuntime
    }

    fn open(&self, files: &EngineFiles, signature: Signature) -> Result<Box<dyn Engine>, EngineError> {
        let file = files.typed_for_cpu(files.precision.unwrap_or(Precision::default_of(Backend::OnnxRuntime)))?;
        let path = file.onnx.clone();
        let session = self.session(file.read()?).map_err(|reason| EngineError::Load {
            path: path.clone(),
            stage: "ONNX Runtime cannot read this graph",
            reason,
        })?;
        for (kind, specs, found) in
            [("input", &signature.inputs, session.inputs()), ("output", &signature.outputs, session.outputs())]
        {
            for spec in specs {
                let outlet = found.iter().find(|outlet| outlet.name() == spec.name);
                check(&path, kind, spec, outlet.map(|outlet| outlet.dtype()))?;
            }
        }
        let values = |spec: &TensorSpec| vec![0.0; spec.shape.iter().product()];
        let inputs = (signature.inputs.iter())
            .map(|spec| match (spec.memory, spec.data_type) {
                (Memory::Device, _) => Input::FromEngine(None),
                (Memory::Host, DataType::F32) => Input::Values(values(spec)),
                (Memory::Host, DataType::I32) => Input::Indices(vec![0; spec.shape.iter().product()]),
            })
            .collect();
        let outputs = signature.outputs.iter().map(|spec| Arc::new(values(spec))).collect();
        Ok(Box::new(OrtEngine { path, signature, session, inputs, outputs }))
    }
}

impl OnnxRuntime {
    fn session(&self, graph: Graph) -> Result<Session, String> {
        let build = || -> Result<Session, ort::Error> {
            let mut builder = Session::builder(&self.environment)?;
            // Spinning makes a network a little faster and everything beside it slower.
            builder = builder.with_intra_op_spinning(false)?;
            if self.threads > 0 {
                builder = builder.with_intra_threads(self.threads)?;
            }
            for (name, bytes) in graph.external {
                builder = builder.with_external_initializer_file_in_memory(name, bytes)?;
            }
            builder.commit_from_memory(&graph.model)
        };
        build().map_err(|error| error.to_string())
    }
}

/// Compares what the graph says of a tensor with the manifest; extents that the graph leaves open are compared when it has
/// run.
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

#[derive(Debug)]
enum Input {
    Values(Vec<f32>),
    Indices(Vec<i32>),
    /// An output of another engine; nothing until it is bound.
    FromEngine(Option<Arc<Vec<f32>>>),
}

#[derive(Debug)]
struct OrtEngine {
    path: PathBuf,
    signature: Signature,
    session: Session,
    inputs: Vec<Input>,
    outputs: Vec<Arc<Vec<f32>>>,
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
            _ => panic!("input {index} is none of indices"),
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
