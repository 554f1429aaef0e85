//! What a LOGO-CAP bundle says beyond the common sections: `[decode]`, and the tensors of its two networks.

use serde::Deserialize;

use super::check::Checker;
use super::error::BundleError;
use super::manifest::Manifest;
use super::shape::{self, Dimension, Symbol};
use crate::decode::logocap::{Config, Decoder};
pub use crate::decode::logocap::{Refinement, ZeroKernel};
use crate::engine::DataType;

/// Role of the network that reads the image.
pub const BACKBONE: &str = "backbone";
/// Role of the network that reads the embedding around every initial keypoint.
pub const KAM: &str = "kam";
/// Both roles.
pub const ROLES: [&str; 2] = [BACKBONE, KAM];

/// `[decode]` of LOGO-CAP; the section numbers of the reference description stand in [`crate::decode::logocap`].
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DecodeSection {
    /// Network pixels per cell of the maps.
    pub stride: usize,
    /// A centre counts from this value on.
    pub center_threshold: f32,
    /// Keep the best centre even below the threshold, as the reference does.
    pub center_fallback: bool,
    /// One candidate per plateau of equal centre values; the reference takes every pixel of it.
    pub collapse_ties: bool,
    /// What becomes of a keypoint whose kernel is zero everywhere.
    pub zero_kernel: ZeroKernel,
    /// The mesh has `2 * mesh_radius + 1` cells a side.
    pub mesh_radius: usize,
    /// Kernels are divided by this.
    pub kernel_divisor: f32,
    /// The window has `2 * window_radius + 1` network pixels a side.
    pub window_radius: usize,
    /// Of the Gaussian around the initial keypoint, network pixels.
    pub prior_sigma: f32,
    /// Of the best and the second best cell.
    pub top2_weights: [f32; 2],
    /// A pose is kept iff its score is above.
    pub score_threshold: f32,
    /// Of the pose's diagonal; keypoints nearer than this coincide.
    pub nms_distance: f32,
    /// Poses are one where more keypoints than this coincide.
    pub nms_keypoints: usize,
    /// How far a frame is refined.
    pub level: Refinement,
}

impl DecodeSection {
    /// The decoder's hyper-parameters, with the manifest's keypoints and limits, which have been checked.
    pub fn config(&self, manifest: &Manifest) -> Config {
        Config {
            sigmas: manifest.keypoints.sigmas.iter().copied().collect(),
            stride: self.stride,
            center_threshold: self.center_threshold,
            center_fallback: self.center_fallback,
            collapse_ties: self.collapse_ties,
            zero_kernel: self.zero_kernel,
            mesh_radius: self.mesh_radius,
            kernel_divisor: self.kernel_divisor,
            window_radius: self.window_radius,
            prior_sigma: self.prior_sigma,
            top2_weights: self.top2_weights,
            score_threshold: self.score_threshold,
            nms_distance: self.nms_distance,
            nms_keypoints: self.nms_keypoints,
            max_centers: manifest.limits.centers,
            max_poses: manifest.limits.poses,
        }
    }
}

/// Checks `[decode]`, `[limits]` and the networks' tensors; `manifest.keypoints` has been checked.
pub(super) fn check(checker: &Checker<'_>, manifest: &Manifest, decode: &DecodeSection) -> Result<(), BundleError> {
    Decoder::new(&decode.config(manifest)).map_err(|error| checker.config(error))?;
    checker.require(manifest.input.multiple.is_multiple_of(decode.stride), "input.multiple", || {
        (manifest.input.multiple.to_string(), format!("a multiple of decode.stride, {}", decode.stride))
    })?;
    let backbone = checker.role(manifest, BACKBONE, &ROLES)?;
    let kam = checker.role(manifest, KAM, &ROLES)?;

    let keypoints = manifest.keypoints.names.len();
    let side = 2 * decode.mesh_radius + 1;
    let cells = |addend| {
        let (factor, divisor) = (1, decode.stride);
        [Symbol::Height, Symbol::Width].map(|symbol| Dimension::Symbolic { factor, symbol, divisor, addend })
    };
    let number = Dimension::Number;
    let maps = |channels| [&[number(channels)][..], &cells(0)].concat();
    // Only the embedding's channels are the network's own business.
    let channels = match backbone.outputs.iter().find(|tensor| tensor.name == "embedding").map(|tensor| &*tensor.shape)
    {
        Some([Dimension::Number(channels), ..]) => *channels,
        _ => 1,
    };
    let embedding = [&[number(channels)][..], &cells(2)].concat();
    let chunk = Dimension::symbol(Symbol::Chunk);
    let mesh_rows = Dimension::Symbolic { factor: keypoints * side, symbol: Symbol::Chunk, divisor: 1, addend: 0 };

    let float = |name, shape| (name, DataType::F32, shape);
    checker.tensors("engine.backbone.inputs", &backbone.inputs, &[float("image", shape::of_image())])?;
    let outputs = [
        float("heatmaps", maps(keypoints + 1)),
        float("offsets", maps(2 * keypoints)),
        float("embedding", embedding.clone()),
    ];
    checker.tensors("engine.backbone.outputs", &backbone.outputs, &outputs)?;
    let inputs = [float("embedding", embedding), float("grid", vec![mesh_rows, number(side), number(2)])];
    checker.tensors("engine.kam.inputs", &kam.inputs, &inputs)?;
    let outputs = [float("kam", vec![chunk, number(keypoints), number(side), number(side)])];
    checker.tensors("engine.kam.outputs", &kam.outputs, &outputs)?;
    checker.chunks(KAM, kam, "limits.centers", manifest.limits.centers)?;
    checker.no_chunks(BACKBONE, backbone)
}
