//! The files of a network.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::EngineError;
use super::external::{beside, external_files, without_dots};
use super::precision::Precision;
use crate::{hash, read};

/// Maximum size of a graph or of a file with its weights: the limit of protocol buffers.
pub(crate) const MAX_GRAPH_BYTES: u64 = 1 << 31;

/// A graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GraphFile {
    /// The ONNX file.
    pub onnx: PathBuf,
    /// Its SHA-256, as the manifest lists it.
    pub sha256: String,
    /// Files that may hold tensors of the graph, each with its SHA-256.
    pub external: Vec<(PathBuf, String)>,
}

/// A graph in memory, whose bytes have the listed hashes.
#[derive(Debug)]
#[cfg_attr(not(any(feature = "tract", feature = "onnxruntime")), expect(dead_code, reason = "for backends on the CPU"))]
pub(crate) struct Graph {
    /// The ONNX file.
    pub model: Vec<u8>,
    /// The files that hold its tensors, by the names that it uses.
    pub external: BTreeMap<String, Arc<[u8]>>,
}

impl GraphFile {
    /// The graph at `onnx` with its current hash, without other files.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn of(onnx: PathBuf) -> std::io::Result<Self> {
        let sha256 = hash::of_bytes(&read::regular(&onnx, MAX_GRAPH_BYTES)?);
        Ok(Self { onnx, sha256, external: Vec::new() })
    }

    /// Reads the graph and the files that hold tensors of it. A backend parses these bytes, not the file
    /// again: what is hashed is what runs.
    ///
    /// # Errors
    /// If a file cannot be read, has another hash than the listed one, or is not listed.
    #[cfg_attr(
        not(any(feature = "tract", feature = "onnxruntime", feature = "tensorrt")),
        expect(dead_code, reason = "for backends")
    )]
    pub(crate) fn read(&self) -> Result<Graph, EngineError> {
        let model = read_checked(&self.onnx, &self.sha256)?;
        let load_error = |stage, reason: String| EngineError::Load { path: self.onnx.clone(), stage, reason };
        let names = external_files(&model).map_err(|reason| load_error("not an ONNX model", reason.to_owned()))?;
        let mut external = BTreeMap::new();
        for name in names {
            let path = beside(&self.onnx, &name);
            let listed = self.external.iter().find(|(listed, _)| without_dots(listed) == path);
            let Some((_, sha256)) = listed else {
                let reason = format!("it keeps weights in `{name}`, whose SHA-256 is not listed");
                return Err(load_error("not a checked graph", reason));
            };
            external.insert(name, read_checked(&path, sha256)?.into());
        }
        Ok(Graph { model, external })
    }
}

fn read_checked(path: &Path, sha256: &str) -> Result<Vec<u8>, EngineError> {
    let bytes =
        read::regular(path, MAX_GRAPH_BYTES).map_err(|source| EngineError::Read { path: path.to_owned(), source })?;
    let found = hash::of_bytes(&bytes);
    if !found.eq_ignore_ascii_case(sha256) {
        return Err(EngineError::Changed { path: path.to_owned(), found, expected: sha256.to_owned() });
    }
    Ok(bytes)
}

/// One network to open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineFiles {
    /// The original. The other graphs may keep their weights in it.
    pub fp32: GraphFile,
    /// With 16-bit types.
    pub fp16: Option<GraphFile>,
    /// With explicit quantisation in TensorRT's form: signed, zero point 0.
    pub int8: Option<GraphFile>,
    /// The same with 16-bit types between the quantised parts.
    pub int8_fp16: Option<GraphFile>,
    /// With explicit quantisation in the form that is fast on CPUs: unsigned activations.
    pub int8_cpu: Option<GraphFile>,
    /// The precision that was asked for; `None` is [`Precision::default_of`] the backend.
    pub precision: Option<Precision>,
    /// Bundle and role, such as `logocap-tiny/backbone`.
    pub label: String,
    /// Whether the graph has inputs of open shape.
    pub has_open_shapes: bool,
}

impl EngineFiles {
    /// The graph for a backend that computes in the types of the file. A network without a quantised graph is computed in
    /// 32 bits.
    ///
    /// # Errors
    /// If there is no graph of 16-bit types.
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
    /// If there is no graph of 16-bit types.
    pub fn typed_for_cpu(&self, precision: Precision) -> Result<&GraphFile, EngineError> {
        let quantised = self.int8_cpu.as_ref().or(self.int8.as_ref()).or(self.int8_fp16.as_ref());
        match (quantised, precision) {
            (Some(graph), Precision::Int8) => Ok(graph),
            _ => self.typed(precision),
        }
    }
}

#[cfg(any(feature = "onnxruntime", feature = "tensorrt"))]
impl EngineFiles {
    /// The same for GPUs: what is not quantised is computed with 16 bits if there is such a graph.
    ///
    /// # Errors
    /// If there is no graph of 16-bit types.
    pub(crate) fn typed_for_gpu(&self, precision: Precision) -> Result<&GraphFile, EngineError> {
        match (precision, self.int8_fp16.as_ref().or(self.int8.as_ref())) {
            (Precision::Int8, Some(quantised)) => Ok(quantised),
            (Precision::Int8, None) => self.typed(Precision::Fp16),
            _ => self.typed(precision),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_without_a_quantised_graph_stays_as_it_is() {
        let graph = |name: &str| GraphFile { onnx: name.into(), sha256: String::new(), external: Vec::new() };
        let mut files = EngineFiles {
            fp32: graph("a.onnx"),
            fp16: None,
            int8: None,
            int8_fp16: None,
            int8_cpu: None,
            precision: None,
            label: "bundle/backbone".to_owned(),
            has_open_shapes: false,
        };
        assert_eq!(files.typed(Precision::Int8).unwrap(), &files.fp32);
        let error = files.typed(Precision::Fp16).unwrap_err().to_string();
        assert!(error.contains("bundle/backbone") && error.contains("fp16"), "{error}");
        files.int8 = Some(graph("a.int8.onnx"));
        assert_eq!(files.typed(Precision::Int8).unwrap().onnx.to_str(), Some("a.int8.onnx"));
        assert_eq!(files.typed_for_cpu(Precision::Int8).unwrap().onnx.to_str(), Some("a.int8.onnx"));
        files.int8_fp16 = Some(graph("a.int8-fp16.onnx"));
        assert_eq!(files.typed_for_cpu(Precision::Int8).unwrap().onnx.to_str(), Some("a.int8.onnx"));
        files.int8 = None;
        assert_eq!(files.typed_for_cpu(Precision::Int8).unwrap().onnx.to_str(), Some("a.int8-fp16.onnx"));
        files.int8 = Some(graph("a.int8.onnx"));
        files.int8_cpu = Some(graph("a.int8-cpu.onnx"));
        assert_eq!(files.typed(Precision::Int8).unwrap().onnx.to_str(), Some("a.int8.onnx"));
        assert_eq!(files.typed_for_cpu(Precision::Int8).unwrap().onnx.to_str(), Some("a.int8-cpu.onnx"));
        assert_eq!(files.typed_for_cpu(Precision::Fp32).unwrap(), &files.fp32);
    }

    #[test]
    fn the_bytes_that_are_read_have_the_listed_hashes() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        // Field 7 is the graph, 5 its tensor, 13 an entry: location = w.bin.
        let entry = [&[10, 8][..], b"location", &[18, 5], b"w.bin"].concat();
        let tensor = [&[106, entry.len() as u8][..], &entry].concat();
        let graph = [&[42, tensor.len() as u8][..], &tensor].concat();
        std::fs::write(path("a.onnx"), [&[58, graph.len() as u8][..], &graph].concat()).unwrap();
        std::fs::write(path("w.bin"), b"weights").unwrap();

        let plain = GraphFile::of(path("a.onnx")).unwrap();
        let error = plain.read().unwrap_err().to_string();
        assert!(error.contains("a.onnx") && error.contains("`w.bin`"), "{error}");
        let listed = GraphFile { external: vec![(path("w.bin"), hash::of_bytes(b"weights"))], ..plain };
        assert_eq!(&*listed.read().unwrap().external["w.bin"], b"weights");
        std::fs::write(path("w.bin"), b"Weights").unwrap();
        assert!(matches!(listed.read(), Err(EngineError::Changed { path: changed, .. }) if changed == path("w.bin")));
        std::fs::write(path("a.onnx"), b"").unwrap();
        assert!(matches!(listed.read(), Err(EngineError::Changed { path: changed, .. }) if changed == path("a.onnx")));
    }
}
