//! `sinew decode`: the post-processing alone, on dumped network outputs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::bail;
use clap::Args;
use serde_json::{Map, Value, json};

use super::guard::FileGuard;
use super::{Verdict, output, value};
use crate::bundle::Bundle;
use crate::bundle::logocap::Refinement;
use crate::estimator::{EstimateError, Options, postprocess};
use crate::geometry::Size;
use crate::npz::{self, Array, Arrays, Npz, NpzError, Values};

/// Turn dumped network outputs into poses
///
/// Reads the outputs of the bundle's networks by name, with maps of any size, and prints the result of the post-processing as
/// JSON.
#[derive(Debug, Args)]
pub struct DecodeArguments {
    /// Bundle: a name that `sinew models list` shows, or a folder
    #[arg(long, value_name = "NAME|DIR")]
    model: PathBuf,
    /// The network outputs, written with numpy.savez
    #[arg(long, value_name = "IN.npz")]
    tensors: PathBuf,
    /// Width and height of the image that the network saw
    #[arg(long, value_name = "WxH", value_parser = value::size)]
    image_size: Size,
    /// Compute as the reference implementation does, whatever the bundle says
    #[arg(long)]
    exact: bool,
    /// How far poses are refined: none, partial or full [default: the bundle's, with --exact full]
    #[arg(long, value_parser = value::level)]
    level: Option<Refinement>,
    /// Write the result to this file instead of printing it
    #[arg(long, value_name = "OUT.npz")]
    dump: Option<PathBuf>,
}

impl DecodeArguments {
    /// Runs the command.
    pub fn run(self) -> anyhow::Result<Verdict> {
        let bundle = Bundle::open(&self.model)?;
        if let Some(path) = &self.dump {
            let mut guard = FileGuard::default();
            guard.input(&self.tensors);
            guard.input_tree(bundle.folder());
            guard.output("--dump", path)?;
        }
        let (tensors, unreadable) = read_all(&self.tensors)?;
        let options = Options { exact: self.exact, level: self.level, ..Options::default() };
        let result = match postprocess(&bundle, &options, self.image_size, &tensors) {
            Ok(result) => result,
            // Why an array could not be read is more useful than that it is missing.
            Err(EstimateError::Array { name, .. }) if unreadable.contains_key(&name) => bail!("{}", unreadable[&name]),
            Err(error) => bail!("{}: {error}", self.tensors.display()),
        };
        for error in unreadable.values() {
            tracing::warn!("{error}");
        }
        for (name, array) in &tensors {
            let wrong = array.count_not_finite();
            if wrong > 0 {
                tracing::warn!("{}: array '{name}': {wrong} values are not finite", self.tensors.display());
            }
        }
        match &self.dump {
            Some(path) => npz::write(path, &result)?,
            None => output::print_json(&to_json(&result))?,
        }
        Ok(Verdict::Good)
    }
}

/// All arrays that can be read, and why the others cannot: they may not be needed.
fn read_all(path: &Path) -> anyhow::Result<(Arrays, BTreeMap<String, NpzError>)> {
    let mut npz = Npz::open(path)?;
    let (mut arrays, mut unreadable) = (Arrays::new(), BTreeMap::new());
    for name in npz.names() {
        match npz.array(&name) {
            Ok(array) => arrays.extend(array.map(|array| (name, array))),
            Err(error) => drop(unreadable.insert(name, error)),
        }
    }
    Ok((arrays, unreadable))
}

fn to_json(arrays: &Arrays) -> Value {
    let object: Map<String, Value> = arrays.iter().map(|(name, array)| (name.clone(), nested(array))).collect();
    Value::Object(object)
}

/// An array as lists of lists.
fn nested(array: &Array) -> Value {
    let mut level: Vec<Value> = match &array.values {
        Values::F32(values) => values.iter().map(|&value| shortest(value)).collect(),
        Values::F64(values) => values.iter().map(|value| json!(value)).collect(),
        Values::I64(values) => values.iter().map(|value| json!(value)).collect(),
    };
    for (axis, &extent) in array.shape.iter().enumerate().rev() {
        let rows = array.shape[..axis].iter().product();
        let mut values = level.into_iter();
        level = (0..rows).map(|_| Value::Array(values.by_ref().take(extent).collect())).collect();
    }
    level.pop().unwrap_or(Value::Null)
}

/// The fewest digits that stand for the same `f32`; `null` if it is not finite.
fn shortest(value: f32) -> Value {
    value.to_string().parse::<f64>().map_or(Value::Null, Value::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_nest() {
        let array = |shape: &[usize], count: i64| Array::from_i64(shape, (0..count).collect()).unwrap();
        assert_eq!(nested(&array(&[2, 3], 6)), json!([[0, 1, 2], [3, 4, 5]]));
        assert_eq!(nested(&array(&[1, 2, 1], 2)), json!([[[0], [1]]]));
        assert_eq!(nested(&array(&[0, 3], 0)), json!([]));
        assert_eq!(nested(&array(&[2, 0], 0)), json!([[], []]));
        assert_eq!(nested(&array(&[], 1)), json!(0));
        let floats = Array::from_f32(&[3], vec![0.1, -1e-9, f32::NAN]).unwrap();
        assert_eq!(nested(&floats).to_string(), "[0.1,-1e-9,null]");
    }
}
