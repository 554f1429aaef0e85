//! `[track]`: how the poses of a bundle are tracked and smoothed, if different from the model's defaults.

use serde::{Deserialize, Serialize};

use crate::track::{SmoothParams, TrackOptions};

/// Settings of the tracker, all optional: [`TrackOptions`] says what they mean.
#[derive(Debug, Clone, Copy, PartialEq, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrackSection {
    /// [`TrackOptions::pose_kpt_thr`]
    pub pose_kpt_thr: Option<f32>,
    /// [`TrackOptions::pose_min_keypoints`]
    pub pose_min_keypoints: Option<usize>,
    /// [`TrackOptions::track_iou_thr`]
    pub track_iou_thr: Option<f32>,
    /// [`TrackOptions::track_max_missing`]
    pub track_max_missing: Option<u32>,
    /// [`TrackOptions::track_min_hits`]
    pub track_min_hits: Option<u32>,
    /// [`TrackOptions::track_high_thr`]
    pub track_high_thr: Option<f32>,
    /// [`TrackOptions::track_camera_motion`]
    pub track_camera_motion: Option<bool>,
    /// [`TrackOptions::smooth_params`]
    pub smooth_params: SmoothSection,
}

/// `track.smooth_params`: [`SmoothParams`], all optional.
#[derive(Debug, Clone, Copy, PartialEq, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct SmoothSection {
    /// [`SmoothParams::beta`]
    pub beta: Option<f32>,
    /// [`SmoothParams::fc_min`]
    pub fc_min: Option<f32>,
    /// [`SmoothParams::fc_derivative`]
    pub fc_derivative: Option<f32>,
}

impl TrackSection {
    /// Overrides `options` with what is given here.
    pub fn apply(&self, options: &mut TrackOptions) {
        fn set<T: Copy>(into: &mut T, value: Option<T>) {
            *into = value.unwrap_or(*into);
        }
        set(&mut options.pose_kpt_thr, self.pose_kpt_thr);
        set(&mut options.pose_min_keypoints, self.pose_min_keypoints);
        set(&mut options.track_iou_thr, self.track_iou_thr);
        set(&mut options.track_max_missing, self.track_max_missing);
        set(&mut options.track_min_hits, self.track_min_hits);
        options.track_high_thr = self.track_high_thr.or(options.track_high_thr);
        set(&mut options.track_camera_motion, self.track_camera_motion);
        if let Some(smooth) = &mut options.smooth_params {
            let SmoothParams { beta, fc_min, fc_derivative } = smooth;
            set(beta, self.smooth_params.beta);
            set(fc_min, self.smooth_params.fc_min);
            set(fc_derivative, self.smooth_params.fc_derivative);
        }
    }
}
