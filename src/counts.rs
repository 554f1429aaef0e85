//! What a run counts: frames, dropped frames by reason, and faults of its cameras.

use core::ops::AddAssign;

/// Frames without a result, by reason. The names are also the labels of `sinew_frames_dropped_total` and the keys of
/// `dropped` in the report of `sinew bench`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Dropped {
    /// A newer frame of the same camera arrived before the model was free, or the run ended first.
    pub superseded: u64,
    /// The outputs were too slow for the result, or had all ended.
    pub output: u64,
    /// The camera or its driver dropped the frame: a gap in the driver's count.
    pub driver: u64,
    /// The driver marked the frame as corrupt, or its bytes are not an image.
    pub corrupt: u64,
    /// An image file that could not be read.
    pub unreadable: u64,
    /// The frame's size does not fit the network.
    pub unsupported_size: u64,
}

impl Dropped {
    /// Every reason with its count.
    pub fn by_reason(&self) -> [(&'static str, u64); 6] {
        let Self { superseded, output, driver, corrupt, unreadable, unsupported_size } = *self;
        [
            ("superseded", superseded),
            ("output", output),
            ("driver", driver),
            ("corrupt", corrupt),
            ("unreadable", unreadable),
            ("unsupported_size", unsupported_size),
        ]
    }

    /// The sum over all reasons.
    pub fn total(&self) -> u64 {
        self.by_reason().iter().map(|(_, count)| count).sum()
    }
}

impl AddAssign for Dropped {
    fn add_assign(&mut self, other: Self) {
        self.superseded += other.superseded;
        self.output += other.output;
        self.driver += other.driver;
        self.corrupt += other.corrupt;
        self.unreadable += other.unreadable;
        self.unsupported_size += other.unsupported_size;
    }
}

/// Everything that is counted. A camera counts its own part, the runtime adds the rest.
///
/// At the end of a run `frames == processed + dropped.total()`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Frames that the sources delivered, or dropped themselves.
    pub frames: u64,
    /// Frames whose results reached the outputs.
    pub processed: u64,
    /// Poses in all results. For a live run, only known at its end.
    pub poses: u64,
    /// Poses that were detected but exceeded the limit, or were not finite. For a live run, only known at its end.
    pub dropped_poses: u64,
    /// Frames without a result.
    pub dropped: Dropped,
    /// How often a camera delivered no frame for a while.
    pub stalls: u64,
    /// How often a camera failed or was unplugged.
    pub failures: u64,
    /// How often a camera was opened or started again.
    pub restarts: u64,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.frames += other.frames;
        self.processed += other.processed;
        self.poses += other.poses;
        self.dropped_poses += other.dropped_poses;
        self.dropped += other.dropped;
        self.stalls += other.stalls;
        self.failures += other.failures;
        self.restarts += other.restarts;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_part_of_the_total() {
        let dropped = Dropped { superseded: 1, output: 2, driver: 4, corrupt: 8, unreadable: 16, unsupported_size: 32 };
        assert_eq!(dropped.total(), 63);
        let mut twice = dropped;
        twice += dropped;
        assert_eq!(twice.total(), 126);
        assert!(twice.by_reason().iter().zip(dropped.by_reason()).all(|(two, one)| two.1 == 2 * one.1));
    }
}
