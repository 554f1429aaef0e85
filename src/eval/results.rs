//! COCO keypoint results: one JSON array of `{image_id, category_id, keypoints, score}`.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{Detection, EvalError, json};
use crate::pose::Poses;

/// Writes results as they come; the file is complete after [`ResultsWriter::finish`].
///
/// A keypoint's third number is its score, which pycocotools does not read.
#[derive(Debug)]
pub struct ResultsWriter<W: Write> {
    out: W,
    category_id: u64,
    empty: bool,
    keypoints: Vec<f32>,
}

#[derive(Serialize)]
struct Entry<'a> {
    image_id: u64,
    category_id: u64,
    keypoints: &'a [f32],
    score: f32,
}

impl<W: Write> ResultsWriter<W> {
    /// Starts the array.
    ///
    /// # Errors
    /// Where `out` cannot be written.
    pub fn new(mut out: W, category_id: u64) -> io::Result<Self> {
        out.write_all(b"[")?;
        Ok(Self { out, category_id, empty: true, keypoints: Vec::new() })
    }

    /// Writes the poses of one image.
    ///
    /// # Errors
    /// Where `out` cannot be written.
    pub fn put(&mut self, image_id: u64, poses: &Poses) -> io::Result<()> {
        for pose in &poses.list {
            self.keypoints.clear();
            self.keypoints.extend(pose.keypoints.iter().flat_map(|keypoint| [keypoint.x, keypoint.y, keypoint.score]));
            self.out.write_all(if self.empty { b"\n" } else { b",\n" })?;
            self.empty = false;
            let Self { out, keypoints, category_id, .. } = self;
            let entry = Entry { image_id, category_id: *category_id, keypoints, score: pose.score };
            serde_json::to_writer(out, &entry)?;
        }
        Ok(())
    }

    /// Ends the array and gives the writer back.
    ///
    /// # Errors
    /// Where `out` cannot be written.
    pub fn finish(mut self) -> io::Result<W> {
        self.out.write_all(b"\n]\n")?;
        self.out.flush()?;
        Ok(self.out)
    }
}

#[derive(Deserialize)]
struct ReadEntry {
    image_id: u64,
    category_id: u64,
    keypoints: Vec<f64>,
    score: f64,
}

/// Reads a results file: the detections of one category by image id, in the file's order.
///
/// A `bbox` is not read: a detection's area is that of its keypoints' bounds.
///
/// # Errors
/// Where the file cannot be read, lacks a key, or holds a wrong type or half a keypoint.
pub fn read_results(path: &Path, category_id: u64) -> Result<BTreeMap<u64, Vec<Detection>>, EvalError> {
    let entries: Vec<ReadEntry> = json::read(path)?;
    let mut detections: BTreeMap<u64, Vec<Detection>> = BTreeMap::new();
    for (index, entry) in entries.into_iter().enumerate() {
        if entry.keypoints.len() % 3 != 0 {
            return Err(EvalError::Value {
                path: path.into(),
                key: format!("[{index}].keypoints"),
                found: format!("{} numbers", entry.keypoints.len()),
                expected: "x, y, score for every keypoint".into(),
            });
        }
        if entry.category_id == category_id {
            let keypoints = entry.keypoints.chunks_exact(3).map(|triple| [triple[0], triple[1]]).collect();
            detections.entry(entry.image_id).or_default().push(Detection { score: entry.score, keypoints });
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
        let mut writer = ResultsWriter::new(Vec::new(), 1).unwrap();
        let mut poses = Poses::default();
        writer.put(3, &poses).unwrap();
        poses.list.push(pose(0.7)).unwrap();
        poses.list.push(pose(0.3)).unwrap();
        writer.put(5, &poses).unwrap();
        std::fs::write(&path, writer.finish().unwrap()).unwrap();

        let read = read_results(&path, 1).unwrap();
        assert_eq!(read.keys().copied().collect::<Vec<_>>(), [5]);
        assert_eq!(read[&5].len(), 2);
        assert!((read[&5][0].score - 0.7).abs() < 1e-9 && (read[&5][1].keypoints[0][1] + 0.1).abs() < 1e-9);
        assert!(read_results(&path, 2).unwrap().is_empty());
    }

    #[test]
    fn no_detections_are_an_empty_array() {
        let bytes = ResultsWriter::new(Vec::new(), 1).unwrap().finish().unwrap();
        assert_eq!(serde_json::from_slice::<Vec<u8>>(&bytes).unwrap(), Vec::<u8>::new());
    }

    #[test]
    fn half_a_keypoint_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("results.json");
        std::fs::write(&path, r#"[{"image_id": 1, "category_id": 1, "keypoints": [1, 2], "score": 1}]"#).unwrap();
        let text = read_results(&path, 1).unwrap_err().to_string();
        assert!(text.contains("results.json: [0].keypoints: found 2 numbers"), "{text}");
    }
}
