//! A sink that measures.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::sink::jsonl::JsonLines;
use crate::sink::{FrameResult, OutputSchema, Sink, SinkError};

/// What is measured of a frame, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Image to network input.
    Preprocess,
    /// Until the network of the frame before has ended.
    Wait,
    /// All engines.
    Network,
    /// Network outputs to poses.
    Decode,
    /// Poses to a JSON line.
    Emit,
    /// Everything but the network.
    Overhead,
    /// From the frame's capture to its line.
    EndToEnd,
}

impl Stage {
    pub const ALL: [Self; 7] =
        [Self::Preprocess, Self::Wait, Self::Network, Self::Decode, Self::Emit, Self::Overhead, Self::EndToEnd];

    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Preprocess => "preprocess",
            Self::Wait => "wait",
            Self::Network => "network",
            Self::Decode => "decode",
            Self::Emit => "emit",
            Self::Overhead => "overhead",
            Self::EndToEnd => "end_to_end",
        }
    }
}

/// Measurements so far.
#[derive(Debug)]
pub struct Measured {
    /// Nanoseconds, one per [`Stage::ALL`].
    pub histograms: [Histogram<u64>; Stage::ALL.len()],
    /// Poses in all measured frames.
    pub poses: u64,
    /// When the first measured frame began, and the last ended.
    pub span: Option<(Instant, Instant)>,
}

impl Measured {
    fn new() -> Self {
        // Three significant digits, resized as needed.
        let histogram = |_| match Histogram::new(3) {
            Ok(histogram) => histogram,
            Err(_) => unreachable!("three digits are fine"),
        };
        Self { histograms: Stage::ALL.map(histogram), poses: 0, span: None }
    }

    /// Measured frames.
    pub fn frames(&self) -> u64 {
        self.histograms[0].len()
    }

    fn record(&mut self, stage: Stage, duration: Duration) {
        let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        // It grows with what it is given.
        let _ = self.histograms[stage as usize].record(nanoseconds);
    }
}

/// Discards JSON lines and records all durations.
pub struct Meter {
    lines: JsonLines<io::Sink>,
    /// Frames before those that are measured.
    warm_up: u64,
    /// Frames to measure; the run is over then.
    frames: u64,
    seen: u64,
    over: Arc<AtomicBool>,
    measured: Arc<Mutex<Measured>>,
}

impl Meter {
    /// Measures `frames` frames after `warm_up` ones, then sets `over`.
    pub fn new(schema: &OutputSchema, warm_up: u64, frames: u64, over: Arc<AtomicBool>) -> Result<Self, SinkError> {
        let lines = JsonLines::new(io::sink(), "nowhere", schema)?;
        Ok(Self { lines, warm_up, frames, seen: 0, over, measured: Arc::new(Mutex::new(Measured::new())) })
    }

    /// The measurements.
    pub fn measured(&self) -> Arc<Mutex<Measured>> {
        Arc::clone(&self.measured)
    }
}

impl Sink for Meter {
    fn put(&mut self, result: &FrameResult<'_>) -> Result<(), SinkError> {
        let start = Instant::now();
        self.lines.put(result)?;
        let end = Instant::now();
        self.seen += 1;
        if self.seen <= self.warm_up || self.seen > self.warm_up + self.frames {
            return Ok(());
        }
        let times = result.times;
        let emit = end - start;
        let mut measured = self.measured.lock().unwrap_or_else(PoisonError::into_inner);
        let stages = times.preprocess + times.network + times.decode + emit;
        // A frame without a moment of capture began with its first stage.
        let begun = result.frame.instant.unwrap_or(end - stages);
        let end_to_end = end.saturating_duration_since(begun);
        // A camera's frame also waits, which is not work.
        let work = if result.live.is_some() { stages } else { end_to_end };
        for (stage, duration) in [
            (Stage::Preprocess, times.preprocess),
            (Stage::Wait, times.wait),
            (Stage::Network, times.network),
            (Stage::Decode, times.decode),
            (Stage::Emit, emit),
            (Stage::Overhead, work.saturating_sub(times.network)),
            (Stage::EndToEnd, end_to_end),
        ] {
            measured.record(stage, duration);
        }
        measured.poses += result.poses.list.len() as u64;
        let first = measured.span.map_or(begun, |(first, _)| first);
        measured.span = Some((first, end));
        if self.seen == self.warm_up + self.frames {
            self.over.store(true, Ordering::Relaxed);
        }
        Ok(())
    }
}
