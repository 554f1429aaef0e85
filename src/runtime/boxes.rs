//! Boxes in which a model of one object at a time looks.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::Deserialize;

use crate::coco::{Id, Number, base_name, from_bytes};
use crate::estimator::{EstimateError, Estimator, Request, StageTimes};
use crate::geometry::{Rectangle, Size};
use crate::pose::{MAX_POSES, Poses};
use crate::source::Frame;

/// Margin of a person's box around the keypoints, as a fraction of its longer side: the head ends above the eyes, and the feet
/// below the ankles.
const AROUND_KEYPOINTS: f32 = 0.1;
/// Longest line of a file of boxes.
const MAX_LINE: u64 = 1 << 20;
/// Maximum memory for the boxes of a file: two million frames with two boxes each.
const MAX_MEMORY: usize = 192 << 20;
/// Memory of an entry without its name and its boxes.
const ENTRY: usize = 64;

/// The boxes of a frame, image pixels, or `None` for the whole image; and how long it took to find them.
pub type Located<'a> = (Option<&'a [Rectangle]>, StageTimes);

/// Provides the boxes of each frame.
pub trait Boxes: Send {
    /// The boxes of a frame, image pixels, or `None` for the whole image; and how long it took to find them.
    ///
    /// # Errors
    /// If a model that finds boxes fails.
    fn boxes(&mut self, frame: &Frame<'_>, deadline: Option<Instant>) -> Result<Located<'_>, EstimateError>;

    /// A remark for the user after the last frame.
    fn remark(&self) -> Option<String> {
        None
    }
}

impl<B: Boxes + ?Sized> Boxes for &mut B {
    fn boxes(&mut self, frame: &Frame<'_>, deadline: Option<Instant>) -> Result<Located<'_>, EstimateError> {
        (**self).boxes(frame, deadline)
    }

    fn remark(&self) -> Option<String> {
        (**self).remark()
    }
}

/// No boxes: the whole image.
#[derive(Debug, Clone, Copy, Default)]
pub struct WholeImage;

impl Boxes for WholeImage {
    fn boxes(&mut self, _frame: &Frame<'_>, _deadline: Option<Instant>) -> Result<Located<'_>, EstimateError> {
        Ok((None, StageTimes::default()))
    }
}

/// Boxes from a file of JSON lines: `{"name": "a.jpg", "boxes": [[x, y, width, height], ...]}` for images, or with
/// `"sequence": 12` in place of the name for the frames of a video.
///
/// An image is found by its file name, in whatever folder it lies. A frame that the file does not name has no boxes. Boxes
/// outside their image are skipped and counted. Other keys of a line are ignored.
#[derive(Debug, Clone, Default)]
pub struct ListedBoxes {
    by_name: HashMap<String, Vec<Rectangle>>,
    by_sequence: HashMap<u64, Vec<Rectangle>>,
    memory: usize,
    /// Number of frames, and how many of them are listed.
    frames: u64,
    found: u64,
    /// Boxes of the last frame that lie in the image.
    inside: heapless::Vec<Rectangle, MAX_POSES>,
    /// Boxes that lay outside their image, and the first of them.
    outside: u64,
    first_outside: Option<String>,
}

#[derive(Deserialize)]
struct Line {
    name: Option<String>,
    sequence: Option<Id>,
    boxes: Option<Vec<[Number; 4]>>,
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
        /// The operating system's error.
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

/// Which line of a list of boxes is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct LineError {
    /// Its number, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub reason: String,
}

/// Why a list of boxes is not used: a line's number, from 1, and what is wrong with it.
enum Fault {
    Read(std::io::Error),
    Line(usize, String),
}

impl ListedBoxes {
    /// Reads a file.
    ///
    /// # Errors
    /// If it cannot be read, a line is wrong, or there are more than fit into memory.
    pub fn read(path: &Path) -> Result<Self, BoxesError> {
        let unreadable = |source| BoxesError::File { path: path.to_owned(), source };
        let file = File::open(path).map_err(unreadable)?;
        Self::from_lines(BufReader::new(file)).map_err(|fault| match fault {
            Fault::Read(source) => unreadable(source),
            Fault::Line(line, reason) => BoxesError::Line { path: path.to_owned(), line, reason },
        })
    }

    /// The boxes that the text of a file lists.
    ///
    /// # Errors
    /// If a line is wrong.
    pub fn parse(text: &str) -> Result<Self, LineError> {
        Self::from_lines(text.as_bytes()).map_err(|fault| match fault {
            Fault::Read(error) => LineError { line: 0, reason: error.to_string() },
            Fault::Line(line, reason) => LineError { line, reason },
        })
    }

    fn from_lines(mut input: impl BufRead) -> Result<Self, Fault> {
        let mut listed = Self::default();
        let mut line = Vec::new();
        for number in 1.. {
            line.clear();
            let length = (&mut input).take(MAX_LINE + 1).read_until(b'\n', &mut line).map_err(Fault::Read)?;
            if length == 0 {
                break;
            }
            if length as u64 > MAX_LINE {
                return Err(Fault::Line(number, format!("the line is longer than {MAX_LINE} bytes")));
            }
            if !line.trim_ascii().is_empty() && line != b"\xef\xbb\xbf\n" {
                listed.add(&line).map_err(|reason| Fault::Line(number, reason))?;
            }
        }
        Ok(listed)
    }

    fn add(&mut self, line: &[u8]) -> Result<(), String> {
        let Line { name, sequence, boxes } = from_bytes(line).map_err(|fault| fault.to_string())?;
        let boxes = boxes.ok_or("it has no `boxes`")?;
        let boxes: Vec<[f32; 4]> = boxes.into_iter().map(|sides| sides.map(|Number(side)| side as f32)).collect();
        for [x, y, width, height] in &boxes {
            let name = || format!("the box [{x}, {y}, {width}, {height}]");
            if ![x, y, width, height].iter().all(|value| value.is_finite()) {
                return Err(format!("{} is not finite", name()));
            }
            if !(*width > 0.0 && *height > 0.0) {
                return Err(format!("{} is empty", name()));
            }
        }
        if boxes.len() > MAX_POSES {
            return Err(format!("{} boxes, at most {MAX_POSES} are used", boxes.len()));
        }
        self.memory += ENTRY + 16 * boxes.len() + 2 * name.as_ref().map_or(0, String::len);
        if self.memory > MAX_MEMORY {
            return Err(format!("the lines up to here take more than {} MB: split the file", MAX_MEMORY >> 20));
        }
        let boxes = boxes.into_iter().map(|[x, y, width, height]| Rectangle { x, y, width, height }).collect();
        let before = match (name, sequence) {
            (Some(name), None) => self.by_name.insert(base_name(&name).to_owned(), boxes),
            (None, Some(Id::Number(number))) => {
                let number = u64::try_from(number).map_err(|_| format!("the sequence {number} is below 0"))?;
                self.by_sequence.insert(number, boxes)
            }
            (None, Some(Id::Text(text))) => return Err(format!("the sequence {text:?} is text, not a number")),
            (None, None) => return Err("it has neither a name nor a sequence".to_owned()),
            (Some(_), Some(_)) => return Err("it has both a name and a sequence".to_owned()),
        };
        before.map_or(Ok(()), |_| Err("its frame was named before".to_owned()))
    }
}

impl ListedBoxes {
    /// The boxes of a frame, by its name or else by its number; none if it is not listed.
    pub fn of(&self, name: Option<&str>, sequence: u64) -> &[Rectangle] {
        self.listed(name, sequence).unwrap_or_default()
    }

    fn listed(&self, name: Option<&str>, sequence: u64) -> Option<&[Rectangle]> {
        let by_name = name.and_then(|name| self.by_name.get(base_name(name)));
        by_name.or_else(|| self.by_sequence.get(&sequence)).map(|boxes| &boxes[..])
    }
}

impl Boxes for ListedBoxes {
    fn boxes(&mut self, frame: &Frame<'_>, _deadline: Option<Instant>) -> Result<Located<'_>, EstimateError> {
        self.frames += 1;
        self.inside.clear();
        let image = frame.image.size();
        let Some(listed) = self.listed(frame.name, frame.sequence) else {
            return Ok((Some(&[]), StageTimes::default()));
        };
        let (mut inside, mut outside, mut first) = (heapless::Vec::new(), 0, None);
        for &bounds in listed {
            if touches(bounds, image) {
                // The capacity is the maximum number of boxes.
                let _ = inside.push(bounds);
            } else {
                outside += 1;
                first = first.or(Some(bounds));
            }
        }
        self.found += 1;
        self.outside += outside;
        if let (None, Some(Rectangle { x, y, width, height })) = (&self.first_outside, first) {
            let name = frame.name.map_or_else(|| format!("frame {}", frame.sequence), str::to_owned);
            self.first_outside = Some(format!("[{x}, {y}, {width}, {height}] of {name}, which is {image}"));
        }
        self.inside = inside;
        Ok((Some(&self.inside), StageTimes::default()))
    }

    /// Warns of frames and boxes that do not fit each other.
    fn remark(&self) -> Option<String> {
        let listed = (self.by_name.len() + self.by_sequence.len()) as u64;
        let mut remarks = Vec::new();
        if self.found < self.frames || self.found < listed {
            remarks.push(format!(
                "the file of boxes lists {listed} frames; {} of the {} frames of the source are among them, the others had \
                 no boxes",
                self.found, self.frames
            ));
        }
        if let Some(first) = &self.first_outside {
            remarks
                .push(format!("{} boxes lie outside their image and were skipped, the first is {first}", self.outside));
        }
        (!remarks.is_empty()).then(|| remarks.join("; "))
    }
}

/// Whether a box overlaps an image of this size.
pub(crate) fn touches(bounds: Rectangle, image: Size) -> bool {
    let Rectangle { x, y, width, height } = bounds;
    x < image.width as f32 && y < image.height as f32 && x + width > 0.0 && y + height > 0.0
}

/// Boxes around the poses that another model finds.
pub struct FoundBoxes<E> {
    estimator: E,
    poses: Poses,
    boxes: heapless::Vec<Rectangle, MAX_POSES>,
}

impl<E: Estimator> FoundBoxes<E> {
    /// Boxes around the poses that `estimator` finds.
    pub fn new(estimator: E) -> Self {
        Self { estimator, poses: Poses::default(), boxes: heapless::Vec::new() }
    }
}

impl<E: Estimator> Boxes for FoundBoxes<E> {
    fn boxes(&mut self, frame: &Frame<'_>, deadline: Option<Instant>) -> Result<Located<'_>, EstimateError> {
        let times = self.estimator.estimate(&Request { image: frame.image, boxes: None, deadline }, &mut self.poses)?;
        self.boxes.clear();
        let image = frame.image.size();
        let around = self.poses.list.iter().filter_map(|pose| pose.bounds()).map(widened);
        for bounds in around.filter(|&bounds| touches(bounds, image)) {
            // The capacity is the maximum number of poses.
            let _ = self.boxes.push(bounds);
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
    use crate::pixels::{Image, PixelFormat};

    fn boxes_of(listed: &mut ListedBoxes, name: Option<&str>, sequence: u64) -> Vec<Rectangle> {
        let image = Image::new(PixelFormat::Grey, Size::new(10, 10), vec![0; 100]).unwrap();
        let frame = Frame { image: image.view(), sequence, captured: None, instant: None, name };
        listed.boxes(&frame, None).unwrap().0.unwrap().to_vec()
    }

    #[test]
    fn frames_are_found_by_name_or_by_number() {
        let text = "\u{feff}{\"name\": \"C:\\\\some\\\\a.jpg\", \"boxes\": [[1, 2, 3, 4], [5, 6, 7, 8]], \"scores\": [1]}\r\n\n\
                    {\"sequence\": 3.0, \"boxes\": [[9, 9, 9, 9]]}\n";
        let mut listed = ListedBoxes::parse(text).unwrap();
        assert_eq!(boxes_of(&mut listed, Some("photos/a.jpg"), 0).len(), 2);
        assert_eq!(boxes_of(&mut listed, None, 3)[0].x, 9.0);
        assert_eq!(listed.remark(), None);
        assert_eq!(boxes_of(&mut listed, Some("b.jpg"), 0), []);
        let remark = listed.remark().unwrap();
        assert!(remark.contains("lists 2 frames; 2 of the 3 frames"), "{remark}");
    }

    #[test]
    fn boxes_outside_their_image_are_skipped_and_said() {
        let text = "{\"name\": \"a.jpg\", \"boxes\": [[-30, 0, 20, 5], [8, 8, 20, 5], [10, 0, 5, 5]]}\n";
        let mut listed = ListedBoxes::parse(text).unwrap();
        let inside = boxes_of(&mut listed, Some("a.jpg"), 0);
        assert_eq!(inside, [Rectangle { x: 8.0, y: 8.0, width: 20.0, height: 5.0 }]);
        let remark = listed.remark().unwrap();
        assert!(
            remark.contains("2 boxes lie outside their image") && remark.contains("[-30, 0, 20, 5] of a.jpg"),
            "{remark}"
        );
    }

    #[test]
    fn wrong_lines_are_named() {
        let good = "{\"name\": \"a.jpg\", \"boxes\": []}\n";
        for (line, needle) in [
            ("nothing", "expected"),
            ("{\"boxes\": []}", "neither"),
            ("{\"name\": \"b.jpg\", \"sequence\": 1, \"boxes\": []}", "both"),
            ("{\"name\": \"a.jpg\", \"boxes\": []}", "before"),
            ("{\"name\": \"x/a.jpg\", \"boxes\": []}", "before"),
            ("{\"name\": \"b.jpg\", \"boxes\": [[1, 2, 0, 4]]}", "empty"),
            ("{\"name\": \"b.jpg\", \"boxes\": [[1, 2, 3]]}", "length"),
            ("{\"name\": \"b.jpg\", \"box\": [[1, 2, 3, 4]]}", "no `boxes`"),
            ("{\"sequence\": 1.5, \"boxes\": []}", "whole number"),
            ("{\"sequence\": -1, \"boxes\": []}", "below 0"),
            ("{\"sequence\": \"1\", \"boxes\": []}", "text"),
            ("\u{1f}\u{8b}", "line 1"),
        ] {
            let LineError { line: number, reason } = ListedBoxes::parse(&format!("{good}{line}")).unwrap_err();
            assert_eq!(number, 2);
            assert!(reason.contains(needle), "{reason}");
        }
        let utf_16: Vec<u8> = "\u{feff}{}".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let fault = ListedBoxes::from_lines(&utf_16[..]).err().unwrap();
        assert!(matches!(fault, Fault::Line(1, reason) if reason.contains("UTF-16")));
    }

    #[test]
    fn the_wrong_box_is_the_one_that_is_named() {
        for wrong in ["[5, 6, NaN, 8]", "[5, 6, 1e300, 8]", "[5, null, 7, 8]"] {
            let line = format!("{{\"name\": \"b.jpg\", \"boxes\": [[1, 2, 3, 4], {wrong}]}}");
            let reason = ListedBoxes::parse(&line).unwrap_err().reason;
            assert!(reason.contains("the box [5, ") && reason.contains("not finite"), "{wrong}: {reason}");
        }
        let listed = ListedBoxes::parse("{\"name\": \"b\", \"boxes\": [[1, 2, 3, 4], [5, 6, -7, 8]]}");
        let reason = listed.unwrap_err().reason;
        assert!(reason.contains("the box [5, 6, -7, 8] is empty"), "{reason}");
    }

    #[test]
    fn endless_files_are_refused() {
        let fault = ListedBoxes::from_lines(BufReader::new(std::io::repeat(b'x'))).err().unwrap();
        assert!(matches!(fault, Fault::Line(1, reason) if reason.contains("longer")));
        let mut number = 0;
        let mut endless = std::iter::repeat_with(|| {
            number += 1;
            format!("{{\"sequence\": {number}, \"boxes\": [[1,2,3,4],[1,2,3,4],[1,2,3,4],[1,2,3,4]]}}")
        });
        let mut listed = ListedBoxes { memory: MAX_MEMORY - 1000, ..ListedBoxes::default() };
        let reason = endless.by_ref().take(100).find_map(|line| listed.add(line.as_bytes()).err()).unwrap();
        assert!(reason.contains("192 MB"), "{reason}");
    }

    /// Remembers the deadline of its last request.
    #[derive(Default)]
    struct Asked(Option<Instant>);

    impl Estimator for Asked {
        fn estimate(&mut self, request: &Request<'_>, poses: &mut Poses) -> Result<StageTimes, EstimateError> {
            poses.clear();
            self.0 = request.deadline;
            Ok(StageTimes::default())
        }
    }

    #[test]
    fn the_model_that_finds_boxes_has_the_same_deadline() {
        let image = Image::new(PixelFormat::Grey, Size::new(1, 1), vec![0]).unwrap();
        let frame = Frame { image: image.view(), sequence: 0, captured: None, instant: None, name: None };
        let deadline = Some(Instant::now());
        let mut found = FoundBoxes::new(Asked::default());
        found.boxes(&frame, deadline).unwrap();
        assert_eq!(found.estimator.0, deadline);
    }
}
