//! Errors in annotations and detections.

use std::path::PathBuf;

use crate::coco::{FileError, Id};

/// Why annotations or results cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EvalError {
    /// A file cannot be read or used.
    #[error(transparent)]
    File(#[from] FileError),
    /// Detections were given for an image that the annotations do not list.
    #[error("image {image_id} is not among the images of {}", path.display())]
    UnknownImage {
        /// The annotations' file.
        path: PathBuf,
        /// The image's id.
        image_id: Id,
    },
    /// Detections were given twice for one image.
    #[error("image {image_id}: detections were given twice; give all detections of an image at once")]
    ImageTwice {
        /// The image's id.
        image_id: Id,
    },
    /// A detection has another number of keypoints than the model's sigmas.
    #[error("image {image_id}, detection {index}: found {found} keypoints, expected {expected}")]
    Keypoints {
        /// The image's id.
        image_id: Id,
        /// Which of the image's detections.
        index: usize,
        /// Its number of keypoints.
        found: usize,
        /// The number of sigmas.
        expected: usize,
    },
    /// A detection holds NaN or infinity, which no comparison can rank.
    #[error("image {image_id}, detection {index}: its score or a coordinate is not a finite number")]
    NotFinite {
        /// The image's id.
        image_id: Id,
        /// Which of the image's detections.
        index: usize,
    },
    /// A keypoint's sigma cannot be used.
    #[error("sigma {index}: found {found}, expected a finite number above 0")]
    Sigma {
        /// Which keypoint.
        index: usize,
        /// Its sigma.
        found: f64,
    },
}
