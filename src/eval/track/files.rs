//! Who is where in every frame, from files.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use serde::Deserialize;

use super::metrics::TrackFrame;
use crate::coco::{FileError, Id, MAX_BYTES};
use crate::eval::{Annotation, EvalError, TrueKeypoint, oks, variances};
use crate::read;

/// Boxes with identities, by frame: a file of lines `frame,id,left,top,width,height,confidence,...` as MOTChallenge has them.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TrackedBoxes {
    frames: BTreeMap<u64, Vec<(u64, [f64; 4])>>,
}

impl TrackedBoxes {
    /// Reads a file; of `truth`, lines whose confidence is 0 do not count.
    ///
    /// # Errors
    /// Where it cannot be read, or a line is wrong.
    pub fn read(path: &Path, truth: bool) -> Result<Self, EvalError> {
        let text = file_text(path)?;
        let mut boxes = Self::default();
        for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let wrong =
                |found: &str, expected: &str| FileError::value(path, format!("line {}", index + 1), found, expected);
            let numbers = line.split(',').map(|field| field.trim().parse::<f64>()).collect::<Result<Vec<_>, _>>();
            let numbers = numbers.ok().filter(|numbers| numbers.iter().all(|number| number.is_finite()));
            let Some(&[frame, id, left, top, width, height, ref rest @ ..]) = numbers.as_deref() else {
                return Err(wrong(line, "frame,id,left,top,width,height, numbers all of them").into());
            };
            let whole = |number: f64| (number >= 0.0 && number.fract() == 0.0).then_some(number as u64);
            let (Some(frame), Some(id)) = (whole(frame), whole(id)) else {
                return Err(wrong(line, "a frame and an identity that are whole numbers from 0 on").into());
            };
            if truth && rest.first() == Some(&0.0) {
                continue;
            }
            let list = boxes.frames.entry(frame).or_default();
            if list.iter().any(|&(other, _)| other == id) {
                let found = format!("identity {id} twice in frame {frame}");
                return Err(wrong(&found, "each identity once in a frame").into());
            }
            list.push((id, [left, top, width, height]));
        }
        Ok(boxes)
    }

    /// The frames of the true boxes and of those that were found, with the IoU of each pair.
    pub fn frames(&self, found: &Self) -> Vec<TrackFrame> {
        let numbers: BTreeSet<u64> = self.frames.keys().chain(found.frames.keys()).copied().collect();
        let none = Vec::new();
        let frame = |number: u64| {
            let truth = self.frames.get(&number).unwrap_or(&none);
            let found = found.frames.get(&number).unwrap_or(&none);
            let row = |&(_, a): &(u64, [f64; 4])| found.iter().map(|&(_, b)| overlap(a, b)).collect();
            TrackFrame {
                truth: truth.iter().map(|&(id, _)| id).collect(),
                found: found.iter().map(|&(id, _)| id).collect(),
                similarity: truth.iter().map(row).collect(),
            }
        };
        numbers.into_iter().map(frame).collect()
    }
}

/// Intersection over union of two boxes: left, top, width, height.
fn overlap(a: [f64; 4], b: [f64; 4]) -> f64 {
    let shared = |axis: usize| ((a[axis] + a[axis + 2]).min(b[axis] + b[axis + 2]) - a[axis].max(b[axis])).max(0.0);
    let common = shared(0) * shared(1);
    let whole = a[2] * a[3] + b[2] * b[3] - common;
    if whole > f64::EPSILON && a[2] * a[3] > f64::EPSILON && b[2] * b[3] > f64::EPSILON { common / whole } else { 0.0 }
}

fn file_text(path: &Path) -> Result<String, FileError> {
    read::text(path, MAX_BYTES).map_err(|source| FileError::Read { path: path.to_owned(), source })
}

#[derive(Deserialize)]
struct Video {
    images: Vec<VideoImage>,
    annotations: Vec<VideoAnnotation>,
}

#[derive(Deserialize)]
struct VideoImage {
    id: Id,
    frame_id: u64,
}

#[derive(Deserialize)]
struct VideoAnnotation {
    image_id: Id,
    track_id: u64,
    keypoints: Vec<f64>,
    area: f64,
    bbox: [f64; 4],
}

#[derive(Deserialize)]
struct Line {
    sequence: Option<u64>,
    poses: Option<Vec<FoundPose>>,
}

#[derive(Deserialize)]
struct FoundPose {
    id: Option<u64>,
    keypoints: Vec<[f64; 3]>,
}

/// A pose of a line: its identity, and its keypoints in image pixels.
type Found = (u64, Vec<[f64; 2]>);

/// The frames of annotated people and of the poses in result lines, with the OKS of each pair. `images[].frame_id` is the
/// line's `sequence`, `annotations[].track_id` the true identity. A pose without an identity does not count.
///
/// # Errors
/// Where a file cannot be read, is not of that form, or numbers of keypoints differ.
pub fn keypoint_frames(truth: &Path, lines: &Path, sigmas: &[f64]) -> Result<Vec<TrackFrame>, EvalError> {
    let json = |path: &Path, key: String, message: String| FileError::Json { path: path.to_owned(), key, message };
    let video: Video = serde_json::from_str(&file_text(truth)?)
        .map_err(|error| json(truth, "a video's annotations".to_owned(), error.to_string()))?;
    let variances = variances(sigmas)?;
    let wrong = |path: &Path, key: String, found: usize| {
        FileError::value(path, key, format!("{found} keypoints"), sigmas.len().to_string())
    };
    let frame_of: HashMap<&Id, u64> = video.images.iter().map(|image| (&image.id, image.frame_id)).collect();
    let mut people: BTreeMap<u64, Vec<(u64, Annotation)>> =
        video.images.iter().map(|image| (image.frame_id, Vec::new())).collect();
    for (index, annotation) in video.annotations.iter().enumerate() {
        let key = |field: &str| format!("annotations[{index}].{field}");
        let Some(list) = frame_of.get(&annotation.image_id).and_then(|frame| people.get_mut(frame)) else {
            return Err(EvalError::UnknownImage { path: truth.to_owned(), image_id: annotation.image_id.clone() });
        };
        if annotation.keypoints.len() != 3 * sigmas.len() {
            return Err(wrong(truth, key("keypoints"), annotation.keypoints.len() / 3).into());
        }
        let keypoint = |values: &[f64]| TrueKeypoint { x: values[0], y: values[1], labelled: values[2] > 0.0 };
        list.push((
            annotation.track_id,
            Annotation {
                position: index,
                keypoints: annotation.keypoints.chunks_exact(3).map(keypoint).collect(),
                area: annotation.area,
                area_of_box: false,
                bbox: annotation.bbox,
                head_bbox: None,
                crowd: false,
                ignored: false,
            },
        ));
    }
    let mut found: BTreeMap<u64, Vec<Found>> = BTreeMap::new();
    for (index, text) in file_text(lines)?.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let key = || format!("line {}", index + 1);
        let line: Line = serde_json::from_str(text).map_err(|error| json(lines, key(), error.to_string()))?;
        let Some(poses) = line.poses else { continue };
        let frame = line.sequence.ok_or_else(|| json(lines, key(), "no \"sequence\"".to_owned()))?;
        let list = found.entry(frame).or_default();
        for pose in poses {
            if pose.keypoints.len() != sigmas.len() {
                return Err(wrong(lines, key(), pose.keypoints.len()).into());
            }
            if let Some(id) = pose.id {
                list.push((id, pose.keypoints.iter().map(|&[x, y, _]| [x, y]).collect()));
            }
        }
    }
    let none = Vec::new();
    // A frame that is not annotated says nothing of what was found in it.
    let frame = |(number, people): (&u64, &Vec<(u64, Annotation)>)| {
        let found = found.get(number).unwrap_or(&none);
        let row = |(_, person): &(u64, Annotation)| {
            found.iter().map(|(_, keypoints)| oks(person, keypoints, &variances)).collect()
        };
        TrackFrame {
            truth: people.iter().map(|&(id, _)| id).collect(),
            found: found.iter().map(|&(id, _)| id).collect(),
            similarity: people.iter().map(row).collect(),
        }
    };
    Ok(people.iter().map(frame).collect())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn boxes_overlap() {
        assert!((overlap([0.0, 0.0, 10.0, 10.0], [5.0, 0.0, 10.0, 10.0]) - 1.0 / 3.0).abs() < 1e-12);
        assert_eq!(overlap([0.0, 0.0, 10.0, 10.0], [20.0, 0.0, 10.0, 10.0]), 0.0);
        assert_eq!(overlap([0.0; 4], [0.0; 4]), 0.0);
    }

    #[test]
    fn wrong_lines_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gt.txt");
        for (line, needle) in [
            ("1,2,3", "frame,id,left"),
            ("1,x,0,0,1,1", "frame,id,left"),
            ("1,-1,0,0,1,1", "whole numbers"),
            ("1,1,0,0,1,1", "each identity once"),
        ] {
            fs::write(&path, format!("1,1,0,0,1,1,1\n{line}\n")).unwrap();
            let error = TrackedBoxes::read(&path, true).unwrap_err().to_string();
            assert!(error.contains(needle) && error.contains("line 2"), "{error}");
        }
        fs::write(&path, "1,1,0,0,1,1,0,1,1\n2,1,0,0,1,1,1\n").unwrap();
        assert_eq!(TrackedBoxes::read(&path, true).unwrap().frames.len(), 1, "what does not count is gone");
        assert_eq!(TrackedBoxes::read(&path, false).unwrap().frames.len(), 2);
    }
}
