//! Where in a frame a model of one thing at a time looks.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::estimator::{EstimateError, Estimator, StageTimes};
use crate::geometry::Rectangle;
use crate::pose::{MAX_POSES, Poses};
use crate::source::Frame;

/// How much a person's box is larger than that of the keypoints on every side, in parts of its longer side: the head
/// ends above the eyes, and the feet below the ankles.
const AROUND_KEYPOINTS: f32 = 0.1;
/// Largest file of boxes.
const MAX_BYTES: u64 = 1 << 30;

/// Says where to look.
pub trait Boxes {
    /// The boxes of a frame, image pixels, or `None` for the whole image; and how long it took to find them.
    ///
    /// # Errors
    /// Where a model that finds boxes fails.
    fn boxes(&mut self, frame: &Frame<'_>) -> Result<(Option<&[Rectangle]>, StageTimes), EstimateError>;

    /// What somebody should know about the boxes once all frames are through.
    fn remark(&self) -> Option<String> {
        None
    }
}

/// Everywhere: the whole image.
#[derive(Debug, Clone, Copy, Default)]
pub struct WholeImage;

impl Boxes for WholeImage {
    fn boxes(&mut self, _frame: &Frame<'_>) -> Result<(Option<&[Rectangle]>, StageTimes), EstimateError> {
        Ok((None, StageTimes::default()))
    }
}

/// Boxes from a file of JSON lines: `{"name": "a.jpg", "boxes": [[x, y, width, height], ...]}` for images, or with
/// `"sequence": 12` in place of the name for the frames of a video.
///
/// An image goes by its file name, wherever it lies. A frame that the file does not name has no boxes.
#[derive(Debug, Clone, Default)]
pub struct ListedBoxes {
    by_name: HashMap<String, Vec<Rectangle>>,
    by_sequence: HashMap<u64, Vec<Rectangle>>,
    /// Frames that were asked for, and how many of them are listed.
    frames: u64,
    found: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    name: Option<String>,
    sequence: Option<u64>,
    boxes: Vec<[f32; 4]>,
}

/// Why a file of boxes is not used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BoxesError {
    /// It cannot be read.
    #[error("{}: cannot be read; check the path and its permissions", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A line is not what it should be.
    #[error(
        "{}:{line}: {reason}; expected {{\"name\": \"a.jpg\", \"boxes\": [[x, y, width, height], ...]}}, or a \"sequence\" \
         instead of the name",
        path.display()
    )]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
}

impl ListedBoxes {
    /// Reads a file.
    ///
    /// # Errors
    /// Where it cannot be read, or a line is wrong.
    pub fn read(path: &Path) -> Result<Self, BoxesError> {
        let unreadable = |source| BoxesError::File { path: path.to_owned(), source };
        let size = std::fs::metadata(path).map_err(unreadable)?.len();
        if size > MAX_BYTES {
            return Err(unreadable(std::io::Error::other(format!(
                "it has {size} bytes, at most {MAX_BYTES} are read"
            ))));
        }
        let text = std::fs::read_to_string(path).map_err(unreadable)?;
        Self::parse(&text).map_err(|(line, reason)| BoxesError::Line { path: path.to_owned(), line, reason })
    }

    /// The boxes that the text of a file lists.
    ///
    /// # Errors
    /// The number of the line that is wrong, from 1, and what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, (usize, String)> {
        let mut listed = Self::default();
        for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            listed.add(line).map_err(|reason| (index + 1, reason))?;
        }
        Ok(listed)
    }

    fn add(&mut self, line: &str) -> Result<(), String> {
        let Line { name, sequence, boxes } = serde_json::from_str(line).map_err(|error| error.to_string())?;
        let finite = boxes.iter().flatten().all(|value| value.is_finite());
        if let Some([x, y, width, height]) =
            boxes.iter().find(|[_, _, width, height]| !(*width > 0.0 && *height > 0.0 && finite))
        {
            return Err(format!("the box [{x}, {y}, {width}, {height}] is empty"));
        }
        if boxes.len() > MAX_POSES {
            return Err(format!("{} boxes, at most {MAX_POSES} are used", boxes.len()));
        }
        let boxes = boxes.into_iter().map(|[x, y, width, height]| Rectangle { x, y, width, height }).collect();
        let before = match (name, sequence) {
            (Some(name), None) => {
                let name = file_name(&name).to_owned();
                self.by_name.insert(name, boxes)
            }
            (None, Some(sequence)) => self.by_sequence.insert(sequence, boxes),
            _ => return Err("neither a name nor a sequence, or both".to_owned()),
        };
        before.map_or(Ok(()), |_| Err("its frame was named before".to_owned()))
    }
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

impl ListedBoxes {
    /// The boxes of a frame, by its name or else by its number; none where it is not listed.
    pub fn of(&self, name: Option<&str>, sequence: u64) -> &[Rectangle] {
        self.listed(name, sequence).unwrap_or_default()
    }

    fn listed(&self, name: Option<&str>, sequence: u64) -> Option<&[Rectangle]> {
        let by_name = name.and_then(|name| self.by_name.get(file_name(name)));
        by_name.or_else(|| self.by_sequence.get(&sequence)).map(|boxes| &boxes[..])
    }
}

impl Boxes for ListedBoxes {
    fn boxes(&mut self, frame: &Frame<'_>) -> Result<(Option<&[Rectangle]>, StageTimes), EstimateError> {
        self.frames += 1;
        self.found += u64::from(self.listed(frame.name, frame.sequence).is_some());
        Ok((Some(self.of(frame.name, frame.sequence)), StageTimes::default()))
    }

    /// Where the file and the frames are out of step.
    fn remark(&self) -> Option<String> {
        let listed = (self.by_name.len() + self.by_sequence.len()) as u64;
        (self.found < self.frames || self.found < listed).then(|| {
            format!(
                "the file of boxes lists {listed} frames; {} of the {} that came are among them, the others had no boxes",
                self.found, self.frames
            )
        })
    }
}

/// Boxes around the poses that another model finds.
pub struct FoundBoxes<E> {
    estimator: E,
    poses: Poses,
    boxes: heapless::Vec<Rectangle, MAX_POSES>,
}

impl<E: Estimator> FoundBoxes<E> {
    /// Boxes around what `estimator` finds.
    pub fn new(estimator: E) -> Self {
        Self { estimator, poses: Poses::default(), boxes: heapless::Vec::new() }
    }
}

impl<E: Estimator> Boxes for FoundBoxes<E> {
    fn boxes(&mut self, frame: &Frame<'_>) -> Result<(Option<&[Rectangle]>, StageTimes), EstimateError> {
        let times = self.estimator.estimate(frame.image, None, &mut self.poses)?;
        self.boxes.clear();
        for bounds in self.poses.list.iter().filter_map(|pose| pose.bounds()) {
            // There are as many places as poses.
            let _ = self.boxes.push(widened(bounds));
        }
        Ok((Some(&self.boxes), times))
    }
}

impl<E> std::fmt::Debug for FoundBoxes<E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FoundBoxes").field("boxes", &self.boxes).finish_non_exhaustive()
    }
}

fn widened(bounds: Rectangle) -> Rectangle {
    let more = AROUND_KEYPOINTS * bounds.width.max(bounds.height);
    Rectangle {
        x: bounds.x - more,
        y: bounds.y - more,
        width: bounds.width + 2.0 * more,
        height: bounds.height + 2.0 * more,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Size;
    use crate::pixels::{Image, PixelFormat};

    fn boxes_of(listed: &mut ListedBoxes, name: Option<&str>, sequence: u64) -> Vec<Rectangle> {
        let image = Image::new(PixelFormat::Grey, Size::new(1, 1), vec![0]).unwrap();
        let frame = Frame { image: image.view(), sequence, captured: None, instant: None, name };
        listed.boxes(&frame).unwrap().0.unwrap().to_vec()
    }

    #[test]
    fn frames_go_by_name_or_by_number() {
        let text = "{\"name\": \"somewhere/a.jpg\", \"boxes\": [[1, 2, 3, 4], [5, 6, 7, 8]]}\n\n\
                    {\"sequence\": 3, \"boxes\": [[9, 9, 9, 9]]}\n";
        let mut listed = ListedBoxes::parse(text).unwrap();
        assert_eq!(boxes_of(&mut listed, Some("photos/a.jpg"), 0).len(), 2);
        assert_eq!(boxes_of(&mut listed, None, 3)[0].x, 9.0);
        assert_eq!(boxes_of(&mut listed, Some("b.jpg"), 0), []);
    }

    #[test]
    fn wrong_lines_are_named() {
        let good = "{\"name\": \"a.jpg\", \"boxes\": []}\n";
        for (line, needle) in [
            ("nothing", "expected"),
            ("{\"boxes\": []}", "neither"),
            ("{\"name\": \"b.jpg\", \"sequence\": 1, \"boxes\": []}", "both"),
            ("{\"name\": \"a.jpg\", \"boxes\": []}", "before"),
            ("{\"name\": \"b.jpg\", \"boxes\": [[1, 2, 0, 4]]}", "empty"),
            ("{\"name\": \"b.jpg\", \"boxes\": [[1, 2, 3]]}", "length"),
            ("{\"name\": \"b.jpg\", \"boxes\": [], \"box\": 1}", "box"),
        ] {
            let (number, reason) = ListedBoxes::parse(&format!("{good}{line}")).unwrap_err();
            assert_eq!(number, 2);
            assert!(reason.contains(needle), "{reason}");
        }
    }
}
