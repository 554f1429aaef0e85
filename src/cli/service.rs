//! What systemd is told: that the work has begun, that it goes on, how it goes.

use std::time::{Duration, Instant};

use sd_notify::NotifyState;

use crate::runtime::Counts;

/// How often it is told how the work goes.
const STATUS: Duration = Duration::from_secs(5);
/// How much longer systemd is asked to wait for the first frame, each time that there is none yet: a camera may come late.
const PATIENCE: Duration = Duration::from_secs(30);

/// The service manager, where there is one.
///
/// It hears from the loop that answers frames, and from nothing else: where that stands still, the watchdog runs out.
#[derive(Debug)]
pub struct Service {
    ready: bool,
    /// How often the watchdog is fed.
    interval: Option<Duration>,
    fed: Option<Instant>,
    /// When it was told last, and how many frames there were.
    told: Option<(Instant, u64)>,
}

impl Service {
    /// The manager that has started this program, if `NOTIFY_SOCKET` says that one has.
    pub fn from_environment() -> Option<Self> {
        std::env::var_os("NOTIFY_SOCKET")?;
        // Half of what systemd allows, as its manual advises.
        let interval = sd_notify::watchdog_enabled().map(|period| period / 2);
        Some(Self { ready: false, interval, fed: None, told: None })
    }

    /// A frame was answered.
    pub fn processed(&mut self, counts: &Counts) {
        if !self.ready {
            self.ready = true;
            tell(&[NotifyState::Ready, NotifyState::Status("answering frames")]);
        }
        self.feed();
        let now = Instant::now();
        let (since, before) = *self.told.get_or_insert((now, counts.processed));
        if now - since >= STATUS {
            let rate = (counts.processed - before) as f64 / (now - since).as_secs_f64();
            tell(&[NotifyState::Status(&format!("{rate:.1} frames a second, {} processed", counts.processed))]);
            self.told = Some((now, counts.processed));
        }
    }

    /// No frame came, but the loop goes on.
    pub fn alive(&mut self) {
        if self.ready {
            self.feed();
        } else if self.fed.is_none_or(|fed| fed.elapsed() >= PATIENCE / 2) {
            self.fed = Some(Instant::now());
            let more = u32::try_from(PATIENCE.as_micros()).unwrap_or(u32::MAX);
            tell(&[NotifyState::ExtendTimeoutUsec(more), NotifyState::Status("waiting for a first frame")]);
        }
    }

    fn feed(&mut self) {
        let Some(interval) = self.interval else { return };
        if self.fed.is_none_or(|fed| fed.elapsed() >= interval) {
            self.fed = Some(Instant::now());
            tell(&[NotifyState::Watchdog]);
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        tell(&[NotifyState::Stopping]);
    }
}

/// A manager that does not listen is no reason to stop.
fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!("the service manager does not listen: {error}");
    }
}
