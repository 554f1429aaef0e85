//! What a frame needs while it is decoded.

use heapless::Vec;

use super::window::Window;
use super::{MAX_CANDIDATES, MAX_JOINTS};
use crate::decode::heatmap::Peak;
use crate::pose::MAX_POSES;

/// A keypoint after refinement.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct RefinedKeypoint {
    /// Column, network pixels.
    pub x: f32,
    /// Row, network pixels.
    pub y: f32,
    /// Value of the map that it was found on, times the centre's.
    pub score: f32,
}

/// A centre and the pose that hangs on it.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// Column of the centre, whole network pixels.
    pub x: f32,
    /// Row of the centre, whole network pixels.
    pub y: f32,
    /// Value of the centre map there.
    pub value: f32,
    pub(super) initial: [(f32, f32); MAX_JOINTS],
    pub(super) refined: [RefinedKeypoint; MAX_JOINTS],
}

impl Candidate {
    pub(super) fn new(x: f32, y: f32, value: f32) -> Self {
        Self { x, y, value, initial: [(0.0, 0.0); MAX_JOINTS], refined: [RefinedKeypoint::default(); MAX_JOINTS] }
    }

    /// The pose that the offsets give, network pixels; entries beyond the keypoints are 0.
    pub fn initial(&self) -> &[(f32, f32); MAX_JOINTS] {
        &self.initial
    }

    /// The pose after refinement, network pixels; entries beyond the keypoints are 0.
    pub fn refined(&self) -> &[RefinedKeypoint; MAX_JOINTS] {
        &self.refined
    }
}

/// What a frame held besides its poses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Report {
    /// Centres that did not fit among the candidates; the best ones were taken.
    pub over_capacity: u32,
    /// Centres and candidates that were dropped because a value was infinite or not a number.
    pub not_finite: u32,
    /// Candidates whose score did not pass.
    pub below_threshold: u32,
    /// Candidates that pose NMS set aside.
    pub suppressed: u32,
}

/// All storage that decoding needs, about 200 KiB; make it once and keep it (on the heap, where there is one).
#[derive(Debug, Clone, Default)]
pub struct Workspace {
    pub(super) peaks: Vec<Peak, MAX_CANDIDATES>,
    pub(super) candidates: Vec<Candidate, MAX_CANDIDATES>,
    /// Rows of `candidates` whose score passed.
    pub(super) passed: Vec<u16, MAX_CANDIDATES>,
    /// Scores of `passed`.
    pub(super) scores: Vec<f32, MAX_CANDIDATES>,
    /// Rows of `passed` that are poses.
    pub(super) keep: Vec<u16, MAX_POSES>,
    pub(super) report: Report,
    pub(super) window: Window,
}

impl Workspace {
    /// An empty workspace.
    pub fn new() -> Self {
        Self::default()
    }

    /// The frame's candidates, best centre first.
    pub fn candidates(&self) -> &[Candidate] {
        &self.candidates
    }

    /// After [`finish`](super::Decoder::finish): rows of [`candidates`](Self::candidates) whose score passed.
    pub fn passed(&self) -> &[u16] {
        &self.passed
    }

    /// After [`finish`](super::Decoder::finish): the scores of [`passed`](Self::passed).
    pub fn scores(&self) -> &[f32] {
        &self.scores
    }

    /// After [`finish`](super::Decoder::finish): rows of [`passed`](Self::passed) that became poses, in their order.
    pub fn keep(&self) -> &[u16] {
        &self.keep
    }

    /// What the frame held besides its poses.
    pub fn report(&self) -> Report {
        self.report
    }

    pub(super) fn begin_frame(&mut self) {
        self.candidates.clear();
        self.passed.clear();
        self.scores.clear();
        self.keep.clear();
        self.report = Report::default();
    }
}
