//! tract: every network on the CPU, with nothing installed.
//!
//! tract allocates new tensors for every node of every run; nothing else here allocates.

mod exact;
mod graph;
mod sys;

pub use self::sys::keep_memory;

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use tract_data::TractError;
use tract_data::knobs::KnobScope;
use tract_linalg::multithread::Executor;
use tract_onnx::prelude::{
    Arc, Datum, DatumType, Framework, InferenceFact, InferenceModelExt, RunOptions, TValue, TVec, Tensor, TractResult,
    TypedModel, TypedSimplePlan, TypedSimpleState,
};
use tract_onnx::tract_core::internal::{ensure, format_err};
use tract_onnx::tract_core::plan;

use super::{
    Backend, DataType, DeviceTensor, Engine, EngineError, EngineFiles, Memory, OpenBackend, Precision, Signature,
    TensorSpec,
};

/// Maximum number of threads, to catch typing errors.
const MAX_THREADS: usize = 256;

/// What all networks on tract share: the threads.
#[derive(Debug)]
pub(super) struct Tract {
    executor: Executor,
}

impl Tract {
    /// Starts `threads` threads, or one per core for 0.
    pub(super) fn new(threads: usize) -> Result<Self, EngineError> {
        let wanted = match threads {
            0 => std::thread::available_parallelism().map_or(1, |cores| cores.get().min(MAX_THREADS)),
            wanted => wanted,
        };
        if wanted > MAX_THREADS {
            let reason = format!("expected 0 (one per core) to {MAX_THREADS}");
            return Err(EngineError::Threads { threads, reason });
        }
        if wanted == 1 {
            return Ok(Self { executor: Executor::SingleThread });
        }
        // tract panics if the system provides no more threads.
        let executor = catch_unwind(|| Executor::multithread_with_name(wanted, "sinew-network"))
            .map_err(|panic| EngineError::Threads { threads: wanted, reason: message(&*panic) })?;
        Ok(Self { executor })
    }
}

impl OpenBackend for Tract {
    fn backend(&self) -> Backend {
        Backend::Tract
    }

    /// Reads, checks and optimises a graph for the shapes of `signature`.
    fn open(&self, files: &EngineFiles, signature: Signature) -> Result<Box<dyn Engine>, EngineError> {
        let precision = files.precision.unwrap_or(Precision::default_of(Backend::Tract));
        if precision == Precision::Fp16 {
            // On x86 it has no kernels of that type and is 200 times slower.
            let reason = "it computes with 32 bits; omit --precision, or use another backend".to_owned();
            return Err(EngineError::Unavailable { backend: "tract", reason });
        }
        let file = files.typed(precision)?;
        let path = &file.onnx;
        let read = file.read()?;
        let onnx = tract_onnx::onnx().with_ignore_value_info(true);
        let mut proto = guarded(path, "not an ONNX model", || onnx.proto_model_for_read(&mut read.model.as_slice()))?;
        graph::check(path, &proto, &signature)?;
        graph::fill_in(path, &mut proto, &read.external)?;
        drop(read);
        let model = guarded(path, "tract cannot read this graph", || {
            // Without a folder nothing is read from files.
            let parsed = onnx.parse(&proto, None)?;
            ensure!(parsed.unresolved_inputs.is_empty(), "nothing makes {:?}", parsed.unresolved_inputs);
            Ok(parsed.model)
        })?;
        drop(proto);

        let typed = guarded(path, "tract cannot analyse this graph", || {
            let mut model = model;
            let names: Vec<String> = model.inputs.iter().map(|outlet| model.node(outlet.node).name.clone()).collect();
            let order = positions(&names, &signature.inputs)?;
            for (input, spec) in signature.inputs.iter().enumerate() {
                let fact = InferenceFact::dt_shape(datum_type(spec.data_type), &spec.shape);
                model.set_input_fact(order[input], fact)?;
            }
            model.inputs = order.iter().map(|&position| model.inputs[position]).collect();
            let labels: Vec<String> = model
                .outputs
                .iter()
                .map(|&outlet| model.outlet_label(outlet).unwrap_or(&model.node(outlet.node).name).to_owned())
                .collect();
            model.outputs =
                positions(&labels, &signature.outputs)?.into_iter().map(|position| model.outputs[position]).collect();
            model.into_typed()
        })?;
        check_outputs(path, &typed, &signature)?;

        let options = RunOptions { executor: Some(self.executor.clone()), ..RunOptions::default() };
        let state = guarded(path, "tract cannot prepare this graph", || {
            let mut typed = typed;
            for name in exact::keep_exact(&mut typed)? {
                tracing::debug!("{}: {name} is computed in floating point", path.display());
            }
            let optimised = knobs()?.enter(|| typed.into_optimized())?;
            exact::refuse_inexact(&optimised)?;
            TypedSimplePlan::new_with_options(optimised, &options)?.spawn()
        })?;
        Ok(Box::new(TractEngine::new(path.clone(), signature, state)?))
    }
}

/// tract's settings for optimising a network.
fn knobs() -> TractResult<KnobScope> {
    // The direct spatial convolution is AVX2 code: on AVX-512 the matrix product does three times as much a second.
    // On other processors tract's own choice is kept.
    #[cfg(target_arch = "x86_64")]
    if std::is_x86_feature_detected!("avx512f") {
        return KnobScope::new([("TRACT_DISABLE_DIRECT_SPATIAL", "true")]);
    }
    Ok(KnobScope::default())
}

fn datum_type(data_type: DataType) -> DatumType {
    match data_type {
        DataType::F32 => DatumType::F32,
        DataType::I32 => DatumType::I32,
    }
}

/// For every spec the position of its name in `names`; `graph::check` has checked that all exist.
fn positions(names: &[String], specs: &[TensorSpec]) -> TractResult<Vec<usize>> {
    let position = |spec: &TensorSpec| names.iter().position(|name| *name == spec.name);
    specs
        .iter()
        .map(|spec| position(spec).ok_or_else(|| format_err!("lost the tensor `{}`, it has {names:?}", spec.name)))
        .collect()
}

/// Compares tract's output shapes with the manifest.
fn check_outputs(path: &Path, model: &TypedModel, signature: &Signature) -> Result<(), EngineError> {
    for (index, spec) in signature.outputs.iter().enumerate() {
        let fact = model.output_fact(index).map_err(|error| load_error(path, "tract lost an output", error))?;
        if fact.datum_type != DatumType::F32 || fact.shape.as_concrete() != Some(&spec.shape) {
            return Err(EngineError::Tensor {
                path: path.to_owned(),
                kind: "output",
                tensor: spec.name.clone(),
                found: format!("{:?} for inputs of these sizes", fact.without_value()),
                expected: spec.to_string(),
            });
        }
    }
    Ok(())
}

/// Runs a step of tract's loading. tract indexes and unwraps in places while it reads a graph, so that a bad file
/// can make it panic; that becomes an ordinary error here.
fn guarded<T>(path: &Path, stage: &'static str, step: impl FnOnce() -> TractResult<T>) -> Result<T, EngineError> {
    match catch_unwind(AssertUnwindSafe(step)) {
        Ok(result) => result.map_err(|error| load_error(path, stage, error)),
        Err(panic) => {
            let reason = format!("tract gave up: {}", message(&*panic));
            Err(EngineError::Load { path: path.to_owned(), stage, reason })
        }
    }
}

fn load_error(path: &Path, stage: &'static str, error: TractError) -> EngineError {
    EngineError::Load { path: path.to_owned(), stage, reason: format!("{error:#}") }
}

/// The message of a panic.
fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("it panicked without a message").to_owned()
}

/// A network on tract.
#[derive(Debug)]
struct TractEngine {
    path: PathBuf,
    signature: Signature,
    /// `None` until bound to an output of another engine.
    inputs: Vec<Option<Arc<Tensor>>>,
    outputs: Vec<TValue>,
    state: TypedSimpleState,
}

impl TractEngine {
    fn new(path: PathBuf, signature: Signature, state: TypedSimpleState) -> Result<Self, EngineError> {
        let zeros = |spec: &TensorSpec| {
            Tensor::zero_dt(datum_type(spec.data_type), &spec.shape)
                .map_err(|error| load_error(&path, "tract cannot make a tensor", error))
        };
        let mut inputs = Vec::with_capacity(signature.inputs.len());
        for spec in &signature.inputs {
            inputs.push(match spec.memory {
                Memory::Host => Some(Arc::new(zeros(spec)?)),
                Memory::Device => None,
            });
        }
        let outputs =
            signature.outputs.iter().map(|spec| Ok(TValue::from(zeros(spec)?))).collect::<Result<_, EngineError>>()?;
        Ok(Self { path, signature, inputs, outputs, state })
    }

    /// The values of an input that the program writes.
    fn host_input<T: Datum>(&mut self, index: usize) -> &mut [T] {
        let spec = &self.signature.inputs[index];
        assert!(spec.memory == Memory::Host, "input `{}` comes from another engine", spec.name);
        assert!(datum_type(spec.data_type) == T::datum_type(), "input `{}` holds {}", spec.name, spec.data_type);
        let tensor = self.inputs[index].as_mut().expect("host inputs are made when the engine is opened");
        // There is no other reference to the tensor after a run, so this copies nothing; a graph that passes its input on as
        // an output is the exception.
        let view = Arc::make_mut(tensor).to_plain_array_view_mut().expect("it was made as a plain tensor of this type");
        view.into_slice().expect("tensors are contiguous")
    }

    fn run_error(&self, reason: String) -> EngineError {
        EngineError::Run { path: self.path.clone(), reason }
    }

    fn check_output_shapes(&self, outputs: &[TValue]) -> Result<(), EngineError> {
        for (spec, output) in self.signature.outputs.iter().zip(outputs) {
            if output.shape() != spec.shape.as_slice() || output.datum_type() != DatumType::F32 {
                let (found, expected) = (output.shape(), spec.to_string());
                return Err(self.run_error(format!("output `{}` is {found:?}, expected {expected}", spec.name)));
            }
        }
        Ok(())
    }
}

impl Engine for TractEngine {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn input(&mut self, index: usize) -> &mut [f32] {
        self.host_input(index)
    }

    fn indices(&mut self, index: usize) -> &mut [i32] {
        self.host_input(index)
    }

    fn run(&mut self) -> Result<(), EngineError> {
        let mut inputs: TVec<TValue> = TVec::with_capacity(self.inputs.len());
        for (spec, input) in self.signature.inputs.iter().zip(&self.inputs) {
            let Some(tensor) = input else {
                return Err(EngineError::DeviceTensor {
                    path: self.path.clone(),
                    tensor: spec.name.clone(),
                    reason: "it was never bound".to_owned(),
                });
            };
            inputs.push(TValue::from_const(Arc::clone(tensor)));
        }
        // A panic in a kernel must not end the frame loop; the state that it leaves behind is discarded.
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            self.state.run_plan_with_eval(inputs, |context, state, node, inputs| {
                let outputs = plan::eval(context, state, node, inputs);
                sys::clear_upper_halves();
                outputs
            })
        }));
        let outputs = match outcome {
            Ok(Ok(outputs)) => outputs,
            Ok(Err(error)) => {
                let reason = format!("{error:#}");
                self.state.reset_turn().map_err(|error| self.run_error(format!("{error:#}")))?;
                return Err(self.run_error(reason));
            }
            Err(panic) => {
                let reason = format!("tract gave up: {}", message(&*panic));
                self.state = self.state.plan().spawn().map_err(|error| self.run_error(format!("{error:#}")))?;
                return Err(self.run_error(reason));
            }
        };
        self.check_output_shapes(&outputs)?;
        self.outputs.clear();
        self.outputs.extend(outputs);
        Ok(())
    }

    fn output(&self, index: usize) -> &[f32] {
        let view = self.outputs[index].try_as_plain_ram().expect("tract on the CPU keeps tensors in memory");
        view.as_slice().expect("checked to be f32 after the run")
    }

    fn export_output(&self, index: usize) -> DeviceTensor {
        let tensor = self.outputs[index].as_arc_tensor().expect("every value of tract is one");
        DeviceTensor::new(Arc::clone(tensor))
    }

    fn bind_input(&mut self, index: usize, tensor: &DeviceTensor) -> Result<(), EngineError> {
        let spec = &self.signature.inputs[index];
        let fail =
            |reason: String| EngineError::DeviceTensor { path: self.path.clone(), tensor: spec.name.clone(), reason };
        let tensor: Arc<Tensor> = tensor.tensor().ok_or_else(|| fail("it comes from another backend".to_owned()))?;
        if tensor.shape() != spec.shape.as_slice() {
            return Err(fail(format!("it is {:?}, expected {:?}", tensor.shape(), spec.shape)));
        }
        self.inputs[index] = Some(tensor);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #[cfg(target_arch = "x86_64")]
    use super::super::GraphFile;
    use super::*;

    #[test]
    fn a_panic_becomes_an_error() {
        let values: Vec<u32> = Vec::new();
        let error = guarded(Path::new("a.onnx"), "tract cannot read this graph", || Ok(values[3])).unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with("a.onnx: tract cannot read this graph: tract gave up: index out of bounds"), "{text}");
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn no_vector_register_stays_in_use() {
        let onnx = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/onnx/spots/backbone.onnx");
        let fp32 = GraphFile::of(onnx).unwrap();
        let files = EngineFiles {
            fp32,
            fp16: None,
            int8: None,
            int8_fp16: None,
            int8_cpu: None,
            precision: None,
            label: String::new(),
            has_open_shapes: true,
        };
        let spec = |name: &str, shape: &[usize]| TensorSpec {
            name: name.to_owned(),
            data_type: DataType::F32,
            shape: shape.to_vec(),
            memory: Memory::Host,
        };
        let inputs = vec![spec("image", &[1, 3, 64, 64])];
        let outputs =
            vec![spec("heatmaps", &[4, 16, 16]), spec("offsets", &[6, 16, 16]), spec("embedding", &[2, 18, 18])];
        let signature = Signature { inputs, outputs };
        let mut engine = Tract::new(1).unwrap().open(&files, signature).unwrap();
        for _ in 0..3 {
            engine.run().unwrap();
            assert_ne!(sys::tests::upper_halves_are_in_use(), Some(true));
        }
    }
}
