//! Numbers about the work, in Prometheus' text format.
//!
//! They are atomics: whoever counts never waits for whoever reads.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::sink::{DroppedLines, FrameResult, OutputSchema, TrackCounts};
use crate::source::LiveCounts;
use crate::thermal::{self, Zone};

/// Upper ends of the histograms' buckets, seconds.
const BUCKETS: [f64; 13] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];
/// The stages of a frame, as labels, in the order of [`Metrics::stages`].
const STAGES: [&str; 3] = ["preprocess", "infer", "postprocess"];
/// Names of [`Totals`], in the order of [`Totals::values`], and what they are.
const TOTALS: [(&str, &str); 10] = [
    ("pose_frames_dropped_total", "Frames without a result for any reason: the sum of the six below."),
    ("pose_frames_passed_over_total", "Frames that a newer one replaced before the model was free."),
    ("pose_frames_too_slow_total", "Frames whose results the sinks were too slow for."),
    ("pose_frames_lost_total", "Frames that the cameras themselves lost."),
    ("pose_frames_damaged_total", "Frames that were damaged."),
    ("pose_frames_unreadable_total", "Images that could not be read."),
    ("pose_frames_unfit_total", "Frames that do not fit the network."),
    ("pose_camera_reconnects_total", "How often a camera was opened or started again."),
    ("pose_camera_stalls_total", "How often a camera gave no frame for a while."),
    ("pose_camera_failures_total", "How often a camera failed or went away."),
];

/// What the loop has counted so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Frames that nobody fetched before there was a newer one.
    pub superseded: u64,
    /// Answers that the sinks were too slow for.
    pub dropped_by_output: u64,
    /// Images that could not be read.
    pub unreadable: u64,
    /// Frames that do not fit the network.
    pub unsupported_size: u64,
    /// What the cameras went through.
    pub live: LiveCounts,
}

impl Totals {
    fn values(&self) -> [u64; TOTALS.len()] {
        let LiveCounts { superseded: stale, lost_by_driver: lost, corrupt: damaged, stalls, failures, restarts } =
            self.live;
        let superseded = self.superseded + stale;
        let dropped = superseded + self.dropped_by_output + lost + damaged + self.unreadable + self.unsupported_size;
        [
            dropped,
            superseded,
            self.dropped_by_output,
            lost,
            damaged,
            self.unreadable,
            self.unsupported_size,
            restarts,
            stalls,
            failures,
        ]
    }
}

/// The numbers.
#[derive(Debug)]
pub struct Metrics {
    model: String,
    bundle: String,
    cameras: Vec<Camera>,
    stages: [Histogram; STAGES.len()],
    ages: Histogram,
    dropped_poses: AtomicU64,
    /// In the order of [`TOTALS`].
    totals: [AtomicU64; TOTALS.len()],
    images: AtomicU64,
    /// Watchers that did not take their images.
    dismissed: AtomicU64,
    dropped_lines: Arc<DroppedLines>,
    tracks: Arc<TrackCounts>,
}

#[derive(Debug, Default)]
struct Camera {
    frames: AtomicU64,
    people: AtomicU64,
}

/// How many values fall into which bucket, the last of which has no end, and their sum.
#[derive(Debug, Default)]
struct Histogram {
    buckets: [AtomicU64; BUCKETS.len() + 1],
    nanoseconds: AtomicU64,
}

impl Histogram {
    fn observe(&self, time: Duration) {
        let seconds = time.as_secs_f64();
        let bucket = BUCKETS.partition_point(|&end| end < seconds);
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    /// The lines of one histogram; `label` is empty or ends in a comma.
    fn write(&self, text: &mut String, name: &str, label: &str) {
        let mut count = 0;
        for (index, bucket) in self.buckets.iter().enumerate() {
            count += bucket.load(Ordering::Relaxed);
            let end = BUCKETS.get(index).map_or_else(|| "+Inf".to_owned(), f64::to_string);
            let _ = writeln!(text, "{name}_bucket{{{label}le=\"{end}\"}} {count}");
        }
        let only = if label.is_empty() { String::new() } else { format!("{{{}}}", label.trim_end_matches(',')) };
        let seconds = Duration::from_nanos(self.nanoseconds.load(Ordering::Relaxed)).as_secs_f64();
        let _ = writeln!(text, "{name}_sum{only} {seconds}\n{name}_count{only} {count}");
    }
}

impl Metrics {
    /// Numbers of a model as `description` has it, and of so many `cameras`, at least one.
    pub fn new(schema: &OutputSchema, cameras: usize) -> Self {
        Self {
            model: escaped(&schema.model),
            bundle: escaped(&schema.bundle),
            cameras: (0..cameras.max(1)).map(|_| Camera::default()).collect(),
            stages: Default::default(),
            ages: Histogram::default(),
            dropped_poses: AtomicU64::new(0),
            totals: Default::default(),
            images: AtomicU64::new(0),
            dismissed: AtomicU64::new(0),
            dropped_lines: Arc::default(),
            tracks: Arc::default(),
        }
    }

    /// Says what the loop has counted.
    pub fn set_totals(&self, totals: &Totals) {
        for (kept, value) in self.totals.iter().zip(totals.values()) {
            kept.store(value, Ordering::Relaxed);
        }
    }

    /// Where the other sinks count lines that they leave out.
    pub fn dropped_lines(&self) -> Arc<DroppedLines> {
        Arc::clone(&self.dropped_lines)
    }

    /// Where the tracker counts.
    pub fn tracks(&self) -> Arc<TrackCounts> {
        Arc::clone(&self.tracks)
    }

    /// A frame was answered.
    pub(super) fn processed(&self, result: &FrameResult<'_>) {
        if let Some(camera) = self.cameras.get(result.live.map_or(0, |live| live.camera)) {
            camera.frames.fetch_add(1, Ordering::Relaxed);
            camera.people.store(result.poses.list.len() as u64, Ordering::Relaxed);
        }
        let times = [result.times.preprocess, result.times.network, result.times.decode];
        for (stage, time) in self.stages.iter().zip(times) {
            stage.observe(time);
        }
        if let Some(age) = result.live.and_then(|live| live.age) {
            self.ages.observe(age);
        }
        self.dropped_poses.fetch_add(u64::from(result.poses.dropped), Ordering::Relaxed);
    }

    /// An image was encoded.
    pub(super) fn encoded(&self) {
        self.images.fetch_add(1, Ordering::Relaxed);
    }

    /// A client that did not take what it had asked for was dropped.
    pub(super) fn dismissed(&self) {
        self.dismissed.fetch_add(1, Ordering::Relaxed);
    }

    /// All of them, with so many `watchers`, on a machine with these thermal zones.
    pub(super) fn text(&self, watchers: usize, zones: &[Zone]) -> String {
        let mut text = String::with_capacity(8 << 10);
        let read = |value: &AtomicU64| value.load(Ordering::Relaxed);
        let about = |text: &mut String, name: &str, kind: &str, help: &str| {
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        };
        about(&mut text, "pose_engine_info", "gauge", "What runs; always 1.");
        let _ = writeln!(text, "pose_engine_info{{model=\"{}\",bundle=\"{}\"}} 1", self.model, self.bundle);
        about(&mut text, "pose_frames_total", "counter", "Frames whose results reached the sinks.");
        for (number, camera) in self.cameras.iter().enumerate() {
            let _ = writeln!(text, "pose_frames_total{{camera=\"{number}\"}} {}", read(&camera.frames));
        }
        for ((name, help), value) in TOTALS.iter().zip(&self.totals) {
            about(&mut text, name, "counter", help);
            let _ = writeln!(text, "{name} {}", read(value));
        }
        let help = "Poses that were found but were too many, or not finite.";
        about(&mut text, "pose_poses_dropped_total", "counter", help);
        let _ = writeln!(text, "pose_poses_dropped_total {}", read(&self.dropped_poses));
        about(&mut text, "pose_people", "gauge", "Poses in the newest result.");
        for (number, camera) in self.cameras.iter().enumerate() {
            let _ = writeln!(text, "pose_people{{camera=\"{number}\"}} {}", read(&camera.people));
        }
        about(&mut text, "pose_stage_seconds", "histogram", "Time that a stage of a frame took.");
        for (stage, histogram) in STAGES.iter().zip(&self.stages) {
            histogram.write(&mut text, "pose_stage_seconds", &format!("stage=\"{stage}\","));
        }
        about(&mut text, "pose_frame_age_seconds", "histogram", "Time from a frame's capture to the sinks.");
        self.ages.write(&mut text, "pose_frame_age_seconds", "");
        about(&mut text, "pose_preview_watchers", "gauge", "Who watches the preview.");
        let _ = writeln!(text, "pose_preview_watchers {watchers}");
        about(&mut text, "sinew_preview_images_total", "counter", "Images that were encoded for them.");
        let _ = writeln!(text, "sinew_preview_images_total {}", read(&self.images));
        about(&mut text, "pose_preview_dropped_total", "counter", "Clients that did not take what they had asked for.");
        let _ = writeln!(text, "pose_preview_dropped_total {}", read(&self.dismissed));
        about(
            &mut text,
            "pose_lines_left_out_total",
            "counter",
            "Lines that a full disk or a slow reader did not take.",
        );
        for (reason, count) in [("disk", self.dropped_lines.disk()), ("reader", self.dropped_lines.readers())] {
            let _ = writeln!(text, "pose_lines_left_out_total{{reason=\"{reason}\"}} {count}");
        }
        about(&mut text, "sinew_tracks_active", "gauge", "Tracks with an identity that are followed, all cameras together.");
        let _ = writeln!(text, "sinew_tracks_active {}", self.tracks.active());
        about(&mut text, "sinew_tracks_started_total", "counter", "Identities given, all cameras together.");
        let _ = writeln!(text, "sinew_tracks_started_total {}", self.tracks.started());
        // A machine without thermometers says nothing rather than 0.
        if let Some(celsius) = thermal::hottest(zones) {
            about(&mut text, "pose_soc_temperature_celsius", "gauge", "The hottest thermal zone.");
            let _ = writeln!(text, "pose_soc_temperature_celsius {celsius}");
            about(&mut text, "pose_throttled", "gauge", "1 while the kernel lowers clocks because of heat.");
            let throttled = u8::from(zones.iter().any(|zone| zone.throttles));
            let _ = writeln!(text, "pose_throttled {throttled}");
        }
        text
    }
}

/// A label's value.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_upper_ends_and_add_up() {
        let histogram = Histogram::default();
        for milliseconds in [0, 1, 2, 9, 10, 11, 60_000] {
            histogram.observe(Duration::from_millis(milliseconds));
        }
        let mut text = String::new();
        histogram.write(&mut text, "x", "stage=\"a\",");
        let value = |line: &str| -> f64 {
            let found = text.lines().find_map(|found| found.strip_prefix(line)).unwrap_or_else(|| panic!("{line}"));
            found.trim().parse().unwrap()
        };
        assert_eq!(value("x_bucket{stage=\"a\",le=\"0.0005\"}"), 1.0);
        assert_eq!(value("x_bucket{stage=\"a\",le=\"0.001\"}"), 2.0, "the end belongs to the bucket");
        assert_eq!(value("x_bucket{stage=\"a\",le=\"0.01\"}"), 5.0);
        assert_eq!(value("x_bucket{stage=\"a\",le=\"5\"}"), 6.0);
        assert_eq!(value("x_bucket{stage=\"a\",le=\"+Inf\"}"), 7.0);
        assert_eq!(value("x_count{stage=\"a\"}"), 7.0);
        assert!((value("x_sum{stage=\"a\"}") - 60.033).abs() < 1e-9);
        let mut plain = String::new();
        histogram.write(&mut plain, "x", "");
        assert!(plain.contains("x_bucket{le=\"+Inf\"} 7\n") && plain.contains("\nx_count 7\n"), "{plain}");
    }

    #[test]
    fn dropped_is_the_sum_of_its_reasons() {
        let live =
            LiveCounts { superseded: 1, lost_by_driver: 2, corrupt: 4, stalls: 100, failures: 200, restarts: 300 };
        let totals = Totals { superseded: 8, dropped_by_output: 16, unreadable: 32, unsupported_size: 64, live };
        let values = totals.values();
        assert_eq!(values[0], 127);
        assert_eq!(values[1..7].iter().sum::<u64>(), values[0]);
        assert_eq!(values[7..], [300, 100, 200]);
    }

    #[test]
    fn heat_is_said_where_it_is_known() {
        let metrics = Metrics::new(&OutputSchema::default(), 1);
        assert!(!metrics.text(0, &[]).contains("pose_throttled"));
        let zone = |celsius, throttles| Zone { name: String::new(), celsius, throttles };
        let text = metrics.text(0, &[zone(99.5, true), zone(40.0, false)]);
        assert!(
            text.contains("\npose_soc_temperature_celsius 99.5\n") && text.contains("\npose_throttled 1\n"),
            "{text}"
        );
        assert!(metrics.text(0, &[zone(40.0, false)]).contains("\npose_throttled 0\n"));
    }

    #[test]
    fn labels_are_escaped() {
        assert_eq!(escaped("a\"b\\c\nd"), "a\\\"b\\\\c\\nd");
    }
}
