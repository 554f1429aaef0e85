//! Where frames come from.

use std::time::Duration;

use crate::pixels::PictureView;

/// One frame, borrowed from its source until the next is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    /// The pixels.
    pub picture: PictureView<'a>,
    /// Counts from 0; a gap means that the source lost frames.
    pub sequence: u64,
    /// When it was captured, on the source's own clock; `None` for files without time.
    pub captured: Option<Duration>,
    /// What to call it: a file's path, for pictures.
    pub name: Option<&'a str>,
}
