//! The vtable slots of TensorRT's functions, in the three layouts that exist.
//!
//! TensorRT's C++ interface is a set of objects with tables of virtual functions. Within a major version functions
//! are only ever appended to a table, so the slot of a function is a fact of the major; between majors the slots differ, and a
//! call through the wrong table crashes. A major that is not known here is refused, never guessed.

use std::fmt;

/// A version of the library, as it reports itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version {
    /// 8, 10, 11.
    pub major: u32,
    /// Second part.
    pub minor: u32,
    /// Third part.
    pub patch: u32,
    /// Fourth part, if the library reports it (10 and later).
    pub build: Option<u32>,
}

impl Version {
    /// From `getInferLibVersion`: thousands up to 8, ten thousands from 10 on.
    pub fn of(number: i32) -> Option<Self> {
        let number = u32::try_from(number).ok()?;
        let unit = if number < 10_000 { 1000 } else { 10_000 };
        Some(Self { major: number / unit, minor: number % unit / 100, patch: number % 100, build: None })
    }

    /// The same with its build number, if that is valid.
    pub(super) fn with_build(self, build: Option<i32>) -> Self {
        Self { build: build.and_then(|build| u32::try_from(build).ok()), ..self }
    }

    /// The number that a library reported and, if known, what it stands for: `10701 (TensorRT-RTX 1.7.1)`.
    pub(super) fn describe(number: i32) -> String {
        match Self::of(number) {
            // TensorRT-RTX counts like TensorRT 10 from its own version 1 on.
            Some(version @ Self { major: 1, .. }) if number >= 10_000 => format!("{number} (TensorRT-RTX {version})"),
            Some(version) => format!("{number} ({version})"),
            None => number.to_string(),
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)?;
        self.build.map_or(Ok(()), |build| write!(f, ".{build}"))
    }
}

/// How many integers a shape has, and of what size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DimsKind {
    /// Nine of 32 bits, the first one the count.
    Narrow,
    /// A count of 32 bits and eight of 64.
    Wide,
}

/// Order of the functions in a logger's vtable, which we make ourselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LoggerKind {
    /// `log`, then the two destructors.
    LogFirst,
    /// Two questions about the interface, the two destructors, then `log`.
    LogLast,
}

/// Slots in the vtables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    /// Runtime: deserialises an engine.
    pub(super) deserialize: usize,
    /// Engine: its functions.
    pub(super) create_context: usize,
    pub(super) tensor_type: usize,
    pub(super) tensor_mode: usize,
    pub(super) tensor_shape: usize,
    pub(super) tensor_count: usize,
    pub(super) tensor_name: usize,
    /// Execution context: its functions.
    pub(super) set_input_shape: usize,
    pub(super) context_shape: usize,
    pub(super) set_address: usize,
    pub(super) enqueue: usize,
    /// Whether creating a context takes a memory strategy.
    pub(super) has_strategy: bool,
    pub(super) dims: DimsKind,
    pub(super) logger: LoggerKind,
}

/// Slot of `delete` in the vtable of every object of every layout.
pub(super) const DELETE: usize = 1;

const V8: Layout = Layout {
    deserialize: 2,
    create_context: 11,
    tensor_shape: 34,
    tensor_type: 35,
    tensor_mode: 38,
    tensor_count: 45,
    tensor_name: 46,
    set_input_shape: 29,
    context_shape: 30,
    set_address: 32,
    enqueue: 44,
    has_strategy: false,
    dims: DimsKind::Narrow,
    logger: LoggerKind::LogFirst,
};

const V10: Layout = Layout {
    deserialize: 3,
    create_context: 5,
    tensor_shape: 19,
    tensor_type: 20,
    tensor_mode: 23,
    tensor_count: 30,
    tensor_name: 31,
    set_input_shape: 21,
    context_shape: 22,
    set_address: 24,
    enqueue: 37,
    has_strategy: true,
    dims: DimsKind::Wide,
    logger: LoggerKind::LogFirst,
};

const V11: Layout = Layout {
    deserialize: 3,
    create_context: 5,
    tensor_shape: 15,
    tensor_type: 16,
    tensor_mode: 19,
    tensor_count: 26,
    tensor_name: 27,
    set_input_shape: 20,
    context_shape: 21,
    set_address: 23,
    enqueue: 36,
    has_strategy: true,
    dims: DimsKind::Wide,
    logger: LoggerKind::LogLast,
};

impl Layout {
    /// The tables of a version; `None` for majors that are not known, and below 8.5, where tensors have no names yet.
    pub(super) fn of(version: Version) -> Option<Self> {
        match (version.major, version.minor) {
            (8, 5..) => Some(V8),
            (10, _) => Some(V10),
            (11, _) => Some(V11),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::path::Path;
    use std::process::Command;

    use super::*;

    #[test]
    fn versions_are_read_as_the_library_counts() {
        let version = |major, minor, patch| Some(Version { major, minor, patch, build: None });
        assert_eq!(Version::of(8502), version(8, 5, 2));
        assert_eq!(Version::of(8602), version(8, 6, 2));
        assert_eq!(Version::of(100_300), version(10, 3, 0));
        assert_eq!(Version::of(101_303), version(10, 13, 3));
        assert_eq!(Version::of(110_401), version(11, 4, 1));
        assert_eq!(Version::of(-1), None);
        assert_eq!(Version::of(101_303).unwrap().to_string(), "10.13.3");
        assert_eq!(Version::of(101_303).unwrap().with_build(Some(9)).to_string(), "10.13.3.9");
        assert_eq!(Version::of(101_303).unwrap().with_build(Some(-1)).to_string(), "10.13.3");
        assert_eq!(Version::describe(10_701), "10701 (TensorRT-RTX 1.7.1)");
        assert_eq!(Version::describe(120_000), "120000 (12.0.0)");
    }

    /// Compares the tables with the headers in a folder, as the compiler understands them.
    ///
    /// # Errors
    /// Returns the compiler's message if a function has other arguments.
    fn compare(headers: &Path) -> Result<Version, String> {
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tensorrt");
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("headers");
        let mut compiler = Command::new(std::env::var_os("CXX").unwrap_or_else(|| "c++".into()));
        compiler.args(["-std=c++17", "-Wall", "-Wextra", "-Werror", "-isystem"]).arg(headers);
        compiler.arg("-idirafter").arg(sources.join("cuda"));
        let compiled = compiler.arg(sources.join("headers.cpp")).arg("-o").arg(&program).output().unwrap();
        if !compiled.status.success() {
            return Err(String::from_utf8_lossy(&compiled.stderr).into_owned());
        }
        let said = String::from_utf8(Command::new(&program).output().unwrap().stdout).unwrap();
        let numbers: HashMap<_, usize> = said
            .lines()
            .map(|line| line.split_once(' ').unwrap())
            .map(|(name, number)| (name, number.parse().unwrap()))
            .collect();

        let version = Version::of(numbers["version"] as i32).unwrap();
        let layout = Layout::of(version).unwrap();
        let (bytes, first, extent) = if layout.dims == DimsKind::Wide { (72, 8, 8) } else { (36, 4, 4) };
        for (name, ours) in [
            ("deserialize", layout.deserialize),
            ("create_context", layout.create_context),
            ("tensor_type", layout.tensor_type),
            ("tensor_mode", layout.tensor_mode),
            ("tensor_shape", layout.tensor_shape),
            ("tensor_count", layout.tensor_count),
            ("tensor_name", layout.tensor_name),
            ("set_input_shape", layout.set_input_shape),
            ("context_shape", layout.context_shape),
            ("set_address", layout.set_address),
            ("enqueue", layout.enqueue),
            ("log", if layout.logger == LoggerKind::LogFirst { 0 } else { 4 }),
            ("dims_bytes", bytes),
            ("dims_first_extent", first),
            ("dims_extent_bytes", extent),
            ("float", 0),
            ("int32", 3),
            ("input", 1),
            ("output", 2),
        ] {
            assert_eq!(numbers[name], ours, "{name} of TensorRT {version}: the headers' place, and ours");
        }
        assert_eq!(numbers.get("static_strategy"), layout.has_strategy.then_some(&0));
        Ok(version)
    }

    /// NVIDIA's own headers, where `SINEW_TENSORRT_HEADERS` names their folder (`make check-tensorrt-headers`).
    #[test]
    fn the_headers_agree() {
        let Some(headers) = std::env::var_os("SINEW_TENSORRT_HEADERS") else {
            eprintln!("SINEW_TENSORRT_HEADERS is not set: the tables are not compared with NVIDIA's headers");
            return;
        };
        let version = compare(Path::new(&headers)).unwrap_or_else(|said| panic!("{said}"));
        eprintln!("places and arguments agree with the headers of TensorRT {version}");
    }

    /// A header of our own, as it should be, and with one argument less.
    #[test]
    fn headers_with_other_arguments_are_refused() {
        if Command::new(std::env::var_os("CXX").unwrap_or_else(|| "c++".into())).arg("--version").output().is_err() {
            eprintln!("there is no C++ compiler");
            return;
        }
        let minimal = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tensorrt/headers-8");
        assert_eq!(compare(&minimal).map(|version| version.to_string()), Ok("8.5.2".to_owned()));
        let folder = tempfile::tempdir().unwrap();
        let text = std::fs::read_to_string(minimal.join("NvInfer.h")).unwrap();
        for (there, instead, named) in [
            ("std::size_t, IPluginFactory*)", "std::size_t)", "deserializeCudaEngine"),
            ("setTensorAddress(char const*, void*)", "setTensorAddress(char const*, void*, bool)", "setTensorAddress"),
            ("getIOTensorName(std::int32_t)", "getIOTensorName(std::int64_t)", "getIOTensorName"),
        ] {
            assert!(text.contains(there));
            std::fs::write(folder.path().join("NvInfer.h"), text.replace(there, instead)).unwrap();
            let said = compare(folder.path()).expect_err(named);
            assert!(said.contains(named), "{said}");
        }
    }

    #[test]
    fn unknown_majors_have_no_tables() {
        let known = |number| Layout::of(Version::of(number).unwrap()).is_some();
        assert!(known(8502) && known(8601) && known(100_000) && known(101_600) && known(110_401));
        assert!(!known(8201) && !known(8400) && !known(7103) && !known(90_000) && !known(120_000) && !known(0));
    }
}
