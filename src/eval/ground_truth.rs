//! COCO keypoint annotations: what the evaluation needs of an annotation file.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::EvalError;
use crate::coco::{AnnotationEntry, CategoryEntry, CocoFile, FileError, Id, ImageEntry, match_names};
use crate::geometry::Size;

/// A person's area as a fraction of the box's, if the file has no `area`: xtcocotools' `use_area=False`.
const AREA_OF_BOX: f64 = 0.53;
/// Area of a person as a fraction of the box's, below which one of them must be in other units.
const LEAST_AREA: f64 = 1e-3;

/// One image of the annotated set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Its id in the annotations and in the results.
    pub id: Id,
    /// Its file, relative to the folder of images.
    pub file_name: String,
    /// Its size in pixels, if given.
    pub size: Option<Size>,
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
    /// Its position in the file's `annotations`, from 0.
    pub position: usize,
    /// Keypoints in the order of [`GroundTruth::read_for`], else in the category's.
    pub keypoints: Vec<TrueKeypoint>,
    /// Segment area in square pixels: the scale s^2 of the OKS.
    pub area: f64,
    /// Whether the file has no `area`, so that it is 0.53 of the box's.
    pub area_of_box: bool,
    /// Left, top, width, height in pixels; zeros if the file has no box.
    pub bbox: [f64; 4],
    /// Left, top, width, height of the head, if given: the measure of PCKh.
    pub head_bbox: Option<[f64; 4]>,
    /// A region of many people: any number of detections may match it, and none of them counts.
    pub crowd: bool,
    /// Not counted, neither as detected nor as missed: a crowd, or a person without a labelled keypoint.
    pub ignored: bool,
}

impl Annotation {
    /// Whether the file has a box that is not empty.
    pub fn has_box(&self) -> bool {
        self.bbox[2] > 0.0 && self.bbox[3] > 0.0
    }
}

/// The annotations of one category, grouped by image, in the order of the images' ids.
#[derive(Debug, Clone)]
pub struct GroundTruth {
    path: PathBuf,
    category: Id,
    category_name: String,
    images: Vec<Image>,
    annotations: Vec<Vec<Annotation>>,
    index: HashMap<Id, usize>,
    /// For each keypoint of the model, its position in the file; `None` if both orders are the same.
    order: Option<Vec<usize>>,
    /// Keypoints of the file's category.
    keypoints: usize,
    /// Annotations of images that `images` does not list.
    strays: usize,
}

impl GroundTruth {
    /// Reads a COCO annotation file, keypoints in the file's order; of several categories the one called `person`, else the
    /// only one with keypoints.
    ///
    /// A missing `num_keypoints` is counted, a missing `iscrowd` is 0, a missing `area` 0.53 of the box. Annotations of other
    /// categories and of images that are not listed are skipped. The key `ignore` has no effect, as in pycocotools, which
    /// overwrites it with `iscrowd`. Ids of annotations are not used: where pycocotools takes the id 0 for "not matched",
    /// the figures here are those of the same file with ids from 1.
    ///
    /// # Errors
    /// If the file cannot be read, lacks a key or has a wrong type, ids of images repeat, a labelled keypoint has no place, or no
    /// category can be chosen.
    pub fn read(path: &Path) -> Result<Self, EvalError> {
        Self::read_for(path, &[])
    }

    /// The same for a model with keypoints of these `names`, whose order the annotations get: of several categories the one
    /// that has all of them, and keypoints of the file that the model does not have are dropped. Files and models without
    /// names are compared by position.
    ///
    /// # Errors
    /// Same as [`GroundTruth::read`], and if the category's keypoints have other names.
    pub fn read_for(path: &Path, names: &[String]) -> Result<Self, EvalError> {
        Ok(Self::from_file(path, CocoFile::read(path)?, names)?)
    }

    pub(super) fn from_file(path: &Path, file: CocoFile, names: &[String]) -> Result<Self, FileError> {
        let CocoFile { images: listed, annotations: entries, categories } = file;
        let category = choose_category(path, &categories, &entries, names)?;
        let order = match category {
            Some(category) => keypoint_order(path, category, names)?,
            None => None,
        };
        let keypoints = match category.map_or(0, |category| category.keypoints.len()) {
            0 => names.len(),
            count => count,
        };
        let category_id = category.map_or(Id::Number(1), |category| category.id.clone());
        let category_name = category.map_or_else(|| "person".to_owned(), |category| category.name.clone());
        // All annotations, if the file has no categories at all.
        let has_categories = category.is_some();
        let is_chosen =
            |entry: &AnnotationEntry| !has_categories || entry.category_id.as_ref().is_none_or(|id| *id == category_id);

        let image = |entry: ImageEntry| Image { size: entry.size(), id: entry.id, file_name: entry.file_name };
        let mut images: Vec<Image> = listed.into_iter().map(image).collect();
        images.sort_by(|a, b| a.id.cmp(&b.id));
        // The same image listed twice is one image.
        images.dedup();
        let mut index = HashMap::with_capacity(images.len());
        for (position, image) in images.iter().enumerate() {
            if index.insert(image.id.clone(), position).is_some() {
                return Err(FileError::value(path, "images", format!("id {} twice", image.id), "every id once"));
            }
        }
        let mut annotations = vec![Vec::new(); images.len()];
        let mut strays: Vec<usize> = Vec::new();
        let mut count = 0;
        for (position, entry) in entries.into_iter().enumerate() {
            if !is_chosen(&entry) {
                continue;
            }
            count += 1;
            match index.get(&entry.image_id) {
                Some(&image) => annotations[image].push(annotation(path, position, entry, order.as_deref())?),
                None => strays.push(position),
            }
        }
        if let (Some(first), true) = (strays.first(), strays.len() == count && !images.is_empty()) {
            let found = format!("an id that none of the {} `images` has, as in all {count} annotations", images.len());
            return Err(FileError::value(
                path,
                format!("annotations[{first}].image_id"),
                found,
                format!("an id such as {}", images[0].id),
            ));
        }
        let (strays, path) = (strays.len(), path.into());
        Ok(Self { path, category: category_id, category_name, images, annotations, index, order, keypoints, strays })
    }

    /// Keeps only the first `count` images and their annotations.
    pub fn keep_first(&mut self, count: usize) {
        self.images.truncate(count);
        self.annotations.truncate(count);
        self.index.retain(|_, position| *position < count);
    }

    /// The file that was read.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The id of the category that is evaluated.
    pub fn category(&self) -> &Id {
        &self.category
    }

    /// All images, in the order of their ids.
    pub fn images(&self) -> &[Image] {
        &self.images
    }

    /// The annotations of each of [`GroundTruth::images`], in the file's order.
    pub fn annotations(&self) -> &[Vec<Annotation>] {
        &self.annotations
    }

    /// For each keypoint of the file's category, the model's, if their orders differ.
    pub fn file_order(&self) -> Option<Vec<Option<usize>>> {
        let order = self.order.as_ref()?;
        let place = |file: usize| order.iter().position(|&position| position == file);
        Some((0..self.keypoints).map(place).collect())
    }

    /// Position of an image in [`GroundTruth::images`].
    pub(super) fn position(&self, image: &Id) -> Option<usize> {
        self.index.get(image).copied()
    }

    fn counted(&self) -> impl Iterator<Item = &Annotation> {
        self.annotations.iter().flatten().filter(|person| !person.ignored)
    }

    /// Checks that the OKS can be measured.
    ///
    /// # Errors
    /// If no image is listed, nothing of the category is annotated in them, no keypoint is labelled, all areas are 0 or far
    /// too small for their boxes, or keypoints are fractions of the image instead of pixels.
    pub fn check_measurable(&self) -> Result<(), EvalError> {
        let fault = |reason: String| Err(FileError::content(&self.path, reason).into());
        let (name, images) = (&self.category_name, self.images.len());
        if images == 0 {
            return fault("no image to evaluate: `images` is empty".to_owned());
        }
        let people = self.annotations.iter().flatten().count();
        if people == 0 {
            return fault(format!("nothing to measure: no annotation of the category `{name}` in the {images} images"));
        }
        let counted = self.counted().count();
        if counted == 0 {
            return fault(format!(
                "nothing to measure: none of the {people} annotations has a labelled keypoint (visibility above 0, \
                 `num_keypoints` above 0, no crowd)"
            ));
        }
        if self.counted().all(|person| person.area <= 0.0) {
            let remedy = if self.counted().any(|person| person.area_of_box) {
                "they have no `area`, and the `bbox` to take it from has no size: add one of them"
            } else {
                "write the area of the segment, or drop the key `area`: 0.53 of the box's area is taken then"
            };
            return fault(format!("OKS cannot be measured: the area of all {counted} annotations is 0; {remedy}"));
        }
        let is_tiny =
            |person: &Annotation| person.has_box() && person.area < LEAST_AREA * person.bbox[2] * person.bbox[3];
        if self.counted().all(is_tiny) {
            return fault(format!(
                "OKS cannot be measured: the area of all {counted} annotations is less than a thousandth of their boxes'; both \
                 are in pixels of the image"
            ));
        }
        let mut labelled =
            self.counted().flat_map(|person| &person.keypoints).filter(|keypoint| keypoint.labelled).peekable();
        let is_part = |value: f64| (0.0..=1.0).contains(&value);
        let has_parts = self.counted().flat_map(|person| &person.keypoints).any(|keypoint| keypoint.x.fract() != 0.0);
        if has_parts && labelled.peek().is_some() && labelled.all(|keypoint| is_part(keypoint.x) && is_part(keypoint.y))
        {
            return fault(
                "OKS cannot be measured: all labelled keypoints lie between 0 and 1; give pixels of the image, not fractions"
                    .to_owned(),
            );
        }
        Ok(())
    }

    /// What a user should know about the file, one line each.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        let mut note = |count: usize, text: &str| {
            if count > 0 {
                notes.push(format!("{}: {}", self.path.display(), text.replace("{}", &count.to_string())));
            }
        };
        let counted = |is: fn(&&Annotation) -> bool| self.counted().filter(is).count();
        note(
            counted(|person| person.area_of_box),
            "{} annotations have no `area`: 0.53 of the box's area is taken, as xtcocotools does with use_area=False",
        );
        note(
            counted(|person| person.area <= 0.0),
            "the area of {} annotations is 0: only a detection without any error matches them",
        );
        note(self.strays, "{} annotations belong to no image of `images` and are skipped");
        if let Some(order) = &self.order {
            let kept = order.len();
            notes.push(format!(
                "{}: its keypoints are in another order than the bundle's: mapped by name{}",
                self.path.display(),
                if kept < self.keypoints { format!(", {kept} of {} are used", self.keypoints) } else { String::new() }
            ));
        }
        notes
    }
}

/// An entry of the chosen category, its keypoints in the model's order.
fn annotation(
    path: &Path,
    position: usize,
    entry: AnnotationEntry,
    order: Option<&[usize]>,
) -> Result<Annotation, FileError> {
    let key = |name: &str| format!("annotations[{position}].{name}");
    let values = entry.keypoints.unwrap_or_default();
    if !values.len().is_multiple_of(3) {
        let found = format!("{} numbers", values.len());
        return Err(FileError::value(path, key("keypoints"), found, "x, y, visibility for every keypoint"));
    }
    let all = labelled_keypoints(&values)
        .map_err(|at| FileError::value(path, key(&format!("keypoints[{at}]")), "no finite number", PLACE))?;
    let keypoints = match order {
        // A person without any keypoints has none of the model's.
        Some(order) if !all.is_empty() => {
            let pick = |&at: &usize| {
                let fault = || {
                    let found = format!("{} numbers", values.len());
                    FileError::value(
                        path,
                        key("keypoints"),
                        found,
                        "x, y, visibility of every keypoint of its category",
                    )
                };
                all.get(at).copied().ok_or_else(fault)
            };
            order.iter().map(pick).collect::<Result<_, _>>()?
        }
        _ => all,
    };
    let labelled = keypoints.iter().filter(|keypoint| keypoint.labelled).count();
    // What the file counts includes keypoints that the model does not have.
    let count = entry.num_keypoints.filter(|_| order.is_none()).unwrap_or(labelled as f64);
    let bbox = entry.bbox.unwrap_or_default();
    Ok(Annotation {
        position,
        ignored: entry.iscrowd || count == 0.0,
        keypoints,
        area: entry.area.unwrap_or(AREA_OF_BOX * bbox[2] * bbox[3]),
        area_of_box: entry.area.is_none(),
        bbox,
        head_bbox: entry.head_bbox,
        crowd: entry.iscrowd,
    })
}

/// What a coordinate or visibility should be.
pub(super) const PLACE: &str =
    "a finite number: x, y, visibility; where the visibility is 0, x and y may be NaN or null";

/// The keypoints of `x, y, visibility` triples; the position of the first number that is needed and not finite.
pub(super) fn labelled_keypoints(values: &[f64]) -> Result<Vec<TrueKeypoint>, usize> {
    let (rows, _) = values.as_chunks::<3>();
    let keypoint = |(row, &[x, y, visibility]): (usize, &[f64; 3])| {
        // Programs that write NaN for a place that is not labelled may do so for its visibility.
        if visibility.is_nan() && x.is_nan() && y.is_nan() {
            return Ok(TrueKeypoint { x: 0.0, y: 0.0, labelled: false });
        }
        if visibility <= 0.0 {
            let place = |value: f64| if value.is_finite() { value } else { 0.0 };
            return Ok(TrueKeypoint { x: place(x), y: place(y), labelled: false });
        }
        match [x, y, visibility].iter().position(|value| !value.is_finite()) {
            Some(at) => Err(3 * row + at),
            None => Ok(TrueKeypoint { x, y, labelled: visibility > 0.0 }),
        }
    };
    rows.iter().enumerate().map(keypoint).collect()
}

/// The category to evaluate; `None` if the file has none.
fn choose_category<'f>(
    path: &Path,
    categories: &'f [CategoryEntry],
    annotations: &[AnnotationEntry],
    names: &[String],
) -> Result<Option<&'f CategoryEntry>, FileError> {
    let is_person = |category: &&CategoryEntry| category.name.eq_ignore_ascii_case("person");
    let has_names = |category: &&CategoryEntry| {
        !names.is_empty() && !category.keypoints.is_empty() && match_names(&category.keypoints, names).is_some()
    };
    let only = |fitting: Vec<&'f CategoryEntry>| match fitting[..] {
        [only] => Some(only),
        _ => None,
    };
    if categories.is_empty() {
        return Ok(None);
    }
    let with_keypoints = |category: &&CategoryEntry| !category.keypoints.is_empty();
    let is_annotated = |category: &&CategoryEntry| {
        let mut of = annotations.iter().filter(|entry| entry.category_id.as_ref() == Some(&category.id));
        of.any(|entry| entry.keypoints.as_ref().is_some_and(|values| !values.is_empty()))
    };
    let fitting: Vec<_> = categories.iter().filter(has_names).collect();
    let chosen = (fitting.iter().copied().find(is_person))
        .or_else(|| only(fitting))
        .or_else(|| categories.iter().find(is_person))
        .or_else(|| only(categories.iter().collect()))
        .or_else(|| only(categories.iter().filter(with_keypoints).collect()))
        .or_else(|| only(categories.iter().filter(is_annotated).collect()));
    let list = || {
        let names: Vec<_> = categories.iter().take(20).map(|category| category.name.as_str()).collect();
        FileError::value(
            path,
            "categories",
            format!("[{}]", names.join(", ")),
            "one category with keypoints, or one called `person` among several",
        )
    };
    chosen.map(Some).ok_or_else(list)
}

/// For each of `names`, its position among the category's keypoints; `None` if they are the same.
fn keypoint_order(path: &Path, category: &CategoryEntry, names: &[String]) -> Result<Option<Vec<usize>>, FileError> {
    if names.is_empty() || category.keypoints.is_empty() {
        return Ok(None);
    }
    let Some(order) = match_names(&category.keypoints, names) else {
        let missing: Vec<&str> = names
            .iter()
            .filter(|name| match_names(&category.keypoints, std::slice::from_ref(name)).is_none())
            .map(String::as_str)
            .collect();
        return Err(FileError::value(
            path,
            format!("categories, `{}`: keypoints", category.name),
            format!("[{}], without {}", category.keypoints.join(", "), missing.join(", ")),
            format!(
                "the bundle's names, in any order: [{}]; rename them, or drop the list to take keypoints by position",
                names.join(", ")
            ),
        ));
    };
    let is_same = order.iter().copied().eq(0..category.keypoints.len());
    Ok((!is_same).then_some(order))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, names: &[&str]) -> Result<GroundTruth, EvalError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("annotations.json");
        std::fs::write(&path, text).unwrap();
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        GroundTruth::read_for(&path, &names)
    }

    fn parse(annotation: &str) -> Result<GroundTruth, EvalError> {
        let text = format!(
            r#"{{"images": [{{"id": 9, "file_name": "b.jpg"}}, {{"id": 4, "file_name": "a.jpg"}}],
                "categories": [{{"id": 3, "name": "dog"}}, {{"id": 1, "name": "person"}}],
                "annotations": [{annotation}]}}"#
        );
        read(&text, &[])
    }

    fn message(annotation: &str) -> String {
        parse(annotation).unwrap_err().to_string()
    }

    #[test]
    fn reads_and_sorts() {
        let truth = parse(
            r#"{"id": 1, "image_id": 9, "category_id": 1, "keypoints": [1, 2, 0, 3, 4.5, 1], "area": 7, "bbox": [0, 0, 3, 4],
                "iscrowd": 0, "num_keypoints": 1, "segmentation": []},
               {"id": 0, "image_id": 9, "category_id": 1, "keypoints": [1, 2, 0, 3, 4, 0], "area": 7, "bbox": [0, 0, 3, 4]},
               {"id": 3, "image_id": 4, "category_id": 3, "area": 7, "bbox": [0, 0, 3, 4]},
               {"id": 4, "image_id": 4, "category_id": 1, "keypoints": [1, 2, 2, 3, 4, 0], "bbox": [0, 0, 3, 4],
                "iscrowd": true}"#,
        )
        .unwrap();
        assert_eq!(*truth.category(), Id::Number(1));
        assert_eq!(truth.images().iter().map(|image| image.id.clone()).collect::<Vec<_>>(), [4.into(), 9.into()]);
        let [first, second] = truth.annotations() else { panic!() };
        assert!(first.len() == 1 && first[0].crowd && first[0].ignored);
        assert!(first[0].area_of_box && (first[0].area - 0.53 * 12.0).abs() < 1e-12);
        assert!(second.len() == 2 && !second[0].ignored && second[1].ignored && !second[1].crowd);
        assert_eq!(second[0].keypoints[1], TrueKeypoint { x: 3.0, y: 4.5, labelled: true });
        assert_eq!(truth.notes(), [""; 0], "the crowd's missing area does not matter");
    }

    #[test]
    fn errors_name_file_key_and_value() {
        for (entry, needle) in [
            (
                r#"{"image_id": 4, "category_id": 1, "area": "x"}"#,
                "annotations.json: annotations[0].area: invalid type: string \"x\"",
            ),
            (r#"{"image_id": 4, "category_id": 1, "keypoints": [1, 2]}"#, "annotations[0].keypoints: found 2 numbers"),
            (
                r#"{"image_id": 4, "category_id": 1, "keypoints": [1, NaN, 2]}"#,
                "annotations[0].keypoints[1]: found no finite number",
            ),
            (
                r#"{"image_id": 5, "category_id": 1}"#,
                "annotations[0].image_id: found an id that none of the 2 `images` has",
            ),
        ] {
            let text = message(entry);
            assert!(text.contains(needle), "{text}");
        }
        assert!(message("{").contains("line"), "a cut file says where");
        let text = GroundTruth::read("no/such/file.json".as_ref()).unwrap_err().to_string();
        assert!(text.contains("cannot read no/such/file.json"), "{text}");
        let twice = r#"{"images": [{"id": 1, "file_name": "a"}, {"id": 1, "file_name": "b"}], "annotations": []}"#;
        assert!(read(twice, &[]).unwrap_err().to_string().contains("images: found id 1 twice"));
    }

    /// A file of two categories whose second has `names`.
    fn named(names: &str) -> String {
        format!(
            r#"{{"images": [{{"id": "x", "file_name": "a.jpg"}}],
                "categories": [{{"id": 0, "name": "ball"}}, {{"id": 7, "name": "Worker", "keypoints": {names}}}],
                "annotations": [{{"image_id": "x", "category_id": 0, "bbox": [0, 0, 9, 9]}},
                    {{"image_id": "x", "category_id": 7, "keypoints": [1, 1, 2, 2, 2, 2, NaN, NaN, 0], "num_keypoints": 2,
                      "bbox": [0, 0, 9, 9]}}]}}"#
        )
    }

    #[test]
    fn keypoints_are_mapped_by_name() {
        let xs = |truth: &GroundTruth| {
            truth.annotations()[0][0].keypoints.iter().map(|keypoint| keypoint.x).collect::<Vec<_>>()
        };
        let wanted = ["nose", "left_eye", "right_eye"];
        let same = read(&named(r#"["Nose", "leftEye", "R eye"]"#), &wanted).unwrap();
        assert_eq!((xs(&same), same.file_order()), (vec![1.0, 2.0, 0.0], None));
        let other = read(&named(r#"["left_eye", "nose", "right_eye"]"#), &wanted).unwrap();
        assert_eq!((xs(&other), other.file_order()), (vec![2.0, 1.0, 0.0], Some(vec![Some(1), Some(0), Some(2)])));
        assert!(other.notes().iter().any(|note| note.contains("another order")), "{:?}", other.notes());
        let fewer = read(&named(r#"["left_eye", "nose", "right_eye"]"#), &wanted[..1]).unwrap();
        assert_eq!((xs(&fewer), fewer.file_order()), (vec![2.0], Some(vec![None, Some(0), None])));
        let by_position = read(&named("[]"), &wanted).unwrap();
        assert_eq!(xs(&by_position), [1.0, 2.0, 0.0]);
        let text = read(&named(r#"["left_eye", "chin", "right_eye"]"#), &wanted).unwrap_err().to_string();
        assert!(
            text.contains("`Worker`") && text.contains("without nose") && text.contains("[nose, left_eye"),
            "{text}"
        );
    }

    #[test]
    fn a_file_without_categories_has_one_kind() {
        let text = r#"{"images": [{"id": 0, "file_name": "a.jpg"}],
            "annotations": [{"id": 0, "image_id": 0, "keypoints": [1, 1, 2], "area": 4}]}"#;
        let truth = read(text, &["nose"]).unwrap();
        assert_eq!((truth.annotations()[0].len(), truth.category()), (1, &Id::Number(1)));
        assert!(truth.check_measurable().is_ok());
    }

    #[test]
    fn what_cannot_be_measured_is_named() {
        for (entry, needle) in [
            (r#"{"image_id": 4, "category_id": 3, "bbox": [0, 0, 9, 9]}"#, "no annotation of the category `person`"),
            (
                r#"{"image_id": 4, "category_id": 1, "bbox": [0, 0, 9, 9]}"#,
                "none of the 1 annotations has a labelled keypoint",
            ),
            (
                r#"{"image_id": 4, "category_id": 1, "keypoints": [1, 1, 2], "area": 0}"#,
                "area of all 1 annotations is 0; write",
            ),
            (r#"{"image_id": 4, "category_id": 1, "keypoints": [1, 1, 2]}"#, "no `area`, and the `bbox`"),
            (
                r#"{"image_id": 4, "category_id": 1, "keypoints": [9, 9, 2], "area": 0.02, "bbox": [0, 0, 50, 90]}"#,
                "less than a thousandth of their boxes'",
            ),
            (
                r#"{"image_id": 4, "category_id": 1, "keypoints": [0.31, 0.7, 2], "area": 900}"#,
                "between 0 and 1; give pixels",
            ),
        ] {
            let text = parse(entry).unwrap().check_measurable().unwrap_err().to_string();
            assert!(text.contains(needle), "{text}");
        }
        let some = r#"{"image_id": 4, "category_id": 1, "keypoints": [1, 1, 2], "area": 0},
            {"image_id": 4, "category_id": 1, "keypoints": [1, 1, 2], "area": 9},
            {"image_id": 77, "category_id": 1, "keypoints": [1, 1, 2], "area": 9}"#;
        let truth = parse(some).unwrap();
        assert!(truth.check_measurable().is_ok());
        let notes = truth.notes().join("\n");
        assert!(
            notes.contains("area of 1 annotations is 0") && notes.contains("1 annotations belong to no image"),
            "{notes}"
        );
    }
}
