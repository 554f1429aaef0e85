//! Where poses go.

use crate::estimator::StageTimes;
use crate::pose::Poses;
use crate::source::Frame;

/// Everything that is known about one answered frame.
#[derive(Debug, Clone, Copy)]
pub struct Answer<'a> {
    /// The frame.
    pub frame: Frame<'a>,
    /// Its poses, in picture pixels.
    pub poses: &'a Poses,
    /// How long it took.
    pub times: StageTimes,
}
