//! The engines and the decoder of one model wired together; the only place that knows both.

use std::time::Duration;

use crate::pixels::PictureView;
use crate::pose::Poses;

/// How long each stage of one frame took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StageTimes {
    /// Picture to network input.
    pub preprocess: Duration,
    /// All engines together.
    pub network: Duration,
    /// Network outputs to poses.
    pub decode: Duration,
}

/// One model, ready to answer pictures.
pub trait Estimator: Send {
    /// Finds the poses in `picture`, in picture pixels, best first; `poses` is cleared before.
    ///
    /// # Errors
    /// Where the picture's size is not the one the engines were opened for, or an engine fails.
    fn estimate(&mut self, picture: PictureView<'_>, poses: &mut Poses) -> Result<StageTimes, EstimateError>;
}

/// Why a picture got no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EstimateError {}
