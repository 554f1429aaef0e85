//! A user's annotation of an object's keypoints in one image.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{ContentError, check_names};
use crate::coco::{CocoFile, Id, ImageEntry, Number, base_name, from_bytes, is_coco, read_bounded};
use crate::decode::capeformer::SLOTS;
use crate::geometry::{Rectangle, Size};
use crate::pose::MAX_EDGES;

/// Largest file that is read.
const MAX_BYTES: u64 = 64 << 20;
/// Most keypoints and edges that are read before they are counted.
const MOST: usize = 1000;

/// The keypoints of one object in one image, image pixels.
///
/// Two forms are read. The plain one:
///
/// ```json
/// {"image": "a.jpg", "box": [x, y, width, height],
///  "keypoints": [{"name": "rim", "x": 120, "y": 80}, {"name": "handle", "x": 190, "y": 110, "visible": false}],
///  "edges": [["rim", "handle"]]}
/// ```
///
/// Only `keypoints` is required: without `box` it is the whole image, `visible` is true, there are no `edges`; `image`, where it
/// is given, must be the image's file name. Or COCO's: `images`, `annotations` with `keypoints` `[x, y, v, ...]` and `bbox`, and
/// `categories` with their names and `skeleton`; the entry of `images` with the image's file name is used, with its one annotation
/// that has keypoints.
#[derive(Debug, Clone, PartialEq)]
pub struct Annotation {
    /// The box around the object.
    pub bounds: Option<Rectangle>,
    /// The keypoints, in order.
    pub points: Vec<Point>,
    /// Which of them are joined.
    pub edges: Vec<(u16, u16)>,
}

/// One annotated keypoint.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// Its name.
    pub name: String,
    /// Column, pixels.
    pub x: f32,
    /// Row, pixels.
    pub y: f32,
    /// Whether the image shows it.
    pub visible: bool,
}

/// Why an annotation cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AnnotationError {
    /// The file cannot be read.
    #[error("{}: cannot be read; check the path and its permissions", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The operating system's error.
        source: std::io::Error,
    },
    /// Its contents are not usable.
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
    image: Option<String>,
    #[serde(rename = "box")]
    bounds: Option<[Number; 4]>,
    keypoints: Vec<PlainPoint>,
    #[serde(default)]
    edges: Vec<[String; 2]>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PlainPoint {
    name: String,
    x: Number,
    y: Number,
    /// 0 and false mean hidden.
    #[serde(default = "visible")]
    visible: Number,
}

fn visible() -> Number {
    Number(1.0)
}

impl Annotation {
    /// Reads the annotation of `image`, which has `size` pixels, from a file.
    ///
    /// # Errors
    /// If the file cannot be read, has neither of the two forms, belongs to another image, or lacks the image's keypoints.
    pub fn read(path: &Path, image: &Path, size: Size) -> Result<Self, AnnotationError> {
        let content = |reason: String| AnnotationError::Content { path: path.to_owned(), reason };
        let bytes = read_bounded(path, MAX_BYTES).map_err(|source| match source.kind() {
            std::io::ErrorKind::InvalidData => content(source.to_string()),
            _ => AnnotationError::File { path: path.to_owned(), source },
        })?;
        Self::parse(&bytes, &image.to_string_lossy(), Some(size)).map_err(|error| content(error.reason))
    }

    /// The annotation of the image at the path `image` in the contents of a file. Its size is compared where it is known.
    ///
    /// # Errors
    /// Returns a description of what is wrong with them.
    pub fn parse(bytes: &[u8], image: &str, size: Option<Size>) -> Result<Self, ContentError> {
        Ok(Self::checked(bytes, image, size)?)
    }

    fn checked(bytes: &[u8], image: &str, size: Option<Size>) -> Result<Self, String> {
        let annotation = if is_coco(bytes).map_err(|fault| fault.to_string())? {
            from_coco(CocoFile::from_bytes(bytes).map_err(|fault| format!("as COCO's format: {fault}"))?, image, size)?
        } else {
            from_plain(from_bytes(bytes).map_err(|fault| fault.to_string())?, image)?
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

/// A keypoint; where the image does not show it, its place does not matter.
fn point(name: String, x: f64, y: f64, visible: bool) -> Result<Point, String> {
    let [column, row] = [x, y].map(|value| value as f32);
    match (column.is_finite() && row.is_finite(), visible) {
        (true, _) => Ok(Point { name, x: column, y: row, visible }),
        (false, false) => Ok(Point { name, x: 0.0, y: 0.0, visible }),
        (false, true) => {
            Err(format!("keypoint `{name}` is at ({x}, {y}): give finite numbers, or mark it as not visible"))
        }
    }
}

fn rectangle(sides: [f64; 4]) -> Rectangle {
    let [x, y, width, height] = sides.map(|side| side as f32);
    Rectangle { x, y, width, height }
}

fn from_plain(plain: Plain, image: &str) -> Result<Annotation, String> {
    let Plain { image: named, bounds, keypoints, edges } = plain;
    if let Some(named) = named.filter(|named| !is_same_file(named, image)) {
        return Err(format!("it is the annotation of {named}, not of {}", base_name(image)));
    }
    if keypoints.len() > MOST || edges.len() > MOST {
        return Err(format!(
            "{} keypoints and {} edges, expected 1 to {SLOTS} keypoints",
            keypoints.len(),
            edges.len()
        ));
    }
    let points: Vec<Point> = keypoints
        .into_iter()
        .map(|PlainPoint { name, x, y, visible }| point(name, x.0, y.0, visible.0 != 0.0))
        .collect::<Result<_, _>>()?;
    let position = |name: &String| {
        let found = points.iter().position(|point| point.name == *name);
        found.map(|position| position as u16).ok_or_else(|| format!("an edge joins `{name}`, which is not a keypoint"))
    };
    let edges = edges.iter().map(|[a, b]| Ok((position(a)?, position(b)?))).collect::<Result<_, String>>()?;
    let bounds = bounds.map(|sides| rectangle(sides.map(|Number(side)| side)));
    Ok(Annotation { bounds, points, edges })
}

fn is_same_file(named: &str, image: &str) -> bool {
    base_name(named).eq_ignore_ascii_case(base_name(image))
}

/// The entry of `images` that is the image at the path `image`.
fn find_image<'f>(images: &'f [ImageEntry], image: &str) -> Result<&'f ImageEntry, String> {
    let mut same = images.iter().filter(|entry| is_same_file(&entry.file_name, image));
    let wanted = base_name(image);
    match (same.next(), same.next(), images) {
        (Some(only), None, _) => Ok(only),
        (Some(first), Some(second), _) => {
            let is_path = |entry: &&ImageEntry| {
                entry.file_name.split(['/', '\\']).rev().zip(image.rsplit(['/', '\\'])).all(|(a, b)| a == b)
            };
            let mut by_path = images.iter().filter(is_path);
            match (by_path.next(), by_path.next()) {
                (Some(only), None) => Ok(only),
                _ => Err(format!("{} and {} are both called {wanted}", first.file_name, second.file_name)),
            }
        }
        (None, _, [only]) => Err(format!("it is the annotation of {}, not of {wanted}", only.file_name)),
        (None, ..) => Err(format!("none of its {} images is called {wanted}", images.len())),
    }
}

fn from_coco(coco: CocoFile, image: &str, size: Option<Size>) -> Result<Annotation, String> {
    let entry = find_image(&coco.images, image)?;
    if let (Some(found), Some(annotated)) = (size, entry.size())
        && found != annotated
    {
        return Err(format!(
            "it annotates an image of {annotated}, but {} is {found}: it was scaled, cut or turned since, or it is another image",
            base_name(image)
        ));
    }
    let has_keypoints = |values: &Option<Vec<f64>>| values.as_ref().is_some_and(|values| !values.is_empty());
    let mut here = (coco.annotations.iter().enumerate())
        .filter(|(_, annotation)| annotation.image_id == entry.id && has_keypoints(&annotation.keypoints));
    let (at, annotation) =
        here.next().ok_or_else(|| format!("no annotation with keypoints for {}", entry.file_name))?;
    if here.next().is_some() {
        return Err(format!("several annotations with keypoints for {}, expected one", entry.file_name));
    }
    let category = match (&annotation.category_id, &coco.categories[..]) {
        (None, [only]) => only,
        (id, categories) => categories.iter().find(|category| Some(&category.id) == id.as_ref()).ok_or_else(|| {
            let id = id.as_ref().map_or_else(|| "none".to_owned(), Id::to_string);
            format!("annotations[{at}].category_id: no category with the id {id}")
        })?,
    };
    let values = annotation.keypoints.as_deref().unwrap_or_default();
    let (rows, rest) = values.as_chunks::<3>();
    let names: Vec<String> = match category.keypoints.is_empty() {
        true => (1..=rows.len()).map(|number| format!("keypoint_{number}")).collect(),
        false => category.keypoints.clone(),
    };
    if rows.len() != names.len() || !rest.is_empty() {
        let (found, expected) = (values.len(), 3 * names.len());
        return Err(format!("annotations[{at}].keypoints has {found} numbers, expected {expected}: x, y, v of each"));
    }
    let points =
        (rows.iter().zip(names)).map(|(&[x, y, v], name)| point(name, x, y, v > 0.0)).collect::<Result<_, _>>()?;
    // COCO counts keypoints from 1 here. Anything that is not a pair is not drawn.
    let index = |number: f64| (1.0..=f64::from(u16::MAX)).contains(&number).then(|| number as u16 - 1);
    let edge = |&[a, b]: &[f64; 2]| index(a).zip(index(b)).ok_or("`skeleton` counts from 1");
    let edges = category.skeleton.iter().flatten().map(edge).collect::<Result<_, _>>()?;
    Ok(Annotation { bounds: annotation.bbox.map(rectangle), points, edges })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Annotation, String> {
        Annotation::checked(text.as_bytes(), "photos/b.jpg", Some(Size::new(64, 48)))
    }

    #[test]
    fn the_plain_form() {
        let text = r#"{"image": "b.jpg", "box": [1, 2, 30, 40], "edges": [["handle", "rim"]],
                "keypoints": [{"name": "rim", "x": 3, "y": 4.5}, {"name": "handle", "x": NaN, "y": null, "visible": false}]}"#;
        for text in [text.to_owned(), format!("\u{feff}{text}")] {
            let found = parse(&text).unwrap();
            assert_eq!(found.bounds, Some(Rectangle { x: 1.0, y: 2.0, width: 30.0, height: 40.0 }));
            assert_eq!(found.edges, [(1, 0)]);
            assert_eq!(found.points[0], Point { name: "rim".to_owned(), x: 3.0, y: 4.5, visible: true });
            assert!(!found.points[1].visible);
        }
        assert_eq!(parse(r#"{"keypoints": [{"name": "rim", "x": 3, "y": 4}]}"#).unwrap().bounds, None);
        let error = parse(&text.replace("b.jpg", "c.jpg")).unwrap_err();
        assert!(error.contains("annotation of c.jpg, not of b.jpg"), "{error}");
    }

    const COCO: &str = r#"{"images": [{"id": 1, "file_name": "a.jpg"},
                {"id": "2", "file_name": "C:\\cups\\b.jpg", "width": 64.0, "height": 48}],
            "annotations": [
                {"image_id": 1, "category_id": 7, "keypoints": [9, 9, 2, 9, 9, 2]},
                {"image_id": "2", "category_id": 8, "bbox": [0, 0, 5, 5]},
                {"image_id": "2", "category_id": 7.0, "bbox": [1, 2, 30, 40], "keypoints": [3, 4, 1, NaN, NaN, 0]}],
            "categories": [{"id": 7, "keypoints": ["rim", "handle"], "skeleton": [[1, 2]]}, {"id": 8, "name": "table"}]}"#;

    #[test]
    fn cocos_form() {
        let found = parse(COCO).unwrap();
        assert_eq!(found.edges, [(0, 1)]);
        assert_eq!((found.points[0].x, found.points[0].visible, found.points[1].visible), (3.0, true, false));
        assert_eq!(found.bounds, Some(Rectangle { x: 1.0, y: 2.0, width: 30.0, height: 40.0 }));
        for (from, to, needle) in [
            (r"cups\\b.jpg", "c.jpg", "none of its 2 images is called b.jpg"),
            ("NaN, NaN, 0]", "0, 0]", "annotations[2].keypoints has 5 numbers, expected 6"),
            ("NaN, NaN, 0]", "NaN, NaN, 2]", "`handle` is at (NaN, NaN)"),
            ("[[1, 2]]", "[[0, 1]]", "from 1"),
            ("\"id\": 7", "\"id\": 9", "id 7"),
            ("\"image_id\": 1", "\"image_id\": \"2\"", "several"),
            ("64.0", "640", "annotates an image of 640x48, but b.jpg is 64x48"),
        ] {
            let error = parse(&COCO.replace(from, to)).unwrap_err();
            assert!(error.contains(needle), "{error}");
        }
        let unnamed = parse(&COCO.replace(r#""keypoints": ["rim", "handle"], "#, "")).unwrap();
        assert_eq!(unnamed.points[1].name, "keypoint_2");
    }

    #[test]
    fn the_annotation_of_another_image_is_refused() {
        let text = r#"{"images": [{"id": 1, "file_name": "cup-2.jpg"}], "categories": [{"id": 1, "keypoints": ["rim"]}],
            "annotations": [{"image_id": 1, "category_id": 1, "keypoints": [1, 1, 2]}]}"#;
        let error = parse(text).unwrap_err();
        assert!(error.contains("annotation of cup-2.jpg, not of b.jpg"), "{error}");
        let two = text.replace(
            "[{\"id\": 1, \"file_name\": \"cup-2.jpg\"}]",
            r#"[{"id": 1, "file_name": "photos/b.jpg"}, {"id": 2, "file_name": "more/b.jpg"}]"#,
        );
        assert_eq!(parse(&two).unwrap().points.len(), 1);
        let error = parse(&two.replace("photos/b.jpg", "others/b.jpg")).unwrap_err();
        assert!(error.contains("others/b.jpg and more/b.jpg are both called b.jpg"), "{error}");
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, needle) in [
            ("", "empty"),
            ("[]", "expected an object"),
            ("{\"keypoints\": [", "EOF"),
            (r#"{"keypoints": []}"#, "0 keypoints"),
            (r#"{"keypoints": [{"name": "rim", "x": 1}]}"#, "keypoints[0]: missing field `y`"),
            (r#"{"keypoints": [{"name": "rim", "x": 1, "y": 1e300}]}"#, "rim"),
            (r#"{"keypoints": [{"name": "rim", "x": 1, "y": NaN}]}"#, "`rim` is at (1, NaN)"),
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

    #[test]
    fn cut_and_changed_files_are_read_or_refused() {
        let mut read = 0;
        for at in 0..COCO.len() {
            let cut = Annotation::parse(&COCO.as_bytes()[..at], "b.jpg", None);
            assert!(cut.is_err(), "cut at {at}");
            for bit in 0..8 {
                let mut bytes = COCO.as_bytes().to_vec();
                bytes[at] ^= 1 << bit;
                if let Ok(found) = Annotation::parse(&bytes, "b.jpg", None) {
                    assert!(found.points.iter().all(|point| point.x.is_finite() && point.y.is_finite()));
                    read += 1;
                }
            }
        }
        assert!(read > 100, "{read}");
    }

    #[test]
    fn files_without_an_end_are_refused() {
        let image = Path::new("b.jpg");
        let error = Annotation::read(Path::new("/dev/zero"), image, Size::new(1, 1)).unwrap_err().to_string();
        assert!(error.contains("more than the 67108864 bytes"), "{error}");
    }
}
