//! Tracking: HOTA, MOTA, IDF1 and switches, equal to TrackEval's.
//!
//! Truth and tracks come from MOT-style text (boxes, compared by IoU), or as annotations of video frames with keypoints and
//! the lines that `sinew run` and `sinew track` write (compared by OKS).

mod assignment;
mod files;
mod metrics;

pub use files::{TrackedBoxes, keypoint_frames};
pub use metrics::{TrackFigures, TrackFrame, figures};
