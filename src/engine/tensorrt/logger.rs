//! The logger that TensorRT requires: an object with a vtable, made here.

use std::ffi::{CStr, c_char, c_void};
use std::sync::Mutex;

use super::layout::LoggerKind;

/// Lines kept for the text of an error.
const KEPT: usize = 4;

/// The last warnings and errors, oldest first.
static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Clears the log.
pub(super) fn forget() {
    LINES.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clear();
}

/// The last warnings and errors in one line, for the text of an error.
pub(super) fn last_words() -> String {
    let lines = LINES.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    if lines.is_empty() { "the library gave no reason".to_owned() } else { lines.join("; ") }
}

/// What TensorRT calls for every line. `severity` counts from 0, an internal error, to 4, details.
extern "C" fn log(_logger: *mut c_void, severity: i32, text: *const c_char) {
    if text.is_null() {
        return;
    }
    // SAFETY: TensorRT hands a text that ends in 0 and lives as long as the call.
    let text = unsafe { CStr::from_ptr(text) }.to_string_lossy();
    match severity {
        0 | 1 => tracing::error!(target: "tensorrt", "{text}"),
        2 => tracing::warn!(target: "tensorrt", "{text}"),
        3 => tracing::debug!(target: "tensorrt", "{text}"),
        _ => tracing::trace!(target: "tensorrt", "{text}"),
    }
    if severity <= 2 {
        let mut lines = LINES.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if lines.len() == KEPT {
            lines.remove(0);
        }
        lines.push(text.into_owned());
    }
}

/// Never called: a logger belongs to the program and is never deleted by the library. The table needs the place.
extern "C" fn keep(_logger: *mut c_void) {}

/// TensorRT 11 asks in which language an interface is written: 0, C++, is the one whose tables these are.
extern "C" fn language(_logger: *const c_void) -> i32 {
    0
}

/// What TensorRT 11 asks of an interface: its kind and version.
#[repr(C)]
struct InterfaceInfo {
    kind: *const c_char,
    major: i32,
    minor: i32,
}

extern "C" fn interface(_logger: *const c_void) -> InterfaceInfo {
    InterfaceInfo { kind: c"ILogger".as_ptr(), major: 1, minor: 0 }
}

/// A table of functions and the object that points to it: all that a C++ object without fields is.
#[repr(C)]
struct Object<const N: usize> {
    table: *const [*const c_void; N],
}

/// Pointers to functions and to other statics, which never change.
struct Fixed<T>(T);

// SAFETY: nothing in it is ever written, and the functions that it names may be called from any thread.
unsafe impl<T> Sync for Fixed<T> {}

static LOG_FIRST_TABLE: Fixed<[*const c_void; 3]> =
    Fixed([log as *const c_void, keep as *const c_void, keep as *const c_void]);
static LOG_LAST_TABLE: Fixed<[*const c_void; 5]> = Fixed([
    language as *const c_void,
    interface as *const c_void,
    keep as *const c_void,
    keep as *const c_void,
    log as *const c_void,
]);
static LOG_FIRST: Fixed<Object<3>> = Fixed(Object { table: &raw const LOG_FIRST_TABLE.0 });
static LOG_LAST: Fixed<Object<5>> = Fixed(Object { table: &raw const LOG_LAST_TABLE.0 });

/// The logger for a layout; it lives as long as the program.
pub(super) fn object(kind: LoggerKind) -> *mut c_void {
    match kind {
        LoggerKind::LogFirst => (&raw const LOG_FIRST.0).cast_mut().cast(),
        LoggerKind::LogLast => (&raw const LOG_LAST.0).cast_mut().cast(),
    }
}
