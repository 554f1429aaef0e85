//! Where the keypoints of a thing are in one image, as a user writes it down.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::check_names;
use crate::decode::capeformer::SLOTS;
use crate::geometry::Rectangle;
use crate::pose::MAX_EDGES;

/// Largest file that is read.
const MAX_BYTES: u64 = 16 << 20;

/// The keypoints of one thing in one image, image pixels.
///
/// Two forms are read. The plain one:
///
/// ```json
/// {"box": [x, y, width, height],
///  "keypoints": [{"name": "rim", "x": 120, "y": 80}, {"name": "handle", "x": 190, "y": 110, "visible": false}],
///  "edges": [["rim", "handle"]]}
/// ```
///
/// `box` (else the whole image), `visible` (else true) and `edges` (else none) may be left out. Or COCO's: `images`,
/// `annotations` with `keypoints` `[x, y, v, ...]` and `bbox`, and `categories` with their names and `skeleton`; of
/// several images the one with the image's file name counts.
#[derive(Debug, Clone, PartialEq)]
pub struct Annotation {
    /// The box around the thing.
    pub bounds: Option<Rectangle>,
    /// The keypoints, in order.
    pub points: Vec<Point>,
    /// Which of them are joined.
    pub edges: Vec<(u16, u16)>,
}

/// One annotated keypoint.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Point {
    /// Its name.
    pub name: String,
    /// Column, pixels.
    pub x: f32,
    /// Row, pixels.
    pub y: f32,
    /// Whether the image shows it.
    #[serde(default = "yes")]
    pub visible: bool,
}

fn yes() -> bool {
    true
}

/// Why an annotation is not used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AnnotationError {
    /// The file cannot be read.
    #[error("{}: cannot be read; check the path and its permissions", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// What it says is not usable.
    #[error("{}: {reason}; docs/enrol.md shows what is expected", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Plain {
    #[serde(rename = "box")]
    bounds: Option<[f32; 4]>,
    keypoints: Vec<Point>,
    #[serde(default)]
    edges: Vec<[String; 2]>,
}

#[derive(Deserialize)]
struct Coco {
    images: Vec<CocoImage>,
    annotations: Vec<CocoAnnotation>,
    categories: Vec<CocoCategory>,
}

#[derive(Deserialize)]
struct CocoImage {
    id: u64,
    file_name: String,
}

#[derive(Deserialize)]
struct CocoAnnotation {
    image_id: u64,
    category_id: u64,
    bbox: Option<[f32; 4]>,
    keypoints: Vec<f32>,
}

#[derive(Deserialize)]
struct CocoCategory {
    id: u64,
    keypoints: Vec<String>,
    #[serde(default)]
    skeleton: Vec<[u16; 2]>,
}

impl Annotation {
    /// Reads the annotation of `image` from a file.
    ///
    /// # Errors
    /// Where the file cannot be read, is neither of the two forms, or does not say where the image's keypoints are.
    pub fn read(path: &Path, image: &Path) -> Result<Self, AnnotationError> {
        let unreadable = |source| AnnotationError::File { path: path.to_owned(), source };
        let content = |reason: String| AnnotationError::Content { path: path.to_owned(), reason };
        let size = std::fs::metadata(path).map_err(unreadable)?.len();
        if size > MAX_BYTES {
            return Err(content(format!("it has {size} bytes, more than the {MAX_BYTES} that are read")));
        }
        let bytes = std::fs::read(path).map_err(unreadable)?;
        let name = image.file_name().map(|name| name.to_string_lossy());
        Self::parse(&bytes, name.as_deref().unwrap_or_default()).map_err(content)
    }

    /// The annotation of the image called `image` in the contents of a file.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn parse(bytes: &[u8], image: &str) -> Result<Self, String> {
        let value: serde_json::Value = serde_json::from_slice(bytes).map_err(|error| format!("no JSON: {error}"))?;
        let annotation = if value.get("annotations").is_some() {
            from_coco(serde_json::from_value(value).map_err(|error| format!("as COCO's format: {error}"))?, image)?
        } else {
            from_plain(serde_json::from_value(value).map_err(|error| error.to_string())?)?
        };
        annotation.check()?;
        Ok(annotation)
    }

    fn check(&self) -> Result<(), String> {
        let count = self.points.len();
        if !(1..=SLOTS).contains(&count) {
            return Err(format!("{count} keypoints, expected 1 to {SLOTS}"));
        }
        check_names(self.points.iter().map(|point| point.name.as_str()))?;
        if let Some(point) = self.points.iter().find(|point| !(point.x.is_finite() && point.y.is_finite())) {
            return Err(format!("keypoint `{}` is at ({}, {})", point.name, point.x, point.y));
        }
        if let Some(Rectangle { x, y, width, height }) = self.bounds
            && !([x, y, width, height].iter().all(|value| value.is_finite()) && width > 0.0 && height > 0.0)
        {
            return Err(format!("the box [{x}, {y}, {width}, {height}] is empty"));
        }
        if self.edges.len() > MAX_EDGES {
            return Err(format!("{} edges, at most {MAX_EDGES} are drawn", self.edges.len()));
        }
        match self.edges.iter().find(|&&(a, b)| a == b || usize::from(a.max(b)) >= count) {
            Some((a, b)) => Err(format!("an edge joins keypoints {a} and {b} of {count}")),
            None => Ok(()),
        }
    }
}

fn rectangle([x, y, width, height]: [f32; 4]) -> Rectangle {
    Rectangle { x, y, width, height }
}

fn from_plain(plain: Plain) -> Result<Annotation, String> {
    let position = |name: &String| {
        let found = plain.keypoints.iter().position(|point| point.name == *name);
        found.map(|position| position as u16).ok_or_else(|| format!("an edge joins `{name}`, which is no keypoint"))
    };
    let edges = plain.edges.iter().map(|[a, b]| Ok((position(a)?, position(b)?))).collect::<Result<_, String>>()?;
    Ok(Annotation { bounds: plain.bounds.map(rectangle), points: plain.keypoints, edges })
}

fn from_coco(coco: Coco, name: &str) -> Result<Annotation, String> {
    let image = match &coco.images[..] {
        [only] => only,
        images => images
            .iter()
            .find(|image| image.file_name.rsplit('/').next() == Some(name))
            .ok_or_else(|| format!("none of its {} images is called {name}", images.len()))?,
    };
    let mut here = coco.annotations.iter().filter(|annotation| annotation.image_id == image.id);
    let annotation = here.next().ok_or_else(|| format!("no annotation for {}", image.file_name))?;
    if here.next().is_some() {
        return Err(format!("several annotations for {}, expected one", image.file_name));
    }
    let category = (coco.categories.iter().find(|category| category.id == annotation.category_id))
        .ok_or_else(|| format!("no category with the id {}", annotation.category_id))?;
    let (rows, rest) = annotation.keypoints.as_chunks::<3>();
    if rows.len() != category.keypoints.len() || !rest.is_empty() {
        let (found, expected) = (annotation.keypoints.len(), 3 * category.keypoints.len());
        return Err(format!("`keypoints` has {found} numbers, expected {expected}: x, y, v of each"));
    }
    let points = (rows.iter().zip(&category.keypoints))
        .map(|(&[x, y, v], name)| Point { name: name.clone(), x, y, visible: v > 0.0 })
        .collect();
    // COCO counts keypoints from 1 here.
    let edge = |&[a, b]: &[u16; 2]| a.checked_sub(1).zip(b.checked_sub(1)).ok_or("`skeleton` counts from 1");
    let edges = category.skeleton.iter().map(edge).collect::<Result<_, _>>()?;
    Ok(Annotation { bounds: annotation.bbox.map(rectangle), points, edges })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Annotation, String> {
        Annotation::parse(text.as_bytes(), "b.jpg")
    }

    #[test]
    fn the_plain_form() {
        let found = parse(
            r#"{"box": [1, 2, 30, 40], "edges": [["handle", "rim"]],
                "keypoints": [{"name": "rim", "x": 3, "y": 4.5}, {"name": "handle", "x": 5, "y": 6, "visible": false}]}"#,
        )
        .unwrap();
        assert_eq!(found.bounds, Some(Rectangle { x: 1.0, y: 2.0, width: 30.0, height: 40.0 }));
        assert_eq!(found.edges, [(1, 0)]);
        assert_eq!(found.points[0], Point { name: "rim".to_owned(), x: 3.0, y: 4.5, visible: true });
        assert!(!found.points[1].visible);
        assert_eq!(parse(r#"{"keypoints": [{"name": "rim", "x": 3, "y": 4}]}"#).unwrap().bounds, None);
    }

    #[test]
    fn cocos_form() {
        let text = r#"{"images": [{"id": 1, "file_name": "a.jpg"}, {"id": 2, "file_name": "cups/b.jpg"}],
            "annotations": [
                {"image_id": 1, "category_id": 7, "keypoints": [9, 9, 2, 9, 9, 2]},
                {"image_id": 2, "category_id": 7, "bbox": [1, 2, 30, 40], "keypoints": [3, 4, 1, 0, 0, 0]}],
            "categories": [{"id": 7, "keypoints": ["rim", "handle"], "skeleton": [[1, 2]]}]}"#;
        let found = parse(text).unwrap();
        assert_eq!(found.edges, [(0, 1)]);
        assert_eq!((found.points[0].x, found.points[0].visible, found.points[1].visible), (3.0, true, false));
        assert_eq!(found.bounds, Some(Rectangle { x: 1.0, y: 2.0, width: 30.0, height: 40.0 }));
        for (from, to, needle) in [
            ("cups/b.jpg", "c.jpg", "b.jpg"),
            ("0, 0, 0]", "0, 0]", "expected 6"),
            ("[[1, 2]]", "[[0, 1]]", "from 1"),
            ("\"id\": 7", "\"id\": 8", "id 7"),
            ("\"image_id\": 1", "\"image_id\": 2", "several"),
        ] {
            let error = parse(&text.replace(from, to)).unwrap_err();
            assert!(error.contains(needle), "{error}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, needle) in [
            ("", "JSON"),
            ("[]", "struct"),
            (r#"{"keypoints": []}"#, "0 keypoints"),
            (r#"{"keypoints": [{"name": "rim", "x": 1}]}"#, "y"),
            (r#"{"keypoints": [{"name": "rim", "x": 1, "y": 1e300}]}"#, "rim"),
            (r#"{"keypoints": [{"name": "", "x": 1, "y": 1}]}"#, "empty name"),
            (r#"{"keypoints": [{"name": "a", "x": 1, "y": 1}, {"name": "a", "x": 1, "y": 1}]}"#, "`a`"),
            (r#"{"keypoints": [{"name": "a", "x": 1, "y": 1, "seen": 1}]}"#, "seen"),
            (r#"{"box": [0, 0, 0, 9], "keypoints": [{"name": "a", "x": 1, "y": 1}]}"#, "empty"),
            (r#"{"edges": [["a", "b"]], "keypoints": [{"name": "a", "x": 1, "y": 1}]}"#, "`b`"),
            (r#"{"edges": [["a", "a"]], "keypoints": [{"name": "a", "x": 1, "y": 1}]}"#, "edge"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(needle), "{needle}: {error}");
        }
        let edges = vec![r#"["a", "b"]"#; 129].join(",");
        let points = r#"[{"name": "a", "x": 1, "y": 1}, {"name": "b", "x": 2, "y": 1}]"#;
        assert!(parse(&format!(r#"{{"keypoints": {points}, "edges": [{edges}]}}"#)).unwrap_err().contains("129 edges"));
        let many: Vec<String> = (0..101).map(|i| format!(r#"{{"name": "{i}", "x": 1, "y": 1}}"#)).collect();
        assert!(parse(&format!(r#"{{"keypoints": [{}]}}"#, many.join(","))).unwrap_err().contains("101"));
    }
}
