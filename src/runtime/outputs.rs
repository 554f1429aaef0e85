//! All outputs of a run.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread;
use std::time::{Duration, Instant};

use super::{RunError, Tracking};
use crate::sink::{FrameResult, OutputSchema, Sink, SinkError};

/// Interval at which a busy sink is tried again.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// What another model changes for the outputs.
#[derive(Debug)]
pub struct Change {
    /// Describes the results of the new model.
    pub schema: OutputSchema,
    /// Another tracking; `None` continues the present one.
    pub tracking: Option<Tracking>,
}

/// The sinks of a run. Clones share them, so that another thread can finish them if this one is stuck in a source or a sink.
///
/// A sink whose reader has closed it is dropped while others remain; when none is left, the run is over.
#[derive(Clone, Default)]
pub struct Outputs(Arc<Shared>);

#[derive(Default)]
struct Shared {
    /// `None` if the sink was finished, or its reader has closed it.
    sinks: Vec<Mutex<Option<Box<dyn Sink>>>>,
    /// Gives poses their identities before they reach the sinks; `None` if poses are not tracked.
    tracking: Option<Mutex<Tracking>>,
    /// Whether a run continues without any sink left.
    is_service: AtomicBool,
}

impl std::fmt::Debug for Outputs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outputs").field("sinks", &self.0.sinks.len()).finish_non_exhaustive()
    }
}

impl From<Vec<Box<dyn Sink>>> for Outputs {
    fn from(sinks: Vec<Box<dyn Sink>>) -> Self {
        Self::new(sinks, None)
    }
}

impl Outputs {
    /// Outputs that receive poses as `tracking` returns them, or as detected without it.
    pub fn new(sinks: Vec<Box<dyn Sink>>, tracking: Option<Tracking>) -> Self {
        let sinks = sinks.into_iter().map(|sink| Mutex::new(Some(sink))).collect();
        Self(Arc::new(Shared { sinks, tracking: tracking.map(Mutex::new), is_service: AtomicBool::new(false) }))
    }

    /// Continues even after the readers of all sinks have disconnected, as a service does.
    pub fn keep_running(&self) {
        self.0.is_service.store(true, Ordering::Relaxed);
    }

    /// Tracks the poses of a result and passes it to all sinks; breaks when the last reader has closed its output.
    ///
    /// # Errors
    /// If a sink cannot write.
    pub fn put(&self, result: &FrameResult<'_>) -> Result<ControlFlow<()>, RunError> {
        let mut tracking = self.0.tracking.as_ref().map(|one| one.lock().unwrap_or_else(PoisonError::into_inner));
        let result = &tracking.as_mut().map_or(*result, |tracking| tracking.step(result));
        let mut closed = false;
        for slot in &self.0.sinks {
            let mut slot = lock(slot);
            let Some(sink) = slot.as_mut() else { continue };
            match sink.put(result) {
                Ok(()) => {}
                Err(error @ SinkError::Closed { .. }) => {
                    *slot = None;
                    closed = true;
                    if self.0.sinks.len() > 1 {
                        tracing::warn!("{error}; the other outputs continue");
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
        if !closed || self.0.sinks.iter().any(|slot| lock(slot).is_some()) {
            return Ok(ControlFlow::Continue(()));
        }
        if self.0.is_service.load(Ordering::Relaxed) {
            tracing::warn!("no output is left; the service continues without");
            return Ok(ControlFlow::Continue(()));
        }
        Ok(ControlFlow::Break(()))
    }

    /// The results that follow are another model's.
    ///
    /// # Errors
    /// If a sink cannot write.
    pub fn replace(&self, change: Change) -> Result<(), RunError> {
        if let (Some(old), Some(new)) = (&self.0.tracking, change.tracking) {
            let mut old = old.lock().unwrap_or_else(PoisonError::into_inner);
            *old = new.after(&old);
        }
        for slot in &self.0.sinks {
            let mut slot = lock(slot);
            match slot.as_mut().map_or(Ok(()), |sink| sink.describe(&change.schema)) {
                // The next result is refused too, and it is dropped then.
                Ok(()) | Err(SinkError::Closed { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Finishes and closes all sinks, even if some fail; returns the first error.
    ///
    /// # Errors
    /// If a sink's buffered results cannot be written; a closed output is not an error.
    pub fn finish(&self) -> Result<(), RunError> {
        let mut finished = Ok(());
        for slot in &self.0.sinks {
            // Locked until it is finished: another thread must not take it for an idle one.
            let mut slot = lock(slot);
            let this = finish(slot.take());
            finished = finished.and(this);
        }
        finished
    }

    /// Finishes those sinks that no other thread is using, and those that become free within `patience`.
    pub fn finish_idle(&self, patience: Duration) {
        let until = Instant::now() + patience;
        for slot in &self.0.sinks {
            let sink = loop {
                match slot.try_lock() {
                    Ok(mut slot) => break slot.take(),
                    Err(TryLockError::Poisoned(slot)) => break slot.into_inner().take(),
                    Err(TryLockError::WouldBlock) if Instant::now() < until => thread::sleep(POLL_INTERVAL),
                    Err(TryLockError::WouldBlock) => {
                        tracing::warn!("an output that accepts nothing was left unfinished");
                        break None;
                    }
                }
            };
            if let Err(error) = finish(sink) {
                tracing::error!("{error}");
            }
        }
    }
}

// A sink whose thread has panicked may still hold complete lines.
fn lock(slot: &Mutex<Option<Box<dyn Sink>>>) -> MutexGuard<'_, Option<Box<dyn Sink>>> {
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}

fn finish(sink: Option<Box<dyn Sink>>) -> Result<(), RunError> {
    match sink.map(|mut sink| sink.finish()) {
        None | Some(Ok(()) | Err(SinkError::Closed { .. })) => Ok(()),
        Some(Err(error)) => Err(error.into()),
    }
}
