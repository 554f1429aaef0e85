//! COCO keypoint annotations: the subset of `annotations.json` that the evaluation reads.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer};

use super::{EvalError, json};

/// One image of the annotated set.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Image {
    /// Its id in the annotations and in the results.
    pub id: u64,
    /// Its file, relative to the folder of images.
    pub file_name: String,
}

/// One annotated keypoint in image pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TrueKeypoint {
    /// Column.
    pub x: f64,
    /// Row.
    pub y: f64,
    /// Whether it is labelled at all (COCO's visibility above 0: hidden or seen).
    pub labelled: bool,
}

/// One annotated person, or crowd.
#[derive(Debug, Clone, PartialEq)]
pub struct Annotation {
    /// Its id.
    pub id: u64,
    /// Keypoints in the category's order.
    pub keypoints: Vec<TrueKeypoint>,
    /// Segment area in square pixels: the scale s^2 of the OKS.
    pub area: f64,
    /// Left, top, width, height in pixels.
    pub bbox: [f64; 4],
    /// Left, top, width, height of the head, where the file says it; what PCKh is measured in.
    pub head_bbox: Option<[f64; 4]>,
    /// A region of many people: any number of detections may match it, and none of them counts.
    pub crowd: bool,
    /// Neither found nor missed counts: a crowd, or nobody's keypoints labelled.
    pub ignored: bool,
}

/// The annotations of one category, grouped by image, in the order of the images' ids.
#[derive(Debug, Clone)]
pub struct GroundTruth {
    path: PathBuf,
    category_id: u64,
    images: Vec<Image>,
    annotations: Vec<Vec<Annotation>>,
    index: HashMap<u64, usize>,
}

impl GroundTruth {
    /// Reads a COCO annotation file; of several categories the one called `person`.
    ///
    /// `num_keypoints` is counted where it is missing, `iscrowd` is then 0. The key `ignore` has no effect, as in
    /// pycocotools, which overwrites it with `iscrowd`.
    ///
    /// # Errors
    /// Where the file cannot be read, lacks a key or holds a wrong type; where ids repeat or point nowhere; and where an
    /// annotation's id is 0, which pycocotools silently takes for "not matched".
    pub fn read(path: &Path) -> Result<Self, EvalError> {
        let file: AnnotationFile = json::read(path)?;
        Self::from_file(path, file)
    }

    fn from_file(path: &Path, file: AnnotationFile) -> Result<Self, EvalError> {
        let fault = |key: String, found: String, expected: &str| EvalError::Value {
            path: path.into(),
            key,
            found,
            expected: expected.into(),
        };
        let category_id = choose_category(&file.categories).map_err(|found| {
            fault("categories".into(), found, "one category, or one that is called `person` among several")
        })?;
        let mut images = file.images;
        images.sort_by_key(|image| image.id);
        let mut index = HashMap::with_capacity(images.len());
        for (position, image) in images.iter().enumerate() {
            if index.insert(image.id, position).is_some() {
                return Err(fault("images".into(), format!("id {} twice", image.id), "every id once"));
            }
        }
        let mut annotations = vec![Vec::new(); images.len()];
        let mut seen = HashSet::with_capacity(file.annotations.len());
        for (position, entry) in file.annotations.into_iter().enumerate() {
            let key = |name: &str| format!("annotations[{position}].{name}");
            if entry.category_id != category_id {
                continue;
            }
            if entry.id == 0 || !seen.insert(entry.id) {
                return Err(fault(key("id"), entry.id.to_string(), "a number above 0 that no other annotation has"));
            }
            let Some(&image) = index.get(&entry.image_id) else {
                return Err(fault(key("image_id"), entry.image_id.to_string(), "the id of one of `images`"));
            };
            if entry.keypoints.len() % 3 != 0 {
                let found = format!("{} numbers", entry.keypoints.len());
                return Err(fault(key("keypoints"), found, "x, y, visibility for every keypoint"));
            }
            annotations[image].push(entry.into());
        }
        Ok(Self { path: path.into(), category_id, images, annotations, index })
    }

    /// Forgets all images, and what is annotated in them, but the first `count`.
    pub fn keep_first(&mut self, count: usize) {
        self.images.truncate(count);
        self.annotations.truncate(count);
        self.index.retain(|_, position| *position < count);
    }

    /// The file that was read.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The category that is evaluated.
    pub fn category_id(&self) -> u64 {
        self.category_id
    }

    /// All images, in the order of their ids.
    pub fn images(&self) -> &[Image] {
        &self.images
    }

    /// What is annotated in each of [`GroundTruth::images`], in the file's order.
    pub fn annotations(&self) -> &[Vec<Annotation>] {
        &self.annotations
    }

    /// Where an image stands in [`GroundTruth::images`].
    pub(super) fn position(&self, image_id: u64) -> Option<usize> {
        self.index.get(&image_id).copied()
    }
}

#[derive(Deserialize)]
struct AnnotationFile {
    images: Vec<Image>,
    annotations: Vec<AnnotationEntry>,
    categories: Vec<Category>,
}

#[derive(Deserialize)]
struct Category {
    id: u64,
    name: String,
}

#[derive(Deserialize)]
struct AnnotationEntry {
    id: u64,
    image_id: u64,
    category_id: u64,
    keypoints: Vec<f64>,
    area: f64,
    bbox: [f64; 4],
    head_bbox: Option<[f64; 4]>,
    #[serde(default, deserialize_with = "flag")]
    iscrowd: bool,
    num_keypoints: Option<u64>,
}

impl From<AnnotationEntry> for Annotation {
    fn from(entry: AnnotationEntry) -> Self {
        let keypoints: Vec<_> = entry
            .keypoints
            .chunks_exact(3)
            .map(|triple| TrueKeypoint { x: triple[0], y: triple[1], labelled: triple[2] > 0.0 })
            .collect();
        let labelled = keypoints.iter().filter(|keypoint| keypoint.labelled).count() as u64;
        Self {
            id: entry.id,
            ignored: entry.iscrowd || entry.num_keypoints.unwrap_or(labelled) == 0,
            keypoints,
            area: entry.area,
            bbox: entry.bbox,
            head_bbox: entry.head_bbox,
            crowd: entry.iscrowd,
        }
    }
}

fn choose_category(categories: &[Category]) -> Result<u64, String> {
    match categories {
        [only] => Ok(only.id),
        several => {
            several.iter().find(|category| category.name == "person").map(|category| category.id).ok_or_else(|| {
                let names: Vec<_> = several.iter().map(|category| category.name.as_str()).collect();
                format!("[{}]", names.join(", "))
            })
        }
    }
}

/// COCO writes 0 and 1, some converters true and false.
fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected 0, 1, true or false")]
    enum Flag {
        Boolean(bool),
        Number(i64),
    }
    Ok(match Flag::deserialize(deserializer)? {
        Flag::Boolean(value) => value,
        Flag::Number(value) => value != 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(annotation: &str) -> Result<GroundTruth, EvalError> {
        let text = format!(
            r#"{{"images": [{{"id": 9, "file_name": "b.jpg"}}, {{"id": 4, "file_name": "a.jpg"}}],
                "categories": [{{"id": 3, "name": "dog"}}, {{"id": 1, "name": "person"}}],
                "annotations": [{annotation}]}}"#
        );
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("annotations.json");
        std::fs::write(&path, text).unwrap();
        GroundTruth::read(&path)
    }

    fn message(annotation: &str) -> String {
        parse(annotation).unwrap_err().to_string()
    }

    #[test]
    fn reads_and_sorts() {
        let truth = parse(
            r#"{"id": 1, "image_id": 9, "category_id": 1, "keypoints": [1, 2, 0, 3, 4.5, 1], "area": 7, "bbox": [0, 0, 3, 4],
                "iscrowd": 0, "num_keypoints": 1, "segmentation": []},
               {"id": 2, "image_id": 9, "category_id": 1, "keypoints": [1, 2, 0, 3, 4, 0], "area": 7, "bbox": [0, 0, 3, 4]},
               {"id": 3, "image_id": 4, "category_id": 3, "keypoints": [], "area": 7, "bbox": [0, 0, 3, 4]},
               {"id": 4, "image_id": 4, "category_id": 1, "keypoints": [1, 2, 2, 3, 4, 0], "area": 7, "bbox": [0, 0, 3, 4],
                "iscrowd": true}"#,
        )
        .unwrap();
        assert_eq!(truth.category_id(), 1);
        assert_eq!(truth.images().iter().map(|image| image.id).collect::<Vec<_>>(), [4, 9]);
        let [first, second] = truth.annotations() else { panic!() };
        assert!(first.len() == 1 && first[0].crowd && first[0].ignored);
        assert!(second.len() == 2 && !second[0].ignored && second[1].ignored && !second[1].crowd);
        assert_eq!(second[0].keypoints[1], TrueKeypoint { x: 3.0, y: 4.5, labelled: true });
    }

    #[test]
    fn errors_name_file_key_and_value() {
        let text = message(
            r#"{"id": 1, "image_id": 4, "category_id": 1, "keypoints": [], "area": "x", "bbox": [0, 0, 1, 1]}"#,
        );
        assert!(text.contains("annotations.json: annotations[0].area: invalid type: string \"x\""), "{text}");
        let text = message(r#"{"id": 1, "image_id": 4, "category_id": 1, "keypoints": [], "bbox": [0, 0, 1, 1]}"#);
        assert!(text.contains("annotations[0]") && text.contains("missing field `area`"), "{text}");
        let text =
            message(r#"{"id": 1, "image_id": 5, "category_id": 1, "keypoints": [], "area": 1, "bbox": [0, 0, 1, 1]}"#);
        assert!(text.contains("annotations[0].image_id: found 5, expected the id of one of `images`"), "{text}");
        let text = message(
            r#"{"id": 1, "image_id": 4, "category_id": 1, "keypoints": [1, 2], "area": 1, "bbox": [0, 0, 1, 1]}"#,
        );
        assert!(text.contains("annotations[0].keypoints: found 2 numbers"), "{text}");
        let text =
            message(r#"{"id": 0, "image_id": 4, "category_id": 1, "keypoints": [], "area": 1, "bbox": [0, 0, 1, 1]}"#);
        assert!(text.contains("annotations[0].id: found 0"), "{text}");
        assert!(message("{").contains("line"), "a cut file says where");
        let text = GroundTruth::read("no/such/file.json".as_ref()).unwrap_err().to_string();
        assert!(text.contains("cannot read no/such/file.json"), "{text}");
    }
}
