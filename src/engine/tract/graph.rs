//! Checks that an ONNX file is the graph that the manifest describes, before tract processes it.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use tract_onnx::pb::tensor_proto::DataType as OnnxType;
use tract_onnx::pb::tensor_shape_proto::dimension::Value as Extent;
use tract_onnx::pb::{GraphProto, ModelProto, ValueInfoProto, type_proto};

use crate::engine::{DataType, EngineError, Signature, TensorSpec};

/// Checks names, types and shapes of all inputs and outputs against `signature`.
///
/// tract looks up every output in a map and panics if the graph does not compute it; that is caught here as well.
pub(super) fn check(path: &Path, model: &ModelProto, signature: &Signature) -> Result<(), EngineError> {
    let Some(graph) = &model.graph else {
        let reason = "it holds no graph, so it is empty, truncated or not an ONNX file".to_owned();
        return Err(EngineError::Load { path: path.to_owned(), stage: "not an ONNX model", reason });
    };
    let constants: HashSet<&str> = graph.initializer.iter().map(|tensor| tensor.name.as_str()).collect();
    let inputs: Vec<&ValueInfoProto> =
        graph.input.iter().filter(|input| !constants.contains(input.name.as_str())).collect();
    let outputs: Vec<&ValueInfoProto> = graph.output.iter().collect();
    check_side(path, "input", &inputs, &signature.inputs)?;
    check_side(path, "output", &outputs, &signature.outputs)?;
    check_made(path, graph)
}

/// Inlines tensors that are kept in other files.
pub(super) fn fill_in(
    path: &Path,
    model: &mut ModelProto,
    files: &BTreeMap<String, Arc<[u8]>>,
) -> Result<(), EngineError> {
    for tensor in model.graph.iter_mut().flat_map(|graph| &mut graph.initializer) {
        let entry = |key: &str| tensor.external_data.iter().find(|entry| entry.key == key).map(|entry| &*entry.value);
        let Some(name) = entry("location").filter(|_| tensor.raw_data.is_empty()) else { continue };
        let number = |key: &str| entry(key).map(str::parse::<usize>).transpose();
        let bytes = (number("offset").ok().zip(number("length").ok())).and_then(|(offset, length)| {
            let rest = files.get(name)?.get(offset.unwrap_or(0)..)?;
            rest.get(..length.unwrap_or(rest.len()))
        });
        let Some(bytes) = bytes else {
            let reason = format!("`{name}` does not hold the bytes of tensor `{}`", tensor.name);
            return Err(EngineError::Load { path: path.to_owned(), stage: "not a complete graph", reason });
        };
        tensor.raw_data = bytes.to_vec();
        tensor.external_data.clear();
        tensor.data_location = None;
    }
    Ok(())
}

fn check_side(
    path: &Path,
    kind: &'static str,
    found: &[&ValueInfoProto],
    expected: &[TensorSpec],
) -> Result<(), EngineError> {
    let fail = |tensor: &str, found: String, expected: String| EngineError::Tensor {
        path: path.to_owned(),
        kind,
        tensor: tensor.to_owned(),
        found,
        expected,
    };
    for spec in expected {
        let Some(info) = found.iter().find(|info| info.name == spec.name) else {
            let names: Vec<String> = found.iter().map(|info| format!("`{}`", info.name)).collect();
            let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            return Err(fail(&spec.name, format!("not in the graph, which has {names}"), spec.to_string()));
        };
        let written = Written::of(info);
        if !written.allows(spec) {
            return Err(fail(&spec.name, written.to_string(), spec.to_string()));
        }
    }
    match found.iter().find(|info| expected.iter().all(|spec| spec.name != info.name)) {
        Some(extra) => Err(fail(&extra.name, Written::of(extra).to_string(), format!("no {kind} of that name"))),
        None => Ok(()),
    }
}

fn check_made(path: &Path, graph: &GraphProto) -> Result<(), EngineError> {
    let made: HashSet<&str> = (graph.input.iter().map(|input| input.name.as_str()))
        .chain(graph.initializer.iter().map(|tensor| tensor.name.as_str()))
        .chain(graph.node.iter().flat_map(|node| node.output.iter().map(String::as_str)))
        .collect();
    match graph.output.iter().find(|output| !made.contains(output.name.as_str())) {
        Some(output) => Err(EngineError::Load {
            path: path.to_owned(),
            stage: "not a complete graph",
            reason: format!("no node makes the output `{}`", output.name),
        }),
        None => Ok(()),
    }
}

/// Type and shape as the file writes them.
struct Written {
    data_type: i32,
    /// `None` if the file gives no shape.
    extents: Option<Vec<WrittenExtent>>,
}

enum WrittenExtent {
    Number(i64),
    Symbol(String),
    Unknown,
}

impl Written {
    fn of(info: &ValueInfoProto) -> Self {
        let Some(type_proto::Value::TensorType(tensor)) = info.r#type.as_ref().and_then(|kind| kind.value.as_ref())
        else {
            return Self { data_type: OnnxType::Undefined as i32, extents: None };
        };
        let extent = |value: &Option<Extent>| match value {
            Some(Extent::DimValue(number)) => WrittenExtent::Number(*number),
            Some(Extent::DimParam(symbol)) => WrittenExtent::Symbol(symbol.clone()),
            None => WrittenExtent::Unknown,
        };
        let extents =
            tensor.shape.as_ref().map(|shape| shape.dim.iter().map(|dimension| extent(&dimension.value)).collect());
        Self { data_type: tensor.elem_type, extents }
    }

    /// Whether the file allows a tensor like `spec`: symbols match any number here; their values are compared once the graph has
    /// been analysed.
    fn allows(&self, spec: &TensorSpec) -> bool {
        let shape = &spec.shape;
        let element = match spec.data_type {
            DataType::F32 => OnnxType::Float,
            DataType::I32 => OnnxType::Int32,
        };
        let fits = |(written, &wanted): (&WrittenExtent, &usize)| match written {
            WrittenExtent::Number(number) => usize::try_from(*number) == Ok(wanted),
            WrittenExtent::Symbol(_) | WrittenExtent::Unknown => true,
        };
        self.data_type == element as i32
            && self
                .extents
                .as_ref()
                .is_none_or(|extents| extents.len() == shape.len() && extents.iter().zip(shape).all(fits))
    }
}

impl std::fmt::Display for Written {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let element = match OnnxType::try_from(self.data_type) {
            Ok(OnnxType::Float) => DataType::F32.to_string(),
            Ok(other) => other.as_str_name().to_lowercase(),
            Err(_) => format!("of unknown type {}", self.data_type),
        };
        let Some(extents) = &self.extents else { return write!(f, "{element} of any shape") };
        let extents: Vec<String> = extents
            .iter()
            .map(|extent| match extent {
                WrittenExtent::Number(number) => number.to_string(),
                WrittenExtent::Symbol(symbol) => symbol.clone(),
                WrittenExtent::Unknown => "?".to_owned(),
            })
            .collect();
        write!(f, "{element} [{}]", extents.join(", "))
    }
}
