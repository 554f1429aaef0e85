//! Metrics in Prometheus' text format.
//!
//! Counts per frame by sinks are atomics; the counts of the runtime are copied under a lock held only for the copy.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use crate::counts::Counts;
use crate::sink::{BrokerCounts, DroppedLines, FrameResult, OutputSchema, TrackCounts, ZoneTotals};
use crate::thermal::{self, Zone};
use crate::track::zones::ZoneCounts;

/// Upper bounds of the histograms' buckets, seconds.
const BUCKETS: [f64; 13] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];
/// The stages of a frame, as in the JSON lines and in `sinew bench`, in the order of [`Metrics::stages`].
const STAGES: [&str; 3] = ["preprocess", "network", "decode"];

/// The metrics of one run.
#[derive(Debug)]
pub struct Metrics {
    /// Kind and bundle, as labels.
    model: Mutex<String>,
    /// How often the configuration was read again, and how often that failed.
    reloads: [AtomicU64; 2],
    started: SystemTime,
    cameras: Vec<Camera>,
    stages: [Histogram; STAGES.len()],
    ages: Histogram,
    dropped_poses: AtomicU64,
    counts: Mutex<Counts>,
    /// Images encoded for the preview.
    images: AtomicU64,
    /// Clients of the preview that were too slow.
    slow_clients: AtomicU64,
    dropped_lines: Arc<DroppedLines>,
    broker: Arc<BrokerCounts>,
    tracks: Arc<TrackCounts>,
}

#[derive(Debug, Default)]
struct Camera {
    frames: AtomicU64,
    poses: AtomicU64,
}

/// How many values fall into each bucket, the last of which has no upper bound, and their sum.
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
    /// Metrics of a model with this `schema`, and of `cameras` cameras (at least one).
    pub fn new(schema: &OutputSchema, cameras: usize) -> Self {
        let metrics = Self {
            model: Mutex::default(),
            reloads: Default::default(),
            started: SystemTime::now(),
            cameras: (0..cameras.max(1)).map(|_| Camera::default()).collect(),
            stages: Default::default(),
            ages: Histogram::default(),
            dropped_poses: AtomicU64::new(0),
            counts: Mutex::default(),
            images: AtomicU64::new(0),
            slow_clients: AtomicU64::new(0),
            dropped_lines: Arc::default(),
            broker: Arc::default(),
            tracks: Arc::default(),
        };
        metrics.describe(schema);
        metrics
    }

    /// The results that follow are those that `schema` describes.
    pub(super) fn describe(&self, schema: &OutputSchema) {
        let labels = format!("model=\"{}\",bundle=\"{}\"", escaped(&schema.model), escaped(&schema.bundle));
        *self.model.lock().unwrap_or_else(PoisonError::into_inner) = labels;
    }

    /// Counts an attempt to replace the model.
    pub fn reloaded(&self, is_replaced: bool) {
        self.reloads[usize::from(!is_replaced)].fetch_add(1, Ordering::Relaxed);
    }

    /// Replaces the counts of the runtime.
    pub fn set_counts(&self, counts: &Counts) {
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner) = *counts;
    }

    /// The counter to which the other sinks add the lines that they drop.
    pub fn dropped_lines(&self) -> Arc<DroppedLines> {
        Arc::clone(&self.dropped_lines)
    }

    /// The counters of sinks that send to brokers.
    pub fn broker(&self) -> Arc<BrokerCounts> {
        Arc::clone(&self.broker)
    }

    /// The counters of the tracker.
    pub fn tracks(&self) -> Arc<TrackCounts> {
        Arc::clone(&self.tracks)
    }

    /// Counts one result.
    pub(super) fn processed(&self, result: &FrameResult<'_>) {
        if let Some(camera) = self.cameras.get(result.live.map_or(0, |live| live.camera)) {
            camera.frames.fetch_add(1, Ordering::Relaxed);
            camera.poses.store(result.poses.list.len() as u64, Ordering::Relaxed);
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

    /// Counts an image that was encoded.
    pub(super) fn encoded(&self) {
        self.images.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a client that was disconnected because it read too slowly.
    pub(super) fn client_dropped(&self) {
        self.slow_clients.fetch_add(1, Ordering::Relaxed);
    }

    /// The metrics as text, with the number of `viewers` and the thermal `zones`.
    pub(super) fn text(&self, viewers: usize, zones: &[Zone]) -> String {
        let counts = *self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let mut text = String::with_capacity(1 << 13);
        about(&mut text, "sinew_model_info", "gauge", "The model and its bundle; always 1.");
        let model = self.model.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let _ = writeln!(text, "sinew_model_info{{{model}}} 1");
        about(&mut text, "sinew_reloads_total", "counter", "Attempts to replace the model while running, by outcome.");
        for (outcome, count) in ["replaced", "refused"].iter().zip(&self.reloads) {
            let _ = writeln!(text, "sinew_reloads_total{{outcome=\"{outcome}\"}} {}", read(count));
        }
        // Fast restarts do not show in counters, which may be as high again by the next scrape.
        let started = self.started.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        about(&mut text, "sinew_start_time_seconds", "gauge", "When the run began, seconds since 1970.");
        let _ = writeln!(text, "sinew_start_time_seconds {started:.3}");
        about(&mut text, "sinew_frames_total", "counter", "Frames whose results reached the outputs.");
        for (number, camera) in self.cameras.iter().enumerate() {
            let _ = writeln!(text, "sinew_frames_total{{camera=\"{number}\"}} {}", read(&camera.frames));
        }
        about(&mut text, "sinew_frames_dropped_total", "counter", "Frames without a result, by reason.");
        for (reason, count) in counts.dropped.by_reason() {
            let _ = writeln!(text, "sinew_frames_dropped_total{{reason=\"{reason}\"}} {count}");
        }
        about(&mut text, "sinew_poses", "gauge", "Poses in the newest result.");
        for (number, camera) in self.cameras.iter().enumerate() {
            let _ = writeln!(text, "sinew_poses{{camera=\"{number}\"}} {}", read(&camera.poses));
        }
        for (name, help, count) in [
            (
                "sinew_poses_dropped_total",
                "Poses that exceeded the limit or were not finite.",
                read(&self.dropped_poses),
            ),
            ("sinew_camera_restarts_total", "How often a camera was reopened or restarted.", counts.restarts),
            ("sinew_camera_stalls_total", "How often a camera delivered no frame for a while.", counts.stalls),
            ("sinew_camera_failures_total", "How often a camera failed or was unplugged.", counts.failures),
        ] {
            about(&mut text, name, "counter", help);
            let _ = writeln!(text, "{name} {count}");
        }
        about(&mut text, "sinew_stage_seconds", "histogram", "Time that a stage of a frame took.");
        for (stage, histogram) in STAGES.iter().zip(&self.stages) {
            histogram.write(&mut text, "sinew_stage_seconds", &format!("stage=\"{stage}\","));
        }
        about(&mut text, "sinew_frame_age_seconds", "histogram", "Time from a frame's capture to the outputs.");
        self.ages.write(&mut text, "sinew_frame_age_seconds", "");
        about(&mut text, "sinew_preview_viewers", "gauge", "Clients that watch the preview.");
        let _ = writeln!(text, "sinew_preview_viewers {viewers}");
        about(&mut text, "sinew_preview_images_total", "counter", "Images encoded for the preview.");
        let _ = writeln!(text, "sinew_preview_images_total {}", read(&self.images));
        about(&mut text, "sinew_preview_clients_dropped_total", "counter", "Clients that read too slowly.");
        let _ = writeln!(text, "sinew_preview_clients_dropped_total {}", read(&self.slow_clients));
        about(
            &mut text,
            "sinew_lines_dropped_total",
            "counter",
            "Lines dropped because of a full disk or a slow reader.",
        );
        for (reason, count) in [("disk", self.dropped_lines.disk()), ("reader", self.dropped_lines.readers())] {
            let _ = writeln!(text, "sinew_lines_dropped_total{{reason=\"{reason}\"}} {count}");
        }
        if self.broker.sinks() > 0 {
            write_broker(&mut text, &self.broker);
        }
        about(&mut text, "sinew_tracks_active", "gauge", "Current tracks with an identity, of all cameras.");
        let _ = writeln!(text, "sinew_tracks_active {}", self.tracks.active());
        about(&mut text, "sinew_tracks_started_total", "counter", "Identities given, of all cameras.");
        let _ = writeln!(text, "sinew_tracks_started_total {}", self.tracks.started());
        if let Some(zones) = self.tracks.zones() {
            write_zones(&mut text, zones);
        }
        // Without a temperature sensor, no line is better than a 0.
        if let Some(celsius) = thermal::hottest(zones) {
            about(&mut text, "sinew_soc_temperature_celsius", "gauge", "The hottest thermal zone.");
            let _ = writeln!(text, "sinew_soc_temperature_celsius {celsius}");
            about(&mut text, "sinew_throttled", "gauge", "1 while the kernel lowers clocks because of heat.");
            let _ = writeln!(text, "sinew_throttled {}", u8::from(zones.iter().any(|zone| zone.throttles)));
        }
        text
    }
}

/// Counts of results on their way to brokers.
fn write_broker(text: &mut String, counts: &BrokerCounts) {
    for (name, kind, help, count) in [
        ("sinew_mqtt_connected", "gauge", "Brokers that are connected.", counts.connected()),
        ("sinew_mqtt_connections_total", "counter", "Connections that brokers accepted.", counts.connections()),
        ("sinew_mqtt_sent_total", "counter", "Results that brokers have.", counts.sent()),
        ("sinew_mqtt_spooled_total", "counter", "Results that were written to the spool.", counts.spooled()),
        ("sinew_mqtt_waiting", "gauge", "Results in memory and in the spool.", counts.waiting()),
    ] {
        about(text, name, kind, help);
        let _ = writeln!(text, "{name} {count}");
    }
    about(text, "sinew_mqtt_dropped_total", "counter", "Results that will never reach the broker, by reason.");
    for (reason, count) in counts.by_loss() {
        let _ = writeln!(text, "sinew_mqtt_dropped_total{{reason=\"{reason}\"}} {count}");
    }
}

/// Counts of zones and lines.
fn write_zones(text: &mut String, totals: &ZoneTotals) {
    type Count = fn(&ZoneCounts) -> u64;
    let zone_metrics: [(&str, &str, &str, Count); 4] = [
        ("sinew_zone_inside", "gauge", "People in a zone now.", |counts| u64::from(counts.inside)),
        ("sinew_zone_entered_total", "counter", "People who entered a zone.", |counts| counts.entered),
        ("sinew_zone_left_total", "counter", "People who left a zone.", |counts| counts.left),
        ("sinew_zone_lost_total", "counter", "People whose track ended in a zone.", |counts| counts.lost),
    ];
    if totals.zones().next().is_some() {
        for (name, kind, help, of) in zone_metrics {
            about(text, name, kind, help);
            for (camera, zone, counts) in totals.zones() {
                let _ = writeln!(text, "{name}{{camera=\"{camera}\",zone=\"{zone}\"}} {}", of(&counts));
            }
        }
    }
    if totals.lines().next().is_some() {
        let name = "sinew_line_crossed_total";
        about(text, name, "counter", "Crossings of a line, by direction.");
        for (camera, line, counts) in totals.lines() {
            for (to, count) in [("right", counts.right), ("left", counts.left)] {
                let _ = writeln!(text, "{name}{{camera=\"{camera}\",line=\"{line}\",to=\"{to}\"}} {count}");
            }
        }
    }
}

/// The two comment lines before a metric.
fn about(text: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

/// A label's value.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counts::Dropped;

    #[test]
    fn buckets_are_upper_bounds_and_add_up() {
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
        assert_eq!(value("x_bucket{stage=\"a\",le=\"0.001\"}"), 2.0, "the bound belongs to the bucket");
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
    fn every_reason_has_a_line() {
        let metrics = Metrics::new(&OutputSchema::default(), 1);
        let dropped = Dropped { superseded: 1, output: 2, driver: 3, corrupt: 4, unreadable: 5, unsupported_size: 6 };
        metrics.set_counts(&Counts { dropped, ..Counts::default() });
        let text = metrics.text(0, &[]);
        for (reason, count) in dropped.by_reason() {
            let line = format!("\nsinew_frames_dropped_total{{reason=\"{reason}\"}} {count}\n");
            assert!(text.contains(&line), "no {line} in {text}");
        }
    }

    #[test]
    fn names_begin_with_the_program_and_have_a_type() {
        let text = Metrics::new(&OutputSchema::default(), 2).text(0, &[]);
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let name = line.split(['{', ' ']).next().unwrap();
            let family = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
            assert!(name.starts_with("sinew_") && text.contains(&format!("# TYPE {family} ")), "{line}");
        }
    }

    #[test]
    fn every_metric_is_documented() {
        let documented = include_str!("../../../docs/outputs.md");
        let (code, _) = include_str!("metrics.rs").split_once("#[cfg(test)]").unwrap();
        let name_of = |text: &'static str| text.split(|c: char| c != '_' && !c.is_ascii_lowercase()).next().unwrap();
        let names: Vec<&str> = code.split("\"sinew_").skip(1).map(name_of).collect();
        assert!(names.len() > 20, "{names:?}");
        for name in names {
            let is_listed = ["`", "{"].iter().any(|end| documented.contains(&format!("| `sinew_{name}{end}")));
            assert!(is_listed, "sinew_{name} has no row in docs/outputs.md");
        }
    }

    #[test]
    fn every_metric_is_on_the_dashboard() {
        let (documented, dashboard) =
            (include_str!("../../../docs/outputs.md"), include_str!("../../../board/fleet/grafana/sinew.json"));
        let is_letter = |c: char| c == '_' || c.is_ascii_lowercase();
        let names = |text: &'static str, start| {
            text.split(start).skip(1).map(move |rest| rest.split(|c| !is_letter(c)).next().unwrap())
        };
        let shown: Vec<&str> = names(dashboard, "sinew_").collect();
        let documented: Vec<&str> = names(documented, "\n| `sinew_").collect();
        assert!(documented.len() > 20, "{documented:?}");
        for name in documented {
            let series = ["", "_bucket", "_sum", "_count"].map(|end| format!("{name}{end}"));
            let is_shown = shown.iter().any(|shown| series.iter().any(|name| name == shown));
            assert!(is_shown, "sinew_{name} is not in board/fleet/grafana/sinew.json");
        }
    }

    #[test]
    fn heat_is_reported_where_it_is_known() {
        let metrics = Metrics::new(&OutputSchema::default(), 1);
        assert!(!metrics.text(0, &[]).contains("sinew_throttled"));
        let zone = |celsius, throttles| Zone { name: String::new(), celsius, throttles };
        let text = metrics.text(0, &[zone(99.5, true), zone(40.0, false)]);
        assert!(
            text.contains("\nsinew_soc_temperature_celsius 99.5\n") && text.contains("\nsinew_throttled 1\n"),
            "{text}"
        );
        assert!(metrics.text(0, &[zone(40.0, false)]).contains("\nsinew_throttled 0\n"));
    }

    #[test]
    fn brokers_have_lines_where_there_are_some() {
        let metrics = Metrics::new(&OutputSchema::default(), 1);
        assert!(!metrics.text(0, &[]).contains("sinew_mqtt"));
        let counts = metrics.broker();
        counts.on_open();
        counts.on_accepted(7);
        counts.on_sent(2);
        let text = metrics.text(0, &[]);
        for line in ["sinew_mqtt_connected 0", "sinew_mqtt_sent_total 2", "sinew_mqtt_waiting 5"] {
            assert!(text.contains(&format!("\n{line}\n")), "no {line} in {text}");
        }
        assert!(text.contains("sinew_mqtt_dropped_total{reason=\"queue\"} 0"), "{text}");
    }

    #[test]
    fn zones_have_lines_where_there_are_some() {
        let metrics = Metrics::new(&OutputSchema::default(), 2);
        assert!(!metrics.text(0, &[]).contains("sinew_zone"));
        let zone = crate::track::zones::Zone::new(&[(0.0, 0.0), (9.0, 0.0), (9.0, 9.0)]).unwrap();
        let line = crate::track::zones::Line::new((0.0, 0.0), (9.0, 9.0)).unwrap();
        let setup = crate::sink::ZoneSetup {
            zones: vec![crate::sink::NamedZone { name: "door".to_owned(), zone }],
            lines: vec![crate::sink::NamedLine { name: "gate".to_owned(), line }],
            ..Default::default()
        };
        metrics.tracks().add_zones(&Arc::new(setup), 2);
        let text = metrics.text(0, &[]);
        for line in [
            "sinew_zone_inside{camera=\"1\",zone=\"door\"} 0",
            "sinew_zone_entered_total{camera=\"0\",zone=\"door\"} 0",
            "sinew_line_crossed_total{camera=\"0\",line=\"gate\",to=\"left\"} 0",
        ] {
            assert!(text.contains(&format!("\n{line}\n")), "no {line} in {text}");
        }
    }

    #[test]
    fn labels_are_escaped() {
        assert_eq!(escaped("a\"b\\c\nd"), "a\\\"b\\\\c\\nd");
    }
}
