//! Arrays in `.npz` files, for tests that compare with them.
#![allow(dead_code, unused_imports)]

#[path = "../common/sigmas.rs"]
mod sigmas;

use std::path::Path;

use sinew::decode::Maps;
use sinew::npz::{Array, Npz};

pub use sigmas::SIGMAS;

/// One array of a file, which must be there.
pub fn array(path: &Path, name: &str) -> Array {
    Npz::open(path).unwrap().array(name).unwrap().unwrap_or_else(|| panic!("{}: no `{name}`", path.display()))
}

/// An array's numbers.
pub fn numbers(path: &Path, name: &str) -> Vec<f32> {
    array(path, name).to_f32()
}

/// A view of `values` in the shape of `array`.
pub fn maps<'a>(name: &'static str, array: &Array, values: &'a [f32]) -> Maps<'a> {
    Maps::new(name, values, [array.shape[0], array.shape[1], array.shape[2]]).unwrap()
}

/// Fails where two arrays differ in length or by more than `tolerance`.
#[track_caller]
pub fn assert_close(path: &Path, name: &str, found: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(found.len(), expected.len(), "{}: `{name}`", path.display());
    for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
        // Written so that a NaN fails.
        let close = (found - expected).abs() <= tolerance;
        assert!(close, "{}: `{name}`[{index}]: {found}, not {expected}", path.display());
    }
}
