//! The engines and the decoder of one model wired together; the only place that knows both.

mod centergroup;
mod lazy;
mod logocap;
mod networks;
mod postprocess;
mod stopwatch;
mod view;

use std::time::Duration;

pub use lazy::LazyEstimator;
pub use postprocess::postprocess;

use crate::bundle::logocap::Level;
use crate::bundle::shape;
use crate::bundle::{Bundle, Decode};
use crate::decode;
use crate::engine::{Backend, EngineError};
use crate::geometry::Size;
use crate::pixels::{PictureView, PixelFormat};
use crate::pose::{Poses, Skeleton};

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

/// What a user may choose about a model.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Options {
    /// Threads for CPU backends; 0 means one per core.
    pub threads: usize,
    /// How far a frame is refined, instead of the bundle's `decode.level`.
    pub level: Option<Level>,
    /// Poses must score above this, instead of the bundle's `decode.score_threshold`.
    pub score_threshold: Option<f32>,
    /// Every hyper-parameter and behaviour of the decoder as in the reference implementation (for LOGO-CAP also the level
    /// `full`), whatever the bundle says; `level` and `score_threshold` still count.
    pub exact: bool,
}

/// One model, ready to answer pictures.
pub trait Estimator: Send {
    /// Finds the poses in `picture`, in picture pixels, best first; `poses` is cleared before.
    ///
    /// A picture of a size that was not seen before may open engines again, which takes longer than a frame.
    ///
    /// # Errors
    /// Where the picture's size cannot be laid into the network, or an engine fails.
    fn estimate(&mut self, picture: PictureView<'_>, poses: &mut Poses) -> Result<StageTimes, EstimateError>;

    /// Keypoint names, in the order in which poses hold them.
    fn keypoint_names(&self) -> &[String];

    /// Which keypoints are joined, and which swap in a mirrored picture.
    fn skeleton(&self) -> &Skeleton;
}

/// Opens a bundle's engines for pictures of the given size and format.
///
/// # Errors
/// Where the backend or an engine does not open, an option is out of range, or the picture's size cannot be laid
/// into the network.
pub fn open(
    bundle: &Bundle,
    backend: Backend,
    options: &Options,
    picture: Size,
    format: PixelFormat,
) -> Result<Box<dyn Estimator>, EstimateError> {
    match &bundle.manifest().decode {
        Decode::Logocap(decode) => {
            Ok(Box::new(logocap::Logocap::open(bundle, decode, backend, options, picture, format)?))
        }
        Decode::Centergroup(decode) => {
            Ok(Box::new(centergroup::Centergroup::open(bundle, decode, backend, options, picture, format)?))
        }
    }
}

/// Why a model does not open, or a picture gets no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EstimateError {
    /// An engine does not open or run.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The picture does not fit any network size.
    #[error("a picture of {picture} pixels: {reason}")]
    Picture {
        /// The picture's size.
        picture: Size,
        /// Why it does not fit.
        reason: String,
    },
    /// A network has no shape for a picture's network size.
    #[error("engine.{role} for a network of {size} pixels: {error}")]
    Shape {
        /// The network's role.
        role: &'static str,
        /// The network's input size.
        size: Size,
        /// Why there is no shape.
        error: shape::ShapeError,
    },
    /// A network's output is not what the decoder needs.
    #[error(transparent)]
    Output(#[from] decode::ShapeError),
    /// A dumped array is missing or has another shape.
    #[error("array `{name}` is {found}, expected {expected}")]
    Array {
        /// Its name.
        name: String,
        /// What was found.
        found: String,
        /// What it should be.
        expected: String,
    },
    /// An option is out of range.
    #[error("option `{option}`: {reason}")]
    Option {
        /// The option.
        option: &'static str,
        /// What is wrong with it.
        reason: String,
    },
}

impl EstimateError {
    fn option(option: &'static str, reason: String) -> Self {
        Self::Option { option, reason }
    }
}
