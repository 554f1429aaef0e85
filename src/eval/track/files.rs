//! People and identities in every frame, from files.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use serde::Deserialize;

use super::metrics::TrackFrame;
use crate::coco::{CocoFile, FileError};
use crate::eval::{Annotation, EvalError, GroundTruth, oks, variances};
use crate::read::{self, BoundedLines, MAX_RESULT_LINE};

/// Largest file of boxes that is read; the longest video of MOTChallenge has 4 MB.
const MAX_BYTES: u64 = 32 << 20;
/// Maximum number of identities in a file: the figures compare each of one file with each of the other.
const MAX_IDENTITIES: usize = 4096;
/// Maximum number of people in a frame.
const MAX_PEOPLE: usize = 1000;
/// Largest coordinate of a box: the area of a larger one has no meaning.
const MAX_COORDINATE: f64 = 1e9;

/// Boxes with identities, by frame: a file of lines `frame,id,left,top,width,height,confidence,...` as MOTChallenge has them.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TrackedBoxes {
    frames: BTreeMap<u64, Vec<(u64, [f64; 4])>>,
}

impl TrackedBoxes {
    /// Reads a file; of `truth`, lines whose confidence is 0 do not count.
    ///
    /// # Errors
    /// If it cannot be read, or a line is wrong.
    pub fn read(path: &Path, truth: bool) -> Result<Self, EvalError> {
        let text = read::text(path, MAX_BYTES).map_err(|source| FileError::Read { path: path.to_owned(), source })?;
        let mut boxes = Self::default();
        for (index, line) in
            text.trim_start_matches('\u{feff}').lines().enumerate().filter(|(_, line)| !line.trim().is_empty())
        {
            let wrong =
                |found: &str, expected: &str| FileError::value(path, format!("line {}", index + 1), found, expected);
            let numbers = line.split(',').map(|field| field.trim().parse::<f64>()).collect::<Result<Vec<_>, _>>();
            let numbers = numbers.ok().filter(|numbers| numbers.iter().all(|number| number.abs() <= MAX_COORDINATE));
            let Some(&[frame, id, left, top, width, height, ref rest @ ..]) = numbers.as_deref() else {
                return Err(wrong(line, "frame,id,left,top,width,height, numbers of at most 1e9").into());
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
        check_counts(path, boxes.frames.values().map(|list| list.iter().map(|&(id, _)| id)))?;
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

/// Refuses more people than the figures can be computed for.
fn check_counts(
    path: &Path,
    frames: impl Iterator<Item = impl ExactSizeIterator<Item = u64>>,
) -> Result<(), FileError> {
    let mut identities = BTreeSet::new();
    for frame in frames {
        if frame.len() > MAX_PEOPLE {
            return Err(FileError::content(
                path,
                format!("a frame of more than {MAX_PEOPLE} people cannot be evaluated"),
            ));
        }
        identities.extend(frame);
        if identities.len() > MAX_IDENTITIES {
            let reason = format!("more than {MAX_IDENTITIES} identities cannot be evaluated; split the video");
            return Err(FileError::content(path, reason));
        }
    }
    Ok(())
}

/// Intersection over union of two boxes: left, top, width, height.
fn overlap(a: [f64; 4], b: [f64; 4]) -> f64 {
    let shared = |axis: usize| ((a[axis] + a[axis + 2]).min(b[axis] + b[axis + 2]) - a[axis].max(b[axis])).max(0.0);
    let common = shared(0) * shared(1);
    let whole = a[2] * a[3] + b[2] * b[3] - common;
    if whole > f64::EPSILON && a[2] * a[3] > f64::EPSILON && b[2] * b[3] > f64::EPSILON { common / whole } else { 0.0 }
}

#[derive(Deserialize)]
struct Line {
    /// The header: names of the keypoints.
    keypoints: Option<Vec<String>>,
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
/// line's `sequence`, `annotations[].track_id` the true identity. A pose without an identity does not count, nor does a frame
/// that is not annotated.
///
/// # Errors
/// If a file cannot be read, is not of that form, numbers or names of keypoints differ, or there is nothing to compare because
/// no annotated frame has a line or no pose an identity.
pub fn keypoint_frames(truth: &Path, lines: &Path, sigmas: &[f64]) -> Result<Vec<TrackFrame>, EvalError> {
    let variances = variances(sigmas)?;
    let input = File::open(lines).map_err(|source| FileError::Read { path: lines.to_owned(), source })?;
    let mut input = Lines { path: lines, lines: BoundedLines::new(BufReader::new(input), MAX_RESULT_LINE), number: 0 };
    let mut line = input.next()?;
    let names = line.as_mut().and_then(|header| header.keypoints.take()).unwrap_or_default();
    let mut people = people(truth, &names, sigmas.len())?;
    let (mut read, mut poses, mut with_identity) = (0, 0, 0);
    while let Some(found) = line {
        if let Some(listed) = found.poses {
            let frame = found.sequence.ok_or_else(|| input.json("no \"sequence\"".to_owned()))?;
            if let Some(annotated) = people.get_mut(&frame) {
                if annotated.found.is_some() {
                    return Err(input.json(format!("a second line of frame {frame}")).into());
                }
                read += 1;
                poses += listed.len();
                let tracked = input.tracked(listed, sigmas.len())?;
                with_identity += tracked.len();
                annotated.found = Some(tracked);
            }
        }
        line = input.next()?;
    }
    if read == 0 {
        let reason = format!("none of the {} frames that {} annotates is in it", people.len(), truth.display());
        return Err(FileError::content(lines, reason).into());
    }
    if poses > 0 && with_identity == 0 {
        let reason = "no pose in it has an `id`: write it with `sinew track`, or with `sinew run` without --no-track";
        return Err(FileError::content(lines, reason).into());
    }
    check_counts(truth, people.values().map(|frame| frame.people.iter().map(|&(id, _)| id)))?;
    let found = people.values().map(|frame| frame.found.as_deref().unwrap_or_default().iter().map(|&(id, _)| id));
    check_counts(lines, found)?;
    let frame = |(_, annotated): (u64, AnnotatedFrame)| {
        let found = annotated.found.unwrap_or_default();
        let row = |(_, person): &(u64, Annotation)| {
            // `max` makes NaN, which immense numbers lead to, a 0.
            found.iter().map(|(_, keypoints)| oks(person, keypoints, &variances).max(0.0)).collect()
        };
        TrackFrame {
            truth: annotated.people.iter().map(|&(id, _)| id).collect(),
            found: found.iter().map(|&(id, _)| id).collect(),
            similarity: annotated.people.iter().map(row).collect(),
        }
    };
    Ok(people.into_iter().map(frame).collect())
}

/// A frame of the truth.
#[derive(Default)]
struct AnnotatedFrame {
    people: Vec<(u64, Annotation)>,
    /// `None` until there was a line of it.
    found: Option<Vec<Found>>,
}

/// The annotated frames of a video, by number; keypoints of these `names`, `count` of them.
fn people(path: &Path, names: &[String], count: usize) -> Result<BTreeMap<u64, AnnotatedFrame>, EvalError> {
    let whole = |number: Option<f64>| number.filter(|number| *number >= 0.0 && number.fract() == 0.0);
    let number = |key: String, number: Option<f64>| {
        let found = number.map_or_else(|| "nothing".to_owned(), |number| number.to_string());
        let fault = || FileError::value(path, key, found, "a whole number from 0 on, as a video's annotations have");
        whole(number).map(|number| number as u64).ok_or_else(fault)
    };
    let file = CocoFile::read(path)?;
    let mut numbers = HashMap::new();
    for (index, image) in file.images.iter().enumerate() {
        numbers.insert(image.id.clone(), number(format!("images[{index}].frame_id"), image.frame_id)?);
    }
    let identities: Vec<Option<f64>> = file.annotations.iter().map(|annotation| annotation.track_id).collect();
    let truth = GroundTruth::from_file(path, file, names)?;
    let mut frames = BTreeMap::new();
    for (image, annotations) in truth.images().iter().zip(truth.annotations()) {
        let mut people = Vec::with_capacity(annotations.len());
        for annotation in annotations {
            let key = |field: &str| format!("annotations[{}].{field}", annotation.position);
            if annotation.keypoints.len() != count {
                let found = format!("{} keypoints", annotation.keypoints.len());
                return Err(FileError::value(path, key("keypoints"), found, count.to_string()).into());
            }
            let id = number(key("track_id"), identities[annotation.position])?;
            people.push((id, annotation.clone()));
        }
        let frame = numbers[&image.id];
        if frames.insert(frame, AnnotatedFrame { people, found: None }).is_some() {
            return Err(FileError::value(path, "images", format!("frame {frame} twice"), "every frame once").into());
        }
    }
    Ok(frames)
}

/// Result lines.
struct Lines<'a> {
    path: &'a Path,
    lines: BoundedLines<BufReader<File>>,
    /// Number of the current line, from 1.
    number: usize,
}

impl Lines<'_> {
    /// The next line that is not empty.
    fn next(&mut self) -> Result<Option<Line>, FileError> {
        loop {
            self.number += 1;
            let failed = |source| FileError::Read { path: self.path.to_owned(), source };
            let Some(text) = self.lines.next_line().map_err(failed)? else { return Ok(None) };
            if !text.trim().is_empty() {
                let parsed = serde_json::from_str(text);
                return parsed.map(Some).map_err(|error| self.json(error.to_string()));
            }
        }
    }

    fn json(&self, message: String) -> FileError {
        FileError::Json { path: self.path.to_owned(), key: format!("line {}", self.number), message }
    }

    /// Those of the poses that have an identity.
    fn tracked(&self, poses: Vec<FoundPose>, count: usize) -> Result<Vec<Found>, FileError> {
        let mut tracked = Vec::with_capacity(poses.len());
        for pose in poses {
            if pose.keypoints.len() != count {
                let (key, found) = (format!("line {}", self.number), format!("{} keypoints", pose.keypoints.len()));
                return Err(FileError::value(self.path, key, found, count.to_string()));
            }
            if let Some(id) = pose.id {
                tracked.push((id, pose.keypoints.iter().map(|&[x, y, _]| [x, y]).collect()));
            }
        }
        Ok(tracked)
    }
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
            ("1,2,0,0,1e200,1e200", "at most 1e9"),
            ("1,-1,0,0,1,1", "whole numbers"),
            ("1,1,0,0,1,1", "each identity once"),
        ] {
            fs::write(&path, format!("1,1,0,0,1,1,1\n{line}\n")).unwrap();
            let error = TrackedBoxes::read(&path, true).unwrap_err().to_string();
            assert!(error.contains(needle) && error.contains("line 2"), "{error}");
        }
        let crowd: String = (0..1001).map(|id| format!("1,{id},0,0,1,1,1\n")).collect();
        fs::write(&path, crowd).unwrap();
        assert!(TrackedBoxes::read(&path, true).unwrap_err().to_string().contains("more than 1000 people"));
        let many: String = (0..4097).map(|id| format!("{id},{id},0,0,1,1,1\n")).collect();
        fs::write(&path, many).unwrap();
        assert!(TrackedBoxes::read(&path, true).unwrap_err().to_string().contains("4096 identities"));
        fs::write(&path, "\u{feff}1,1,0,0,1,1,0,1,1\n2,1,0,0,1,1,1\n").unwrap();
        assert_eq!(TrackedBoxes::read(&path, true).unwrap().frames.len(), 1, "what does not count is gone");
        assert_eq!(TrackedBoxes::read(&path, false).unwrap().frames.len(), 2);
    }
}
