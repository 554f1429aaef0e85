//! libnvinfer, opened at run time, and the few of its functions that running an engine needs.
//!
//! Every public object of TensorRT holds, behind its own table, a pointer to the object that does the work; calls go
//! through that one's table, at the places that [`Layout`] knows. On both processors that Sinew runs on, the C++ calling
//! convention of such functions is the C one with the object as first argument.

use std::ffi::{CStr, CString, OsString, c_char, c_void};
use std::path::Path;
use std::sync::Arc;

use super::layout::{DELETE, DimsKind, Layout, Version};
use super::{TensorRtError, loader, logger};

/// Names to try, newest major first.
const NAMES: [&str; 4] = ["libnvinfer.so.11", "libnvinfer.so.10", "libnvinfer.so.8", "libnvinfer.so"];

/// Most axes of a tensor.
const MAX_AXES: usize = 8;

/// The library.
pub(super) struct Library {
    version: Version,
    layout: Layout,
    /// `createInferRuntime_INTERNAL(logger, version)`.
    create: unsafe extern "C" fn(*mut c_void, i32) -> *mut c_void,
    /// The version number that `create` expects.
    number: i32,
    /// The name under which it was found.
    name: String,
    // Last, so that it is closed after everything that points into it.
    _library: libloading::Library,
}

impl std::fmt::Debug for Library {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TensorRT {} ({})", self.version, self.name)
    }
}

impl Library {
    /// Opens this file, or the newest installed one.
    ///
    /// # Errors
    /// If there is none, it lacks a symbol, or its version is not one whose tables are known.
    pub(super) fn open(file: Option<&Path>) -> Result<Arc<Self>, TensorRtError> {
        match file {
            Some(path) => Self::open_one(path.into()),
            None => {
                let mut reasons = Vec::new();
                for name in NAMES {
                    match Self::open_one(name.into()) {
                        Err(TensorRtError::Absent { reason, .. }) => reasons.push(reason),
                        other => return other,
                    }
                }
                Err(TensorRtError::Absent { library: NAMES.join(", "), reason: loader::telling(&NAMES, reasons) })
            }
        }
    }

    fn open_one(path: OsString) -> Result<Arc<Self>, TensorRtError> {
        let name = path.to_string_lossy().into_owned();
        // SAFETY: loading a library runs its initialisers. This one is NVIDIA's, or the one that the user names; that it is
        // what its name says cannot be known before, which is why the first load of a plan happens in a child process.
        let library = unsafe { libloading::Library::new(&path) }
            .map_err(|error| TensorRtError::Absent { library: name.clone(), reason: loader::reason(&error) })?;
        let symbol = |symbol: &'static str| TensorRtError::Symbol { library: name.clone(), symbol };
        // SAFETY: in every version these two are C functions of these types.
        let (version, create) = unsafe {
            let version = library
                .get::<unsafe extern "C" fn() -> i32>(b"getInferLibVersion\0")
                .map_err(|_| symbol("getInferLibVersion"))?;
            let create = library
                .get::<unsafe extern "C" fn(*mut c_void, i32) -> *mut c_void>(b"createInferRuntime_INTERNAL\0")
                .map_err(|_| symbol("createInferRuntime_INTERNAL"))?;
            (*version, *create)
        };
        // SAFETY: it takes nothing and only returns a number.
        let number = unsafe { version() };
        let unknown = || TensorRtError::Version { library: name.clone(), found: Version::describe(number) };
        // Within one release, NVIDIA's builds differ in plans too, and 10 and later tell the build by another function.
        // SAFETY: where it exists, it is a C function that takes nothing and returns a number.
        let build = unsafe {
            library.get::<unsafe extern "C" fn() -> i32>(b"getInferLibBuildVersion\0").ok().map(|build| build())
        };
        let version = Version::of(number).ok_or_else(unknown)?.with_build(build);
        let layout = Layout::of(version).ok_or_else(unknown)?;
        if let Some(major) = name.rsplit_once(".so.").and_then(|(_, rest)| rest.split('.').next()?.parse::<u32>().ok())
            && major != version.major
        {
            return Err(unknown());
        }
        Ok(Arc::new(Self { version, layout, create, number, name, _library: library }))
    }

    /// Its version.
    pub(super) fn version(&self) -> Version {
        self.version
    }

    /// Makes a runtime and deletes it: whether the library works with this machine's driver.
    ///
    /// # Errors
    /// If the library refuses, which it does for a driver that is too old. The text is the library's.
    pub(super) fn check_runtime(&self) -> Result<(), TensorRtError> {
        self.runtime().map(drop)
    }

    fn runtime(&self) -> Result<Object, TensorRtError> {
        logger::forget();
        // SAFETY: the logger lives as long as the program and has the table that this layout wants.
        let runtime = unsafe { (self.create)(logger::object(self.layout.logger), self.number) };
        Object::new(runtime).ok_or_else(|| TensorRtError::Refused { what: "a runtime", reason: logger::last_words() })
    }

    /// Deserialises an engine.
    ///
    /// # Errors
    /// If the library refuses it: another version, another GPU, not an engine. The text is the library's.
    pub(super) fn load(self: &Arc<Self>, plan: &[u8]) -> Result<Plan, TensorRtError> {
        let runtime = self.runtime()?;
        type Deserialize = unsafe extern "C" fn(*mut c_void, *const c_void, usize, *mut c_void) -> *mut c_void;
        // SAFETY: the function at this place takes the bytes and their count, and copies what it keeps. In 8.5 and 8.6 it
        // takes a plugin factory too, which must be null; later versions take no such argument, and in the C convention a
        // further one is not seen by a function that does not read it.
        let engine = unsafe {
            let (this, function) = runtime.function(self.layout.deserialize);
            let deserialize = std::mem::transmute::<*const c_void, Deserialize>(function);
            deserialize(this, plan.as_ptr().cast(), plan.len(), std::ptr::null_mut())
        };
        let refused = || TensorRtError::Refused { what: "the engine", reason: logger::last_words() };
        let engine = Object::new(engine).ok_or_else(refused)?;
        Ok(Plan { engine, _runtime: runtime, library: Arc::clone(self) })
    }
}

/// An object of the library's, deleted when dropped.
#[derive(Debug)]
struct Object(std::ptr::NonNull<c_void>);

// SAFETY: TensorRT's objects may be used from any thread, by one at a time; `Plan` and `Context` are not shared.
unsafe impl Send for Object {}

impl Object {
    /// An object that the library returned; `None` if it returned none.
    ///
    /// A refusal is not always null: without a usable driver, `createInferRuntime_INTERNAL` of TensorRT 10.15 to 11.4
    /// returns a member's offset from null (0x228, 0x238, 0x260). No object lies in the first page.
    fn new(pointer: *mut c_void) -> Option<Self> {
        const FIRST_PAGE: usize = 4096;
        std::ptr::NonNull::new(pointer).filter(|pointer| pointer.addr().get() >= FIRST_PAGE).map(Self)
    }

    /// The object that does the work, and a function of its table.
    ///
    /// # Safety
    /// `place` must lie within the table of this object's class.
    unsafe fn function(&self, place: usize) -> (*mut c_void, *const c_void) {
        // SAFETY: a public object is its own table's address and the address of the object that does the work, whose first
        // field is its table; the caller vouches for the place.
        unsafe {
            let inner = *self.0.as_ptr().cast::<*mut c_void>().add(1);
            let table = *inner.cast::<*const *const c_void>();
            (inner, *table.add(place))
        }
    }
}

impl Drop for Object {
    fn drop(&mut self) {
        // SAFETY: `delete` has this slot in the public object's own vtable in every layout, and nothing else holds this
        // object.
        unsafe {
            let table = *self.0.as_ptr().cast::<*const *const c_void>();
            let delete = *table.add(DELETE);
            std::mem::transmute::<*const c_void, unsafe extern "C" fn(*mut c_void)>(delete)(self.0.as_ptr());
        }
    }
}

/// Shapes with 32-bit extents.
#[repr(C)]
#[derive(Clone, Copy)]
struct NarrowDims {
    count: i32,
    extents: [i32; MAX_AXES],
}

/// Shapes with 64-bit extents.
#[repr(C)]
#[derive(Clone, Copy)]
struct WideDims {
    count: i32,
    extents: [i64; MAX_AXES],
}

/// A shape as the library has it; -1 is an extent that is not fixed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shape(pub(super) Vec<i64>);

impl Shape {
    /// Nothing if the count of axes makes no sense, which is how the library says that there is no such tensor.
    fn of(count: i32, extents: impl Iterator<Item = i64>) -> Option<Self> {
        let count = usize::try_from(count).ok().filter(|&count| count <= MAX_AXES)?;
        Some(Self(extents.take(count).collect()))
    }

    fn narrow(&self) -> NarrowDims {
        let mut dims = NarrowDims { count: self.0.len() as i32, extents: [0; MAX_AXES] };
        for (to, &from) in dims.extents.iter_mut().zip(&self.0) {
            *to = i32::try_from(from).unwrap_or(i32::MAX);
        }
        dims
    }

    fn wide(&self) -> WideDims {
        let mut dims = WideDims { count: self.0.len() as i32, extents: [0; MAX_AXES] };
        for (to, &from) in dims.extents.iter_mut().zip(&self.0) {
            *to = from;
        }
        dims
    }
}

/// An input or output of an engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PlanTensor {
    pub(super) name: CString,
    pub(super) is_input: bool,
    /// TensorRT's number: 0 is float32, 3 int32.
    pub(super) data_type: i32,
    pub(super) shape: Shape,
}

// SAFETY: of a shared plan only questions are asked and contexts made, which TensorRT allows from several threads.
unsafe impl Sync for Plan {}

/// A deserialised engine.
#[derive(Debug)]
pub(super) struct Plan {
    // In this order: the engine goes before its runtime, both before the library.
    engine: Object,
    _runtime: Object,
    library: Arc<Library>,
}

impl Plan {
    /// Inputs and outputs.
    ///
    /// # Errors
    /// If the library's replies make no sense.
    pub(super) fn tensors(&self) -> Result<Vec<PlanTensor>, TensorRtError> {
        let layout = &self.library.layout;
        type Count = unsafe extern "C" fn(*mut c_void) -> i32;
        type Name = unsafe extern "C" fn(*mut c_void, i32) -> *const c_char;
        type Number = unsafe extern "C" fn(*mut c_void, *const c_char) -> i32;
        let odd = |reason: String| TensorRtError::Unexpected { reason };
        // SAFETY: the function at this place takes nothing.
        let count = unsafe {
            let (this, function) = self.engine.function(layout.tensor_count);
            std::mem::transmute::<*const c_void, Count>(function)(this)
        };
        if !(0..=1024).contains(&count) {
            return Err(odd(format!("{count} tensors")));
        }
        let mut tensors = Vec::new();
        for index in 0..count {
            // SAFETY: the function at this place takes a number and returns a text that ends in 0 and lives as long as the
            // engine, or null.
            let name = unsafe {
                let (this, function) = self.engine.function(layout.tensor_name);
                let name = std::mem::transmute::<*const c_void, Name>(function)(this, index);
                (!name.is_null()).then(|| CStr::from_ptr(name).to_owned())
            };
            let name = name.ok_or_else(|| odd(format!("tensor {index} has no name")))?;
            // SAFETY: the functions at these places take a name and return a number.
            let number = |place| unsafe {
                let (this, function) = self.engine.function(place);
                std::mem::transmute::<*const c_void, Number>(function)(this, name.as_ptr())
            };
            let is_input = match number(layout.tensor_mode) {
                1 => true,
                2 => false,
                other => return Err(odd(format!("tensor {name:?} is neither input nor output ({other})"))),
            };
            let data_type = number(layout.tensor_type);
            // SAFETY: the function at this place takes a name and returns a shape.
            let shape = unsafe { shape(&self.engine, layout.tensor_shape, layout.dims, &name) };
            let shape = shape.ok_or_else(|| odd(format!("tensor {name:?} has no shape")))?;
            tensors.push(PlanTensor { name, is_input, data_type, shape });
        }
        Ok(tensors)
    }

    /// An execution context, with its own memory for intermediate tensors.
    ///
    /// # Errors
    /// If the library returns none, which mostly means too little memory.
    pub(super) fn context(self: &Arc<Self>) -> Result<Context, TensorRtError> {
        logger::forget();
        let layout = &self.library.layout;
        type Plain = unsafe extern "C" fn(*mut c_void) -> *mut c_void;
        type WithStrategy = unsafe extern "C" fn(*mut c_void, i32) -> *mut c_void;
        // SAFETY: the function at this place takes a strategy from TensorRT 10 on, of which 0 allocates memory once and for
        // all.
        let context = unsafe {
            let (this, function) = self.engine.function(layout.create_context);
            if layout.has_strategy {
                std::mem::transmute::<*const c_void, WithStrategy>(function)(this, 0)
            } else {
                std::mem::transmute::<*const c_void, Plain>(function)(this)
            }
        };
        let refused = || TensorRtError::Refused { what: "an execution context", reason: logger::last_words() };
        let context = Object::new(context).ok_or_else(refused)?;
        Ok(Context { context, plan: Arc::clone(self) })
    }
}

/// Calls a function that takes a name and returns a shape.
///
/// # Safety
/// Such a function must stand at `place` of the object's table, and return shapes of this kind.
unsafe fn shape(object: &Object, place: usize, kind: DimsKind, name: &CStr) -> Option<Shape> {
    type Narrow = unsafe extern "C" fn(*mut c_void, *const c_char) -> NarrowDims;
    type Wide = unsafe extern "C" fn(*mut c_void, *const c_char) -> WideDims;
    // SAFETY: the caller vouches for the place and the kind. Shapes are larger than two registers, so both languages hand
    // back their place in memory.
    unsafe {
        let (this, function) = object.function(place);
        match kind {
            DimsKind::Narrow => {
                let dims = std::mem::transmute::<*const c_void, Narrow>(function)(this, name.as_ptr());
                Shape::of(dims.count, dims.extents.iter().map(|&extent| i64::from(extent)))
            }
            DimsKind::Wide => {
                let dims = std::mem::transmute::<*const c_void, Wide>(function)(this, name.as_ptr());
                Shape::of(dims.count, dims.extents.into_iter())
            }
        }
    }
}

/// Runs an engine for one set of shapes.
#[derive(Debug)]
pub(super) struct Context {
    // Dropped before the engine that made it.
    context: Object,
    plan: Arc<Plan>,
}

impl Context {
    fn layout(&self) -> &Layout {
        &self.plan.library.layout
    }

    /// Fixes the shape of an input; returns whether the engine allows it.
    pub(super) fn set_input_shape(&mut self, name: &CStr, shape: &Shape) -> bool {
        type Set = unsafe extern "C" fn(*mut c_void, *const c_char, *const c_void) -> bool;
        let (narrow, wide) = (shape.narrow(), shape.wide());
        let dims: *const c_void = match self.layout().dims {
            DimsKind::Narrow => (&raw const narrow).cast(),
            DimsKind::Wide => (&raw const wide).cast(),
        };
        // SAFETY: the function at this place takes a name and a shape by reference, and keeps neither.
        unsafe {
            let (this, function) = self.context.function(self.layout().set_input_shape);
            std::mem::transmute::<*const c_void, Set>(function)(this, name.as_ptr(), dims)
        }
    }

    /// The shape of a tensor, once all inputs have theirs.
    pub(super) fn shape(&self, name: &CStr) -> Option<Shape> {
        // SAFETY: the function at this place takes a name and returns a shape.
        unsafe { shape(&self.context, self.layout().context_shape, self.layout().dims, name) }
    }

    /// Binds a tensor to device memory; returns whether there is such a tensor.
    ///
    /// # Safety
    /// The memory must have room for the tensor, and live until another is bound or the context is dropped.
    pub(super) unsafe fn set_address(&mut self, name: &CStr, address: u64) -> bool {
        type Set = unsafe extern "C" fn(*mut c_void, *const c_char, *mut c_void) -> bool;
        // SAFETY: the function at this place takes a name and an address, and keeps the address, for which the caller
        // vouches.
        unsafe {
            let (this, function) = self.context.function(self.layout().set_address);
            std::mem::transmute::<*const c_void, Set>(function)(this, name.as_ptr(), address as *mut c_void)
        }
    }

    /// Enqueues a run in a stream; returns whether the library accepted it.
    ///
    /// # Safety
    /// Every tensor must be bound, and `stream` be a stream of the current CUDA context.
    pub(super) unsafe fn enqueue(&mut self, stream: *mut c_void) -> bool {
        type Enqueue = unsafe extern "C" fn(*mut c_void, *mut c_void) -> bool;
        // SAFETY: the function at this place takes a stream; the caller vouches for the rest.
        unsafe {
            let (this, function) = self.context.function(self.layout().enqueue);
            std::mem::transmute::<*const c_void, Enqueue>(function)(this, stream)
        }
    }
}
