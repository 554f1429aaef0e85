//! The result of every model: keypoints grouped into poses, with fixed capacity.
//!
//! Nothing here allocates. The capacities are those of the largest model (100 keypoints for category-agnostic
//! templates, 30 people for the bottom-up models); a bundle's limits may be smaller and are checked against them
//! when it is loaded.

use core::time::Duration;

use heapless::Vec;

use crate::geometry::{Affine, Rectangle};

/// Most keypoints that a pose can hold.
pub const MAX_KEYPOINTS: usize = 100;
/// Most poses that a frame can hold.
pub const MAX_POSES: usize = 30;
/// Most edges that a skeleton can hold.
pub const MAX_EDGES: usize = 128;

/// One keypoint in image pixels.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Keypoint {
    /// Column, pixels, the centre of the leftmost pixel is 0.
    pub x: f32,
    /// Row, pixels, the centre of the topmost pixel is 0.
    pub y: f32,
    /// Its score, whose meaning depends on the bundle (`[score]` of its manifest).
    pub score: f32,
}

/// Which track a pose belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// From 1; no two tracks of a run and camera share one.
    pub id: u32,
    /// Time since the track's first pose.
    pub age: Duration,
    /// Frames in which the track had a pose, this one included.
    pub seen: u32,
}

/// One person or object.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Pose {
    /// Keypoints in the bundle's order.
    pub keypoints: Vec<Keypoint, MAX_KEYPOINTS>,
    /// Score of the whole pose.
    pub score: f32,
    /// Identity over time, if a tracker assigned one.
    pub identity: Option<Identity>,
    /// Index of its template; 0 without templates.
    pub template: u16,
}

impl Pose {
    /// The smallest rectangle around all keypoints; `None` without any.
    pub fn bounds(&self) -> Option<Rectangle> {
        let first = self.keypoints.first()?;
        let (mut left, mut top, mut right, mut bottom) = (first.x, first.y, first.x, first.y);
        for keypoint in &self.keypoints {
            left = left.min(keypoint.x);
            top = top.min(keypoint.y);
            right = right.max(keypoint.x);
            bottom = bottom.max(keypoint.y);
        }
        Some(Rectangle { x: left, y: top, width: right - left, height: bottom - top })
    }

    /// Moves every keypoint by `map`.
    pub fn transform(&mut self, map: &Affine) {
        for keypoint in &mut self.keypoints {
            let (x, y) = map.apply(f64::from(keypoint.x), f64::from(keypoint.y));
            keypoint.x = x as f32;
            keypoint.y = y as f32;
        }
    }
}

/// The poses of one frame, best first if the model orders them.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Poses {
    /// The poses.
    pub list: Vec<Pose, MAX_POSES>,
    /// Poses that exceeded the limit or were not finite.
    pub dropped: u32,
}

impl Poses {
    /// Removes all poses.
    pub fn clear(&mut self) {
        self.list.clear();
        self.dropped = 0;
    }
}

/// Which keypoints are joined when a pose is drawn.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Skeleton {
    /// Pairs of keypoint indices to draw a line between.
    pub edges: Vec<(u16, u16), MAX_EDGES>,
}
