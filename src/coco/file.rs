//! The parts of an annotation file.

use std::cell::Cell;
use std::marker::PhantomData;
use std::path::Path;

use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::scalar::{any_id, flag, helpful, names, optional, pairs, text};
use super::text::{Fault, parse_bytes, read};
use super::{FileError, Id, Number};
use crate::geometry::Size;

/// Maximum number of values in an annotation's `keypoints`.
pub const MAX_VALUES: usize = 3000;
/// Maximum memory for a file's entries; COCO's largest set of keypoints takes 150 MB.
const MAX_MEMORY: usize = 240 << 20;

/// A file of annotations: the keys that are used, for all categories.
#[derive(Debug, Clone, Default)]
pub struct CocoFile {
    /// `images`, in the file's order.
    pub images: Vec<ImageEntry>,
    /// `annotations`, in the file's order.
    pub annotations: Vec<AnnotationEntry>,
    /// `categories`, in the file's order.
    pub categories: Vec<CategoryEntry>,
}

/// One of `images`.
#[derive(Debug, Clone, Deserialize)]
pub struct ImageEntry {
    /// Its id.
    pub id: Id,
    /// Its file, as the file says.
    pub file_name: String,
    #[serde(default, deserialize_with = "helpful")]
    width: Option<f64>,
    #[serde(default, deserialize_with = "helpful")]
    height: Option<f64>,
    /// Its frame number in a video, if given.
    #[serde(default, deserialize_with = "helpful")]
    pub frame_id: Option<f64>,
}

impl ImageEntry {
    /// Its size in pixels, if given.
    pub fn size(&self) -> Option<Size> {
        let side =
            |length: Option<f64>| length.filter(|&length| (1.0..1e6).contains(&length)).map(|length| length as usize);
        Some(Size::new(side(self.width)?, side(self.height)?))
    }
}

/// One of `annotations`.
#[derive(Debug, Clone, Deserialize)]
pub struct AnnotationEntry {
    /// Its id, if usable.
    #[serde(default, deserialize_with = "any_id")]
    pub id: Option<Id>,
    /// Its image.
    pub image_id: Id,
    /// Its category, if given.
    pub category_id: Option<Id>,
    /// x, y, visibility of each keypoint; NaN for NaN or `null`. `None` without the key.
    #[serde(default, deserialize_with = "values")]
    pub keypoints: Option<Vec<f64>>,
    /// Area of the segment, square pixels.
    #[serde(default, deserialize_with = "optional")]
    pub area: Option<f64>,
    /// Left, top, width, height in pixels.
    #[serde(default, deserialize_with = "bounds")]
    pub bbox: Option<[f64; 4]>,
    /// The same for the head.
    #[serde(default, deserialize_with = "bounds")]
    pub head_bbox: Option<[f64; 4]>,
    /// Whether it is a crowd region.
    #[serde(default, deserialize_with = "flag")]
    pub iscrowd: bool,
    /// Number of labelled keypoints, if given.
    #[serde(default, deserialize_with = "helpful")]
    pub num_keypoints: Option<f64>,
    /// Its track in a video, if given.
    #[serde(default, deserialize_with = "helpful")]
    pub track_id: Option<f64>,
}

/// One of `categories`.
#[derive(Debug, Clone, Deserialize)]
pub struct CategoryEntry {
    /// Its id.
    pub id: Id,
    /// Its name.
    #[serde(default, deserialize_with = "text")]
    pub name: String,
    /// Names of its keypoints; empty if the file gives none.
    #[serde(default, deserialize_with = "names")]
    pub keypoints: Vec<String>,
    /// Pairs of keypoints that are joined, counted from 1; `None` for what is not a pair.
    #[serde(default, deserialize_with = "pairs")]
    pub skeleton: Vec<Option<[f64; 2]>>,
}

impl CocoFile {
    /// Reads a file.
    ///
    /// # Errors
    /// If it cannot be read, lacks `images` or `annotations`, has a value of the wrong type under a key that is used, or would
    /// take too much memory.
    pub fn read(path: &Path) -> Result<Self, FileError> {
        read(path, Top(&Budget::default()))
    }

    /// The same from a file's bytes.
    ///
    /// # Errors
    /// Same as [`CocoFile::read`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Fault> {
        parse_bytes(bytes, Top(&Budget::default()))
    }
}

/// Reads a list of `T`, such as a file of results.
///
/// # Errors
/// Same as [`CocoFile::read`].
pub(crate) fn read_list<T: for<'de> Deserialize<'de> + Footprint>(path: &Path) -> Result<Vec<T>, FileError> {
    read(path, List(&Budget::default(), PhantomData))
}

/// Memory that an entry takes.
pub(crate) trait Footprint {
    /// Bytes on the heap.
    fn heap(&self) -> usize;
}

impl Footprint for ImageEntry {
    fn heap(&self) -> usize {
        // Its id is also kept in an index.
        self.file_name.len() + 64
    }
}

impl Footprint for AnnotationEntry {
    fn heap(&self) -> usize {
        self.keypoints.as_ref().map_or(0, |values| 8 * values.len())
    }
}

impl Footprint for CategoryEntry {
    fn heap(&self) -> usize {
        self.name.len() + self.keypoints.iter().map(|name| name.len() + 24).sum::<usize>() + 24 * self.skeleton.len()
    }
}

/// The memory that is left.
struct Budget(Cell<usize>);

impl Default for Budget {
    fn default() -> Self {
        Self(Cell::new(MAX_MEMORY))
    }
}

impl Budget {
    fn charge<E: Error>(&self, bytes: usize) -> Result<(), E> {
        let left = self.0.get().checked_sub(bytes).ok_or_else(|| {
            E::custom(format!("the file holds more than the {} MB that are read; split it", MAX_MEMORY >> 20))
        })?;
        self.0.set(left);
        Ok(())
    }
}

/// The whole file.
struct Top<'b>(&'b Budget);

impl<'de> DeserializeSeed<'de> for Top<'_> {
    type Value = CocoFile;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<CocoFile, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Top<'_> {
    type Value = CocoFile;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object with `images`, `annotations` and `categories`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<CocoFile, A::Error> {
        let (mut images, mut annotations, mut categories) = (None, None, None);
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "images" => images = Some(map.next_value_seed(List(self.0, PhantomData))?),
                "annotations" => annotations = Some(map.next_value_seed(List(self.0, PhantomData))?),
                "categories" => categories = Some(map.next_value_seed(List(self.0, PhantomData))?),
                _ => {
                    let _: IgnoredAny = map.next_value()?;
                }
            }
        }
        Ok(CocoFile {
            images: images.ok_or_else(|| A::Error::missing_field("images"))?,
            annotations: annotations.ok_or_else(|| A::Error::missing_field("annotations"))?,
            categories: categories.unwrap_or_default(),
        })
    }
}

/// A list, entry by entry.
struct List<'b, T>(&'b Budget, PhantomData<T>);

impl<'de, T: Deserialize<'de> + Footprint> DeserializeSeed<'de> for List<'_, T> {
    type Value = Vec<T>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Vec<T>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, T: Deserialize<'de> + Footprint> Visitor<'de> for List<'_, T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a list")
    }

    fn visit_unit<E: Error>(self) -> Result<Vec<T>, E> {
        Ok(Vec::new())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<T>, A::Error> {
        let mut entries: Vec<T> = Vec::new();
        while let Some(entry) = list.next_element::<T>()? {
            // A growing list has room for twice as many.
            self.0.charge(2 * size_of::<T>() + entry.heap())?;
            entries.push(entry);
        }
        Ok(entries)
    }
}

/// At most [`MAX_VALUES`] numbers, or `None`.
fn values<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<f64>>, D::Error> {
    numbers(deserializer, "a list of x, y, visibility of each keypoint")
}

/// The same of what is `expected`.
fn numbers<'de, D: Deserializer<'de>>(deserializer: D, expected: &'static str) -> Result<Option<Vec<f64>>, D::Error> {
    struct Values(&'static str);
    impl<'de> Visitor<'de> for Values {
        type Value = Option<Vec<f64>>;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str(self.0)
        }
        fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
            Ok(None)
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            let mut values = Vec::new();
            while let Some(Number(value)) = list.next_element()? {
                if values.len() == MAX_VALUES {
                    return Err(A::Error::custom(format!("more than {MAX_VALUES} numbers")));
                }
                values.push(value);
            }
            values.shrink_to_fit();
            Ok(Some(values))
        }
    }
    deserializer.deserialize_any(Values(expected))
}

/// A box; `None` for `null`, an empty list or NaN.
fn bounds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<[f64; 4]>, D::Error> {
    match numbers(deserializer, "x, y, width, height")?.as_deref() {
        None | Some([]) => Ok(None),
        Some(&[x, y, width, height]) => {
            Ok([x, y, width, height].iter().all(|value| value.is_finite()).then_some([x, y, width, height]))
        }
        Some(other) => Err(D::Error::custom(format!("found {} numbers, expected x, y, width, height", other.len()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<CocoFile, String> {
        CocoFile::from_bytes(text.as_bytes()).map_err(|fault| fault.to_string())
    }

    const FILE: &str = r#"{"info": {"year": [[[2017]]]}, "licenses": null,
        "images": [{"id": "a", "file_name": "a.jpg", "width": 640.0, "height": 480}, {"id": 0, "file_name": "b.jpg", "width": "?"}],
        "annotations": [
            {"id": 1.0, "image_id": "a", "category_id": 1, "keypoints": [1, 2.5, 2, NaN, NaN, 0, null, null, 0],
             "num_keypoints": 1.0, "area": null, "bbox": [0, 0, 3, 4], "iscrowd": false, "segmentation": {"counts": "xyz"}},
            {"image_id": 0.0, "bbox": [], "keypoints": null}],
        "categories": [{"id": 1, "name": "person", "keypoints": ["a", "b", "c"], "skeleton": [[1, 2]]},
                       {"id": 2, "supercategory": "sport", "name": "ball"}]}"#;

    #[test]
    fn what_different_programs_write() {
        for text in [FILE.to_owned(), format!("\u{feff}{FILE}\r\n")] {
            let file = parsed(&text).unwrap();
            assert_eq!(file.images[0].size(), Some(Size::new(640, 480)));
            assert_eq!((&file.images[1].id, file.images[1].size()), (&Id::Number(0), None));
            let [first, second] = &file.annotations[..] else { panic!() };
            let keypoints = first.keypoints.as_ref().unwrap();
            assert_eq!(keypoints[..3], [1.0, 2.5, 2.0]);
            assert!(keypoints[3].is_nan() && keypoints[6].is_nan());
            assert_eq!((first.area, first.bbox, first.num_keypoints), (None, Some([0.0, 0.0, 3.0, 4.0]), Some(1.0)));
            assert_eq!((&second.image_id, &second.category_id, second.bbox), (&Id::Number(0), &None, None));
            assert!(second.keypoints.is_none());
            assert_eq!(file.categories[1].keypoints, [""; 0]);
        }
    }

    #[test]
    fn what_is_needed_and_wrong_is_named() {
        for (from, to, needles) in [
            ("\"a.jpg\"", "7", &["images[0].file_name", "invalid type: integer `7`"][..]),
            ("\"image_id\": \"a\"", "\"image\": 3", &["annotations[0]", "missing field `image_id`"]),
            ("2.5", "\"x\"", &["annotations[0].keypoints[1]", "invalid type: string \"x\", expected a number"]),
            ("[0, 0, 3, 4]", "{}", &["annotations[0].bbox", "invalid type: map, expected x, y, width, height"]),
            ("[0, 0, 3, 4]", "[0, 0, 3]", &["annotations[0].bbox", "found 3 numbers, expected x, y, width, height"]),
            ("\"annotations\"", "\"annotation\"", &["missing field `annotations`"]),
            ("\"images\": [", "\"images\": 3, \"x\": [", &["images", "invalid type: integer `3`, expected a list"]),
            ("{\"info\"", "[{\"info\"", &["the top level", "expected an object with `images`"]),
            ("\"name\": \"ball\"}]}", "\"name\": \"ball\"}]} x", &["after the end", "trailing characters"]),
            ("\"name\": \"ball\"}]}", "", &["EOF"]),
        ] {
            let error = parsed(&FILE.replace(from, to)).unwrap_err();
            assert!(needles.iter().all(|needle| error.contains(needle)), "{needles:?}: {error}");
        }
    }

    #[test]
    fn memory_is_bounded() {
        // Each entry takes more memory than bytes of the file.
        let entries = MAX_MEMORY / (2 * size_of::<AnnotationEntry>()) + 1;
        let mut text = b"{\"images\": [], \"annotations\": [".to_vec();
        for _ in 0..entries {
            text.extend_from_slice(b"{\"image_id\":1},");
        }
        let error = CocoFile::from_bytes(&text).unwrap_err().to_string();
        assert!(error.contains("more than the 240 MB"), "{error}");
        let long = FILE.replace("1, 2.5, 2", &vec!["1"; 3001].join(","));
        assert!(parsed(&long).unwrap_err().contains("more than 3000 numbers"));
    }

    /// A linear congruential generator: the same inputs in every run.
    fn random(state: &mut u64, below: usize) -> usize {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*state >> 33) as usize % below
    }

    #[test]
    fn mutated_files_are_read_or_refused() {
        let mut state = 7;
        let (mut good, mut bad) = (0, 0);
        for _ in 0..20_000 {
            let mut bytes = FILE.as_bytes().to_vec();
            for _ in 0..1 + random(&mut state, 3) {
                if bytes.is_empty() {
                    break;
                }
                let at = random(&mut state, bytes.len());
                match random(&mut state, 5) {
                    0 => bytes.truncate(at.max(1)),
                    1 => bytes[at] ^= 1 << random(&mut state, 8),
                    2 => drop(bytes.remove(at)),
                    3 => bytes.insert(at, b"[]{}\",:-0NI"[random(&mut state, 11)]),
                    _ => {
                        let end = at + random(&mut state, bytes.len() - at);
                        let piece = bytes[at..end].to_vec();
                        let into = random(&mut state, bytes.len());
                        bytes.splice(into..into, piece);
                    }
                }
            }
            match CocoFile::from_bytes(&bytes) {
                Ok(_) => good += 1,
                Err(fault) => {
                    assert!(!fault.to_string().is_empty());
                    bad += 1;
                }
            }
        }
        assert!(good > 500 && bad > 5000, "{good} read, {bad} refused: the mutations do not test both");
    }
}
