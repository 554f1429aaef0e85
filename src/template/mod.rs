//! Enrolled objects: their keypoints as features of one bundle's networks.
//!
//! A template is made from a few annotated images ([`Annotation`]) by [`crate::estimator::enrol`], kept in a file, and
//! given to the estimator with every frame's image.

mod annotation;
mod error;
mod file;

pub use annotation::{Annotation, AnnotationError, Point};
pub use error::ContentError;
pub use file::{MAX_BYTES, TemplateError};

use crate::bundle::Bundle;
use crate::decode::capeformer::SLOTS;
use crate::pose::{MAX_EDGES, Skeleton};

/// An enrolled object. Its contents are checked, both when made and when read.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Template {
    /// Its name.
    name: String,
    /// The bundle that made it, and [`Bundle::networks_hash`] of that.
    bundle: String,
    networks: String,
    /// Number of images used.
    shots: u32,
    /// Values of a keypoint's features.
    width: usize,
    keypoints: Vec<TemplateKeypoint>,
    /// `[K, width]`; in a file they follow the rest.
    #[serde(skip)]
    features: Vec<f32>,
    /// Pairs of positions in `keypoints`.
    edges: Vec<(u16, u16)>,
}

/// One enrolled keypoint.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TemplateKeypoint {
    /// Its index among the annotated keypoints, below [`SLOTS`]. The network identifies keypoints by this index, so omitted
    /// keypoints must leave gaps.
    pub index: u16,
    /// Its name.
    pub name: String,
}

impl Template {
    /// A template of `keypoints` with `features [K, width]` and `edges` between them, made by `bundle` from `shots`
    /// images.
    ///
    /// # Errors
    /// If there is no keypoint or too many, indices do not ascend below [`SLOTS`], names are empty or equal, features have
    /// another length or are not finite, or edges name keypoints that do not exist.
    pub fn new(
        name: &str,
        bundle: &Bundle,
        shots: u32,
        keypoints: Vec<TemplateKeypoint>,
        features: Vec<f32>,
        edges: Vec<(u16, u16)>,
    ) -> Result<Self, ContentError> {
        let width = features.len() / keypoints.len().max(1);
        let template = Self {
            name: name.to_owned(),
            bundle: bundle.manifest().about.name.clone(),
            networks: bundle.networks_hash(),
            shots,
            width,
            keypoints,
            features,
            edges,
        };
        template.check()?;
        Ok(template)
    }

    fn check(&self) -> Result<(), String> {
        let count = self.keypoints.len();
        if !(1..=SLOTS).contains(&count) {
            return Err(format!("it has {count} keypoints, expected 1 to {SLOTS}"));
        }
        let ascending = self.keypoints.windows(2).all(|pair| pair[0].index < pair[1].index);
        let last = self.keypoints.last().map_or(0, |keypoint| usize::from(keypoint.index));
        if !ascending || last >= SLOTS {
            return Err(format!("the indices of its keypoints do not ascend from 0 to {}", SLOTS - 1));
        }
        check_names(self.keypoints.iter().map(|keypoint| keypoint.name.as_str()))?;
        if self.name.is_empty() || self.shots == 0 || self.width == 0 {
            return Err("its name, its images or its features are empty".to_owned());
        }
        if count.checked_mul(self.width) != Some(self.features.len()) {
            return Err(format!("it has {} features for {count} keypoints of {}", self.features.len(), self.width));
        }
        if !self.features.iter().all(|value| value.is_finite()) {
            return Err("some of its features are not finite".to_owned());
        }
        let within = |&(a, b): &(u16, u16)| a != b && usize::from(a.max(b)) < count;
        if self.edges.len() > MAX_EDGES || !self.edges.iter().all(within) {
            return Err(format!("its edges are not at most {MAX_EDGES} pairs of different keypoints"));
        }
        Ok(())
    }

    /// The object's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Number of images that it was made from.
    pub fn shots(&self) -> u32 {
        self.shots
    }

    /// Its keypoints.
    pub fn keypoints(&self) -> &[TemplateKeypoint] {
        &self.keypoints
    }

    /// The features of keypoint number `position`, which must be below the number of keypoints.
    pub fn features(&self, position: usize) -> &[f32] {
        &self.features[position * self.width..][..self.width]
    }

    /// Values of a keypoint's features.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Which keypoints are joined.
    pub fn skeleton(&self) -> Skeleton {
        // The capacity holds: `check` compared the length with it.
        Skeleton { edges: self.edges.iter().copied().collect() }
    }

    /// Checks that `bundle` has the networks that the template was made with.
    ///
    /// # Errors
    /// If it has others; the error names the bundle that fits.
    pub fn fits(&self, bundle: &Bundle) -> Result<(), TemplateError> {
        if self.networks == bundle.networks_hash() {
            return Ok(());
        }
        Err(TemplateError::OtherBundle {
            template: self.name.clone(),
            made_by: self.bundle.clone(),
            bundle: bundle.manifest().about.name.clone(),
            same_name: self.bundle == bundle.manifest().about.name,
        })
    }
}

/// Checks that names of keypoints are present and differ.
fn check_names<'a>(names: impl Iterator<Item = &'a str>) -> Result<(), String> {
    let mut seen = std::collections::HashSet::new();
    for name in names {
        if name.is_empty() {
            return Err("a keypoint has an empty name".to_owned());
        }
        if !seen.insert(name) {
            return Err(format!("two keypoints are named `{name}`"));
        }
    }
    Ok(())
}
