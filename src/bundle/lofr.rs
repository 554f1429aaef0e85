//! What a LOFR bundle says beyond the common sections: `[decode]`, and the tensors of its one network.

use serde::Deserialize;

use super::check::Checker;
use super::error::BundleError;
use super::manifest::Manifest;
use super::shape::Dimension;
use crate::decode::lofr::{Config, Decoder};
use crate::engine::DataType;
use crate::geometry::Size;

/// Role of the network.
pub const POSE: &str = "pose";
/// All roles.
pub const ROLES: [&str; 1] = [POSE];

/// `[decode]` of LOFR.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DecodeSection {
    /// How much larger a crop is than its box, before it gets the network's aspect.
    #[serde(alias = "margin")]
    pub box_padding: f64,
    /// A keypoint counts from this score on; where none does there is nobody.
    pub visible_threshold: f32,
}

impl DecodeSection {
    /// The decoder's hyper-parameters, with the manifest's keypoints, which have been checked.
    pub fn config(&self, manifest: &Manifest) -> Config {
        Config { keypoints: manifest.keypoints.names.len(), visible_threshold: self.visible_threshold }
    }
}

/// The network's input, which is the same for every crop.
pub fn network(manifest: &Manifest) -> Option<Size> {
    let image = manifest.engines.get(POSE)?.inputs.iter().find(|tensor| tensor.name == "image")?;
    match image.shape[..] {
        [_, _, Dimension::Number(height), Dimension::Number(width)] => Some(Size::new(width, height)),
        _ => None,
    }
}

/// Cells of a response map.
pub fn cells(manifest: &Manifest) -> Option<Size> {
    let response = manifest.engines.get(POSE)?.outputs.iter().find(|tensor| tensor.name == "response")?;
    match response.shape[..] {
        [_, Dimension::Number(height), Dimension::Number(width)] => Some(Size::new(width, height)),
        _ => None,
    }
}

/// Checks `[decode]`, `[limits]`, the crop and the network's tensors; `manifest.keypoints` has been checked.
pub(super) fn check(checker: &Checker<'_>, manifest: &Manifest, decode: &DecodeSection) -> Result<(), BundleError> {
    Decoder::new(&decode.config(manifest)).map_err(|error| checker.config(error))?;
    checker.boxed(manifest, decode.box_padding)?;
    let pose = checker.role(manifest, POSE, &ROLES)?;
    let number = Dimension::Number;
    let keypoints = manifest.keypoints.names.len();
    // Both sizes are the network's own business, but they are fixed.
    let image = network(manifest).unwrap_or(Size::new(1, 1));
    let map = cells(manifest).unwrap_or(Size::new(1, 1));
    let float = |name, shape| (name, DataType::F32, shape);
    let input = vec![number(1), number(3), number(image.height), number(image.width)];
    checker.tensors("engine.pose.inputs", &pose.inputs, &[float("image", input)])?;
    let response = vec![number(keypoints), number(map.height), number(map.width)];
    let outputs = [float("response", response), float("presence", vec![number(keypoints)])];
    checker.tensors("engine.pose.outputs", &pose.outputs, &outputs)?;
    let (short, multiple) = (image.width.min(image.height), manifest.input.multiple);
    checker.require(manifest.input.short_side == short, "input.short_side", || {
        (manifest.input.short_side.to_string(), format!("{short}, the shorter side of the network's image"))
    })?;
    let fits = image.width.is_multiple_of(multiple) && image.height.is_multiple_of(multiple);
    checker
        .require(fits, "input.multiple", || (multiple.to_string(), format!("a divisor of both sides of {image}")))?;
    checker.no_chunks(POSE, pose)
}
