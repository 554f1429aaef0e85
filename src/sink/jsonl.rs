//! JSON lines: one header object, then one object per frame.
//!
//! Header: `{"sinew":version,"model":..,"bundle":..,"keypoints":[names],"skeleton":[[a,b],..]}`.
//! Frame: `{"sequence":..,"name":..|null,"captured":seconds|null,"image":[width,height],
//! "poses":[{"score":..,"keypoints":[[x,y,score],..],"box":[x,y,width,height]}],
//! "dropped":{"frames":..,"poses":..},"times":{"preprocess":ms,"network":ms,"decode":ms}}`.
//! Coordinates are picture pixels. A pose has an `"id"` where a tracker gave it one.
//!
//! Every line is written into a buffer that is made at the start and handed to the operating system in one piece;
//! after the first lines nothing is allocated.

use std::io::Write;
use std::time::Duration;

use serde::ser::SerializeSeq as _;
use serde::{Serialize, Serializer};

use super::{Answer, Description, Sink, SinkError};
use crate::pose::{Keypoint, Pose};

/// Bytes of a line besides its poses: the keys, the times, and a long file name.
const LINE_BYTES: usize = 1024;
/// Bytes of a pose besides its keypoints: the keys, its score, its box.
const POSE_BYTES: usize = 160;
/// Bytes of a keypoint: three numbers of at most 16 characters and their punctuation.
const KEYPOINT_BYTES: usize = 54;

/// Writes JSON lines to `W`.
#[derive(Debug)]
pub struct JsonLines<W> {
    output: W,
    target: String,
    line: Vec<u8>,
    next_sequence: Option<u64>,
}

impl<W: Write + Send> JsonLines<W> {
    /// Writes the header to `output`, which errors call `target`.
    ///
    /// # Errors
    /// Where the header cannot be written.
    pub fn new(output: W, target: &str, description: &Description) -> Result<Self, SinkError> {
        let header = serde_json::to_vec(&Header {
            sinew: env!("CARGO_PKG_VERSION"),
            model: &description.model,
            bundle: &description.bundle,
            keypoints: &description.keypoints,
            skeleton: &description.skeleton.edges,
        })
        .map_err(|error| SinkError::from_write(target, error.into()))?;
        let pose_bytes = POSE_BYTES + description.keypoints.len() * KEYPOINT_BYTES;
        let line = vec![0; LINE_BYTES + description.poses * pose_bytes];
        let mut sink = Self { output, target: target.to_owned(), line, next_sequence: None };
        sink.write(&header)?;
        sink.write(b"\n")?;
        Ok(sink)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), SinkError> {
        self.output.write_all(bytes).map_err(|error| SinkError::from_write(&self.target, error))
    }
}

impl<W: Write + Send> Sink for JsonLines<W> {
    fn put(&mut self, answer: &Answer<'_>) -> Result<(), SinkError> {
        let sequence = answer.frame.sequence;
        // The first frame has lost none, wherever the source begins to count.
        let missed = self.next_sequence.map_or(0, |expected| sequence.saturating_sub(expected));
        self.next_sequence = Some(sequence.saturating_add(1));

        let line = Line::new(answer, missed);
        let length = loop {
            // One byte is kept for the end of the line.
            let room = self.line.len() - 1;
            match serde_json_core::to_slice(&line, &mut self.line[..room]) {
                Ok(length) => break length,
                // Only a file name longer than any before gets here.
                Err(_) => self.line.resize(self.line.len() * 2, 0),
            }
        };
        self.line[length] = b'\n';
        self.output.write_all(&self.line[..=length]).map_err(|error| SinkError::from_write(&self.target, error))
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        self.output.flush().map_err(|error| SinkError::from_write(&self.target, error))
    }
}

#[derive(Serialize)]
struct Header<'a> {
    sinew: &'static str,
    model: &'a str,
    bundle: &'a str,
    keypoints: &'a [String],
    skeleton: &'a [(u16, u16)],
}

#[derive(Serialize)]
struct Line<'a> {
    sequence: u64,
    name: Option<&'a str>,
    captured: Option<f64>,
    image: (usize, usize),
    #[serde(serialize_with = "poses")]
    poses: &'a [Pose],
    dropped: Dropped,
    times: Times,
}

#[derive(Serialize)]
struct Dropped {
    frames: u64,
    poses: u32,
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
    score: f32,
    #[serde(serialize_with = "keypoints")]
    keypoints: &'a [Keypoint],
    #[serde(rename = "box")]
    bounds: Option<(f32, f32, f32, f32)>,
}

impl<'a> Line<'a> {
    fn new(answer: &Answer<'a>, missed: u64) -> Self {
        let size = answer.frame.picture.size();
        Self {
            sequence: answer.frame.sequence,
            name: answer.frame.name,
            captured: answer.frame.captured.map(|time| time.as_secs_f64()),
            image: (size.width, size.height),
            poses: &answer.poses.list,
            dropped: Dropped { frames: missed, poses: answer.poses.dropped },
            times: Times {
                preprocess: milliseconds(answer.times.preprocess),
                network: milliseconds(answer.times.network),
                decode: milliseconds(answer.times.decode),
            },
        }
    }
}

/// Milliseconds, to the microsecond.
fn milliseconds(time: Duration) -> f64 {
    time.as_micros() as f64 / 1000.0
}

fn poses<S: Serializer>(poses: &[Pose], serializer: S) -> Result<S::Ok, S::Error> {
    let mut sequence = serializer.serialize_seq(Some(poses.len()))?;
    for pose in poses {
        let bounds = pose.bounds().map(|bounds| (bounds.x, bounds.y, bounds.width, bounds.height));
        let object = PoseObject { id: pose.id, score: pose.score, keypoints: &pose.keypoints, bounds };
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
