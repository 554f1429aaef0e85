//! Storage for one frame, and counts of its candidates.

use core::ops::Range;

use heapless::Vec;

use super::window::Window;
use super::{Center, MAX_CENTERS};
use crate::pose::{Keypoint, MAX_KEYPOINTS, MAX_POSES, Pose};

/// The decoder's storage and intermediate results for a frame, about 160 KiB; allocated once.
#[derive(Debug, Clone)]
pub struct Workspace {
    pub(super) centers: Vec<Center, MAX_CENTERS>,
    pub(super) keypoints: usize,
    pub(super) initial: [[[f32; 2]; MAX_KEYPOINTS]; MAX_CENTERS],
    pub(super) refined: [[Keypoint; MAX_KEYPOINTS]; MAX_CENTERS],
    pub(super) window: Window,
    pub(super) people: Vec<Pose, MAX_POSES>,
    pub(super) keep: Vec<usize, MAX_POSES>,
    pub(super) report: Report,
}

/// Counts of a frame's candidates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Report {
    /// Peaks of the centre map that reach the threshold; with collapsed ties, plateaus of them.
    pub peaks: u32,
    /// How many of these exceeded the limit of candidates.
    pub capped: u32,
    /// The best centre was taken although it does not reach the threshold.
    pub fallback: bool,
    /// Cells of the centre map that are not finite.
    pub non_finite_cells: u32,
    /// Candidates that depend on a number that is not finite.
    pub non_finite: u32,
    /// Candidates whose score does not reach the threshold.
    pub below_threshold: u32,
    /// People dropped as duplicates.
    pub suppressed: u32,
    /// People over the limit of poses.
    pub over_limit: u32,
}

impl Workspace {
    /// An empty workspace.
    pub const fn new() -> Self {
        Self {
            centers: Vec::new(),
            keypoints: 0,
            initial: [[[0.0; 2]; MAX_KEYPOINTS]; MAX_CENTERS],
            refined: [[Keypoint { x: 0.0, y: 0.0, score: 0.0 }; MAX_KEYPOINTS]; MAX_CENTERS],
            window: Window::EMPTY,
            people: Vec::new(),
            keep: Vec::new(),
            report: Report {
                peaks: 0,
                capped: 0,
                fallback: false,
                non_finite_cells: 0,
                non_finite: 0,
                below_threshold: 0,
                suppressed: 0,
                over_limit: 0,
            },
        }
    }

    /// Clears the last frame.
    pub(super) fn begin(&mut self, keypoints: usize) {
        self.keypoints = keypoints;
        self.centers.clear();
        self.people.clear();
        self.keep.clear();
    }

    /// The part of a range for which there are candidates.
    pub(super) fn candidates(&self, people: Range<usize>) -> Range<usize> {
        let end = people.end.min(self.centers.len());
        people.start.min(end)..end
    }

    /// The candidates, best first.
    pub fn centers(&self) -> &[Center] {
        &self.centers
    }

    /// Per candidate, its keypoints as `[x, y]`, network pixels.
    pub fn initial_poses(&self) -> impl ExactSizeIterator<Item = &[[f32; 2]]> {
        self.initial.iter().take(self.centers.len()).map(|pose| &pose[..self.keypoints])
    }

    /// Per candidate, its refined keypoints, network pixels, before any candidate is dropped. A score that is a NaN
    /// stands for numbers that are not finite.
    pub fn refined_poses(&self) -> impl ExactSizeIterator<Item = &[Keypoint]> {
        self.refined.iter().take(self.centers.len()).map(|pose| &pose[..self.keypoints])
    }

    /// The people whose score is above the threshold, image pixels, best centre first, before pose NMS.
    pub fn people(&self) -> &[Pose] {
        &self.people
    }

    /// Which of [`Workspace::people`] become poses, in the order of the poses.
    pub fn keep(&self) -> &[usize] {
        &self.keep
    }

    /// Counts of the candidates.
    pub fn report(&self) -> Report {
        self.report
    }
}

impl Default for Workspace {
    fn default() -> Self {
        Self::new()
    }
}
