//! Finds annotations outside their images: in other units, or of another image.

use std::path::Path;

use anyhow::bail;

use crate::eval::Annotation;
use crate::geometry::{Rectangle, Size};
use crate::runtime::touches;

/// Counts boxes and people outside their images.
#[derive(Debug, Default)]
pub(super) struct Outside {
    boxes: Tally,
    people: Tally,
}

#[derive(Debug, Default)]
struct Tally {
    all: usize,
    outside: usize,
    first: Option<String>,
}

impl Tally {
    fn add(&mut self, is_outside: bool, what: impl Fn() -> String) {
        self.all += 1;
        if is_outside {
            self.outside += 1;
            self.first.get_or_insert_with(what);
        }
    }

    fn check(&self, path: &Path, what: &str) -> anyhow::Result<()> {
        let Self { all, outside, first: Some(first) } = self else { return Ok(()) };
        let path = path.display();
        if outside == all {
            bail!(
                "{path}: nothing was measured: all {all} {what} lie outside their images, the first is {first}; give pixels of \
                 the image as a viewer shows it"
            );
        }
        tracing::warn!("{path}: {outside} of {all} {what} lie outside their images, the first is {first}");
        Ok(())
    }
}

impl Outside {
    /// Counts boxes in which to locate keypoints.
    pub(super) fn boxes(&mut self, boxes: &[Rectangle], image: Size, name: &str) {
        for &bounds in boxes {
            let Rectangle { x, y, width, height } = bounds;
            let what = || format!("[{x}, {y}, {width}, {height}] of {name}, which is {image}");
            self.boxes.add(!touches(bounds, image), what);
        }
    }

    /// Counts annotated people, by their labelled keypoints.
    pub(super) fn people(&mut self, people: &[Annotation], image: Size, name: &str) {
        for person in people.iter().filter(|person| !person.ignored) {
            let mut labelled = person.keypoints.iter().filter(|keypoint| keypoint.labelled).peekable();
            let (width, height) = (image.width as f64, image.height as f64);
            let is_outside = labelled.peek().is_some()
                && labelled.all(|at| at.x < 0.0 || at.y < 0.0 || at.x > width || at.y > height);
            self.people.add(is_outside, || format!("annotations[{}] of {name}, which is {image}", person.position));
        }
    }

    /// Reports what lay outside: `boxes` in one file, people in the other.
    ///
    /// # Errors
    /// If nothing lay inside.
    pub(super) fn check(&self, boxes: &Path, people: &Path) -> anyhow::Result<()> {
        self.people.check(people, "annotated people")?;
        self.boxes.check(boxes, "boxes")
    }
}
