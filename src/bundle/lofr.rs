//! What a LOFR bundle has beyond the common sections: `[decode]`, and the tensors of its one network.

use super::checker::Checker;
use super::error::BundleError;
use super::manifest::{Decode, Sections, TensorSection};
use super::shape::{self, Dimension};
use crate::decode::lofr::{Config, Decoder};
use crate::engine::DataType;
use crate::geometry::Size;

/// Role of the network.
pub const POSE: &str = "pose";
/// All roles.
pub const ROLES: [&str; 1] = [POSE];

/// Checks `[decode]`, `[limits]`, the crop and the network's tensors; `sections.keypoints` has been checked.
pub(super) fn check(checker: &Checker<'_>, sections: &Sections<Config>) -> Result<Decode, BundleError> {
    let keypoints = sections.keypoints.names.len();
    let config = Config { keypoints, ..sections.decode };
    Decoder::new(&config).map_err(|error| checker.config(error))?;
    checker.boxed(sections, config.box_padding)?;
    let pose = checker.role(sections, POSE, &ROLES)?;
    // The model decides both sizes, but they are fixed.
    let network = last_two(checker, "engine.pose.inputs", &pose.inputs, "image")?;
    let cells = last_two(checker, "engine.pose.outputs", &pose.outputs, "response")?;
    let number = Dimension::Number;
    let float = |name, shape| (name, DataType::F32, shape);
    let input = vec![number(1), number(3), number(network.height), number(network.width)];
    checker.tensors("engine.pose.inputs", &pose.inputs, &[float("image", input)])?;
    let response = vec![number(keypoints), number(cells.height), number(cells.width)];
    let outputs = [float("response", response), float("presence", vec![number(keypoints)])];
    checker.tensors("engine.pose.outputs", &pose.outputs, &outputs)?;
    let (short, multiple) = (network.width.min(network.height), sections.input.multiple);
    checker.require(sections.input.short_side == short, "input.short_side", || {
        (sections.input.short_side.to_string(), format!("{short}, the shorter side of the network's image"))
    })?;
    let fits = network.width.is_multiple_of(multiple) && network.height.is_multiple_of(multiple);
    checker
        .require(fits, "input.multiple", || (multiple.to_string(), format!("a divisor of both sides of {network}")))?;
    checker.no_batch_sizes(POSE, pose)?;
    Ok(Decode::Lofr { config, network, cells })
}

/// The last two extents of a tensor, height and width, which must be numbers.
fn last_two(checker: &Checker<'_>, key: &str, tensors: &[TensorSection], name: &str) -> Result<Size, BundleError> {
    let shape = tensors.iter().find(|tensor| tensor.name == name).map(|tensor| &tensor.shape[..]);
    match shape {
        Some(&[.., Dimension::Number(height), Dimension::Number(width)]) => Ok(Size::new(width, height)),
        found => {
            let found = found.map_or_else(|| "missing".to_owned(), shape::written);
            Err(checker.value(&format!("{key}.{name}"), found, "a tensor whose last two extents are numbers"))
        }
    }
}
