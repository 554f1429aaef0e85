//! JSON lines: one header object, then one object per frame; another header where the model is replaced during the run.
//!
//! `docs/schema/results.schema.json` describes every kind of line, docs/outputs.md has the same as a table. Times are in seconds
//! and positions in image pixels, as the header says once.
//!
//! Every line is built in a preallocated buffer and passed to the output in one piece, including its end, the header first:
//! outputs rely on that, and know headers by `is_header`. After the first lines nothing is allocated.

use std::io::Write;
use std::time::Duration;

use serde::ser::SerializeSeq as _;
use serde::{Serialize, Serializer};

use super::zones::{EventList, LineList, ZoneCounter, ZoneList};
use super::{Category, FrameResult, OutputSchema, Sink, SinkError};
use crate::bundle::logocap::Refinement;
use crate::pose::{Keypoint, Pose};

/// Version of the lines, in the header. It changes when a key is removed or means something else, not when one is added.
const SCHEMA: u32 = 1;
/// Bytes of a line without its poses: the keys, the times, and a long file name.
const LINE_BYTES: usize = 1024;
/// Bytes of the zones, lines and events of a frame, with names of usual length.
const ZONE_BYTES: usize = 8192;
/// Bytes of a pose without its keypoints: the keys, its score, its box.
const POSE_BYTES: usize = 220;
/// Bytes of a keypoint: three numbers of at most 16 characters and their punctuation.
const KEYPOINT_BYTES: usize = 54;

/// Whether a line is a header, which describes those behind it.
pub(super) fn is_header(line: &[u8]) -> bool {
    line.starts_with(b"{\"schema\":")
}

/// Writes JSON lines to `W`.
#[derive(Debug)]
pub struct JsonLines<W> {
    output: W,
    target: String,
    line: Vec<u8>,
    /// Names of the templates, if there are any.
    templates: Vec<String>,
    /// By camera: the number of the frame that would follow its last line.
    next_sequences: Vec<u64>,
}

impl<W: Write + Send> JsonLines<W> {
    /// Writes the header to `output`, which errors call `target`.
    ///
    /// # Errors
    /// If the header cannot be written.
    pub fn new(output: W, target: &str, schema: &OutputSchema) -> Result<Self, SinkError> {
        let (target, next_sequences) = (target.to_owned(), Vec::new());
        let mut sink = Self { output, target, line: Vec::new(), templates: Vec::new(), next_sequences };
        sink.describe(schema)?;
        Ok(sink)
    }

    fn write_header(&mut self, schema: &OutputSchema) -> std::io::Result<()> {
        let mut header = serde_json::to_vec(&Header {
            schema: SCHEMA,
            sinew: env!("CARGO_PKG_VERSION"),
            units: Units { time: "s", position: "px" },
            host: schema.host.as_deref(),
            device: schema.device.as_deref(),
            model: &schema.model,
            bundle: &schema.bundle,
            keypoints: schema.categories.first().map_or(&[], |kind| &kind.keypoints),
            skeleton: schema.categories.first().map_or(&[], |kind| &kind.skeleton.edges),
            templates: schema.templates.then(|| schema.categories.iter().map(TemplateObject::from).collect()),
        })?;
        let names = if schema.templates { &schema.categories[..] } else { &[] };
        self.templates = names.iter().map(|kind| kind.name.clone()).collect();
        let keypoints = schema.categories.iter().map(|kind| kind.keypoints.len()).max().unwrap_or_default();
        let name = self.templates.iter().map(String::len).max().unwrap_or_default();
        let pose_bytes = POSE_BYTES + 2 * name + keypoints * KEYPOINT_BYTES;
        self.line.resize(LINE_BYTES + ZONE_BYTES + schema.poses * pose_bytes, 0);
        header.push(b'\n');
        debug_assert!(is_header(&header));
        self.output.write_all(&header)
    }
}

impl<W> JsonLines<W> {
    /// What the lines are written to.
    pub(super) fn output(&mut self) -> &mut W {
        &mut self.output
    }

    /// How many frames of this camera are missing before the one with this number.
    fn missed(&mut self, camera: usize, sequence: u64) -> u64 {
        let next = sequence.saturating_add(1);
        match self.next_sequences.get_mut(camera) {
            Some(expected) => sequence.saturating_sub(std::mem::replace(expected, next)),
            // Before a camera's first line nothing is missing, whatever its first number.
            None => {
                self.next_sequences.resize(camera, u64::MAX);
                self.next_sequences.push(next);
                0
            }
        }
    }
}

impl<W: Write + Send> Sink for JsonLines<W> {
    fn put(&mut self, result: &FrameResult<'_>) -> Result<(), SinkError> {
        let missed = self.missed(result.live.map_or(0, |live| live.camera), result.frame.sequence);
        let line = Line::new(result, missed, &self.templates);
        let length = loop {
            // One byte is kept for the end of the line.
            let room = self.line.len() - 1;
            match serde_json_core::to_slice(&line, &mut self.line[..room]) {
                Ok(length) => break length,
                // Only names longer than any before get here.
                Err(_) => self.line.resize(self.line.len() * 2, 0),
            }
        };
        self.line[length] = b'\n';
        let written = self.output.write_all(&self.line[..=length]);
        // Live lines are flushed at once.
        let written = if result.live.is_some() { written.and_then(|()| self.output.flush()) } else { written };
        written.map_err(|error| SinkError::from_write(&self.target, error))
    }

    fn describe(&mut self, schema: &OutputSchema) -> Result<(), SinkError> {
        self.write_header(schema).map_err(|error| SinkError::from_write(&self.target, error))
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        self.output.flush().map_err(|error| SinkError::from_write(&self.target, error))
    }
}

#[derive(Serialize)]
struct Header<'a> {
    schema: u32,
    sinew: &'static str,
    units: Units,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<&'a str>,
    model: &'a str,
    bundle: &'a str,
    keypoints: &'a [String],
    skeleton: &'a [(u16, u16)],
    #[serde(skip_serializing_if = "Option::is_none")]
    templates: Option<Vec<TemplateObject<'a>>>,
}

#[derive(Serialize)]
struct Units {
    time: &'static str,
    position: &'static str,
}

#[derive(Serialize)]
struct TemplateObject<'a> {
    name: &'a str,
    keypoints: &'a [String],
    skeleton: &'a [(u16, u16)],
}

impl<'a> From<&'a Category> for TemplateObject<'a> {
    fn from(kind: &'a Category) -> Self {
        Self { name: &kind.name, keypoints: &kind.keypoints, skeleton: &kind.skeleton.edges }
    }
}

#[derive(Serialize)]
struct Line<'a> {
    sequence: u64,
    name: Option<&'a str>,
    captured: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    camera: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    captured_utc: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    age: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    level: Option<Refinement>,
    image: (usize, usize),
    #[serde(serialize_with = "poses")]
    poses: PoseList<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    zones: Option<ZoneList<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lines: Option<LineList<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    events: Option<EventList<'a>>,
    dropped: DroppedCounts,
    times: Times,
}

/// The poses of a frame, and the templates that they may be of.
struct PoseList<'a> {
    poses: &'a [Pose],
    templates: &'a [String],
}

#[derive(Serialize)]
struct DroppedCounts {
    frames: u64,
    poses: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    events: Option<u32>,
}

#[derive(Serialize)]
struct Times {
    preprocess: f64,
    network: f64,
    decode: f64,
}

#[derive(Serialize)]
struct PoseObject<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<u32>,
    /// Age of the track, seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    age: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seen: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    template: Option<&'a str>,
    score: f32,
    #[serde(serialize_with = "keypoints")]
    keypoints: &'a [Keypoint],
    #[serde(rename = "box")]
    bounds: Option<(f32, f32, f32, f32)>,
}

impl<'a> Line<'a> {
    fn new(result: &FrameResult<'a>, missed: u64, templates: &'a [String]) -> Self {
        let size = result.frame.image.size();
        let (zones, lines, events) = match result.zones.map(ZoneCounter::written) {
            Some((zones, lines, events)) => (Some(zones), Some(lines), Some(events)),
            None => (None, None, None),
        };
        Self {
            sequence: result.frame.sequence,
            name: result.frame.name,
            captured: result.frame.captured.map(|time| time.as_secs_f64()),
            camera: result.live.map(|live| live.camera),
            captured_utc: result.live.and_then(|live| live.captured_utc).map(seconds),
            age: result.live.and_then(|live| live.age).map(seconds),
            level: result.times.level,
            image: (size.width, size.height),
            poses: PoseList { poses: &result.poses.list, templates },
            zones,
            lines,
            events,
            dropped: DroppedCounts {
                frames: missed,
                poses: result.poses.dropped,
                events: result.zones.map(ZoneCounter::omitted),
            },
            times: Times {
                preprocess: seconds(result.times.preprocess),
                network: seconds(result.times.network),
                decode: seconds(result.times.decode),
            },
        }
    }
}

/// Seconds, to the microsecond.
fn seconds(time: Duration) -> f64 {
    time.as_micros() as f64 / 1e6
}

fn poses<S: Serializer>(list: &PoseList<'_>, serializer: S) -> Result<S::Ok, S::Error> {
    let mut sequence = serializer.serialize_seq(Some(list.poses.len()))?;
    for pose in list.poses {
        let bounds = pose.bounds().map(|bounds| (bounds.x, bounds.y, bounds.width, bounds.height));
        let template = list.templates.get(usize::from(pose.template)).map(String::as_str);
        let identity = pose.identity;
        let object = PoseObject {
            id: identity.map(|identity| identity.id),
            age: identity.map(|identity| seconds(identity.age)),
            seen: identity.map(|identity| identity.seen),
            template,
            score: pose.score,
            keypoints: &pose.keypoints,
            bounds,
        };
        sequence.serialize_element(&object)?;
    }
    sequence.end()
}

fn keypoints<S: Serializer>(keypoints: &[Keypoint], serializer: S) -> Result<S::Ok, S::Error> {
    let mut sequence = serializer.serialize_seq(Some(keypoints.len()))?;
    for keypoint in keypoints {
        sequence.serialize_element(&(keypoint.x, keypoint.y, keypoint.score))?;
    }
    sequence.end()
}

#[cfg(test)]
mod tests {
    use std::io;

    use serde_json::{Value, json};

    use super::*;
    use crate::estimator::StageTimes;
    use crate::geometry::Size;
    use crate::pixels::{ImageView, PixelFormat};
    use crate::pose::{Poses, Skeleton};
    use crate::sink::{Live, RgbCache};
    use crate::source::Frame;

    fn schema() -> OutputSchema {
        OutputSchema {
            model: "logocap".into(),
            bundle: "tiny".into(),
            categories: vec![Category {
                name: "person".into(),
                keypoints: vec!["nose".into(), "left_eye".into()],
                skeleton: Skeleton { edges: [(0, 1)].into_iter().collect() },
            }],
            templates: false,
            poses: 30,
            host: Some("gate".into()),
            device: None,
        }
    }

    fn poses(count: usize) -> Poses {
        let keypoint = |x, y, score| Keypoint { x, y, score };
        let keypoints = [keypoint(1.5, 2.0, 0.25), keypoint(-4.0, 0.5, 0.0)].into_iter().collect();
        let pose = Pose { keypoints, score: 0.125, ..Pose::default() };
        Poses { list: std::iter::repeat_n(pose, count).collect(), dropped: 2 }
    }

    /// What is written for frames with these sequence numbers and names.
    fn lines(frames: &[(u64, Option<&str>)], poses: &Poses) -> Vec<Value> {
        let mut written = Vec::new();
        let mut sink = JsonLines::new(&mut written, "memory", &schema()).unwrap();
        let image = ImageView::new(PixelFormat::Grey, Size::new(4, 3), 4, &[0; 12]).unwrap();
        for &(sequence, name) in frames {
            let frame = Frame {
                image,
                sequence,
                captured: name.is_none().then_some(Duration::from_millis(40)),
                instant: None,
                name,
            };
            let times = StageTimes { network: Duration::from_micros(1500), ..StageTimes::default() };
            sink.put(&FrameResult { frame, poses, times, live: None, zones: None, rgb: &RgbCache::default() }).unwrap();
        }
        sink.finish().unwrap();
        let text = String::from_utf8(written).unwrap();
        assert!(text.ends_with('\n'));
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn header_then_frames() {
        let lines = lines(&[(0, Some("a \"b\".jpg")), (4, None)], &poses(1));
        assert_eq!(
            lines[0],
            json!({
                "schema": 1, "sinew": env!("CARGO_PKG_VERSION"), "units": {"time": "s", "position": "px"}, "host": "gate", "model": "logocap", "bundle": "tiny",
                "keypoints": ["nose", "left_eye"], "skeleton": [[0, 1]],
            })
        );
        assert_eq!(
            lines[1],
            json!({
                "sequence": 0, "name": "a \"b\".jpg", "captured": null, "image": [4, 3],
                "poses": [{
                    "score": 0.125, "keypoints": [[1.5, 2.0, 0.25], [-4.0, 0.5, 0.0]], "box": [-4.0, 0.5, 5.5, 1.5],
                }],
                "dropped": {"frames": 0, "poses": 2},
                "times": {"preprocess": 0.0, "network": 0.0015, "decode": 0.0},
            })
        );
        assert_eq!(lines[2]["captured"], json!(0.04));
        assert_eq!(lines[2]["dropped"]["frames"], 3);
        assert_eq!(lines.len(), 3);
    }

    #[test]
    fn a_full_frame_and_a_long_name_fit() {
        let name = "\u{1}".repeat(5000);
        let lines = lines(&[(0, Some(&name))], &poses(30));
        assert_eq!(lines[1]["name"], json!(name));
        assert_eq!(lines[1]["poses"].as_array().unwrap().len(), 30);
    }

    #[test]
    fn the_first_buffer_holds_the_longest_numbers() {
        let number = -1.234_567_8e-30;
        let keypoints = std::iter::repeat_n(Keypoint { x: number, y: number, score: number }, 2).collect();
        let identity = crate::pose::Identity { id: u32::MAX, age: Duration::MAX, seen: u32::MAX };
        let pose = Pose { keypoints, score: number, identity: Some(identity), ..Pose::default() };
        let poses = Poses { list: std::iter::repeat_n(pose, 30).collect(), dropped: u32::MAX };
        let mut sink = JsonLines::new(Vec::new(), "memory", &schema()).unwrap();
        let capacity = sink.line.len();
        let image = ImageView::new(PixelFormat::Grey, Size::new(4, 3), 4, &[0; 12]).unwrap();
        let frame =
            Frame { image, sequence: u64::MAX, captured: Some(Duration::MAX), instant: None, name: Some("a.jpg") };
        sink.put(&FrameResult {
            frame,
            poses: &poses,
            times: StageTimes::default(),
            live: None,
            zones: None,
            rgb: &RgbCache::default(),
        })
        .unwrap();
        assert_eq!(sink.line.len(), capacity, "nothing had to grow");
    }

    #[test]
    fn every_camera_has_its_own_sequence() {
        let mut sink = JsonLines::new(Vec::new(), "memory", &schema()).unwrap();
        let missed: Vec<u64> = [(1, 7), (0, 100), (1, 8), (0, 103), (1, 10), (0, 104), (2, 0), (2, 1)]
            .map(|(camera, sequence)| sink.missed(camera, sequence))
            .into();
        assert_eq!(missed, [0, 0, 0, 2, 1, 0, 0, 0]);
    }

    #[test]
    fn ages_and_cameras_are_in_the_lines_of_cameras() {
        let mut written = Vec::new();
        let mut sink = JsonLines::new(&mut written, "memory", &schema()).unwrap();
        let image = ImageView::new(PixelFormat::Grey, Size::new(4, 3), 4, &[0; 12]).unwrap();
        let frame = Frame { image, sequence: 0, captured: None, instant: None, name: None };
        let live = Some(Live { age: Some(Duration::from_micros(41_250)), captured_utc: None, camera: 1 });
        let times = StageTimes::default();
        sink.put(&FrameResult { frame, poses: &poses(0), times, live, zones: None, rgb: &RgbCache::default() })
            .unwrap();
        let line: Value = serde_json::from_slice(written.split(|&byte| byte == b'\n').nth(1).unwrap()).unwrap();
        assert_eq!((&line["camera"], &line["age"]), (&json!(1), &json!(0.04125)));
    }

    /// A pipe that its reader has closed.
    #[derive(Debug)]
    struct Closed;

    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_closed_pipe_is_told_apart() {
        let error = JsonLines::new(Closed, "pipe", &schema()).unwrap_err();
        assert!(matches!(error, SinkError::Closed { .. }), "{error}");
    }
}
