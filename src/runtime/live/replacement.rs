//! Another model while cameras run: it is tried on a frame, and if it fails the old one continues.

use std::time::Duration;

use crate::estimator::{EstimateError, Estimator};
use crate::geometry::Size;
use crate::pixels::PixelFormat;
use crate::runtime::{Boxes, Change};

/// A model and where it looks.
pub struct Model<'a> {
    /// Estimates the poses.
    pub estimator: Box<dyn Estimator + 'a>,
    /// Boxes in which to look for objects.
    pub boxes: Box<dyn Boxes + 'a>,
    /// Target latency, as in [`LivePipeline`](super::LivePipeline).
    pub deadline: Option<Duration>,
}

/// A model that is to replace the present one.
pub struct Replacement {
    /// The model.
    pub model: Model<'static>,
    /// What it changes for the outputs.
    pub change: Change,
}

/// Size and format of a camera's frames.
pub type FrameKind = (Size, PixelFormat);

/// Where replacements come from.
pub trait Replacements {
    /// The model to try next, if there is one; `seen` are the kinds of frame so far. Called between frames, so it must not
    /// wait.
    fn next(&mut self, seen: &[FrameKind]) -> Option<Replacement>;

    /// The outcome: on success the replacement has processed the frame and gets all later ones, on failure the old model does.
    fn tried(&mut self, outcome: Result<(), EstimateError>);
}

/// None: the model stays.
#[derive(Debug)]
pub(super) struct NoReplacements;

impl Replacements for NoReplacements {
    fn next(&mut self, _seen: &[FrameKind]) -> Option<Replacement> {
        None
    }

    fn tried(&mut self, _outcome: Result<(), EstimateError>) {}
}

impl std::fmt::Debug for Model<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Model").field("deadline", &self.deadline).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Replacement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Replacement").field("change", &self.change).finish_non_exhaustive()
    }
}
