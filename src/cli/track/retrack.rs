//! Result lines in, the same lines with identities and smoothed keypoints out.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::json::{elements, members};
use crate::pose::{Keypoint, MAX_KEYPOINTS, MAX_POSES, Pose, Poses};
use crate::runtime::CameraTracker;
use crate::sink::ZoneSetup;
use crate::track::TrackOptions;

/// Keys that the tracker replaces.
const WRITTEN: [&str; 3] = ["id", "age", "seen"];

/// Maximum number of cameras: each takes a tracker.
const MOST_CAMERAS: usize = 64;

/// The parts of a header that are used.
#[derive(Debug, Deserialize)]
struct Header {
    #[serde(default)]
    keypoints: Vec<String>,
    #[serde(default)]
    templates: Vec<Named>,
}

#[derive(Debug, Deserialize)]
struct Named {
    name: String,
}

/// The parts of a frame's line that are used, except its poses.
#[derive(Debug, Deserialize)]
struct Line {
    sequence: Option<u64>,
    captured: Option<f64>,
    #[serde(default)]
    camera: usize,
}

/// The parts of a pose that are used.
#[derive(Debug, Deserialize)]
struct Found {
    #[serde(default)]
    score: Option<f32>,
    keypoints: Vec<Vec<f32>>,
    template: Option<String>,
}

/// Tracks the poses of every camera in the lines.
pub struct Retracker {
    options: TrackOptions,
    /// Frame rate of lines without a time.
    rate: f64,
    /// By camera.
    trackers: BTreeMap<usize, CameraTracker>,
    zones: Arc<ZoneSetup>,
    templates: Vec<String>,
    frames: u64,
    found: Box<Poses>,
    tracked: Box<Poses>,
}

impl Retracker {
    /// A tracker for lines; `rate` is their frame rate if they have no times.
    pub fn new(options: &TrackOptions, zones: ZoneSetup, rate: f64) -> Self {
        Self {
            options: options.clone(),
            rate,
            trackers: BTreeMap::new(),
            zones: Arc::new(zones),
            templates: Vec::new(),
            frames: 0,
            found: Box::default(),
            tracked: Box::default(),
        }
    }

    /// Counts of frames and of identities given.
    pub fn counts(&self) -> (u64, u64) {
        (self.frames, self.trackers.values().map(|camera| u64::from(camera.tracker.started())).sum())
    }

    /// Returns the tracked line, without its end. A line without poses, such as a header, stays as it is.
    ///
    /// # Errors
    /// Returns a description of what is wrong with it.
    pub fn line(&mut self, text: &str) -> Result<String, String> {
        // Checks all of it, so that parts can be located in it.
        serde_json::from_str::<serde::de::IgnoredAny>(text).map_err(|error| error.to_string())?;
        let places = members(text);
        let Some((_, place)) = places.iter().find(|(key, _)| *key == "poses") else {
            if places.iter().any(|(key, _)| *key == "sinew") {
                self.header(text)?;
            }
            return Ok(text.to_owned());
        };
        let line: Line = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let list = &text[place.clone()];
        if !list.starts_with('[') {
            return Err(format!("\"poses\" is {}, expected an array", shortened(list)));
        }
        let poses: Vec<&str> = elements(list).into_iter().map(|place| &list[place]).collect();
        self.read(&poses)?;

        let time = line.captured.unwrap_or_else(|| line.sequence.unwrap_or(self.frames) as f64 / self.rate);
        let time = Duration::try_from_secs_f64(time)
            .map_err(|_| format!("\"captured\" is {time}, expected seconds from 0 on"))?;
        self.frames += 1;
        if self.trackers.len() == MOST_CAMERAS && !self.trackers.contains_key(&line.camera) {
            return Err(format!("\"camera\" {} is one of more than {MOST_CAMERAS}", line.camera));
        }
        let camera = match self.trackers.entry(line.camera) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                entry.insert(CameraTracker::new(&self.options, &self.zones).map_err(|error| error.to_string())?)
            }
        };
        camera.update(time, &self.found, &mut self.tracked);
        let counted = camera.zones.as_ref().map(|counter| {
            let (zones, lines, events) = counter.written();
            json!({"zones": zones, "lines": lines, "events": events})
        });

        let written: Vec<String> =
            poses.iter().zip(&self.tracked.list).map(|(text, pose)| self.write(text, pose)).collect();
        let poses = format!("[{}]", written.join(","));
        let Some(counted) = counted else {
            return Ok(format!("{}{poses}{}", &text[..place.start], &text[place.end..]));
        };
        Ok(with_counts(text, &poses, &counted))
    }

    fn header(&mut self, text: &str) -> Result<(), String> {
        let header: Header = serde_json::from_str(text).map_err(|error| error.to_string())?;
        self.templates = header.templates.into_iter().map(|template| template.name).collect();
        if self.options.keypoint_sigmas.is_empty() && header.keypoints == COCO {
            self.options.keypoint_sigmas = COCO_SIGMAS.into_iter().collect();
        }
        Ok(())
    }

    fn read(&mut self, poses: &[&str]) -> Result<(), String> {
        self.found.clear();
        for (index, text) in poses.iter().enumerate() {
            let wrong = |reason: String| format!("poses[{index}]: {reason}");
            let found: Found = serde_json::from_str(text).map_err(|error| wrong(error.to_string()))?;
            let mut pose = Pose { score: found.score.unwrap_or(0.0), ..Pose::default() };
            for (number, values) in found.keypoints.iter().enumerate() {
                let &[x, y, score] = &values[..] else {
                    return Err(wrong(format!("keypoint {number} has {} numbers, expected x, y, score", values.len())));
                };
                let full =
                    |_| wrong(format!("{} keypoints, at most {MAX_KEYPOINTS} are tracked", found.keypoints.len()));
                pose.keypoints.push(Keypoint { x, y, score }).map_err(full)?;
            }
            if let Some(name) = &found.template {
                let place = self.templates.iter().position(|template| template == name);
                let place = place.or_else(|| {
                    self.templates.push(name.clone());
                    Some(self.templates.len() - 1)
                });
                pose.template = place.and_then(|place| u16::try_from(place).ok()).unwrap_or_default();
            }
            let full = |_| format!("{} poses, at most {MAX_POSES} are tracked", poses.len());
            self.found.list.push(pose).map_err(full)?;
        }
        Ok(())
    }

    /// A pose's object with the tracker's values in place of earlier ones.
    fn write(&self, text: &str, pose: &Pose) -> String {
        let mut written = "{".to_owned();
        if let Some(identity) = pose.identity {
            let age = identity.age.as_micros() as f64 / 1e6;
            let _ = write!(written, "\"id\":{},\"age\":{age},\"seen\":{},", identity.id, identity.seen);
        }
        let smoothed = self.options.smooth_params.is_some() && pose.identity.is_some();
        for (key, place) in members(text) {
            match key {
                key if WRITTEN.contains(&key) => continue,
                "keypoints" if smoothed => {
                    let keypoints: Vec<_> =
                        pose.keypoints.iter().map(|point| (point.x, point.y, point.score)).collect();
                    let _ = write!(written, "\"keypoints\":{},", serde_json::to_string(&keypoints).unwrap_or_default());
                }
                "box" if smoothed => {
                    let bounds = pose.bounds().map(|bounds| (bounds.x, bounds.y, bounds.width, bounds.height));
                    let _ = write!(written, "\"box\":{},", serde_json::to_string(&bounds).unwrap_or_default());
                }
                key => {
                    let _ = write!(written, "\"{key}\":{},", &text[place]);
                }
            }
        }
        if written.ends_with(',') {
            written.pop();
        }
        written.push('}');
        written
    }
}

/// The line with these poses, followed by the counts in place of earlier ones.
fn with_counts(text: &str, poses: &str, counted: &Value) -> String {
    let mut written = String::from("{");
    for (key, place) in members(text) {
        if counted.get(key).is_some() {
            continue;
        }
        let value = if key == "poses" { poses } else { &text[place] };
        let _ = write!(written, "\"{key}\":{value},");
        if key == "poses" {
            for (key, value) in counted.as_object().into_iter().flatten() {
                let _ = write!(written, "\"{key}\":{value},");
            }
        }
    }
    written.pop();
    written.push('}');
    written
}

fn shortened(text: &str) -> String {
    text.chars().take(20).collect()
}

/// COCO's keypoints of a person.
const COCO: [&str; 17] = [
    "nose",
    "left_eye",
    "right_eye",
    "left_ear",
    "right_ear",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
    "left_hip",
    "right_hip",
    "left_knee",
    "right_knee",
    "left_ankle",
    "right_ankle",
];
/// COCO's OKS sigmas of [`COCO`].
pub const COCO_SIGMAS: [f32; 17] = [
    0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072, 0.062, 0.062, 0.107, 0.107, 0.087, 0.087, 0.089,
    0.089,
];

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(texts: &[String]) -> Vec<String> {
        let mut retracker = Retracker::new(&TrackOptions::default(), ZoneSetup::default(), 10.0);
        texts.iter().map(|text| retracker.line(text).unwrap()).collect()
    }

    fn frame(sequence: u64, x: f32) -> String {
        format!(
            r#"{{"sequence":{sequence}, "captured":null,"extra":{{"a":[1]}},"poses":[{{"id":77,"score":0.5,"keypoints":[[{x},1,0.5],[{x},30,0.5],[{x},60,0.5]],"box":[{x},1,0,59],"note":"ä"}}]}}"#
        )
    }

    #[test]
    fn lines_come_out_as_they_went_in_but_for_the_tracker() {
        let header = r#"{"sinew":"1","keypoints":["a","b","c"]}"#.to_owned();
        let found = lines(&[header.clone(), frame(0, 10.0), frame(1, 12.0), frame(2, 11.0)]);
        assert_eq!(found[0], header);
        assert!(
            found[3].starts_with(r#"{"sequence":2, "captured":null,"extra":{"a":[1]},"poses":[{"id":1,"age":0.2,"#)
        );
        let [first, .., last] =
            [&found[1], &found[2], &found[3]].map(|text| serde_json::from_str::<Value>(text).unwrap());
        assert_eq!(first["poses"][0].get("id"), None, "an old identity does not stay");
        assert_eq!(last["poses"][0]["seen"], json!(3));
        assert_eq!(last["poses"][0]["note"], json!("ä"));
        let x = last["poses"][0]["keypoints"][0][0].as_f64().unwrap();
        assert!(x > 10.0 && x < 12.0 && last["poses"][0]["box"][0].as_f64() == Some(x), "smoothed: {x}");
    }

    #[test]
    fn cameras_and_templates_are_tracked_by_themselves() {
        let one = |camera: u32, template: &str| {
            format!(
                r#"{{"camera":{camera},"poses":[{{"template":"{template}","score":1,"keypoints":[[1,1,1],[1,30,1],[1,60,1]]}}]}}"#
            )
        };
        let found = lines(&[one(0, "a"), one(1, "a"), one(0, "b"), one(0, "a"), one(1, "a"), one(0, "b")]);
        let ids = found.iter().map(|text| serde_json::from_str::<Value>(text).unwrap()["poses"][0]["id"].as_u64());
        assert_eq!(ids.collect::<Vec<_>>(), [None, None, None, Some(1), Some(1), Some(2)]);
    }

    #[test]
    fn wrong_lines_say_what_is_wrong() {
        let mut retracker = Retracker::new(&TrackOptions::default(), ZoneSetup::default(), 10.0);
        let many = format!(r#"{{"poses":[{}]}}"#, vec![r#"{"keypoints":[]}"#; 31].join(","));
        for (text, needle) in [
            ("{", "EOF"),
            (r#"{"poses":3}"#, "expected an array"),
            (r#"{"poses":[{"score":1}]}"#, "poses[0]: missing field `keypoints`"),
            (r#"{"poses":[{"keypoints":[[1,2]]}]}"#, "keypoint 0 has 2 numbers"),
            (r#"{"captured":-1,"poses":[]}"#, "captured"),
            (&many, "31 poses, at most 30"),
        ] {
            let error = retracker.line(text).unwrap_err();
            assert!(error.contains(needle), "{text}: {error}");
        }
    }
}
