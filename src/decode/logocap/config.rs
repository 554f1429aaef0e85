//! Hyper-parameters of LOGO-CAP's decoder.

use heapless::Vec;

use super::{MAX_CENTERS, MAX_MESH_RADIUS, MAX_WINDOW_RADIUS};
use crate::decode::heatmap::UPSAMPLING;
use crate::decode::{ConfigError, config};
use crate::pose::{MAX_KEYPOINTS, MAX_POSES};

/// How far poses are refined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "std", derive(serde::Deserialize, serde::Serialize), serde(rename_all = "lowercase"))]
pub enum Refinement {
    /// Initial poses, scored by the heatmaps; the second network is not needed.
    None,
    /// The best cell of each keypoint's own attraction map.
    Partial,
    /// Attraction maps and heatmaps together.
    Full,
}

/// How to treat a keypoint that nothing attracts: its attraction map, or the heatmap around it after adaptation, is nowhere
/// positive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "std", derive(serde::Deserialize), serde(rename_all = "kebab-case"))]
pub enum ZeroKernel {
    /// It stays where it was, with score 0.
    KeepInitial,
    /// The best cells count whatever their values. For an attraction map of zeros these are the first two of the window,
    /// so the keypoint goes to the window's corner, with score 0.
    Reference,
}

/// All hyper-parameters of the decoder: `[decode]` of a bundle, and what it takes from `[keypoints]` and `[limits]`.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "std", derive(serde::Deserialize), serde(deny_unknown_fields))]
pub struct Config {
    /// OKS sigmas, one per keypoint; the sampling mesh is wider for keypoints that are harder to locate.
    #[cfg_attr(feature = "std", serde(skip))]
    pub sigmas: Vec<f32, MAX_KEYPOINTS>,
    /// Network pixels per cell of the maps; only 4 is supported.
    pub stride: usize,
    /// Minimum value of a centre.
    pub center_threshold: f32,
    /// Keep the best centre even below the threshold.
    pub center_fallback: bool,
    /// One candidate per plateau of equal centre values, instead of every pixel of it; and none where a centre's slope
    /// runs into the border, which upsampling ends with two equal pixels.
    pub collapse_ties: bool,
    /// How to treat a keypoint that nothing attracts.
    pub zero_kernel: ZeroKernel,
    /// Meshes and attraction maps have `2 * mesh_radius + 1` cells a side.
    pub mesh_radius: usize,
    /// Attraction maps are divided by this.
    pub kernel_divisor: f32,
    /// The window has `2 * window_radius + 1` network pixels a side.
    pub window_radius: usize,
    /// Sigma of the Gaussian around the initial keypoint, network pixels.
    pub prior_sigma: f32,
    /// Weights of the best and the second best cell.
    pub top2_weights: [f32; 2],
    /// Poses at or below this score are dropped.
    pub score_threshold: f32,
    /// Keypoints nearer than this fraction of a pose's diagonal coincide.
    pub nms_distance: f32,
    /// Two poses are duplicates if more than this many keypoints coincide.
    pub nms_keypoints: usize,
    /// How far poses are refined, unless a run asks for another level.
    pub level: Refinement,
    /// Maximum number of candidates.
    #[cfg_attr(feature = "std", serde(skip))]
    pub max_centers: usize,
    /// Maximum number of poses.
    #[cfg_attr(feature = "std", serde(skip))]
    pub max_poses: usize,
}

impl Config {
    /// All values and behaviours of the reference implementation, for keypoints with the given OKS sigmas.
    ///
    /// # Errors
    /// If there are more than [`MAX_KEYPOINTS`] sigmas.
    pub fn reference(sigmas: &[f32]) -> Result<Self, ConfigError> {
        Ok(Self {
            sigmas: config::sigmas(sigmas)?,
            stride: 4,
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
            level: Refinement::Full,
            max_centers: MAX_CENTERS,
            max_poses: MAX_POSES,
        })
    }

    /// Checks that every value is within the decoder's limits.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let [best, second] = self.top2_weights;
        let whole = |value: usize| value as f64;
        let number = f64::from;
        let positive = |value: f32| value.is_finite() && value > 0.0;
        let bad_sigma = self.sigmas.iter().copied().find(|&sigma| !positive(sigma));
        ConfigError::first([
            ("keypoints.sigmas", "at least one keypoint", !self.sigmas.is_empty(), whole(self.sigmas.len())),
            ("keypoints.sigmas", "positive numbers", bad_sigma.is_none(), number(bad_sigma.unwrap_or(1.0))),
            ("decode.stride", "4", self.stride == UPSAMPLING, whole(self.stride)),
            (
                "decode.center_threshold",
                "a number above 0",
                positive(self.center_threshold),
                number(self.center_threshold),
            ),
            (
                "decode.mesh_radius",
                "1 to 5",
                (1..=MAX_MESH_RADIUS).contains(&self.mesh_radius),
                whole(self.mesh_radius),
            ),
            ("decode.kernel_divisor", "a number above 0", positive(self.kernel_divisor), number(self.kernel_divisor)),
            (
                "decode.window_radius",
                "1 to 48",
                (1..=MAX_WINDOW_RADIUS).contains(&self.window_radius),
                whole(self.window_radius),
            ),
            ("decode.prior_sigma", "a number above 0", positive(self.prior_sigma), number(self.prior_sigma)),
            ("decode.top2_weights", "finite numbers", best.is_finite(), number(best)),
            ("decode.top2_weights", "finite numbers", second.is_finite(), number(second)),
            (
                "decode.score_threshold",
                "a finite number",
                self.score_threshold.is_finite(),
                number(self.score_threshold),
            ),
            ("decode.nms_distance", "a finite number", self.nms_distance.is_finite(), number(self.nms_distance)),
            ("limits.centers", "1 to 30", (1..=MAX_CENTERS).contains(&self.max_centers), whole(self.max_centers)),
            ("limits.poses", "1 to 30", (1..=MAX_POSES).contains(&self.max_poses), whole(self.max_poses)),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_out_of_range_are_named() {
        let reference = Config::reference(&[0.026, 0.025]).unwrap();
        assert_eq!(reference.check(), Ok(()));
        let error = Config { stride: 8, ..reference.clone() }.check().unwrap_err();
        assert_eq!(std::format!("{error}"), "`decode.stride` is 8, expected 4");
        let error = Config { window_radius: 49, ..reference.clone() }.check().unwrap_err();
        assert_eq!(error.key, "decode.window_radius");
        let error = Config { center_threshold: f32::NAN, ..reference.clone() }.check().unwrap_err();
        assert_eq!(error.key, "decode.center_threshold");
        let error = Config::reference(&[0.026, 0.0]).unwrap().check().unwrap_err();
        assert_eq!((error.key, error.found), ("keypoints.sigmas", 0.0));
        assert_eq!(Config::reference(&[0.1; 101]).unwrap_err().found, 101.0);
    }
}
