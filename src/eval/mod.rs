//! Accuracy: COCO OKS average precision and recall, equal to pycocotools'; in [`pck`] the share of correct
//! keypoints of enrolled objects; [`KeypointShare`], that of people in given boxes; [`Calibration`], whether scores are
//! probabilities; and [`track`], how well identities persist.
//!
//! ```no_run
//! # fn main() -> Result<(), sinew::eval::EvalError> {
//! use sinew::eval::{Evaluation, GroundTruth};
//! let truth = GroundTruth::read("annotations.json".as_ref())?;
//! let mut evaluation = Evaluation::new(&truth, &[0.026, 0.025, 0.025])?;
//! for image in truth.images() {
//!     let detections = []; // the poses that a model detects in the image `image.file_name`
//!     evaluation.put(&image.id, &detections)?;
//! }
//! println!("{:?}", evaluation.figures());
//! # Ok(())
//! # }
//! ```
//!
//! An image that is never put counts as one without detections.

mod average_precision;
mod calibration;
mod error;
mod ground_truth;
mod keypoint_share;
mod matching;
mod oks;
pub mod pck;
mod results;
pub mod track;

pub use average_precision::{Evaluation, Figures};
pub use calibration::{BINS, Bin, Calibration, Outcomes};
pub use error::EvalError;
pub use ground_truth::{Annotation, GroundTruth, Image, TrueKeypoint};
pub use keypoint_share::{KeypointShare, Reach};
pub use oks::{Detection, oks, variances};
pub use results::{ResultsWriter, read_results};
