//! The share of correct keypoints, for things that are enrolled from a few images and looked for in others.
//!
//! As section 1.10 of the description of CapeFormer's reference implementation has it: a keypoint is correct if it lies
//! within a part of the longer side of the thing's box; an image's figure is the mean over the keypoints that are
//! visible there and in every image of the enrolment, 0 without any; the figure of a set is the mean over images.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{EvalError, json};
use crate::geometry::{Rectangle, Size};

/// Parts of the box at which correctness is measured; the mean over them is the mPCK.
pub const THRESHOLDS: [f64; 5] = [0.05, 0.1, 0.15, 0.2, 0.25];

/// One annotated thing; every image has one.
#[derive(Debug, Clone, PartialEq)]
pub struct Instance {
    /// Its image, relative to the folder of images.
    pub file_name: String,
    /// The box around it, image pixels.
    pub bounds: Rectangle,
    /// Column, row, and whether the image shows it, of each keypoint of its category.
    pub points: Vec<(f32, f32, bool)>,
}

/// Things of one kind.
#[derive(Debug, Clone, PartialEq)]
pub struct Category {
    /// Its name.
    pub name: String,
    /// Names of its keypoints.
    pub keypoints: Vec<String>,
    /// All of its kind, in the order of their ids.
    pub instances: Vec<Instance>,
}

/// The annotated things of a set, by category.
#[derive(Debug, Clone, PartialEq)]
pub struct Things {
    path: PathBuf,
    categories: Vec<Category>,
}

#[derive(Deserialize)]
struct File {
    images: Vec<super::Image>,
    annotations: Vec<Entry>,
    categories: Vec<CategoryEntry>,
}

#[derive(Deserialize)]
struct Entry {
    id: u64,
    image_id: u64,
    category_id: u64,
    bbox: [f32; 4],
    keypoints: Vec<f32>,
}

#[derive(Deserialize)]
struct CategoryEntry {
    id: u64,
    name: String,
    keypoints: Vec<String>,
}

impl Things {
    /// Reads annotations in COCO's format.
    ///
    /// # Errors
    /// Where the file cannot be read, lacks a key, or an annotation does not fit its image or category.
    pub fn read(path: &Path) -> Result<Self, EvalError> {
        let file: File = json::read(path)?;
        let fault = |key: String, found: String, expected: &str| EvalError::Value {
            path: path.into(),
            key,
            found,
            expected: expected.into(),
        };
        let mut categories: Vec<Category> = (file.categories.iter())
            .map(|entry| Category {
                name: entry.name.clone(),
                keypoints: entry.keypoints.clone(),
                instances: Vec::new(),
            })
            .collect();
        let mut entries: Vec<(usize, &Entry)> = file.annotations.iter().enumerate().collect();
        entries.sort_by_key(|(_, entry)| entry.id);
        for (position, entry) in entries {
            let key = |name: &str| format!("annotations[{position}].{name}");
            let Some(image) = file.images.iter().find(|image| image.id == entry.image_id) else {
                return Err(fault(key("image_id"), entry.image_id.to_string(), "the id of one of `images`"));
            };
            let Some(category) = file.categories.iter().position(|category| category.id == entry.category_id) else {
                return Err(fault(key("category_id"), entry.category_id.to_string(), "the id of one of `categories`"));
            };
            let category = &mut categories[category];
            let (rows, rest) = entry.keypoints.as_chunks::<3>();
            if rows.len() != category.keypoints.len() || !rest.is_empty() {
                let expected = format!("x, y, visibility of the {} keypoints", category.keypoints.len());
                return Err(fault(key("keypoints"), format!("{} numbers", entry.keypoints.len()), &expected));
            }
            let [x, y, width, height] = entry.bbox;
            category.instances.push(Instance {
                file_name: image.file_name.clone(),
                bounds: Rectangle { x, y, width, height },
                points: rows.iter().map(|&[x, y, v]| (x, y, v > 0.0)).collect(),
            });
        }
        Ok(Self { path: path.to_owned(), categories })
    }

    /// The file that was read.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The categories, in the file's order.
    pub fn categories(&self) -> &[Category] {
        &self.categories
    }
}

/// Which of a category's things are enrolled, and which are then looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Episode {
    /// Positions of the enrolled ones.
    pub shots: Vec<usize>,
    /// Positions of all others.
    pub queries: Vec<usize>,
}

/// Every way to enrol `shots` neighbours of `count` things, in a circle, and to look for the rest; none where nothing
/// would be left to look for.
pub fn episodes(count: usize, shots: usize) -> Vec<Episode> {
    if shots == 0 || shots >= count {
        return Vec::new();
    }
    let episode = |first: usize| {
        let shots: Vec<usize> = (first..first + shots).map(|position| position % count).collect();
        let queries = (0..count).filter(|position| !shots.contains(position)).collect();
        Episode { shots, queries }
    };
    (0..count).map(episode).collect()
}

/// Distances of one answer, in longer sides of the box that is left of `bounds` in the image (section 1.1); `None` for
/// keypoints that do not count.
///
/// `counted` says which do; `found` holds the answer's keypoints, in the order of `truth`. A keypoint without an answer
/// is infinitely far away.
pub fn distances(truth: &Instance, image: Size, counted: &[bool], found: &[Option<(f32, f32)>]) -> Vec<Option<f64>> {
    let Rectangle { x, y, width, height } = truth.bounds;
    let axis = |start: f32, length: f32, limit: usize| {
        let first = f64::from(start).max(0.0);
        let last = (limit as f64 - 1.0).min(first + (f64::from(length) - 1.0).max(0.0));
        last - first
    };
    let size = axis(x, width, image.width).max(axis(y, height, image.height)).max(1.0);
    let distance = |position: usize| {
        let (x, y, visible) = truth.points[position];
        let counts = visible && counted.get(position).copied().unwrap_or_default();
        counts.then(|| match found.get(position).copied().flatten() {
            Some((found_x, found_y)) => f64::from(found_x - x).hypot(f64::from(found_y - y)) / size,
            None => f64::INFINITY,
        })
    };
    (0..truth.points.len()).map(distance).collect()
}

/// Adds up the results of a set.
#[derive(Debug, Clone, Default)]
pub struct PckSum {
    results: usize,
    correct: [f64; THRESHOLDS.len()],
}

/// Shares of correct keypoints.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct PckFigures {
    /// By threshold, see [`THRESHOLDS`].
    pub pck: [f64; THRESHOLDS.len()],
    /// Their mean.
    pub mpck: f64,
    /// Images that were looked at.
    pub results: usize,
}

impl PckSum {
    /// Adds one answer's [`distances`].
    pub fn add(&mut self, distances: &[Option<f64>]) {
        self.results += 1;
        let counted = distances.iter().flatten().count();
        for (sum, threshold) in self.correct.iter_mut().zip(THRESHOLDS) {
            let correct = distances.iter().flatten().filter(|&&distance| distance < threshold).count();
            // An image where nothing counts is an image with nothing right, as in the reference.
            *sum += correct as f64 / counted.max(1) as f64;
        }
    }

    /// The figures; `None` without any answer.
    pub fn figures(&self) -> Option<PckFigures> {
        if self.results == 0 {
            return None;
        }
        let pck = self.correct.map(|sum| sum / self.results as f64);
        Some(PckFigures { pck, mpck: pck.iter().sum::<f64>() / pck.len() as f64, results: self.results })
    }
}

impl PckFigures {
    /// Figures with their names.
    pub fn named(&self) -> Vec<(String, f64)> {
        let by_threshold =
            THRESHOLDS.iter().zip(self.pck).map(|(threshold, value)| (format!("pck@{threshold}"), value));
        by_threshold.chain([("mpck".to_owned(), self.mpck)]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instance() -> Instance {
        let bounds = Rectangle { x: -10.0, y: 20.0, width: 111.0, height: 51.0 };
        let points = vec![(10.0, 30.0, true), (50.0, 30.0, true), (60.0, 60.0, false), (90.0, 60.0, true)];
        Instance { file_name: "a.jpg".to_owned(), bounds, points }
    }

    #[test]
    fn distances_are_parts_of_the_box_in_the_image() {
        // Of the box 0 to 99 by 20 to 70 is left: 99 by 50.
        let found = [Some((10.0, 30.0)), Some((50.0, 39.9)), Some((0.0, 0.0)), None];
        let found = distances(&instance(), Size::new(100, 100), &[true, true, true, true], &found);
        assert_eq!(found[0], Some(0.0));
        assert!((found[1].unwrap() - 0.1).abs() < 1e-6);
        assert_eq!(found[2], None, "the image does not show it");
        assert_eq!(found[3], Some(f64::INFINITY));
        let uncounted = distances(&instance(), Size::new(100, 100), &[true, false, true, true], &[]);
        assert_eq!(uncounted[1], None);
    }

    #[test]
    fn a_image_counts_once_whatever_it_shows() {
        let mut sum = PckSum::default();
        assert_eq!(sum.figures(), None);
        // Exactly at a threshold is not within it.
        sum.add(&[Some(0.0), Some(0.2), None, Some(9.0)]);
        sum.add(&[None, None]);
        let figures = sum.figures().unwrap();
        let third = 1.0 / 6.0;
        let expected = [third, third, third, third, 2.0 * third];
        assert!(figures.pck.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 1e-12));
        assert!((figures.mpck - 1.2 * third).abs() < 1e-12);
        assert_eq!(figures.named()[3].0, "pck@0.2");
    }

    #[test]
    fn episodes_go_round() {
        assert_eq!(
            episodes(3, 2),
            [
                Episode { shots: vec![0, 1], queries: vec![2] },
                Episode { shots: vec![1, 2], queries: vec![0] },
                Episode { shots: vec![2, 0], queries: vec![1] },
            ]
        );
        assert_eq!(episodes(3, 3), []);
        assert_eq!(episodes(3, 0), []);
    }
}
