//! Annotation files in COCO's format, read tolerantly: the one reader of the evaluation, of enrolment and of box lists.
//!
//! Real files differ from COCO's own. What is not needed is not insisted on: other categories with boxes only, whole
//! numbers written as `17.0`, ids that are text or begin at 0, NaN or `null` if nothing is labelled, a byte order mark,
//! a missing `area`. What is needed and wrong is refused with the file, the path inside it, what was found and what was
//! expected. No input makes the reader use more memory than a fixed budget.

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
