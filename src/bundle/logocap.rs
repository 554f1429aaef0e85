//! What a LOGO-CAP bundle says in `[decode]`.

use serde::Deserialize;

pub use crate::decode::logocap::{Level, ZeroKernel};

/// `[decode]` of LOGO-CAP; the section numbers of the reference description stand in `decode::logocap`.
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
    /// What becomes of a keypoint that nothing attracts.
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
    pub level: Level,
}
