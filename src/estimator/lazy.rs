//! An estimator whose engines are opened when the first image is there.

use std::time::Instant;

use super::{EstimateError, Estimator, Options, StageTimes, open};
use crate::bundle::Bundle;
use crate::engine::Backend;
use crate::geometry::Rectangle;
use crate::pixels::ImageView;
use crate::pose::Poses;

/// Opens the engines for the first image that comes: only it says which size and format they are for.
pub struct LazyEstimator {
    bundle: Bundle,
    backend: Backend,
    options: Options,
    opened: Option<Box<dyn Estimator>>,
    due: Option<Instant>,
}

impl LazyEstimator {
    /// An estimator of `bundle`; nothing is opened yet.
    pub fn new(bundle: Bundle, backend: Backend, options: &Options) -> Self {
        Self { bundle, backend, options: options.clone(), opened: None, due: None }
    }
}

impl Estimator for LazyEstimator {
    fn estimate(
        &mut self,
        image: ImageView<'_>,
        boxes: Option<&[Rectangle]>,
        poses: &mut Poses,
    ) -> Result<StageTimes, EstimateError> {
        let estimator = match &mut self.opened {
            Some(estimator) => estimator,
            none => none.insert(open(&self.bundle, self.backend, &self.options, image.size(), image.format())?),
        };
        estimator.due(self.due);
        estimator.estimate(image, boxes, poses)
    }

    fn due(&mut self, at: Option<Instant>) {
        self.due = at;
    }
}

impl std::fmt::Debug for LazyEstimator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (bundle, opened) = (self.bundle.folder(), self.opened.is_some());
        f.debug_struct("LazyEstimator").field("bundle", &bundle).field("opened", &opened).finish_non_exhaustive()
    }
}
