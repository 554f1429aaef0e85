//! Annotation files in COCO's format, read tolerantly: the one reader of the evaluation, of enrolment and of box lists.
//!
//! Real files differ from COCO's own. Accepted are other categories with boxes only, whole numbers written as `17.0`, ids that
//! are text or begin at 0, NaN or `null` where nothing is labelled, a byte order mark, a missing `area`. Errors in what is
//! needed name the file, the path inside it, what was found and what was expected. Memory is bounded by a fixed budget.

mod error;
mod file;
mod names;
mod scalar;
mod text;

pub use error::FileError;
pub use file::{AnnotationEntry, CategoryEntry, CocoFile, ImageEntry, MAX_VALUES};
pub(crate) use file::{Footprint, read_list};
pub use names::{base_name, match_names};
pub use scalar::{Id, Number};
pub use text::{Fault, MAX_BYTES, from_bytes, is_coco, read, read_bounded};
