//! Accuracy: COCO OKS average precision and recall, with the numbers of pycocotools; in [`pck`] the share of correct
//! keypoints of things that were enrolled; and [`KeypointShare`], that of people in given boxes; in
//! [`track`] how well identities last.
//!
//! ```no_run
//! # fn main() -> Result<(), sinew::eval::EvalError> {
//! use sinew::eval::{Evaluation, GroundTruth};
//! let truth = GroundTruth::read("annotations.json".as_ref())?;
//! let mut evaluation = Evaluation::new(&truth, &[0.026, 0.025, 0.025])?;
//! for image in truth.images() {
//!     let detections = []; // whatever a model says about the image `image.file_name`
//!     evaluation.put(image.id, &detections)?;
//! }
//! println!("{:?}", evaluation.figures());
//! # Ok(())
//! # }
//! ```
//!
//! An image that is never put counts as one in which nothing was found.

mod average_precision;
mod error;
mod ground_truth;
mod json;
mod keypoint_share;
mod matching;
mod oks;
pub mod pck;
mod results;
pub mod track;

pub use average_precision::{Evaluation, Figures};
pub use error::EvalError;
pub use ground_truth::{Annotation, GroundTruth, Image, TrueKeypoint};
pub use keypoint_share::{KeypointShare, Reach};
pub use oks::{Detection, oks, variances};
pub use results::{ResultsWriter, read_results};
