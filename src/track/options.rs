//! Tracker configuration. Names follow MMDeploy's PoseTracker where it has the same option.

use heapless::Vec;

use crate::pose::MAX_KEYPOINTS;

/// OKS sigma of a keypoint for which none is given; lies between COCO's shoulders and hips.
pub const DEFAULT_SIGMA: f32 = 0.08;
/// Largest `track_max_missing`, in frames: an hour at 30 frames a second.
const MOST_MISSING: u32 = 108_000;

/// Settings of a [`super::Tracker`].
#[derive(Debug, Clone, PartialEq)]
pub struct TrackOptions {
    /// A keypoint that scores below this is unseen: it neither matches nor moves the track, and is held in place while its
    /// score fades.
    pub pose_kpt_thr: f32,
    /// A pose with fewer keypoints seen is not tracked. At least 1.
    pub pose_min_keypoints: usize,
    /// COCO's OKS sigmas, one per keypoint; [`DEFAULT_SIGMA`] for keypoints without one.
    pub keypoint_sigmas: Vec<f32, MAX_KEYPOINTS>,
    /// Least similarity of a predicted and a found pose, 0..=1: the OKS of the aligned poses times how likely the shift
    /// and the change of size between them are.
    pub track_iou_thr: f32,
    /// A track that has not been matched for more processed frames in a row is forgotten.
    pub track_max_missing: u32,
    /// A track gets its identity with the match of this number; 1 gives every new pose one at once.
    pub track_min_hits: u32,
    /// Poses that score at least this are confident: they are matched first, and only they start tracks. `None` is half
    /// of what tracked poses usually score, learnt while running, which suits uncalibrated and constant scores.
    pub track_high_thr: Option<f32>,
    /// Whether the shift that most tracks have in common is treated as camera motion.
    pub track_camera_motion: bool,
    /// How keypoints are smoothed; `None` leaves them as found.
    pub smooth_params: Option<SmoothParams>,
}

impl Default for TrackOptions {
    fn default() -> Self {
        Self {
            pose_kpt_thr: 0.0,
            pose_min_keypoints: 3,
            keypoint_sigmas: Vec::new(),
            track_iou_thr: 0.02,
            track_max_missing: 30,
            track_min_hits: 2,
            track_high_thr: None,
            track_camera_motion: true,
            smooth_params: Some(SmoothParams::default()),
        }
    }
}

/// Settings of the one-euro filter (Casiez, Roussel and Vogel, CHI 2012) with lengths in units of the person's size.
///
/// The filter is a low pass of first order with the cut-off `fc_min + beta * speed`: it delays a motion by about
/// `1 / (2 pi cut-off)` seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SmoothParams {
    /// By how much the cut-off rises with speed, hertz per size and second.
    pub beta: f32,
    /// Cut-off at rest, hertz.
    pub fc_min: f32,
    /// Cut-off of the low pass that the speed goes through, hertz.
    pub fc_derivative: f32,
}

impl Default for SmoothParams {
    fn default() -> Self {
        Self { beta: 2.0, fc_min: 0.5, fc_derivative: 2.0 }
    }
}

impl TrackOptions {
    /// Checks every value.
    ///
    /// # Errors
    /// Returns the first option that is out of range.
    pub fn check(&self) -> Result<(), TrackOptionError> {
        let error = |key, expected, found| Err(TrackOptionError { key, expected, found });
        if !self.pose_kpt_thr.is_finite() {
            return error("pose_kpt_thr", "a finite number", f64::from(self.pose_kpt_thr));
        }
        if !(1..=MAX_KEYPOINTS).contains(&self.pose_min_keypoints) {
            return error("pose_min_keypoints", "1 to 100", self.pose_min_keypoints as f64);
        }
        if let Some(&sigma) = self.keypoint_sigmas.iter().find(|&&sigma| !(sigma > 0.0 && sigma <= 1.0)) {
            return error("keypoint_sigmas", "numbers above 0 and up to 1", f64::from(sigma));
        }
        if !(0.0..=1.0).contains(&self.track_iou_thr) {
            return error("track_iou_thr", "0 to 1", f64::from(self.track_iou_thr));
        }
        if self.track_max_missing > MOST_MISSING {
            return error("track_max_missing", "0 to 108000 frames", f64::from(self.track_max_missing));
        }
        if !(1..=1000).contains(&self.track_min_hits) {
            return error("track_min_hits", "1 to 1000 matches", f64::from(self.track_min_hits));
        }
        if let Some(threshold) = self.track_high_thr.filter(|threshold| !threshold.is_finite()) {
            return error("track_high_thr", "a finite number", f64::from(threshold));
        }
        let Some(smooth) = &self.smooth_params else { return Ok(()) };
        if !(0.0..=1e4).contains(&smooth.beta) {
            return error("smooth_params.beta", "0 to 10000", f64::from(smooth.beta));
        }
        if !(smooth.fc_min > 0.0 && smooth.fc_min <= 1e4) {
            return error("smooth_params.fc_min", "above 0 and up to 10000 hertz", f64::from(smooth.fc_min));
        }
        if !(smooth.fc_derivative > 0.0 && smooth.fc_derivative <= 1e4) {
            return error(
                "smooth_params.fc_derivative",
                "above 0 and up to 10000 hertz",
                f64::from(smooth.fc_derivative),
            );
        }
        Ok(())
    }
}

/// An option that the tracker cannot work with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TrackOptionError {
    /// The option's name.
    pub key: &'static str,
    /// The valid values.
    pub expected: &'static str,
    /// Its value.
    pub found: f64,
}

impl core::fmt::Display for TrackOptionError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "`{}` is {}, expected {}", self.key, self.found, self.expected)
    }
}

impl core::error::Error for TrackOptionError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_accepted() {
        assert_eq!(TrackOptions::default().check(), Ok(()));
        assert_eq!(TrackOptions { smooth_params: None, ..TrackOptions::default() }.check(), Ok(()));
    }

    #[test]
    fn values_out_of_range_are_named() {
        let smooth = SmoothParams::default();
        let with = |smooth| TrackOptions { smooth_params: Some(smooth), ..TrackOptions::default() };
        let d = TrackOptions::default;
        for (options, key) in [
            (TrackOptions { pose_kpt_thr: f32::NAN, ..d() }, "pose_kpt_thr"),
            (TrackOptions { pose_min_keypoints: 0, ..d() }, "pose_min_keypoints"),
            (TrackOptions { pose_min_keypoints: 101, ..d() }, "pose_min_keypoints"),
            (TrackOptions { keypoint_sigmas: [0.1, 0.0].into_iter().collect(), ..d() }, "keypoint_sigmas"),
            (TrackOptions { keypoint_sigmas: [f32::NAN].into_iter().collect(), ..d() }, "keypoint_sigmas"),
            (TrackOptions { track_iou_thr: 1.5, ..d() }, "track_iou_thr"),
            (TrackOptions { track_iou_thr: f32::NAN, ..d() }, "track_iou_thr"),
            (TrackOptions { track_max_missing: 200_000, ..d() }, "track_max_missing"),
            (TrackOptions { track_min_hits: 0, ..d() }, "track_min_hits"),
            (TrackOptions { track_high_thr: Some(f32::INFINITY), ..d() }, "track_high_thr"),
            (with(SmoothParams { beta: -1.0, ..smooth }), "smooth_params.beta"),
            (with(SmoothParams { fc_min: 0.0, ..smooth }), "smooth_params.fc_min"),
            (with(SmoothParams { fc_derivative: f32::NAN, ..smooth }), "smooth_params.fc_derivative"),
        ] {
            let error = options.check().unwrap_err();
            assert_eq!(error.key, key, "{error}");
        }
    }
}
