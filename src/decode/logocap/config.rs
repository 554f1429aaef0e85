//! Every constant of the decoder.

use heapless::Vec;

use super::{MAX_CANDIDATES, MAX_JOINTS, MAX_MESH_RADIUS, MAX_WINDOW_RADIUS};
use crate::decode::heatmap::MAX_FACTOR;

/// How far a frame is refined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Level {
    /// Initial poses, scored by the heatmaps; the second engine is not run.
    None,
    /// The best cell of each keypoint's kernel.
    Partial,
    /// Kernels and heatmaps together.
    #[default]
    Full,
}

/// What becomes of a keypoint whose kernel has no positive value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ZeroKernel {
    /// It stays where it was, with score 0.
    #[default]
    KeepInitial,
    /// It goes to the corner of the window, with score 0: where the first two of many equal cells lie.
    Reference,
}

/// Every constant of the decoder; a bundle's `[decode]` and `[keypoints]` tables say them.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// OKS sigmas, one per keypoint; their ratios space the kernels' meshes (section 1.7).
    pub sigmas: Vec<f32, MAX_JOINTS>,
    /// Network pixels per cell of the maps.
    pub stride: usize,
    /// Most candidates that are looked at.
    pub candidates: usize,
    /// A centre counts from this value on; positive.
    pub center_threshold: f32,
    /// Keep the best centre even below the threshold, as the reference does.
    pub center_fallback: bool,
    /// One candidate per plateau of equal centre values; the reference takes every pixel of it, which makes two of
    /// every centre at the border.
    pub collapse_ties: bool,
    /// What becomes of a keypoint whose kernel has no positive value.
    pub zero_kernel: ZeroKernel,
    /// Kernels have `2 * mesh_radius + 1` cells a side.
    pub mesh_radius: usize,
    /// Kernels are divided by this (section 1.10).
    pub kernel_divisor: f32,
    /// The window around an initial keypoint has `2 * window_radius + 1` network pixels a side (section 1.11).
    pub window_radius: usize,
    /// Of the Gaussian around the initial keypoint, network pixels (section 1.11).
    pub prior_sigma: f32,
    /// Weights of the best and the second best pixel of a refined window (section 1.13).
    pub top2_weights: [f32; 2],
    /// A pose is kept iff its score is above this (section 1.13).
    pub score_threshold: f32,
    /// Keypoints coincide if nearer than this times the diagonal of the pose (section 1.14).
    pub nms_distance: f32,
    /// Poses are one if more keypoints than this coincide (section 1.14).
    pub nms_keypoints: usize,
}

impl Config {
    /// The reference implementation's constants and behaviour, flaws included, for keypoints with these sigmas.
    ///
    /// # Errors
    /// Where there are more keypoints than [`MAX_JOINTS`].
    pub fn reference(sigmas: &[f32]) -> Result<Self, ConfigError> {
        let error = ConfigError { key: "keypoints.sigmas", reason: "has more keypoints than the decoder holds (32)" };
        Ok(Self {
            sigmas: Vec::from_slice(sigmas).map_err(|_| error)?,
            stride: 4,
            candidates: 30,
            center_threshold: 0.01,
            center_fallback: true,
            collapse_ties: false,
            zero_kernel: ZeroKernel::Reference,
            mesh_radius: 5,
            kernel_divisor: 121.0,
            window_radius: 48,
            prior_sigma: 16.0,
            top2_weights: [0.75, 0.25],
            score_threshold: 0.0,
            nms_distance: 0.05,
            nms_keypoints: 8,
        })
    }

    /// Number of keypoints.
    pub fn keypoints(&self) -> usize {
        self.sigmas.len()
    }

    /// Cells per side of a kernel.
    pub fn mesh_side(&self) -> usize {
        2 * self.mesh_radius + 1
    }

    /// Values in one person's kernels, `keypoints * mesh_side^2`.
    pub fn kernel_values(&self) -> usize {
        self.keypoints() * self.mesh_side() * self.mesh_side()
    }

    /// Network pixels per side of a window.
    pub(super) fn window_side(&self) -> usize {
        2 * self.window_radius + 1
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let positive = |value: f32| value.is_finite() && value > 0.0;
        let checks = [
            (!self.sigmas.is_empty(), "keypoints.sigmas", "is empty"),
            (self.sigmas.iter().all(|s| positive(*s)), "keypoints.sigmas", "has a value that is not positive"),
            ((1..=MAX_FACTOR).contains(&self.stride), "decode.stride", "is not within 1..=4"),
            ((1..=MAX_CANDIDATES).contains(&self.candidates), "limits.centers", "is not within 1..=30"),
            (positive(self.center_threshold), "decode.center_threshold", "is not positive"),
            (self.mesh_radius <= MAX_MESH_RADIUS, "decode.mesh_radius", "is above 5"),
            (positive(self.kernel_divisor), "decode.kernel_divisor", "is not positive"),
            ((1..=MAX_WINDOW_RADIUS).contains(&self.window_radius), "decode.window_radius", "is not within 1..=48"),
            (positive(self.prior_sigma), "decode.prior_sigma", "is not positive"),
            (self.top2_weights.iter().all(|w| w.is_finite()), "decode.top2_weights", "has a value that is not finite"),
            (self.score_threshold.is_finite(), "decode.score_threshold", "is not finite"),
            (self.nms_distance.is_finite(), "decode.nms_distance", "is not finite"),
        ];
        match checks.into_iter().find(|(good, ..)| !good) {
            Some((_, key, reason)) => Err(ConfigError { key, reason }),
            None => Ok(()),
        }
    }
}

/// Which constant is out of range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConfigError {
    /// Its key in the manifest.
    pub key: &'static str,
    /// What is wrong with it.
    pub reason: &'static str,
}

impl core::fmt::Display for ConfigError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "`{}` {}", self.key, self.reason)
    }
}

impl core::error::Error for ConfigError {}
