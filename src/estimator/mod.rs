//! Combines a model's engines and decoder; the only module that knows both.

mod capeformer;
mod centergroup;
mod input_transform;
mod lazy;
mod lofr;
mod logocap;
mod networks;
mod postprocess;
mod refinement_budget;
mod score_mapping;
mod stopwatch;

use std::sync::Arc;
use std::time::{Duration, Instant};

pub use capeformer::{EnrolError, Enrolment, Shot, check_shots, enrol};
#[doc(hidden)]
pub use lazy::LazyEstimator;
#[doc(hidden)]
pub use postprocess::postprocess;

use crate::bundle::shape;
use crate::bundle::{Bundle, Decode};
use crate::decode;
use crate::decode::logocap::Refinement;
use crate::engine::{Backend, EngineError, Network, Precision, Recording, Session, Turn};
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
    /// Between `preprocess` and `network`: until the network of the frame before had ended.
    pub wait: Duration,
    /// Network outputs to poses.
    pub decode: Duration,
    /// How far poses were refined, if [`Request::deadline`] decided it.
    pub level: Option<Refinement>,
}

impl std::ops::AddAssign for StageTimes {
    fn add_assign(&mut self, other: Self) {
        self.preprocess += other.preprocess;
        self.network += other.network;
        self.wait += other.wait;
        self.decode += other.decode;
        self.level = other.level.or(self.level);
    }
}

impl StageTimes {
    /// An engine ran for `lap`, at the beginning of which it `waited` for another frame's.
    fn ran(&mut self, lap: Duration, waited: Duration) {
        let waited = waited.min(lap);
        self.wait += waited;
        self.network += lap - waited;
    }
}

/// A user's choices about a model; `Options::default()` leaves all of them to the bundle.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Options {
    /// Threads for CPU backends; 0 means one per core.
    pub threads: usize,
    /// The networks' precision, instead of the backend's default.
    pub precision: Option<Precision>,
    /// Records the inputs of the networks.
    pub recording: Option<Recording>,
    /// How far a frame is refined, instead of the bundle's `decode.level`.
    pub level: Option<Refinement>,
    /// Poses must score above this, instead of the bundle's `decode.score_threshold`; a probability if the bundle has a
    /// `[score]` section.
    pub score_threshold: Option<f32>,
    /// Every hyper-parameter and behaviour of the decoder as in the reference implementation (for LOGO-CAP also the level
    /// `full`), and its scores, whatever the bundle says; `level` and `score_threshold` still apply.
    pub exact: bool,
    /// Enrolled objects, for models that detect those.
    pub templates: Arc<[Template]>,
    /// How many sources take turns. One estimator serves them all: it keeps a set of engines per size of the network's input,
    /// as many as there are sources, at least four.
    pub sources: usize,
    /// A camera's frame begins when the one before it is done, also where the network does not need the CPU.
    pub no_pipeline: bool,
}

impl Options {
    /// The backend, started.
    fn session(&self, backend: Backend) -> Result<Session, EngineError> {
        let session = Session::new(backend, self.threads)?.with_precision(self.precision);
        Ok(match &self.recording {
            Some(recording) => session.with_recorder(recording.clone()),
            None => session,
        })
    }
}

/// One image to estimate poses in.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The image.
    pub image: ImageView<'a>,
    /// Boxes around its objects, image pixels, for models of one object per box; `None` is the whole image. Models of all people
    /// in an image ignore them.
    pub boxes: Option<&'a [Rectangle]>,
    /// Target completion time. A model with refinement levels does as much as fits; `None` means no deadline.
    pub deadline: Option<Instant>,
}

impl<'a> Request<'a> {
    /// A whole image, without a deadline.
    pub fn new(image: ImageView<'a>) -> Self {
        Self { image, boxes: None, deadline: None }
    }
}

/// A model with its engines open.
pub trait Estimator: Send {
    /// Estimates the poses in an image, in image pixels; `poses` is cleared before.
    ///
    /// A model of one object per box writes one pose per box and template, in that order, less those that do not score above
    /// [`Options::score_threshold`]. Models of whole images write the best
    /// pose first. An image of a new size or format may open engines, which takes longer than a frame.
    ///
    /// # Errors
    /// If the network does not support this image size, or an engine fails.
    fn estimate(&mut self, request: &Request<'_>, poses: &mut Poses) -> Result<StageTimes, EstimateError>;

    /// The backend that runs the networks; `None` while none is open.
    fn backend(&self) -> Option<Backend> {
        None
    }

    /// A second estimator with the same results, for a thread that works on the next frame meanwhile. `None` if that gains
    /// nothing, because networks run on the CPU, or for models of one object per box, whose networks run many times a frame.
    ///
    /// # Errors
    /// If its engines do not open.
    fn twin(&self) -> Result<Option<Twin>, EstimateError> {
        Ok(None)
    }
}

impl<E: Estimator + ?Sized> Estimator for &mut E {
    fn estimate(&mut self, request: &Request<'_>, poses: &mut Poses) -> Result<StageTimes, EstimateError> {
        (**self).estimate(request, poses)
    }

    fn backend(&self) -> Option<Backend> {
        (**self).backend()
    }

    fn twin(&self) -> Result<Option<Twin>, EstimateError> {
        (**self).twin()
    }
}

/// A second estimator.
pub struct Twin {
    /// The estimator.
    pub estimator: Box<dyn Estimator>,
    /// Orders the networks of both, and says when a thread should take its next frame.
    pub turn: Turn,
}

impl std::fmt::Debug for Twin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Twin").field("turn", &self.turn).finish_non_exhaustive()
    }
}

/// Opens a bundle's engines for images of the given size and format. [`Backend::Auto`] takes the best backend that works.
///
/// # Errors
/// If the backend or an engine does not open, an option is out of range, or the network does not support this image size.
pub fn open(
    bundle: &Bundle,
    backend: Backend,
    options: &Options,
    image: Size,
    format: PixelFormat,
) -> Result<Box<dyn Estimator>, EstimateError> {
    let open = |backend| open_in(options.session(backend)?, bundle, options, image, format);
    backend.open_with_fallback(open, EstimateError::engine)
}

/// Opens a bundle's engines in a session that was started already; of `options`, `threads`, `precision` and `recording` are
/// those of the session.
///
/// # Errors
/// Same as [`open`].
#[doc(hidden)]
pub fn open_in(
    session: Session,
    bundle: &Bundle,
    options: &Options,
    image: Size,
    format: PixelFormat,
) -> Result<Box<dyn Estimator>, EstimateError> {
    let session = if options.no_pipeline { session.without_twin() } else { session };
    let Some(section) = bundle.manifest().score.as_ref().filter(|_| !options.exact) else {
        return open_model(session, bundle, options, image, format);
    };
    let maps = section.maps().map_err(|error| EstimateError::option("score", error.to_string()))?;
    let options = score_mapping::unmapped_options(options, bundle.manifest().about.model, &maps);
    let model = open_model(session, bundle, &options, image, format)?;
    Ok(Box::new(score_mapping::ScoreMapping::new(model, maps)))
}

/// The model with its own scores.
fn open_model(
    session: Session,
    bundle: &Bundle,
    options: &Options,
    image: Size,
    format: PixelFormat,
) -> Result<Box<dyn Estimator>, EstimateError> {
    Ok(match &bundle.manifest().decode {
        Decode::Logocap(config) => Box::new(logocap::Logocap::open(bundle, config, session, options, image, format)?),
        Decode::Centergroup { config, width } => {
            Box::new(centergroup::Centergroup::open(bundle, (config, *width), session, options, image, format)?)
        }
        Decode::Capeformer { config, .. } => Box::new(capeformer::Capeformer::open(bundle, config, session, options)?),
        Decode::Lofr { config, network, cells } => {
            Box::new(lofr::Lofr::open(bundle, (config, *network, *cells), session, options)?)
        }
    })
}

/// The networks that a bundle opens for images of this size, with their shapes, in the order in which they are opened.
///
/// # Errors
/// If the network does not support this image size.
#[doc(hidden)]
pub fn networks(bundle: &Bundle, image: Size, precision: Option<Precision>) -> Result<Vec<Network>, EstimateError> {
    let planner = |size| networks::Planner { bundle, size, precision };
    let layout = || input_transform::layout(bundle.manifest(), image);
    match &bundle.manifest().decode {
        Decode::Logocap(config) => logocap::networks(&planner(layout()?.network), config.level),
        Decode::Centergroup { .. } => centergroup::networks(&planner(layout()?.network)),
        Decode::Capeformer { .. } => capeformer::networks(&planner(capeformer::NETWORK)),
        Decode::Lofr { network, .. } => Ok(vec![lofr::network(&planner(*network))?]),
    }
}

impl EstimateError {
    /// Why the backend does not work, if that is the reason.
    fn engine(&self) -> Option<String> {
        match self {
            Self::Engine(error) => Some(error.to_string()),
            _ => None,
        }
    }
}

/// Why a model does not open, or an image has no result.
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
    /// A network's shapes do not exist for an image's network size.
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
