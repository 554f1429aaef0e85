//! COCO keypoint results: one JSON array of `{image_id, category_id, keypoints, score}`.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{Detection, EvalError};
use crate::coco::{FileError, Footprint, Id, read_list};
use crate::pose::{Keypoint, Poses};

/// Writes results one by one; the file is complete after [`ResultsWriter::finish`].
///
/// A keypoint's third number is its score, which pycocotools does not read.
#[derive(Debug)]
pub struct ResultsWriter<W: Write> {
    out: W,
    category: Id,
    order: Option<Vec<Option<usize>>>,
    empty: bool,
    keypoints: Vec<f32>,
}

#[derive(Serialize)]
struct Entry<'a> {
    image_id: &'a Id,
    category_id: &'a Id,
    keypoints: &'a [f32],
    score: f32,
}

impl<W: Write> ResultsWriter<W> {
    /// Starts the array. `order` gives, for each keypoint of the results, its position in a pose, if different; what the
    /// poses do not have is written as 0, 0, 0.
    ///
    /// # Errors
    /// If `out` cannot be written.
    pub fn new(mut out: W, category: Id, order: Option<Vec<Option<usize>>>) -> io::Result<Self> {
        out.write_all(b"[")?;
        Ok(Self { out, category, order, empty: true, keypoints: Vec::new() })
    }

    /// Writes the poses of one image.
    ///
    /// # Errors
    /// If `out` cannot be written.
    pub fn put(&mut self, image: &Id, poses: &Poses) -> io::Result<()> {
        for pose in &poses.list {
            let triple = |keypoint: &Keypoint| [keypoint.x, keypoint.y, keypoint.score];
            self.keypoints.clear();
            match &self.order {
                None => self.keypoints.extend(pose.keypoints.iter().flat_map(triple)),
                Some(order) => {
                    let at = |place: &Option<usize>| {
                        place.and_then(|place| pose.keypoints.get(place)).map_or([0.0; 3], triple)
                    };
                    self.keypoints.extend(order.iter().flat_map(at));
                }
            }
            self.out.write_all(if self.empty { b"\n" } else { b",\n" })?;
            self.empty = false;
            let Self { out, keypoints, category, .. } = self;
            let entry = Entry { image_id: image, category_id: category, keypoints, score: pose.score };
            serde_json::to_writer(out, &entry)?;
        }
        Ok(())
    }

    /// Ends the array and returns the writer.
    ///
    /// # Errors
    /// If `out` cannot be written.
    pub fn finish(mut self) -> io::Result<W> {
        self.out.write_all(b"\n]\n")?;
        self.out.flush()?;
        Ok(self.out)
    }
}

#[derive(Deserialize)]
struct ReadEntry {
    image_id: Id,
    category_id: Id,
    keypoints: Vec<f64>,
    score: f64,
}

impl Footprint for ReadEntry {
    fn heap(&self) -> usize {
        8 * self.keypoints.len()
    }
}

/// Reads a results file: the detections of one category by image id, in the file's order.
///
/// A `bbox` is not read: a detection's area is that of its keypoints' bounds.
///
/// # Errors
/// If the file cannot be read, lacks a key, or holds a wrong type or half a keypoint.
pub fn read_results(path: &Path, category: &Id) -> Result<BTreeMap<Id, Vec<Detection>>, EvalError> {
    let entries: Vec<ReadEntry> = read_list(path)?;
    let mut detections: BTreeMap<Id, Vec<Detection>> = BTreeMap::new();
    for (index, entry) in entries.into_iter().enumerate() {
        if entry.keypoints.len() % 3 != 0 {
            let found = format!("{} numbers", entry.keypoints.len());
            let fault = FileError::value(path, format!("[{index}].keypoints"), found, "x, y, score for every keypoint");
            return Err(fault.into());
        }
        if entry.category_id == *category {
            let (rows, _) = entry.keypoints.as_chunks::<3>();
            let detection = Detection {
                score: entry.score,
                keypoints: rows.iter().map(|&[x, y, _]| [x, y]).collect(),
                keypoint_scores: rows.iter().map(|&[.., score]| score).collect(),
            };
            detections.entry(entry.image_id).or_default().push(detection);
        }
    }
    Ok(detections)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pose::{Keypoint, Pose};

    fn pose(score: f32) -> Pose {
        let mut pose = Pose { score, ..Pose::default() };
        pose.keypoints.push(Keypoint { x: 1.25, y: -0.1, score: 0.5 }).unwrap();
        pose
    }

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("results.json");
        let mut writer = ResultsWriter::new(Vec::new(), 1.into(), None).unwrap();
        let mut poses = Poses::default();
        writer.put(&3.into(), &poses).unwrap();
        poses.list.push(pose(0.7)).unwrap();
        poses.list.push(pose(0.3)).unwrap();
        writer.put(&5.into(), &poses).unwrap();
        std::fs::write(&path, writer.finish().unwrap()).unwrap();

        let read = read_results(&path, &1.into()).unwrap();
        assert_eq!(read.keys().cloned().collect::<Vec<_>>(), [5.into()]);
        let read = &read[&5.into()];
        assert_eq!((read.len(), read[0].keypoint_scores[0]), (2, 0.5));
        assert!((read[0].score - 0.7).abs() < 1e-6 && (read[1].keypoints[0][1] + 0.1).abs() < 1e-6);
        assert!(read_results(&path, &2.into()).unwrap().is_empty());
    }

    #[test]
    fn keypoints_go_back_into_the_files_order() {
        let mut pose = pose(0.7);
        pose.keypoints.push(Keypoint { x: 9.0, y: 8.0, score: 0.25 }).unwrap();
        let mut poses = Poses::default();
        poses.list.push(pose).unwrap();
        let mut writer = ResultsWriter::new(Vec::new(), "person".into(), Some(vec![Some(1), None, Some(0)])).unwrap();
        writer.put(&"a.jpg".into(), &poses).unwrap();
        let text = String::from_utf8(writer.finish().unwrap()).unwrap();
        assert!(text.contains(r#""image_id":"a.jpg","category_id":"person""#), "{text}");
        assert!(text.contains("[9.0,8.0,0.25,0.0,0.0,0.0,1.25,-0.1,0.5]"), "{text}");
    }

    #[test]
    fn no_detections_are_an_empty_array() {
        let bytes = ResultsWriter::new(Vec::new(), 1.into(), None).unwrap().finish().unwrap();
        assert_eq!(serde_json::from_slice::<Vec<u8>>(&bytes).unwrap(), Vec::<u8>::new());
    }

    #[test]
    fn half_a_keypoint_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("results.json");
        std::fs::write(&path, r#"[{"image_id": 1, "category_id": 1, "keypoints": [1, 2], "score": 1}]"#).unwrap();
        let text = read_results(&path, &1.into()).unwrap_err().to_string();
        assert!(text.contains("results.json: [0].keypoints: found 2 numbers"), "{text}");
    }
}
