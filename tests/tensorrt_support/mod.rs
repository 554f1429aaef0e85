//! Doubles of libnvinfer and of the CUDA driver (`tests/tensorrt/`), compiled when they are first asked for.

#![allow(unsafe_code, dead_code)]

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use sinew::engine::tensorrt::{Installation, Sidecar, sha256};
use sinew::engine::{DataType, EngineFiles, GraphFile, Memory, Precision, Session, Signature, TensorSpec};
use tempfile::TempDir;

/// One of each layout: the version that JetPack 6.0, 6.1 and 7.2.2 have.
pub const VERSIONS: [(i32, &str); 3] = [(8602, "8.6.2"), (100_300, "10.3.0.26"), (110_401, "11.4.1.26")];

/// Whether doubles can be compiled. Without a C++ compiler their tests say so and do nothing, unless
/// `SINEW_REQUIRE_DOUBLES` is set, as in CI.
pub fn can_compile() -> bool {
    let found = Command::new(compiler()).arg("--version").output().is_ok_and(|output| output.status.success());
    if !found {
        assert!(std::env::var_os("SINEW_REQUIRE_DOUBLES").is_none(), "no C++ compiler: set CXX or install g++");
        crate::common::skip("no C++ compiler for the doubles of TensorRT's library");
    }
    found
}

fn compiler() -> OsString {
    std::env::var_os("CXX").unwrap_or_else(|| "c++".into())
}

/// Compiles a source of `tests/tensorrt` with these definitions to a library of this name, in a folder of this process.
pub fn compile(source: &str, definitions: &[String], name: &str) -> PathBuf {
    static FOLDER: OnceLock<TempDir> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| tempfile::tempdir().unwrap()).path();
    let tag: String = definitions.concat().chars().filter(|character| character.is_ascii_alphanumeric()).collect();
    let target = folder.join(format!("{tag}-{}", std::thread::current().name().unwrap_or("x").replace(':', "_")));
    fs::create_dir_all(&target).unwrap();
    let target = target.join(name);
    let language = if source.ends_with(".c") { "c" } else { "c++" };
    let mut command = Command::new(compiler());
    command.args(["-x", language, "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-pthread"]);
    if language == "c++" {
        command.arg("-std=c++17");
    }
    command.args(definitions).arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tensorrt").join(source));
    let output = command.arg("-o").arg(&target).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    target
}

/// A library and a driver, a folder for plans, and what is asked of the doubles besides.
pub struct Doubles {
    pub installation: Installation,
    pub number: i32,
    pub version: &'static str,
    library: libloading::Library,
    driver: libloading::Library,
    _engines: TempDir,
}

impl Doubles {
    pub fn new(version: (i32, &'static str), driver: &[&str]) -> Self {
        Self::with_library(version, &[], driver)
    }

    /// The same with definitions for the library's double.
    pub fn with_library((number, version): (i32, &'static str), library: &[&str], driver: &[&str]) -> Self {
        let mut definitions = vec![format!("-DTRT_VERSION={number}")];
        definitions.extend(library.iter().map(|definition| format!("-D{definition}")));
        let library = compile("nvinfer.cpp", &definitions, "libnvinfer.so");
        let definitions: Vec<String> = driver.iter().map(|definition| format!("-D{definition}")).collect();
        let driver = compile("cuda.c", &definitions, "libcuda.so.1");
        let engines = tempfile::tempdir().unwrap();
        // SAFETY: they were just compiled, and do nothing when they are loaded.
        let open = |path: &Path| unsafe { libloading::Library::new(path) }.unwrap();
        Self {
            library: open(&library),
            driver: open(&driver),
            number,
            version,
            installation: Installation {
                library: Some(library),
                driver: Some(driver),
                engines: engines.path().to_owned(),
                probe: None,
            },
            _engines: engines,
        }
    }

    pub fn environment(&self) -> Session {
        Session::tensorrt(self.installation.clone()).unwrap()
    }

    fn ask(library: &libloading::Library, what: &str) -> i32 {
        // SAFETY: the doubles' own functions take nothing and return a number.
        unsafe { library.get::<extern "C" fn() -> i32>(what.as_bytes()).unwrap()() }
    }

    /// Objects of the library and of the driver that are alive.
    pub fn live(&self) -> (i32, i32) {
        (Self::ask(&self.library, "double_live"), Self::ask(&self.driver, "double_live"))
    }

    /// Work in a stream that nothing waited for yet.
    pub fn pending(&self) -> i32 {
        Self::ask(&self.driver, "double_pending")
    }

    /// How often recorded work was started.
    pub fn launches(&self) -> i32 {
        Self::ask(&self.driver, "double_launches")
    }

    /// Lets no allocation be larger.
    pub fn limit(&self, bytes: i32) {
        // SAFETY: the double's own function takes a number.
        unsafe { self.driver.get::<extern "C" fn(i32)>(b"double_limit").unwrap()(bytes) }
    }

    /// Writes a plan with its side-car, as it would be built for this signature.
    pub fn build(&self, files: &EngineFiles, signature: &Signature, plan: &str) -> PathBuf {
        let path = self.installation.plan(files, signature);
        fs::write(&path, plan).unwrap();
        let sidecar = self.sidecar(files, signature, plan.as_bytes());
        fs::write(Sidecar::path(&path), serde_json::to_string(&sidecar).unwrap()).unwrap();
        path
    }

    pub fn sidecar(&self, files: &EngineFiles, signature: &Signature, plan: &[u8]) -> Sidecar {
        Sidecar {
            schema: 1,
            label: files.label.clone(),
            trt_version: self.version.to_owned(),
            compute_capability: (8, 7),
            sm_count: 8,
            device_name: "no GPU at all".to_owned(),
            board: None,
            l4t: None,
            cuda_driver_version: 12060,
            precision: files.precision.unwrap_or(Precision::Fp16).to_string(),
            builder: Vec::new(),
            onnx_sha256: files.fp32.sha256.clone(),
            weights_sha256: files.fp32.sha256.clone(),
            engine_sha256: sha256(plan),
            engine_bytes: plan.len() as u64,
            inputs: signature.inputs.iter().map(Into::into).collect(),
            outputs: signature.outputs.iter().map(Into::into).collect(),
            created: 0,
        }
    }
}

pub fn files(role: &str) -> EngineFiles {
    EngineFiles {
        fp32: GraphFile { onnx: "none.onnx".into(), sha256: "0".repeat(64), external: Vec::new() },
        fp16: None,
        int8: None,
        int8_fp16: None,
        int8_cpu: None,
        precision: Some(Precision::Fp32),
        label: format!("doubled/{role}"),
        has_open_shapes: false,
    }
}

pub fn spec(name: &str, data_type: DataType, shape: &[usize], memory: Memory) -> TensorSpec {
    TensorSpec { name: name.to_owned(), data_type, shape: shape.to_vec(), memory }
}

/// The text of a plan with the tensors of a signature.
pub fn plan_of(signature: &Signature) -> String {
    let mut text = "double\n".to_owned();
    for (mode, specs) in [("input", &signature.inputs), ("output", &signature.outputs)] {
        for spec in specs {
            let element = if spec.data_type == DataType::I32 { 3 } else { 0 };
            let extents: Vec<_> = spec.shape.iter().map(ToString::to_string).collect();
            text += &format!("{mode} {} {element} {}\n", spec.name, extents.join(" "));
        }
    }
    text
}
