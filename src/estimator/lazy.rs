//! An estimator whose engines are opened when the first picture is there.

use super::{EstimateError, Estimator, Options, StageTimes, open};
use crate::bundle::Bundle;
use crate::engine::Backend;
use crate::pixels::PictureView;
use crate::pose::{Poses, Skeleton};

/// Opens the engines for the first picture that comes: only it says which size and format they are for.
pub struct LazyEstimator<'a> {
    bundle: &'a Bundle,
    backend: Backend,
    options: Options,
    skeleton: Skeleton,
    opened: Option<Box<dyn Estimator>>,
}

impl<'a> LazyEstimator<'a> {
    /// An estimator of `bundle`; nothing is opened yet.
    pub fn new(bundle: &'a Bundle, backend: Backend, options: &Options) -> Self {
        Self { bundle, backend, options: *options, skeleton: bundle.skeleton(), opened: None }
    }
}

impl Estimator for LazyEstimator<'_> {
    fn estimate(&mut self, picture: PictureView<'_>, poses: &mut Poses) -> Result<StageTimes, EstimateError> {
        let estimator = match &mut self.opened {
            Some(estimator) => estimator,
            none => none.insert(open(self.bundle, self.backend, &self.options, picture.size(), picture.format())?),
        };
        estimator.estimate(picture, poses)
    }

    fn keypoint_names(&self) -> &[String] {
        self.bundle.keypoint_names()
    }

    fn skeleton(&self) -> &Skeleton {
        &self.skeleton
    }
}

impl std::fmt::Debug for LazyEstimator<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (bundle, opened) = (self.bundle.folder(), self.opened.is_some());
        f.debug_struct("LazyEstimator").field("bundle", &bundle).field("opened", &opened).finish_non_exhaustive()
    }
}
