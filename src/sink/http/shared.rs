//! State that the connections of a server share.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::metrics::Metrics;
use super::preview::Preview;
use crate::clock::Clock;
use crate::thermal::{self, Zone};

/// How long temperatures stay valid; reading them takes some hundred system calls.
const ZONES_VALID: Duration = Duration::from_secs(1);

/// State that the connections share.
#[derive(Debug)]
pub(super) struct Shared {
    pub preview: Arc<Preview>,
    pub metrics: Arc<Metrics>,
    pub clock: Clock,
    /// Time-out for a client to send its request, and to read its response or one image.
    pub patience: Duration,
    /// Whether only requests to a loopback name are served.
    pub loopback_only: bool,
    /// The metrics as text, cached for one round.
    text: Option<Arc<[u8]>>,
    zones: Option<(Instant, Vec<Zone>)>,
    zones_folder: PathBuf,
}

impl Shared {
    /// State of a new server.
    pub fn new(
        preview: Arc<Preview>,
        metrics: Arc<Metrics>,
        clock: Clock,
        patience: Duration,
        loopback_only: bool,
    ) -> Self {
        let zones_folder = Path::new("/").join(thermal::FOLDER);
        Self { preview, metrics, clock, patience, loopback_only, text: None, zones: None, zones_folder }
    }

    /// Invalidates the metrics as text.
    pub fn next_round(&mut self) {
        self.text = None;
    }

    /// The metrics as text, made once per round.
    pub fn metrics_text(&mut self) -> Arc<[u8]> {
        if let Some(text) = &self.text {
            return Arc::clone(text);
        }
        let now = self.clock.now();
        if self.zones.as_ref().is_none_or(|(read, _)| now.saturating_duration_since(*read) >= ZONES_VALID) {
            self.zones = Some((now, thermal::zones(&self.zones_folder)));
        }
        let zones = self.zones.as_ref().map_or(&[][..], |(_, zones)| zones);
        let text: Arc<[u8]> = self.metrics.text(self.preview.viewers(), zones).into_bytes().into();
        self.text = Some(Arc::clone(&text));
        text
    }
}
