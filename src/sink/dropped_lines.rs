//! Counts of dropped lines.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts of dropped lines, written by the sinks of a run and read during it.
#[derive(Debug, Default)]
pub struct DroppedLines {
    disk: AtomicU64,
    readers: AtomicU64,
}

impl DroppedLines {
    /// Counts a line dropped because the disk was full.
    pub(super) fn on_full_disk(&self) {
        self.disk.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a line that did not fit into the buffer of one reader.
    pub(super) fn for_slow_reader(&self) {
        self.readers.fetch_add(1, Ordering::Relaxed);
    }

    /// Lines for which the disk was full.
    pub fn disk(&self) -> u64 {
        self.disk.load(Ordering::Relaxed)
    }

    /// Lines that did not fit into a reader's buffer, summed over the readers.
    pub fn readers(&self) -> u64 {
        self.readers.load(Ordering::Relaxed)
    }
}
