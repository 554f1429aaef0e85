//! The CUDA driver, opened at run time: the functions that running an engine needs, all looked up before the first is called.

use std::ffi::{CStr, OsString, c_char, c_int, c_uint, c_void};
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use super::{TensorRtError, loader};

/// Names of the driver's library; the versioned one first, because the other one is part of a development package.
const NAMES: [&str; 2] = ["libcuda.so.1", "libcuda.so"];

// Attributes of a device (CUdevice_attribute).
const MULTIPROCESSORS: c_int = 16;
const INTEGRATED: c_int = 18;
const CAPABILITY_MAJOR: c_int = 75;
const CAPABILITY_MINOR: c_int = 76;
/// Host memory that the device sees as well (CU_MEMHOSTALLOC_DEVICEMAP).
const MAPPED: c_uint = 2;
/// A stream that does not wait for the default one (CU_STREAM_NON_BLOCKING).
const NON_BLOCKING: c_uint = 1;
/// A thread that waits for an event sleeps (CU_EVENT_BLOCKING_SYNC), and nothing is measured (CU_EVENT_DISABLE_TIMING).
const SLEEPING: c_uint = 1 | 2;
/// While a stream is recorded, only calls of the same thread are checked (CU_STREAM_CAPTURE_MODE_THREAD_LOCAL).
const THREAD_LOCAL: c_int = 1;

/// A handle of the driver's.
type Handle = *mut c_void;

macro_rules! functions {
    ($(#[$of_all:meta])* $functions:ident: $($name:ident = $symbol:literal ($($argument:ty),*);)*) => {
        $(#[$of_all])*
        #[derive(Clone, Copy)]
        struct $functions {
            $($name: unsafe extern "C" fn($($argument),*) -> c_int,)*
        }

        impl $functions {
            /// # Safety
            /// `library` must be a CUDA driver of 11.4 or newer, in which the functions have these types.
            unsafe fn of(library: &libloading::Library, name: &str) -> Result<Self, TensorRtError> {
                Ok(Self {
                    $($name: {
                        // SAFETY: the caller vouches for the types.
                        let symbol = unsafe { library.get(concat!($symbol, "\0").as_bytes()) };
                        *symbol.map_err(|_| TensorRtError::Symbol { library: name.to_owned(), symbol: $symbol })?
                    },)*
                })
            }
        }
    };
}

functions! {
    /// The driver's functions; each returns 0 or the number of an error.
    Functions:
    init = "cuInit"(c_uint);
    version = "cuDriverGetVersion"(*mut c_int);
    count = "cuDeviceGetCount"(*mut c_int);
    device = "cuDeviceGet"(*mut c_int, c_int);
    device_name = "cuDeviceGetName"(*mut c_char, c_int, c_int);
    attribute = "cuDeviceGetAttribute"(*mut c_int, c_int, c_int);
    retain = "cuDevicePrimaryCtxRetain"(*mut Handle, c_int);
    release = "cuDevicePrimaryCtxRelease_v2"(c_int);
    set_current = "cuCtxSetCurrent"(Handle);
    error_name = "cuGetErrorName"(c_int, *mut *const c_char);
    allocate = "cuMemAlloc_v2"(*mut u64, usize);
    free = "cuMemFree_v2"(u64);
    allocate_host = "cuMemHostAlloc"(*mut *mut c_void, usize, c_uint);
    free_host = "cuMemFreeHost"(*mut c_void);
    device_pointer = "cuMemHostGetDevicePointer_v2"(*mut u64, *mut c_void, c_uint);
    to_device = "cuMemcpyHtoDAsync_v2"(u64, *const c_void, usize, Handle);
    to_host = "cuMemcpyDtoHAsync_v2"(*mut c_void, u64, usize, Handle);
    stream_create = "cuStreamCreate"(*mut Handle, c_uint);
    stream_wait = "cuStreamSynchronize"(Handle);
    stream_destroy = "cuStreamDestroy_v2"(Handle);
    capture_begin = "cuStreamBeginCapture_v2"(Handle, c_int);
    capture_end = "cuStreamEndCapture"(Handle, *mut Handle);
    graph_instantiate = "cuGraphInstantiateWithFlags"(*mut Handle, Handle, u64);
    graph_launch = "cuGraphLaunch"(Handle, Handle);
    graph_destroy = "cuGraphDestroy"(Handle);
    executable_destroy = "cuGraphExecDestroy"(Handle);
}

functions! {
    /// The same, for the networks of several frames at a time.
    FrameFunctions:
    priorities = "cuCtxGetStreamPriorityRange"(*mut c_int, *mut c_int);
    stream_create = "cuStreamCreateWithPriority"(*mut Handle, c_uint, c_int);
    event_create = "cuEventCreate"(*mut Handle, c_uint);
    event_record = "cuEventRecord"(Handle, Handle);
    event_wait = "cuEventSynchronize"(Handle);
    event_destroy = "cuEventDestroy_v2"(Handle);
}

/// What an engine depends on about the GPU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceFacts {
    /// Its name.
    pub name: String,
    /// Major and minor part of the compute capability.
    pub compute_capability: (i32, i32),
    /// Streaming multiprocessors.
    pub multiprocessors: i32,
    /// Whether it shares its memory with the CPU, as on every Jetson.
    pub integrated: bool,
    /// Version of CUDA that the driver reports: 11040 is 11.4.
    pub driver_version: i32,
}

/// The first GPU, in use by this process.
pub(super) struct Device {
    functions: Functions,
    /// `None` if the driver lacks one, as one that stands in for NVIDIA's may.
    frame_functions: Option<FrameFunctions>,
    context: Handle,
    number: c_int,
    facts: DeviceFacts,
    // Last, so that it is closed after everything that points into it.
    _library: libloading::Library,
}

// SAFETY: the driver's functions may be called from any thread; the primary context is made current in each that uses it.
unsafe impl Send for Device {}
// SAFETY: as above.
unsafe impl Sync for Device {}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.facts.fmt(f)
    }
}

impl Device {
    /// Opens this file or the installed driver, and takes its first GPU.
    ///
    /// # Errors
    /// If there is no driver, it lacks a function, or it has no GPU.
    pub(super) fn open(file: Option<&Path>) -> Result<Arc<Self>, TensorRtError> {
        let names: Vec<OsString> = match file {
            Some(path) => vec![path.into()],
            None => NAMES.map(Into::into).to_vec(),
        };
        let mut reasons = Vec::new();
        for name in &names {
            // SAFETY: loading a library runs its initialisers. This one is NVIDIA's driver, or the one that the user names.
            match unsafe { libloading::Library::new(name) } {
                Ok(library) => return Self::of(library, &name.to_string_lossy()),
                Err(error) => reasons.push(loader::reason(&error)),
            }
        }
        let tried: Vec<_> = names.iter().map(|name| name.to_string_lossy()).collect();
        Err(TensorRtError::Absent { library: tried.join(", "), reason: loader::telling(&tried, reasons) })
    }

    fn of(library: libloading::Library, name: &str) -> Result<Arc<Self>, TensorRtError> {
        // SAFETY: the functions are asked for by the names that stand for these types since CUDA 11.4.
        let functions = unsafe { Functions::of(&library, name)? };
        // SAFETY: as above.
        let frame_functions = unsafe { FrameFunctions::of(&library, name) };
        if let Err(error) = &frame_functions {
            tracing::info!("frames take turns: {error}");
        }
        // SAFETY: the driver is started before any other function is called.
        functions.check("starting the driver", unsafe { (functions.init)(0) })?;
        let number_of = |what, ask: &dyn Fn(&mut c_int) -> c_int| {
            let mut number = 0;
            functions.check(what, ask(&mut number)).map(|()| number)
        };
        // SAFETY: it writes one number, as the others below.
        let driver_version = number_of("asking the driver's version", &|at| unsafe { (functions.version)(at) })?;
        // SAFETY: as above.
        let count = number_of("counting GPUs", &|at| unsafe { (functions.count)(at) })?;
        if count < 1 {
            return Err(TensorRtError::Absent { library: name.to_owned(), reason: "the driver has no GPU".to_owned() });
        }
        // SAFETY: as above.
        let number = number_of("taking the first GPU", &|at| unsafe { (functions.device)(at, 0) })?;
        let attribute = |which| {
            // SAFETY: as above.
            number_of("asking about the GPU", &|at| unsafe { (functions.attribute)(at, which, number) })
        };
        let mut text = [0 as c_char; 256];
        // SAFETY: it writes at most this many characters, the last one 0.
        functions.check("asking the GPU's name", unsafe {
            (functions.device_name)(text.as_mut_ptr(), text.len() as c_int - 1, number)
        })?;
        // SAFETY: the last character is 0 in any case.
        let gpu = unsafe { CStr::from_ptr(text.as_ptr()) }.to_string_lossy().into_owned();
        let facts = DeviceFacts {
            name: gpu,
            compute_capability: (attribute(CAPABILITY_MAJOR)?, attribute(CAPABILITY_MINOR)?),
            multiprocessors: attribute(MULTIPROCESSORS)?,
            integrated: attribute(INTEGRATED)? != 0,
            driver_version,
        };
        let mut context = std::ptr::null_mut();
        // SAFETY: it writes one handle.
        functions.check("taking the GPU's context", unsafe { (functions.retain)(&mut context, number) })?;
        Ok(Arc::new(Self {
            functions,
            frame_functions: frame_functions.ok(),
            context,
            number,
            facts,
            _library: library,
        }))
    }

    /// Facts about the GPU.
    pub(super) fn facts(&self) -> &DeviceFacts {
        &self.facts
    }

    /// Whether the networks of several frames can be in its queue.
    pub(super) fn takes_several_frames(&self) -> bool {
        self.frame_functions.is_some()
    }

    /// Makes the GPU's context current on this thread; cheap if it already is.
    pub(super) fn enter(&self) -> Result<(), TensorRtError> {
        // SAFETY: the context is retained as long as `self` lives.
        self.functions.check("entering the GPU's context", unsafe { (self.functions.set_current)(self.context) })
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        // SAFETY: it was retained once. There is nothing to be done about an error.
        unsafe { (self.functions.release)(self.number) };
    }
}

impl Functions {
    fn check(&self, what: &'static str, code: c_int) -> Result<(), TensorRtError> {
        if code == 0 {
            return Ok(());
        }
        let mut name = std::ptr::null();
        // SAFETY: it writes the address of a text that is part of the driver, or leaves null.
        let named = unsafe { (self.error_name)(code, &mut name) } == 0 && !name.is_null();
        let reason = if named {
            // SAFETY: the text ends in 0 and lives as long as the driver.
            unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned()
        } else {
            format!("error {code}")
        };
        Err(TensorRtError::Cuda { what, reason })
    }
}

/// Memory that the GPU works on.
#[derive(Debug)]
pub(super) struct Buffer {
    device: Arc<Device>,
    address: u64,
    /// The same, or a copy of it, as the CPU sees it; null if the CPU never reads or writes it.
    host: *mut c_void,
    /// Whether `host` is the GPU's memory itself.
    mapped: bool,
    bytes: usize,
}

// SAFETY: it owns its memory. The CPU's view is only written through `&mut`, and the stream that the GPU works in has been
// waited for before it is read.
unsafe impl Send for Buffer {}
// SAFETY: as above.
unsafe impl Sync for Buffer {}

impl Buffer {
    /// Memory for `bytes`, all 0 as far as the CPU sees it. Where GPU and CPU share memory, what the CPU sees is the memory
    /// itself; elsewhere a copy that [`Buffer::upload`] and [`Buffer::download`] keep up.
    pub(super) fn new(device: &Arc<Device>, bytes: usize, for_cpu: bool) -> Result<Self, TensorRtError> {
        let functions = &device.functions;
        // Nothing is smaller than what the driver hands out.
        let bytes = bytes.max(4);
        let mapped = for_cpu && device.facts.integrated;
        let mut buffer = Self { device: Arc::clone(device), address: 0, host: std::ptr::null_mut(), mapped, bytes };
        if for_cpu {
            // SAFETY: it writes one address, of memory that is freed when the buffer is dropped.
            functions.check("allocating memory for CPU and GPU", unsafe {
                (functions.allocate_host)(&mut buffer.host, bytes, MAPPED)
            })?;
            // SAFETY: this many bytes were just allocated.
            unsafe { buffer.host.cast::<u8>().write_bytes(0, bytes) };
        }
        let code = if mapped {
            // SAFETY: the memory was allocated for this.
            unsafe { (functions.device_pointer)(&mut buffer.address, buffer.host, 0) }
        } else {
            // SAFETY: it writes one address, of memory that is freed when the buffer is dropped.
            unsafe { (functions.allocate)(&mut buffer.address, bytes) }
        };
        functions.check("allocating memory on the GPU", code)?;
        Ok(buffer)
    }

    /// Its size.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Its address on the GPU.
    pub(super) fn address(&self) -> u64 {
        self.address
    }

    /// Values as the CPU sees them.
    ///
    /// # Panics
    /// If the CPU has no view of it.
    pub(super) fn values<T: Plain>(&self) -> &[T] {
        assert!(!self.host.is_null(), "this tensor stays on the GPU");
        // SAFETY: the memory is aligned for anything, holds this many bytes that were written before, and every pattern of bits
        // is a `T`.
        unsafe { std::slice::from_raw_parts(self.host.cast(), self.bytes / size_of::<T>()) }
    }

    /// The same, to write.
    ///
    /// # Panics
    /// If the CPU has no view of it.
    pub(super) fn values_mut<T: Plain>(&mut self) -> &mut [T] {
        assert!(!self.host.is_null(), "this tensor stays on the GPU");
        // SAFETY: as in `values`, and there is no other reference.
        unsafe { std::slice::from_raw_parts_mut(self.host.cast(), self.bytes / size_of::<T>()) }
    }

    /// Whether what the CPU sees is a copy.
    fn is_copied(&self) -> bool {
        !self.mapped && !self.host.is_null()
    }

    /// Enqueues the copy to the GPU, if one is needed.
    pub(super) fn upload(&self, stream: &Stream) -> Result<(), TensorRtError> {
        if !self.is_copied() {
            return Ok(());
        }
        let functions = &self.device.functions;
        // SAFETY: both hold this many bytes, and live until the stream has been waited for.
        functions.check("copying to the GPU", unsafe {
            (functions.to_device)(self.address, self.host, self.bytes, stream.handle)
        })
    }

    /// Enqueues the copy from the GPU, if one is needed.
    pub(super) fn download(&self, stream: &Stream) -> Result<(), TensorRtError> {
        if !self.is_copied() {
            return Ok(());
        }
        let functions = &self.device.functions;
        // SAFETY: as in `upload`.
        functions.check("copying from the GPU", unsafe {
            (functions.to_host)(self.host, self.address, self.bytes, stream.handle)
        })
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let functions = &self.device.functions;
        // SAFETY: the memory was allocated by these functions' counterparts, and nothing in a stream needs it any more:
        // every run waits for its end. There is nothing to be done about an error.
        unsafe {
            (functions.set_current)(self.device.context);
            if self.address != 0 && !self.mapped {
                (functions.free)(self.address);
            }
            if !self.host.is_null() {
                (functions.free_host)(self.host);
            }
        }
    }
}

/// Types of which every pattern of bits is a value.
pub(super) trait Plain: Copy + private::Sealed {}
impl Plain for f32 {}
impl Plain for i32 {}

mod private {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for i32 {}
}

/// Work for the GPU, executed in order.
#[derive(Debug)]
pub(super) struct Stream {
    device: Arc<Device>,
    handle: Handle,
}

// SAFETY: a stream may be used from any thread.
unsafe impl Send for Stream {}
// SAFETY: and by several at once.
unsafe impl Sync for Stream {}

impl Stream {
    /// A new stream. The GPU does the work of an `urgent` one first, beside work that it has begun.
    pub(super) fn new(device: &Arc<Device>, urgent: bool) -> Result<Self, TensorRtError> {
        device.enter()?;
        let functions = &device.functions;
        let mut handle = std::ptr::null_mut();
        let code = match &device.frame_functions {
            Some(frame_functions) => {
                let (mut least, mut greatest) = (0, 0);
                // SAFETY: it writes two numbers.
                let code = unsafe { (frame_functions.priorities)(&mut least, &mut greatest) };
                functions.check("asking for priorities", code)?;
                let priority = if urgent { greatest } else { least };
                // SAFETY: it writes one handle.
                unsafe { (frame_functions.stream_create)(&mut handle, NON_BLOCKING, priority) }
            }
            // SAFETY: as above.
            None => unsafe { (functions.stream_create)(&mut handle, NON_BLOCKING) },
        };
        functions.check("making a stream", code)?;
        Ok(Self { device: Arc::clone(device), handle })
    }

    /// The driver's handle, for libraries that put work into it.
    pub(super) fn handle(&self) -> Handle {
        self.handle
    }

    /// Waits until everything in it is done.
    pub(super) fn wait(&self) -> Result<(), TensorRtError> {
        // SAFETY: the stream is alive.
        self.device.functions.check("waiting for the GPU", unsafe { (self.device.functions.stream_wait)(self.handle) })
    }

    /// Records what `work` enqueues in the stream instead of executing it.
    ///
    /// # Errors
    /// If `work` fails, or does something that cannot be recorded.
    pub(super) fn record(&self, work: impl FnOnce() -> Result<(), TensorRtError>) -> Result<Recording, TensorRtError> {
        let functions = &self.device.functions;
        // SAFETY: the stream is alive.
        functions.check("recording", unsafe { (functions.capture_begin)(self.handle, THREAD_LOCAL) })?;
        let done = work();
        let mut graph = std::ptr::null_mut();
        // SAFETY: it writes one handle; the recording is ended whatever became of the work, or the stream could not be used.
        let ended = functions.check("recording", unsafe { (functions.capture_end)(self.handle, &mut graph) });
        done.and(ended)?;
        let mut executable = std::ptr::null_mut();
        // SAFETY: the graph was just made; it is no longer needed once there is something that runs.
        let code = unsafe {
            let code = (functions.graph_instantiate)(&mut executable, graph, 0);
            (functions.graph_destroy)(graph);
            code
        };
        functions.check("preparing a recording", code)?;
        Ok(Recording { device: Arc::clone(&self.device), executable })
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // SAFETY: this is its only owner. There is nothing to be done about an error.
        unsafe {
            (self.device.functions.set_current)(self.device.context);
            (self.device.functions.stream_destroy)(self.handle);
        }
    }
}

/// A place in a stream that a thread can wait for, asleep.
pub(super) struct Event {
    device: Arc<Device>,
    functions: FrameFunctions,
    handle: Handle,
}

// SAFETY: an event may be used from any thread.
unsafe impl Send for Event {}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event").field("handle", &self.handle).finish_non_exhaustive()
    }
}

impl Event {
    /// An event that nobody has to wait for yet; `None` if the driver has none.
    pub(super) fn new(device: &Arc<Device>) -> Result<Option<Self>, TensorRtError> {
        let Some(functions) = device.frame_functions else { return Ok(None) };
        device.enter()?;
        let mut handle = std::ptr::null_mut();
        // SAFETY: it writes one handle.
        let code = unsafe { (functions.event_create)(&mut handle, SLEEPING) };
        device.functions.check("making an event", code)?;
        Ok(Some(Self { device: Arc::clone(device), functions, handle }))
    }

    /// Moves it behind everything that is in the stream now.
    pub(super) fn record(&self, stream: &Stream) -> Result<(), TensorRtError> {
        // SAFETY: both are alive.
        let code = unsafe { (self.functions.event_record)(self.handle, stream.handle) };
        self.device.functions.check("marking a place", code)
    }

    /// Waits until everything before it is done.
    pub(super) fn wait(&self) -> Result<(), TensorRtError> {
        // SAFETY: the event is alive.
        self.device.functions.check("waiting for the GPU", unsafe { (self.functions.event_wait)(self.handle) })
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: this is its only owner. There is nothing to be done about an error.
        unsafe {
            (self.device.functions.set_current)(self.device.context);
            (self.functions.event_destroy)(self.handle);
        }
    }
}

/// Work that was recorded and can be started with one call: a CUDA graph.
#[derive(Debug)]
pub(super) struct Recording {
    device: Arc<Device>,
    executable: Handle,
}

// SAFETY: a recording may be started from any thread, by one at a time; it is not shared.
unsafe impl Send for Recording {}

impl Recording {
    /// Enqueues the recorded work in the stream.
    pub(super) fn start(&self, stream: &Stream) -> Result<(), TensorRtError> {
        let functions = &self.device.functions;
        // SAFETY: both are alive; what the recording points to is kept by the owner of the recording.
        functions.check("starting recorded work", unsafe { (functions.graph_launch)(self.executable, stream.handle) })
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        // SAFETY: this is its only owner. There is nothing to be done about an error.
        unsafe {
            (self.device.functions.set_current)(self.device.context);
            (self.device.functions.executable_destroy)(self.executable);
        }
    }
}
