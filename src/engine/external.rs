//! Which other files an ONNX graph keeps tensors in.
//!
//! ONNX lets a tensor keep its bytes in a separate file (`TensorProto.external_data`). Only these entries are looked
//! for, in the protocol buffer's wire format, so that a bundle is checked without any backend.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

/// Which fields of a message hold messages, and of what kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Message {
    Model,
    Training,
    Function,
    Graph,
    Node,
    Attribute,
    SparseTensor,
    Tensor,
    /// `StringStringEntryProto` of `external_data`.
    Entry,
}

impl Message {
    /// The message in a field, if tensors may be below it (`onnx.proto3`, IR version 13).
    fn field(self, number: u64) -> Option<Self> {
        Some(match (self, number) {
            (Self::Model, 7) => Self::Graph,
            (Self::Model, 20) => Self::Training,
            (Self::Model, 25) => Self::Function,
            (Self::Training, 1 | 2) => Self::Graph,
            (Self::Function, 7) => Self::Node,
            (Self::Function, 11) => Self::Attribute,
            (Self::Graph, 1) => Self::Node,
            (Self::Graph, 5) => Self::Tensor,
            (Self::Graph, 15) => Self::SparseTensor,
            (Self::Node, 5) => Self::Attribute,
            (Self::Attribute, 5 | 10) => Self::Tensor,
            (Self::Attribute, 6 | 11) => Self::Graph,
            (Self::Attribute, 22 | 23) => Self::SparseTensor,
            (Self::SparseTensor, 1 | 2) => Self::Tensor,
            (Self::Tensor, 13) => Self::Entry,
            _ => return None,
        })
    }
}

/// Deepest nesting that is followed; graphs in graphs are rare.
const MAX_DEPTH: usize = 64;

/// The files that `model`, the bytes of an ONNX file, keeps tensors in, as it names them; none for most graphs.
///
/// # Errors
/// Returns a description of the problem if the bytes are not a protocol buffer.
pub(crate) fn external_files(model: &[u8]) -> Result<BTreeSet<String>, &'static str> {
    let mut files = BTreeSet::new();
    walk(Message::Model, model, MAX_DEPTH, &mut files)?;
    Ok(files)
}

/// The path of the file that the graph at `graph` calls `name`.
pub(crate) fn beside(graph: &Path, name: &str) -> PathBuf {
    without_dots(&graph.with_file_name("").join(name))
}

/// The same path without `.` components.
pub(crate) fn without_dots(path: &Path) -> PathBuf {
    path.components().filter(|part| *part != Component::CurDir).collect()
}

fn walk(message: Message, mut bytes: &[u8], depth: usize, files: &mut BTreeSet<String>) -> Result<(), &'static str> {
    let depth = depth.checked_sub(1).ok_or("it is nested too deeply")?;
    let (mut is_location, mut value) = (false, None);
    while !bytes.is_empty() {
        let key = varint(&mut bytes)?;
        let content = match key & 7 {
            0 => {
                varint(&mut bytes)?;
                continue;
            }
            1 => {
                take(&mut bytes, 8)?;
                continue;
            }
            2 => {
                let length = varint(&mut bytes)?;
                take(&mut bytes, length)?
            }
            5 => {
                take(&mut bytes, 4)?;
                continue;
            }
            _ => return Err("it is not a protocol buffer"),
        };
        match (message, key >> 3) {
            (Message::Entry, 1) => is_location = content == b"location",
            (Message::Entry, 2) => value = Some(content),
            (_, number) => {
                if let Some(inner) = message.field(number) {
                    walk(inner, content, depth, files)?;
                }
            }
        }
    }
    if is_location {
        let name = std::str::from_utf8(value.unwrap_or_default());
        files.insert(name.map_err(|_| "the name of a file with tensors is not UTF-8")?.to_owned());
    }
    Ok(())
}

const CUT_OFF: &str = "it is cut off";

fn varint(bytes: &mut &[u8]) -> Result<u64, &'static str> {
    let mut value = 0;
    for shift in (0..70).step_by(7) {
        let (&byte, rest) = bytes.split_first().ok_or(CUT_OFF)?;
        *bytes = rest;
        // The tenth byte has one bit that counts.
        value |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err("it is not a protocol buffer")
}

fn take<'a>(bytes: &mut &'a [u8], length: u64) -> Result<&'a [u8], &'static str> {
    let length = usize::try_from(length).map_err(|_| CUT_OFF)?;
    let (taken, rest) = bytes.split_at_checked(length).ok_or(CUT_OFF)?;
    *bytes = rest;
    Ok(taken)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A field that holds bytes; lengths below 128.
    fn field(number: u8, content: &[u8]) -> Vec<u8> {
        let key = u16::from(number) << 3 | 2;
        let key = if key < 128 { vec![key as u8] } else { vec![key as u8 | 0x80, (key >> 7) as u8] };
        [&key, &[content.len() as u8][..], content].concat()
    }

    fn tensor(location: &str) -> Vec<u8> {
        let entry =
            |key: &str, value: &str| field(13, &[field(1, key.as_bytes()), field(2, value.as_bytes())].concat());
        [entry("location", location), entry("offset", "16")].concat()
    }

    #[test]
    fn tensors_are_found_wherever_they_are() {
        let of = |content: &[u8]| external_files(&[&[8, 9][..], &field(7, content)].concat()).unwrap();
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<BTreeSet<_>>();
        assert_eq!(of(&field(5, &tensor("w.bin"))), names(&["w.bin"]));
        // A constant's value, a branch of an `If`, both halves of a sparse tensor.
        assert_eq!(of(&field(1, &field(5, &field(5, &tensor("c"))))), names(&["c"]));
        assert_eq!(of(&field(1, &field(5, &field(6, &field(5, &tensor("b")))))), names(&["b"]));
        let sparse = [field(1, &tensor("v")), field(2, &tensor("i"))].concat();
        assert_eq!(of(&field(15, &sparse)), names(&["i", "v"]));
        assert_eq!(of(&field(5, &field(8, b"a name"))), names(&[]));
        assert_eq!(external_files(&field(25, &field(7, &field(5, &field(5, &tensor("f")))))).unwrap(), names(&["f"]));
    }

    #[test]
    fn names_are_relative_to_the_graph() {
        assert_eq!(beside(Path::new("a.onnx"), "./w.bin"), Path::new("w.bin"));
        assert_eq!(beside(Path::new("/m/a.onnx"), "sub/w.bin"), Path::new("/m/sub/w.bin"));
        assert_eq!(beside(Path::new("m/a.onnx"), "../w.bin"), Path::new("m/../w.bin"));
    }

    #[test]
    fn what_is_no_graph_is_refused() {
        assert_eq!(external_files(&[0x3a, 5, 0]), Err(CUT_OFF));
        assert!(external_files(b"\x7fELF\x02\x01\x01").is_err());
        assert_eq!(external_files(&[]), Ok(BTreeSet::new()));
    }

    proptest! {
        #[test]
        fn any_bytes_return(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = external_files(&bytes);
        }
    }
}
