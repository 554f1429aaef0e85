//! Lines that never reached whoever reads them.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts of lines that were left out, added to by the sinks of a run and read while it goes on.
#[derive(Debug, Default)]
pub struct DroppedLines {
    disk: AtomicU64,
    readers: AtomicU64,
}

impl DroppedLines {
    /// A line found the disk full.
    pub(super) fn on_a_full_disk(&self) {
        self.disk.fetch_add(1, Ordering::Relaxed);
    }

    /// A line did not fit into the buffer of one reader.
    pub(super) fn for_a_slow_reader(&self) {
        self.readers.fetch_add(1, Ordering::Relaxed);
    }

    /// Lines that found the disk full.
    pub fn disk(&self) -> u64 {
        self.disk.load(Ordering::Relaxed)
    }

    /// Lines that did not fit into a reader's buffer, summed over the readers.
    pub fn readers(&self) -> u64 {
        self.readers.load(Ordering::Relaxed)
    }
}
