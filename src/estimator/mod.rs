//! The engines and the decoder of one model wired together; the only place that knows both.

mod capeformer;
mod centergroup;
mod input_transform;
mod lazy;
mod lofr;
mod logocap;
mod networks;
mod postprocess;
mod refinement_budget;
mod stopwatch;

use std::sync::Arc;
use std::time::{Duration, Instant};

pub use capeformer::{EnrolError, Enrolment, Shot, check_shots, enrol};
pub use lazy::LazyEstimator;
pub use postprocess::postprocess;

use crate::bundle::logocap::Refinement;
use crate::bundle::shape;
use crate::bundle::{Bundle, Decode};
use crate::decode;
use crate::engine::{Backend, EngineError, Network, Precision, Recording, Session};
use crate::geometry::{Rectangle, Size};
use crate::pixels::{ImageView, PixelFormat};
use crate::pose::Poses;
use crate::template::{Template, TemplateError};

/// How long each stage of one frame took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StageTimes {
    /// Image to network input.
    pub preprocess: Duration,
    /// All engines together.
    pub network: Duration,
    /// Network outputs to poses.
    pub decode: Duration,
    /// How far poses were refined, where that was decided by the time that was left ([`Estimator::due`]).
    pub level: Option<Refinement>,
}

impl std::ops::AddAssign for StageTimes {
    fn add_assign(&mut self, other: Self) {
        self.preprocess += other.preprocess;
        self.network += other.network;
        self.decode += other.decode;
        self.level = other.level.or(self.level);
    }
}

/// What a user may choose about a model.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Options {
    /// Threads for CPU backends; 0 means one per core.
    pub threads: usize,
    /// How exactly the networks compute, instead of the backend's own choice.
    pub precision: Option<Precision>,
    /// Writes down what goes into the networks.
    pub recording: Option<Recording>,
    /// How far a frame is refined, instead of the bundle's `decode.level`.
    pub level: Option<Refinement>,
    /// Poses must score above this, instead of the bundle's `decode.score_threshold`.
    pub score_threshold: Option<f32>,
    /// Every hyper-parameter and behaviour of the decoder as in the reference implementation (for LOGO-CAP also the level
    /// `full`), whatever the bundle says; `level` and `score_threshold` still count.
    pub exact: bool,
    /// What to look for, for models that find what was enrolled.
    pub templates: Arc<[Template]>,
}

impl Options {
    /// The backend, started.
    fn environment(&self, backend: Backend) -> Result<Session, EngineError> {
        let environment = Session::new(backend, self.threads)?.with_precision(self.precision);
        Ok(match &self.recording {
            Some(recording) => environment.with_recorder(recording.clone()),
            None => environment,
        })
    }
}

/// One model, ready to answer images.
pub trait Estimator: Send {
    /// Finds the poses in `image`, in image pixels; `poses` is cleared before.
    ///
    /// A model of one thing at a time answers for each of `boxes` and each template, in that order, and takes the whole
    /// image where there are no boxes. A model of whole images answers best first, and has no use for boxes.
    /// An image of a size that was not seen before may open engines again, which takes longer than a frame.
    ///
    /// # Errors
    /// Where the image's size cannot be laid into the network, or an engine fails.
    fn estimate(
        &mut self,
        image: ImageView<'_>,
        boxes: Option<&[Rectangle]>,
        poses: &mut Poses,
    ) -> Result<StageTimes, EstimateError>;

    /// The answers from here on should be there by that moment, as far as the model can do with less; `None` is no hurry.
    fn due(&mut self, at: Option<Instant>) {
        let _ = at;
    }
}

/// Opens a bundle's engines for images of the given size and format.
///
/// # Errors
/// Where the backend or an engine does not open, an option is out of range, or the image's size cannot be laid
/// into the network.
pub fn open(
    bundle: &Bundle,
    backend: Backend,
    options: &Options,
    image: Size,
    format: PixelFormat,
) -> Result<Box<dyn Estimator>, EstimateError> {
    Ok(open_first(bundle, backend, options, image, format)?.1)
}

/// The same, and which backend it was in the end.
///
/// # Errors
/// As [`open`].
pub fn open_first(
    bundle: &Bundle,
    backend: Backend,
    options: &Options,
    image: Size,
    format: PixelFormat,
) -> Result<(Backend, Box<dyn Estimator>), EstimateError> {
    let open = |backend| {
        let environment = options.environment(backend)?;
        Ok((environment.backend(), open_in(environment, bundle, options, image, format)?))
    };
    backend.open_with_fallback(open, EstimateError::engine)
}

/// Opens a bundle's engines in a backend that was started already; `options` says nothing of the backend then.
///
/// # Errors
/// As [`open`].
pub fn open_in(
    environment: Session,
    bundle: &Bundle,
    options: &Options,
    image: Size,
    format: PixelFormat,
) -> Result<Box<dyn Estimator>, EstimateError> {
    Ok(match &bundle.manifest().decode {
        Decode::Logocap(decode) => {
            Box::new(logocap::Logocap::open(bundle, decode, environment, options, image, format)?)
        }
        Decode::Centergroup(decode) => {
            Box::new(centergroup::Centergroup::open(bundle, decode, environment, options, image, format)?)
        }
        Decode::Capeformer(decode) => Box::new(capeformer::Capeformer::open(bundle, decode, environment, options)?),
        Decode::Lofr(decode) => Box::new(lofr::Lofr::open(bundle, decode, environment, options)?),
    })
}

/// The networks that a bundle opens for images of this size, with the shapes that they are opened for, in that order.
///
/// # Errors
/// Where the image's size cannot be laid into the network.
pub fn networks(bundle: &Bundle, image: Size, precision: Option<Precision>) -> Result<Vec<Network>, EstimateError> {
    let (environment, listing) = Session::dry_run();
    let environment = environment.with_precision(precision);
    match &bundle.manifest().decode {
        // Its networks depend on templates, not on the image; all that a template could want are opened.
        Decode::Capeformer(_) => capeformer::open_all(bundle, &environment)?,
        _ => drop(open_in(environment, bundle, &Options::default(), image, PixelFormat::Rgb)?),
    }
    Ok(listing.networks())
}

impl EstimateError {
    /// Why the backend does not work, if that is what it is.
    fn engine(&self) -> Option<String> {
        match self {
            Self::Engine(error) => Some(error.to_string()),
            _ => None,
        }
    }
}

/// Why a model does not open, or an image gets no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EstimateError {
    /// An engine does not open or run.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The image does not fit any network size.
    #[error("an image of {image} pixels: {reason}")]
    Image {
        /// The image's size.
        image: Size,
        /// Why it does not fit.
        reason: String,
    },
    /// A network has no shape for an image's network size.
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
    /// A template does not fit.
    #[error(transparent)]
    Template(#[from] TemplateError),
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
