//! Building engines with the board's own `trtexec`.
//!
//! The builder's interface is what changes most between versions of TensorRT; its command line changes least. So an engine is
//! built by the program that came with the library, into a temporary file next to its final path, and renamed when complete.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::{self, File, TryLockError};
use std::io::{self, BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use super::{DeviceFacts, Installation, Sidecar, Version, precision, sha256, source};
use crate::engine::{EngineError, GraphFile, Network, Precision, TensorSpec};

/// Path of JetPack's `trtexec`.
const JETPACK: &str = "/usr/src/tensorrt/bin/trtexec";
/// Names the program, in place of the search.
const VARIABLE: &str = "SINEW_TRTEXEC";
/// Lines of a failed build that the error shows.
const SHOWN: usize = 12;
/// From this major version on, an engine computes with the types of its ONNX file.
pub(super) const STRONGLY_TYPED: u32 = 11;
/// The version that commands are written for if there is no library.
const ASSUMED_MAJOR: u32 = 10;
/// Extension of a file that is not complete yet. Its name has this process's id, and it is locked while it is built: builds of
/// other processes in the same folder neither write nor remove it.
const PARTIAL: &str = "partial";

/// What the engines are built for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// Version of the library.
    pub version: Version,
    /// The GPU.
    pub device: DeviceFacts,
}

/// How to build.
#[derive(Debug, Clone)]
pub struct Builder {
    /// Where the engines go.
    pub installation: Installation,
    /// The program.
    pub trtexec: PathBuf,
    /// Most memory that the builder may try tactics with, MiB.
    pub workspace: Option<u32>,
}

/// The program that builds: this one, or `SINEW_TRTEXEC`, or the one of JetPack, or one in `PATH`.
pub fn find(given: Option<PathBuf>) -> PathBuf {
    let installed = || Path::new(JETPACK).exists().then(|| JETPACK.into());
    given.or_else(|| std::env::var_os(VARIABLE).map(Into::into)).or_else(installed).unwrap_or_else(|| "trtexec".into())
}

impl Builder {
    /// The command for one network. Without a version it is written for TensorRT 8.6 to 10.
    ///
    /// # Errors
    /// If this version cannot build such an engine from the bundle's files.
    pub fn command(
        &self,
        network: &Network,
        version: Option<Version>,
        target: &Path,
    ) -> Result<Vec<OsString>, EngineError> {
        let plan = self.installation.plan(&network.files, &network.signature);
        let major = version.map_or(ASSUMED_MAJOR, |version| version.major);
        let graph = source(&network.files, major)?;
        let option = |name: &str, value: &dyn AsRef<std::ffi::OsStr>| {
            let mut text = OsString::from(format!("--{name}="));
            text.push(value);
            text
        };
        let mut command: Vec<OsString> = vec![self.trtexec.clone().into()];
        command.push(option("onnx", &graph.onnx));
        command.push(option("saveEngine", &target));
        // trtexec refuses shapes for a graph in which all of them are fixed.
        if network.files.has_open_shapes {
            let shape = |spec: &TensorSpec| {
                let extents: Vec<String> = spec.shape.iter().map(ToString::to_string).collect();
                format!("{}:{}", spec.name, extents.join("x"))
            };
            let shapes: Vec<String> = network.signature.inputs.iter().map(shape).collect();
            command.push(option("shapes", &shapes.join(",")));
        }
        if major < STRONGLY_TYPED {
            let flags: &[&str] = match precision(&network.files) {
                Precision::Fp32 => &[],
                Precision::Fp16 => &["--fp16"],
                // What was not quantised may be computed with 16 bits.
                Precision::Int8 if network.files.int8.is_some() => &["--int8", "--fp16"],
                Precision::Int8 => &["--fp16"],
            };
            command.extend(flags.iter().map(Into::into));
        }
        let is_old = version.is_some_and(|version| (version.major, version.minor) < (8, 6));
        command.push(if is_old { "--buildOnly" } else { "--skipInference" }.into());
        command.push(option("timingCacheFile", &plan.with_file_name("timing.cache")));
        if let Some(workspace) = self.workspace {
            command.push(option("memPoolSize", &format!("workspace:{workspace}")));
        }
        Ok(command)
    }

    /// Whether there is an engine that need not be built again.
    pub fn is_built(&self, network: &Network, machine: &Machine) -> bool {
        let path = self.installation.plan(&network.files, &network.signature);
        let Ok(plan) = fs::read(&path) else { return false };
        Sidecar::read(&path).is_ok_and(|sidecar| {
            sidecar.check_files(&path, &plan, &network.files, &network.signature).is_ok()
                && sidecar.check_machine(&path, machine.version, &machine.device).is_ok()
        })
    }

    /// Creates the folder of engines, checks that it can be written, and removes what an interrupted build left.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn prepare(&self) -> Result<(), EngineError> {
        let folder = &self.installation.engines;
        let unwritable = |source: io::Error| EngineError::Write { path: folder.clone(), source };
        fs::create_dir_all(folder).map_err(unwritable)?;
        for entry in fs::read_dir(folder).map_err(unwritable)?.flatten() {
            if entry.path().extension().is_some_and(|extension| extension == PARTIAL) && !is_locked(&entry.path()) {
                match fs::remove_file(entry.path()) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    removed => removed.map_err(unwritable)?,
                }
            }
        }
        let trial = folder.join(format!("write-test.{}", std::process::id()));
        fs::write(&trial, b"1").and_then(|()| fs::remove_file(&trial)).map_err(unwritable)
    }

    /// Builds one engine and its side-car. `say` gets every line of the program's output.
    ///
    /// # Errors
    /// If the program is missing or fails, or a file cannot be written. No partial engine is left behind.
    pub fn build(
        &self,
        network: &Network,
        machine: &Machine,
        mut say: impl FnMut(&str),
    ) -> Result<PathBuf, EngineError> {
        let path = self.installation.plan(&network.files, &network.signature);
        let extension = format!("{}.{PARTIAL}", std::process::id());
        let partial = append(&path, &extension);
        let command = self.command(network, Some(machine.version), &partial)?;
        let graph = source(&network.files, machine.version.major)?;
        // Held until the engine is in its place.
        let lock = File::create(&partial).map_err(|source| EngineError::Write { path: partial.clone(), source })?;
        if let Err(error) = lock.try_lock() {
            tracing::debug!("{} cannot be locked: {error}", partial.display());
        }
        let done = run(&command, &mut say).and_then(|()| {
            // The builder has read the file by its path, some time after it was hashed.
            graph.read()?;
            let unreadable = |source| EngineError::Read { path: partial.clone(), source };
            let plan = fs::read(&partial).map_err(unreadable)?;
            let sidecar = describe(network, machine, &command, &plan, graph);
            let text = serde_json::to_string_pretty(&sidecar).expect("numbers and text are JSON");
            let unwritable = |source| EngineError::Write { path: path.clone(), source };
            let half = append(&Sidecar::path(&path), &extension);
            fs::write(&half, text).map_err(unwritable)?;
            // Between the two renames, the old side-car is next to the new engine and refuses it.
            fs::rename(&partial, &path).map_err(unwritable)?;
            fs::rename(&half, Sidecar::path(&path)).map_err(unwritable)
        });
        if done.is_err() {
            // It may not have come into being.
            let _ = fs::remove_file(&partial);
        }
        done.map(|()| path)
    }
}

fn describe(network: &Network, machine: &Machine, command: &[OsString], plan: &[u8], graph: &GraphFile) -> Sidecar {
    // Jetsons only; a GPU in another machine has neither.
    let board = |path: &str| {
        let text = fs::read_to_string(path).ok()?;
        Some(text.lines().next()?.trim_end_matches('\0').to_owned())
    };
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let (major, minor) = machine.device.compute_capability;
    Sidecar {
        schema: 1,
        label: network.files.label.clone(),
        trt_version: machine.version.to_string(),
        compute_capability: (major, minor),
        sm_count: machine.device.multiprocessors,
        device_name: machine.device.name.clone(),
        board: board("/proc/device-tree/model"),
        l4t: board("/etc/nv_tegra_release"),
        cuda_driver_version: machine.device.driver_version,
        precision: precision(&network.files).name().to_owned(),
        builder: command.iter().map(|word| word.to_string_lossy().into_owned()).collect(),
        onnx_sha256: graph.sha256.clone(),
        weights_sha256: network.files.fp32.sha256.clone(),
        engine_sha256: sha256(plan),
        engine_bytes: plan.len() as u64,
        inputs: network.signature.inputs.iter().map(Into::into).collect(),
        outputs: network.signature.outputs.iter().map(Into::into).collect(),
        created: since.as_secs(),
    }
}

/// Whether another process holds a lock on the file.
fn is_locked(path: &Path) -> bool {
    File::open(path).is_ok_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)))
}

fn append(path: &Path, extension: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(extension);
    name.into()
}

/// Runs the program to its end.
fn run(command: &[OsString], say: &mut impl FnMut(&str)) -> Result<(), EngineError> {
    let program = Path::new(&command[0]);
    let failed = |reason: String| EngineError::Builder { program: program.to_owned(), reason };
    // Its errors go where its other lines go; through a shell they could not be in one stream without losing the order.
    let (reader, writer) = io::pipe().map_err(|error| failed(error.to_string()))?;
    let errors = writer.try_clone().map_err(|error| failed(error.to_string()))?;
    let mut child = Command::new(program);
    child.args(&command[1..]).stdin(Stdio::null()).stdout(writer).stderr(errors);
    let started = child.spawn();
    // The command holds the pipe's other end, which must be closed for the reader to see the end.
    drop(child);
    let mut child = started.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => {
            failed(format!("it is missing: it comes with TensorRT ({JETPACK} on JetPack); name it with --trtexec"))
        }
        _ => failed(error.to_string()),
    })?;
    let mut last = VecDeque::with_capacity(SHOWN);
    for line in BufReader::new(reader).split(b'\n') {
        let Ok(line) = line else { break };
        let line = String::from_utf8_lossy(&line).trim_end().to_owned();
        say(&line);
        if last.len() == SHOWN {
            last.pop_front();
        }
        last.push_back(line);
    }
    let status = child.wait().map_err(|error| failed(error.to_string()))?;
    if status.success() {
        return Ok(());
    }
    let said = last.into_iter().collect::<Vec<_>>().join("\n");
    Err(failed(format!("it ended with {status}; its last lines:\n{said}")))
}
