//! The share of correct keypoints, for objects that are enrolled from a few images and located in others.
//!
//! As in CapeFormer's evaluation (docs/algorithms.md): a keypoint is correct if it lies within a fraction of the longer side
//! of the object's box; an image's figure is the mean over the keypoints that are visible there and in every image of the
//! enrolment, 0 without any; the figure of a set is the mean over images.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::EvalError;
use super::ground_truth::{PLACE, labelled_keypoints};
use crate::coco::{AnnotationEntry, CocoFile, FileError, Id, ImageEntry};
use crate::geometry::{Rectangle, Size};

/// Fractions of the box at which correctness is measured; the mean over them is the mPCK.
pub const THRESHOLDS: [f64; 5] = [0.05, 0.1, 0.15, 0.2, 0.25];

/// One annotated object; every image has one.
#[derive(Debug, Clone, PartialEq)]
pub struct Instance {
    /// Its image, relative to the folder of images.
    pub file_name: String,
    /// The image's size in pixels, if given.
    pub size: Option<Size>,
    /// The box around it, image pixels.
    pub bounds: Rectangle,
    /// Column, row, and whether the image shows it, of each keypoint of its category.
    pub points: Vec<(f32, f32, bool)>,
}

/// Objects of one kind.
#[derive(Debug, Clone, PartialEq)]
pub struct Category {
    /// Its name.
    pub name: String,
    /// Names of its keypoints.
    pub keypoints: Vec<String>,
    /// All of its kind, in the order of their ids.
    pub instances: Vec<Instance>,
}

/// The annotated objects of a set, by category.
#[derive(Debug, Clone, PartialEq)]
pub struct Objects {
    path: PathBuf,
    categories: Vec<Category>,
    unusable: usize,
}

impl Objects {
    /// Reads annotations in COCO's format. Categories without keypoints, and annotations without keypoints, without a box or
    /// of an image that is not listed, are skipped.
    ///
    /// # Errors
    /// If the file cannot be read, lacks a key, or the keypoints of an annotation do not fit its category.
    pub fn read(path: &Path) -> Result<Self, EvalError> {
        let CocoFile { images, mut annotations, categories: kinds } = CocoFile::read(path)?;
        let images: HashMap<&Id, &ImageEntry> = images.iter().map(|image| (&image.id, image)).collect();
        let mut categories: Vec<Category> = (kinds.iter())
            .map(|kind| Category { name: kind.name.clone(), keypoints: kind.keypoints.clone(), instances: Vec::new() })
            .collect();
        let mut entries: Vec<(usize, AnnotationEntry)> = annotations.drain(..).enumerate().collect();
        entries.sort_by(|(_, a), (_, b)| a.id.cmp(&b.id));
        let mut unusable = 0;
        for (position, entry) in entries {
            let category = kinds.iter().position(|kind| Some(&kind.id) == entry.category_id.as_ref());
            let (Some(category), Some(values)) = (category.map(|at| &mut categories[at]), &entry.keypoints) else {
                continue;
            };
            if values.is_empty() {
                continue;
            }
            let size = entry.bbox.filter(|[_, _, width, height]| *width > 0.0 && *height > 0.0);
            let (Some(image), Some(bbox)) = (images.get(&entry.image_id), size) else {
                unusable += 1;
                continue;
            };
            let key = |name: &str| format!("annotations[{position}].{name}");
            if category.keypoints.is_empty() {
                category.keypoints = (1..=values.len() / 3).map(|number| format!("keypoint_{number}")).collect();
            }
            let count = category.keypoints.len();
            if values.len() != 3 * count {
                let expected = format!("x, y, visibility of the {count} keypoints of `{}`", category.name);
                return Err(
                    FileError::value(path, key("keypoints"), format!("{} numbers", values.len()), expected).into()
                );
            }
            let keypoints = labelled_keypoints(values)
                .map_err(|at| FileError::value(path, key(&format!("keypoints[{at}]")), "no finite number", PLACE))?;
            let [x, y, width, height] = bbox.map(|value| value as f32);
            category.instances.push(Instance {
                file_name: image.file_name.clone(),
                size: image.size(),
                bounds: Rectangle { x, y, width, height },
                points: keypoints.iter().map(|point| (point.x as f32, point.y as f32, point.labelled)).collect(),
            });
        }
        categories.retain(|category| !category.instances.is_empty());
        Ok(Self { path: path.to_owned(), categories, unusable })
    }

    /// The file that was read.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The categories with keypoints, in the file's order.
    pub fn categories(&self) -> &[Category] {
        &self.categories
    }

    /// Annotations with keypoints that have no box, or no image.
    pub fn unusable(&self) -> usize {
        self.unusable
    }
}

/// Which of a category's objects are enrolled, and in which images the others are then located.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Episode {
    /// Positions of the enrolled ones.
    pub shots: Vec<usize>,
    /// Positions of all others.
    pub queries: Vec<usize>,
}

/// Every way to enrol `shots` neighbours of `count` objects, in a circle, and to locate the rest; none if there would be
/// no rest.
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

/// Distances of one result, in longer sides of the part of `bounds` that lies in the image; `None` for keypoints that do not
/// count.
///
/// `counted` tells which do; `found` holds the result's keypoints, in the order of `truth`. A keypoint without a result is
/// infinitely far away.
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

/// Sums over the results of a set.
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
    /// Number of images.
    pub results: usize,
}

impl PckSum {
    /// Adds the [`distances`] of one result.
    pub fn add(&mut self, distances: &[Option<f64>]) {
        self.results += 1;
        let counted = distances.iter().flatten().count();
        for (sum, threshold) in self.correct.iter_mut().zip(THRESHOLDS) {
            let correct = distances.iter().flatten().filter(|&&distance| distance < threshold).count();
            // An image where nothing counts is an image with nothing right, as in the reference.
            *sum += correct as f64 / counted.max(1) as f64;
        }
    }

    /// The figures; `None` without any result.
    pub fn figures(&self) -> Option<PckFigures> {
        if self.results == 0 {
            return None;
        }
        let pck = self.correct.map(|sum| sum / self.results as f64);
        Some(PckFigures { pck, mpck: pck.iter().sum::<f64>() / pck.len() as f64, results: self.results })
    }
}

impl PckFigures {
    /// The figures with their names.
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
        Instance { file_name: "a.jpg".to_owned(), size: None, bounds, points }
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
