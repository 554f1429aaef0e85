//! `NAME.engine.json` next to every engine: what it was built from, by what and for which GPU.
//!
//! TensorRT cannot be asked whether an engine fits; it refuses it or, worse, runs it. So everything that can be known is
//! compared before the library sees the engine.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{DeviceFacts, Version, precision, source};
use crate::engine::{EngineError, EngineFiles, Signature, TensorSpec};
use crate::{hash, read};

/// Version of this file's format.
const SCHEMA: u32 = 1;
/// Largest side-car that is read; an engine put in its place by mistake is not read as text.
const MOST_BYTES: u64 = 1 << 20;

/// What an engine was built from, by what and for which GPU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sidecar {
    /// Version of this format: 1.
    pub schema: u32,
    /// Which network it is: bundle and role.
    pub label: String,
    /// Version of the library that built the engine, with its build number if the library reports one.
    pub trt_version: String,
    /// Compute capability, major and minor.
    pub compute_capability: (i32, i32),
    /// Streaming multiprocessors.
    pub sm_count: i32,
    /// Name of the GPU.
    pub device_name: String,
    /// Name of the board, if it has one (`/proc/device-tree/model`).
    #[serde(default)]
    pub board: Option<String>,
    /// Release of the board's system (`/etc/nv_tegra_release`).
    #[serde(default)]
    pub l4t: Option<String>,
    /// Version of CUDA that the driver reports: 11040 is 11.4.
    pub cuda_driver_version: i32,
    /// `fp32`, `fp16` or `int8`.
    pub precision: String,
    /// The command that built the engine.
    pub builder: Vec<String>,
    /// SHA-256 of the ONNX file that it was built from.
    pub onnx_sha256: String,
    /// SHA-256 of the fp32 ONNX file, which may hold the weights of the other one.
    pub weights_sha256: String,
    /// SHA-256 of the engine.
    pub engine_sha256: String,
    /// Size of the engine.
    pub engine_bytes: u64,
    /// Inputs, in the manifest's order.
    pub inputs: Vec<TensorFacts>,
    /// Outputs, in the manifest's order.
    pub outputs: Vec<TensorFacts>,
    /// Seconds since 1970.
    pub created: u64,
}

/// A tensor as the engine has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TensorFacts {
    /// Its name.
    pub name: String,
    /// `float32` or `int32`.
    pub data_type: String,
    /// Its extents.
    pub shape: Vec<usize>,
}

impl From<&TensorSpec> for TensorFacts {
    fn from(spec: &TensorSpec) -> Self {
        Self { name: spec.name.clone(), data_type: spec.data_type.to_string(), shape: spec.shape.clone() }
    }
}

impl Sidecar {
    /// Path of the side-car of an engine.
    pub fn path(plan: &Path) -> PathBuf {
        let mut name = plan.as_os_str().to_owned();
        name.push(".json");
        name.into()
    }

    /// Reads the side-car of an engine.
    ///
    /// # Errors
    /// If it is missing, too large, or not what it should be.
    pub fn read(plan: &Path) -> Result<Self, EngineError> {
        let path = Self::path(plan);
        let unreadable = |source| EngineError::Read { path: path.clone(), source };
        let wrong =
            |reason: String| EngineError::Load { path: path.clone(), stage: "not the side-car of an engine", reason };
        let bytes = read::regular(&path, MOST_BYTES).map_err(unreadable)?;
        let sidecar: Self = serde_json::from_slice(&bytes).map_err(|error| wrong(error.to_string()))?;
        if sidecar.schema != SCHEMA {
            return Err(wrong(format!("`schema` is {}, expected {SCHEMA}", sidecar.schema)));
        }
        Ok(sidecar)
    }

    /// Compares with the engine itself, the bundle's ONNX and what the manifest says of its tensors. No library is needed.
    ///
    /// # Errors
    /// If one of them differs, with both values and what to do.
    pub fn check_files(
        &self,
        path: &Path,
        plan: &[u8],
        files: &EngineFiles,
        signature: &Signature,
    ) -> Result<(), EngineError> {
        let stale = Stale { path, label: &files.label, precision: precision(files).name() };
        stale.compare("the engine's size in bytes", &(plan.len() as u64), &self.engine_bytes)?;
        stale.compare("the engine's sha256", &sha256(plan), &self.engine_sha256)?;
        stale.compare("the network", &self.label, &files.label)?;
        stale.compare("the precision", &self.precision.as_str(), &precision(files).name())?;
        let major = self.trt_version.split('.').next().and_then(|major| major.parse().ok()).unwrap_or_default();
        stale.compare("the sha256 of its ONNX", &self.onnx_sha256, &source(files, major)?.sha256)?;
        stale.compare("the sha256 of its weights", &self.weights_sha256, &files.fp32.sha256)?;
        for (what, built, wanted) in
            [("inputs", &self.inputs, &signature.inputs), ("outputs", &self.outputs, &signature.outputs)]
        {
            let wanted: Vec<TensorFacts> = wanted.iter().map(Into::into).collect();
            if *built != wanted {
                return stale.refuse(what, describe(built), describe(&wanted));
            }
        }
        Ok(())
    }

    /// Compares with the library and the GPU of this machine.
    ///
    /// # Errors
    /// If one of them differs, with both values and what to do.
    pub fn check_machine(&self, path: &Path, version: Version, device: &DeviceFacts) -> Result<(), EngineError> {
        let stale = Stale { path, label: &self.label, precision: &self.precision };
        stale.compare("the TensorRT it was built by", &self.trt_version, &version.to_string())?;
        let capability = |(major, minor): (i32, i32)| format!("{major}.{minor}");
        let (built, here) = (self.compute_capability, device.compute_capability);
        stale.compare("the GPU's compute capability", &capability(built), &capability(here))?;
        stale.compare("the GPU's multiprocessors", &self.sm_count, &device.multiprocessors)
    }
}

/// An engine that may be out of date.
#[derive(Clone, Copy)]
struct Stale<'a> {
    path: &'a Path,
    label: &'a str,
    precision: &'a str,
}

impl Stale<'_> {
    fn compare<T: PartialEq + ToString>(self, what: &'static str, found: &T, expected: &T) -> Result<(), EngineError> {
        if found == expected { Ok(()) } else { self.refuse(what, found.to_string(), expected.to_string()) }
    }

    fn refuse(self, what: &'static str, found: String, expected: String) -> Result<(), EngineError> {
        let remedy = remedy(self.label, self.precision);
        Err(EngineError::Stale { path: self.path.to_owned(), what, found, expected, remedy })
    }
}

fn describe(tensors: &[TensorFacts]) -> String {
    let one = |tensor: &TensorFacts| format!("{} {} {:?}", tensor.name, tensor.data_type, tensor.shape);
    tensors.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// The command that builds the engines of a network's bundle.
pub(super) fn remedy(label: &str, precision: impl std::fmt::Display) -> String {
    let bundle = label.split_once('/').map_or(label, |(bundle, _)| bundle);
    format!("build its engines on this board: sinew engine build --model {bundle} --precision {precision}")
}

/// Eight digits that distinguish engines of one network for different shapes.
pub(super) fn shape_tag(signature: &Signature) -> String {
    let tensors: Vec<TensorFacts> = signature.inputs.iter().chain(&signature.outputs).map(Into::into).collect();
    sha256(describe(&tensors).as_bytes())[..8].to_owned()
}

/// SHA-256 as side-cars have it: 64 lower-case hexadecimal digits.
pub fn sha256(bytes: &[u8]) -> String {
    hash::of_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{DataType, GraphFile, Memory, Precision};

    fn files() -> EngineFiles {
        EngineFiles {
            fp32: GraphFile { onnx: "a.onnx".into(), sha256: "ab".repeat(32), external: Vec::new() },
            fp16: None,
            int8: None,
            int8_fp16: None,
            int8_cpu: None,
            precision: None,
            label: "thing-tiny/backbone".to_owned(),
            has_open_shapes: false,
        }
    }

    fn signature() -> Signature {
        let spec = |name: &str, shape: &[usize]| TensorSpec {
            name: name.to_owned(),
            data_type: DataType::F32,
            shape: shape.to_vec(),
            memory: Memory::Host,
        };
        Signature { inputs: vec![spec("image", &[1, 3, 8, 8])], outputs: vec![spec("maps", &[4, 4])] }
    }

    fn sidecar(plan: &[u8]) -> Sidecar {
        Sidecar {
            schema: 1,
            label: files().label,
            trt_version: "10.3.0".to_owned(),
            compute_capability: (8, 7),
            sm_count: 8,
            device_name: "Orin".to_owned(),
            board: None,
            l4t: None,
            cuda_driver_version: 12060,
            precision: "fp16".to_owned(),
            builder: vec!["trtexec".to_owned()],
            onnx_sha256: files().fp32.sha256,
            weights_sha256: files().fp32.sha256,
            engine_sha256: sha256(plan),
            engine_bytes: plan.len() as u64,
            inputs: signature().inputs.iter().map(Into::into).collect(),
            outputs: signature().outputs.iter().map(Into::into).collect(),
            created: 0,
        }
    }

    fn device() -> DeviceFacts {
        DeviceFacts {
            name: "Orin".to_owned(),
            compute_capability: (8, 7),
            multiprocessors: 8,
            integrated: true,
            driver_version: 12060,
        }
    }

    #[test]
    fn what_fits_is_taken_and_what_differs_is_named_with_both_values() {
        let plan = b"plan";
        let path = Path::new("x.engine");
        let version = |minor| Version { major: 10, minor, patch: 0, build: None };
        let good = sidecar(plan);
        good.check_files(path, plan, &files(), &signature()).unwrap();
        good.check_machine(path, version(3), &device()).unwrap();

        let says = |result: Result<(), EngineError>, needles: &[&str]| {
            let text = result.unwrap_err().to_string();
            for needle in needles.iter().chain(&["x.engine", "sinew engine build --model thing-tiny"]) {
                assert!(text.contains(needle), "no {needle:?} in {text}");
            }
        };
        says(good.check_files(path, b"plans", &files(), &signature()), &["size", "5", "4"]);
        says(good.check_files(path, b"plam", &files(), &signature()), &["sha256", &sha256(b"plam"), &sha256(plan)]);
        let graph = |digits: &str| GraphFile { onnx: "b.onnx".into(), sha256: digits.repeat(32), external: Vec::new() };
        let other = EngineFiles { fp32: graph("cd"), ..files() };
        let hashes = [&*other.fp32.sha256, &files().fp32.sha256];
        says(good.check_files(path, plan, &other, &signature()), &["ONNX", hashes[0], hashes[1]]);
        let other = EngineFiles { precision: Some(Precision::Int8), ..files() };
        says(good.check_files(path, plan, &other, &signature()), &["precision", "fp16", "int8"]);
        // A quantised graph of other weights.
        let quantised = EngineFiles { int8: Some(graph("ef")), ..other };
        let mut built = sidecar(plan);
        built.precision = "int8".to_owned();
        says(built.check_files(path, plan, &quantised, &signature()), &["ONNX", &"ab".repeat(32), &"ef".repeat(32)]);
        built.onnx_sha256 = "ef".repeat(32);
        built.check_files(path, plan, &quantised, &signature()).unwrap();
        let retrained = EngineFiles { fp32: graph("cd"), ..quantised };
        says(built.check_files(path, plan, &retrained, &signature()), &["weights", "cdcd", "abab"]);
        let mut wider = signature();
        wider.inputs[0].shape[3] = 16;
        says(good.check_files(path, plan, &files(), &wider), &["inputs", "[1, 3, 8, 8]", "[1, 3, 8, 16]"]);
        says(good.check_machine(path, version(7), &device()), &["TensorRT", "10.3.0", "10.7.0"]);
        let other = DeviceFacts { compute_capability: (7, 2), ..device() };
        says(good.check_machine(path, version(3), &other), &["capability", "8.7", "7.2"]);
        let other = DeviceFacts { multiprocessors: 16, ..device() };
        says(good.check_machine(path, version(3), &other), &["multiprocessors", "8", "16"]);
    }

    #[test]
    fn what_is_no_sidecar_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let plan = folder.path().join("a.engine");
        let write = |text: &str| std::fs::write(Sidecar::path(&plan), text).unwrap();
        let message = || Sidecar::read(&plan).unwrap_err().to_string();
        assert!(message().contains("a.engine.json"), "it is missing: {}", message());
        let good = serde_json::to_string(&sidecar(b"plan")).unwrap();
        write(&good);
        assert_eq!(Sidecar::read(&plan).unwrap(), sidecar(b"plan"));
        write(&good.replace("\"schema\":1", "\"schema\":2"));
        assert!(message().contains("`schema` is 2, expected 1"), "{}", message());
        write(&good.replace("sm_count", "sm_counts"));
        assert!(message().contains("sm_counts"), "{}", message());
        write(&good[..good.len() / 2]);
        assert!(message().contains("EOF"), "{}", message());
        write(&" ".repeat(MOST_BYTES as usize + 1));
        assert!(message().contains("bytes"), "{}", message());
    }
}
