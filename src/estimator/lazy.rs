//! An estimator whose engines are opened for the first image.

use super::{EstimateError, Estimator, Options, Request, StageTimes, Twin, open};
use crate::bundle::Bundle;
use crate::engine::Backend;
use crate::pose::Poses;

/// Opens the engines for the first image, whose size and format are not known before.
pub struct LazyEstimator {
    bundle: Bundle,
    backend: Backend,
    options: Options,
    opened: Option<Box<dyn Estimator>>,
}

impl LazyEstimator {
    /// An estimator of `bundle`; nothing is opened yet.
    pub fn new(bundle: Bundle, backend: Backend, options: &Options) -> Self {
        Self { bundle, backend, options: options.clone(), opened: None }
    }
}

impl Estimator for LazyEstimator {
    fn estimate(&mut self, request: &Request<'_>, poses: &mut Poses) -> Result<StageTimes, EstimateError> {
        let estimator = match &mut self.opened {
            Some(estimator) => estimator,
            none => {
                let (size, format) = (request.image.size(), request.image.format());
                none.insert(open(&self.bundle, self.backend, &self.options, size, format)?)
            }
        };
        estimator.estimate(request, poses)
    }

    fn backend(&self) -> Option<Backend> {
        self.opened.as_ref()?.backend()
    }

    fn twin(&self) -> Result<Option<Twin>, EstimateError> {
        self.opened.as_ref().map_or(Ok(None), |estimator| estimator.twin())
    }
}

impl std::fmt::Debug for LazyEstimator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (bundle, opened) = (self.bundle.folder(), self.opened.is_some());
        f.debug_struct("LazyEstimator").field("bundle", &bundle).field("opened", &opened).finish_non_exhaustive()
    }
}
