//! One engine, ready to run: its tensors bound to memory once, its work recorded once.

use std::ffi::CString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::TensorRtError;
use super::driver::{Buffer, Device, Event, Recording, Stream};
use super::library::{Context, Plan, PlanTensor, Shape};
use super::logger;
use crate::engine::turn::{Turn, Usual};
use crate::engine::{DataType, DeviceTensor, Engine, EngineError, Memory, Signature, TensorSpec};

/// Which memory holds a tensor.
#[derive(Debug)]
enum TensorMemory {
    /// This session's own.
    Own(Arc<Buffer>),
    /// Another session's; `None` until it is received.
    Foreign(Option<Arc<Buffer>>),
}

/// How the next run is started.
#[derive(Debug)]
enum Start {
    /// By asking TensorRT, which may allocate the first time; the one after it is recorded.
    First,
    /// By asking TensorRT and recording that.
    Second,
    /// By starting what was recorded.
    Recorded(Recording),
    /// By asking TensorRT, for good: the engine cannot be recorded.
    Plain,
}

/// The stream that the engines of all frames share: the GPU runs their networks one after the other, and begins the next
/// without waiting for a thread.
#[derive(Debug, Clone)]
pub(super) struct Queue {
    pub stream: Arc<Stream>,
    pub turn: Turn,
}

/// An engine's place in it.
#[derive(Debug)]
struct Place {
    queue: Queue,
    /// Behind the last run.
    done: Event,
    /// How long a run takes.
    usual: Usual,
    /// How long the last one waited for that of another frame.
    waited: Duration,
}

/// An engine for fixed shapes.
#[derive(Debug)]
pub(super) struct TrtEngine {
    path: PathBuf,
    signature: Signature,
    names: Vec<CString>,
    // The recording and the context are dropped before the memory that they point to.
    start: Start,
    context: Context,
    /// Its own, in which it is recorded, and runs if it has no place in the queue.
    stream: Stream,
    /// `None` for a network that continues a frame: it is small, and does not wait for the next frame's. And where frames take
    /// turns.
    place: Option<Place>,
    inputs: Vec<TensorMemory>,
    outputs: Vec<Arc<Buffer>>,
    device: Arc<Device>,
}

impl TrtEngine {
    /// Checks an engine against the manifest, and binds its tensors.
    pub(super) fn new(
        path: &Path,
        plan: Arc<Plan>,
        device: &Arc<Device>,
        queue: &Queue,
        signature: Signature,
    ) -> Result<Self, EngineError> {
        let failed = |error| failure(path, error);
        let tensors = plan.tensors().map_err(failed)?;
        check_count(path, &tensors, &signature)?;
        device.enter().map_err(failed)?;
        let mut context = plan.context().map_err(failed)?;
        for (kind, specs) in [("input", &signature.inputs), ("output", &signature.outputs)] {
            for spec in specs {
                check(path, kind, &tensors, spec)?;
            }
        }
        let name = |spec: &TensorSpec| CString::new(spec.name.as_str()).expect("a name that the plan has too");
        let shape = |spec: &TensorSpec| Shape(spec.shape.iter().map(|&extent| extent as i64).collect());
        for spec in &signature.inputs {
            if !context.set_input_shape(&name(spec), &shape(spec)) {
                let tensor = plan_tensor(&tensors, spec).map(|tensor| format!("{:?}", tensor.shape.0));
                return Err(mismatch(path, "input", spec, tensor.unwrap_or_default()));
            }
        }
        for spec in &signature.outputs {
            let found = context.shape(&name(spec));
            if found.as_ref() != Some(&shape(spec)) {
                let found = found.map_or("of no shape".to_owned(), |shape| format!("{:?}", shape.0));
                return Err(mismatch(path, "output", spec, found));
            }
        }
        let buffer = |spec: &TensorSpec| {
            let bytes = 4 * spec.shape.iter().product::<usize>();
            Buffer::new(device, bytes, spec.memory == Memory::Host).map(Arc::new)
        };
        let mut inputs = Vec::new();
        for spec in &signature.inputs {
            inputs.push(match spec.memory {
                Memory::Host => TensorMemory::Own(buffer(spec).map_err(failed)?),
                Memory::Device => TensorMemory::Foreign(None),
            });
        }
        let outputs: Vec<_> = signature.outputs.iter().map(buffer).collect::<Result<_, _>>().map_err(failed)?;
        let continues = signature.inputs.iter().any(|spec| spec.memory == Memory::Device);
        let place = |done| Place { queue: queue.clone(), done, usual: Usual::default(), waited: Duration::ZERO };
        let event = if continues { None } else { Event::new(device).map_err(failed)? };
        let mut session = Self {
            path: path.to_owned(),
            names: signature.inputs.iter().chain(&signature.outputs).map(name).collect(),
            start: Start::First,
            context,
            stream: Stream::new(device, continues).map_err(failed)?,
            place: event.map(place),
            inputs,
            outputs,
            device: Arc::clone(device),
            signature,
        };
        session.bind_own()?;
        Ok(session)
    }

    fn run_error(&self, error: &TensorRtError) -> EngineError {
        EngineError::Run { path: self.path.clone(), reason: error.to_string() }
    }

    fn bind_own(&mut self) -> Result<(), EngineError> {
        let inputs = self.inputs.iter().map(|memory| match memory {
            TensorMemory::Own(buffer) => Some(buffer.address()),
            TensorMemory::Foreign(_) => None,
        });
        let addresses: Vec<_> = inputs.chain(self.outputs.iter().map(|buffer| Some(buffer.address()))).collect();
        for (name, address) in self.names.iter().zip(addresses) {
            let Some(address) = address else { continue };
            // SAFETY: the memory has room for the tensor, whose size was compared, and lives as long as the session.
            if !unsafe { self.context.set_address(name, address) } {
                let error = TensorRtError::Refused { what: "memory for a tensor", reason: logger::last_words() };
                return Err(failure(&self.path, error));
            }
        }
        Ok(())
    }

    /// Enqueues the network, and copies where needed, in the stream.
    fn enqueue(
        context: &mut Context,
        stream: &Stream,
        inputs: &[TensorMemory],
        outputs: &[Arc<Buffer>],
    ) -> Result<(), TensorRtError> {
        for memory in inputs {
            if let TensorMemory::Own(buffer) = memory {
                buffer.upload(stream)?;
            }
        }
        // SAFETY: every tensor is bound: own ones since the beginning, others were received, or `run` had refused.
        if !unsafe { context.enqueue(stream.handle()) } {
            return Err(TensorRtError::Refused { what: "a run", reason: logger::last_words() });
        }
        outputs.iter().try_for_each(|buffer| buffer.download(stream))
    }

    /// Starts a run; one that has a place in the queue has ended then.
    fn start_once(&mut self) -> Result<(), TensorRtError> {
        self.device.enter()?;
        let Self { start, context, stream, place, inputs, outputs, .. } = self;
        let Some(Place { queue, done, usual, waited }) = place else {
            let started = Self::put(start, context, (stream, stream), inputs, outputs);
            if started.is_err() {
                // Copies that were enqueued before the failure still read and write this memory.
                let _ = stream.wait();
            }
            return started;
        };
        let started = Self::put(start, context, (stream, &queue.stream), inputs, outputs);
        let (ended, behind_another) = queue.turn.run(usual, || {
            let ended = started.and_then(|()| done.record(&queue.stream)).and_then(|()| done.wait());
            if ended.is_err() {
                // As above.
                let _ = queue.stream.wait();
            }
            ended
        });
        *waited = behind_another;
        ended
    }

    /// Puts a run into the second stream; the first is there to record it.
    fn put(
        start: &mut Start,
        context: &mut Context,
        (own, stream): (&Stream, &Stream),
        inputs: &[TensorMemory],
        outputs: &[Arc<Buffer>],
    ) -> Result<(), TensorRtError> {
        let mut work = |stream| Self::enqueue(context, stream, inputs, outputs);
        match start {
            Start::Recorded(recording) => recording.start(stream),
            Start::First => work(stream).map(|()| *start = Start::Second),
            Start::Plain => work(stream),
            Start::Second => match own.record(|| work(own)) {
                Ok(recording) => {
                    let started = recording.start(stream);
                    *start = Start::Recorded(recording);
                    started
                }
                Err(error) => {
                    tracing::info!("this engine cannot be recorded, and runs without a recording: {error}");
                    work(stream).map(|()| *start = Start::Plain)
                }
            },
        }
    }
}

impl Drop for TrtEngine {
    fn drop(&mut self) {
        // A run that was started and not waited for still reads and writes memory.
        let _ = self.stream.wait();
    }
}

impl Engine for TrtEngine {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn input(&mut self, index: usize) -> &mut [f32] {
        assert_eq!(self.signature.inputs[index].data_type, DataType::F32, "this input holds indices");
        own(&mut self.inputs[index]).values_mut()
    }

    fn indices(&mut self, index: usize) -> &mut [i32] {
        assert_eq!(self.signature.inputs[index].data_type, DataType::I32, "this input holds no indices");
        own(&mut self.inputs[index]).values_mut()
    }

    fn run(&mut self) -> Result<(), EngineError> {
        self.start()?;
        self.wait()
    }

    fn start(&mut self) -> Result<(), EngineError> {
        let missing = self.inputs.iter().position(|memory| matches!(memory, TensorMemory::Foreign(None)));
        if let Some(index) = missing {
            return Err(EngineError::DeviceTensor {
                path: self.path.clone(),
                tensor: self.signature.inputs[index].name.clone(),
                reason: "it was never received".to_owned(),
            });
        }
        self.start_once().map_err(|error| self.run_error(&error))
    }

    fn wait(&mut self) -> Result<(), EngineError> {
        self.stream.wait().map_err(|error| self.run_error(&error))
    }

    fn waited(&self) -> Duration {
        self.place.as_ref().map_or(Duration::ZERO, |place| place.waited)
    }

    fn output(&self, index: usize) -> &[f32] {
        self.outputs[index].values()
    }

    fn export_output(&self, index: usize) -> DeviceTensor {
        DeviceTensor::new(Arc::clone(&self.outputs[index]))
    }

    fn bind_input(&mut self, index: usize, tensor: &DeviceTensor) -> Result<(), EngineError> {
        let spec = &self.signature.inputs[index];
        let refuse = |reason: &str| EngineError::DeviceTensor {
            path: self.path.clone(),
            tensor: spec.name.clone(),
            reason: reason.to_owned(),
        };
        let buffer: Arc<Buffer> = tensor.tensor().ok_or_else(|| refuse("it comes from another backend"))?;
        if buffer.bytes() != 4 * spec.shape.iter().product::<usize>().max(1) {
            return Err(refuse("it has another size"));
        }
        let TensorMemory::Foreign(received) = &mut self.inputs[index] else {
            panic!("input {index} is written by the program");
        };
        if received.as_ref().is_some_and(|known| Arc::ptr_eq(known, &buffer)) {
            return Ok(());
        }
        // SAFETY: the memory has room for the tensor, and is kept below until another is bound.
        if !unsafe { self.context.set_address(&self.names[index], buffer.address()) } {
            return Err(refuse("TensorRT refused its memory"));
        }
        // What was recorded reads the old memory.
        if matches!(self.start, Start::Recorded(_)) {
            self.start = Start::Second;
        }
        *received = Some(buffer);
        Ok(())
    }
}

/// Memory that the program writes; this is its only owner, since only outputs are handed over.
fn own(memory: &mut TensorMemory) -> &mut Buffer {
    match memory {
        TensorMemory::Own(buffer) => Arc::get_mut(buffer).expect("inputs are not handed over"),
        TensorMemory::Foreign(_) => panic!("this input comes from another engine"),
    }
}

/// An error with the file that it is about.
pub(super) fn failure(path: &Path, error: TensorRtError) -> EngineError {
    EngineError::Load { path: path.to_owned(), stage: "TensorRT cannot run this engine", reason: error.to_string() }
}

fn plan_tensor<'a>(tensors: &'a [PlanTensor], spec: &TensorSpec) -> Option<&'a PlanTensor> {
    tensors.iter().find(|tensor| tensor.name.to_bytes() == spec.name.as_bytes())
}

fn mismatch(path: &Path, kind: &'static str, spec: &TensorSpec, found: String) -> EngineError {
    EngineError::Tensor { path: path.to_owned(), kind, tensor: spec.name.clone(), found, expected: spec.to_string() }
}

/// Checks that the engine has this tensor, of this kind and type, with a shape that can become this one.
fn check(path: &Path, kind: &'static str, tensors: &[PlanTensor], spec: &TensorSpec) -> Result<(), EngineError> {
    let Some(tensor) = plan_tensor(tensors, spec) else {
        return Err(mismatch(path, kind, spec, "not there".to_owned()));
    };
    if tensor.is_input != (kind == "input") {
        let found = if tensor.is_input { "an input" } else { "an output" };
        return Err(mismatch(path, kind, spec, found.to_owned()));
    }
    let number = match spec.data_type {
        DataType::F32 => 0,
        DataType::I32 => 3,
    };
    let shape = &tensor.shape.0;
    let fits = shape.len() == spec.shape.len()
        && shape.iter().zip(&spec.shape).all(|(&found, &expected)| found == -1 || found == expected as i64);
    if tensor.data_type != number || !fits {
        return Err(mismatch(path, kind, spec, format!("{} {shape:?}", element_name(tensor.data_type))));
    }
    Ok(())
}

fn check_count(path: &Path, tensors: &[PlanTensor], signature: &Signature) -> Result<(), EngineError> {
    let known = |tensor: &&PlanTensor| {
        signature.inputs.iter().chain(&signature.outputs).any(|spec| spec.name.as_bytes() == tensor.name.to_bytes())
    };
    match tensors.iter().find(|tensor| !known(tensor)) {
        None => Ok(()),
        Some(extra) => Err(EngineError::Tensor {
            path: path.to_owned(),
            kind: if extra.is_input { "input" } else { "output" },
            tensor: extra.name.to_string_lossy().into_owned(),
            found: "part of the engine".to_owned(),
            expected: "no such tensor".to_owned(),
        }),
    }
}

/// TensorRT's numbers for types.
fn element_name(number: i32) -> String {
    match number {
        0 => "float32".to_owned(),
        1 => "float16".to_owned(),
        2 => "int8".to_owned(),
        3 => "int32".to_owned(),
        4 => "bool".to_owned(),
        other => format!("type {other}"),
    }
}
