//! Which files a network has, and how exactly it computes.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use super::EngineError;

/// How exactly a network computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32-bit floating point.
    Fp32,
    /// 16-bit floating point.
    Fp16,
    /// 8-bit whole numbers where the network was quantised, floating point elsewhere.
    Int8,
}

impl Precision {
    /// Its name, as the command line, manifests and side-cars have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fp32 => "fp32",
            Self::Fp16 => "fp16",
            Self::Int8 => "int8",
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Precision {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let known = [Self::Fp32, Self::Fp16, Self::Int8];
        known.into_iter().find(|precision| precision.name() == name).ok_or_else(|| "give fp32, fp16 or int8".to_owned())
    }
}

/// A graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GraphFile {
    /// The ONNX file.
    pub onnx: PathBuf,
    /// Its SHA-256, as the manifest has it.
    pub sha256: String,
}

/// One network to open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineFiles {
    /// The original. The other graphs may keep their weights in it.
    pub fp32: GraphFile,
    /// With 16-bit types.
    pub fp16: Option<GraphFile>,
    /// With explicit quantisation, as TensorRT wants it: signed, zero at 0.
    pub int8: Option<GraphFile>,
    /// With explicit quantisation, as CPUs are fast with it: what flows between layers is unsigned.
    pub int8_cpu: Option<GraphFile>,
    /// What was asked for; without, the backend's own choice: fp16 on TensorRT, fp32 on the CPU.
    pub precision: Option<Precision>,
    /// Names of the bundle and of the network's role, such as `logocap-tiny/backbone`.
    pub label: String,
    /// Whether the graph leaves extents of inputs open.
    pub has_open_shapes: bool,
}

impl EngineFiles {
    /// The graph for a backend that computes with the types that the file has. A network that was left out when its
    /// bundle was quantised stays as it is.
    ///
    /// # Errors
    /// Where there is no graph of 16-bit types.
    pub fn typed(&self, precision: Precision) -> Result<&GraphFile, EngineError> {
        match precision {
            Precision::Fp32 => Ok(&self.fp32),
            Precision::Int8 => Ok(self.int8.as_ref().unwrap_or(&self.fp32)),
            Precision::Fp16 => self.fp16.as_ref().ok_or_else(|| EngineError::NoGraph {
                label: self.label.clone(),
                precision,
                remedy: "`make calib` makes one, from the sources".to_owned(),
            }),
        }
    }

    /// The same for a backend whose instructions multiply unsigned 8 bits by signed ones, as those of CPUs do.
    ///
    /// # Errors
    /// Where there is no graph of 16-bit types.
    pub fn typed_for_cpu(&self, precision: Precision) -> Result<&GraphFile, EngineError> {
        match (&self.int8_cpu, precision) {
            (Some(graph), Precision::Int8) => Ok(graph),
            _ => self.typed(precision),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for precision in [Precision::Fp32, Precision::Fp16, Precision::Int8] {
            assert_eq!(precision.to_string().parse(), Ok(precision));
        }
        assert!("fp8".parse::<Precision>().unwrap_err().contains("int8"));
    }

    #[test]
    fn a_network_that_was_left_out_stays_as_it_is() {
        let graph = |name: &str| GraphFile { onnx: name.into(), sha256: String::new() };
        let mut files = EngineFiles {
            fp32: graph("a.onnx"),
            fp16: None,
            int8: None,
            int8_cpu: None,
            precision: None,
            label: "thing/backbone".to_owned(),
            has_open_shapes: false,
        };
        assert_eq!(files.typed(Precision::Int8).unwrap(), &files.fp32);
        let error = files.typed(Precision::Fp16).unwrap_err().to_string();
        assert!(error.contains("thing/backbone") && error.contains("fp16"), "{error}");
        files.int8 = Some(graph("a.int8.onnx"));
        assert_eq!(files.typed(Precision::Int8).unwrap().onnx.to_str(), Some("a.int8.onnx"));
        assert_eq!(files.typed_for_cpu(Precision::Int8).unwrap().onnx.to_str(), Some("a.int8.onnx"));
        files.int8_cpu = Some(graph("a.int8-cpu.onnx"));
        assert_eq!(files.typed(Precision::Int8).unwrap().onnx.to_str(), Some("a.int8.onnx"));
        assert_eq!(files.typed_for_cpu(Precision::Int8).unwrap().onnx.to_str(), Some("a.int8-cpu.onnx"));
        assert_eq!(files.typed_for_cpu(Precision::Fp32).unwrap(), &files.fp32);
    }
}
