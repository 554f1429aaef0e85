//! Shared by the checks of all sections: errors that name the manifest, and rules for networks' tensors.

use std::path::Path;

use super::error::BundleError;
use super::manifest::{EngineSection, Sections, TensorSection};
use super::shape::{self, Dimension};
use super::suggest::nearest;
use crate::decode::ConfigError;
use crate::engine::DataType;
use crate::pose::MAX_POSES;

/// Largest `decode.box_padding`: beyond it the object is a dot in its crop.
const MAX_BOX_PADDING: f64 = 8.0;

/// An expected tensor: its name, data type and extents.
pub(super) type Expected = (&'static str, DataType, Vec<Dimension>);

/// Makes errors that name the manifest.
pub(super) struct Checker<'a> {
    pub path: &'a Path,
}

impl Checker<'_> {
    pub fn value(&self, key: &str, found: impl Into<String>, expected: impl Into<String>) -> BundleError {
        BundleError::Value {
            path: self.path.to_owned(),
            key: key.to_owned(),
            found: found.into(),
            expected: expected.into(),
        }
    }

    /// Fails unless `holds`, with what `describe` returns as found and expected.
    pub fn require(
        &self,
        holds: bool,
        key: &str,
        describe: impl FnOnce() -> (String, String),
    ) -> Result<(), BundleError> {
        if holds {
            return Ok(());
        }
        let (found, expected) = describe();
        Err(self.value(key, found, expected))
    }

    /// The section of a role that the model needs; `roles` are all roles that it may have.
    pub fn role<'m, D>(
        &self,
        sections: &'m Sections<D>,
        role: &str,
        roles: &[&str],
    ) -> Result<&'m EngineSection, BundleError> {
        let model = sections.bundle.model;
        if let Some(unknown) = sections.engine.keys().find(|name| !roles.contains(&name.as_str())) {
            return Err(BundleError::Manifest {
                path: self.path.to_owned(),
                line: None,
                key: format!("engine.{unknown}"),
                reason: format!("a {model} bundle has no such role, only {}", roles.join(" and ")),
                nearest: nearest(unknown, roles.iter().copied()).map(str::to_owned),
            });
        }
        let reason = || format!("missing: a {model} bundle needs the roles {}", roles.join(" and "));
        sections.engine.get(role).ok_or_else(|| BundleError::Manifest {
            path: self.path.to_owned(),
            line: None,
            key: format!("engine.{role}"),
            reason: reason(),
            nearest: None,
        })
    }

    /// The error for a hyper-parameter that the decoder refuses.
    pub fn config(&self, error: ConfigError) -> BundleError {
        self.value(error.key, error.found.to_string(), error.expected)
    }

    /// Checks that the tensors under `key` are the expected ones, in any order.
    pub fn tensors(&self, key: &str, found: &[TensorSection], expected: &[Expected]) -> Result<(), BundleError> {
        for (name, data_type, shape) in expected {
            let names = || found.iter().map(|tensor| format!("`{}`", tensor.name)).collect::<Vec<_>>().join(", ");
            let Some(tensor) = found.iter().find(|tensor| tensor.name == *name) else {
                let reason = format!("a tensor named `{name}` among them");
                return Err(self.value(key, format!("[{}]", names()), reason));
            };
            let key = format!("{key}.{name}");
            self.require(tensor.data_type == *data_type, &format!("{key}.data_type"), || {
                (tensor.data_type.to_string(), data_type.to_string())
            })?;
            self.require(tensor.shape == *shape, &key, || (shape::written(&tensor.shape), shape::written(shape)))?;
        }
        let names: Vec<&str> = found.iter().map(|tensor| tensor.name.as_str()).collect();
        self.require(names.len() == expected.len(), key, || {
            let expected: Vec<&str> = expected.iter().map(|(name, ..)| *name).collect();
            (format!("{names:?}"), format!("{expected:?} only, each once"))
        })
    }

    /// Channels of the tensor `name` among `tensors`, which holds a token per row. The model decides how many; they are a
    /// multiple of 4, because each axis of a position takes half of them, in pairs of sine and cosine.
    pub fn token_width(&self, key: &str, tensors: &[TensorSection], name: &str) -> Result<usize, BundleError> {
        let key = format!("{key}.{name}");
        let shape = tensors.iter().find(|tensor| tensor.name == name).map(|tensor| &tensor.shape[..]);
        match shape {
            Some(&[_, Dimension::Number(width)]) if width.is_multiple_of(4) => Ok(width),
            Some(&[_, Dimension::Number(width)]) => {
                Err(self.value(&key, format!("{width} channels"), "a multiple of 4"))
            }
            Some(shape) => Err(self.value(
                &key,
                shape::written(shape),
                "two extents, the second a number: the channels of a token",
            )),
            None => Err(self.value(&key, "missing", "a tensor of that name")),
        }
    }

    /// Checks for all models of one object per box: `decode.box_padding`, and limits without centres.
    pub fn boxed<D>(&self, sections: &Sections<D>, box_padding: f64) -> Result<(), BundleError> {
        let (poses, centers) = (sections.limits.poses, sections.limits.centers);
        self.require((1.0..=MAX_BOX_PADDING).contains(&box_padding), "decode.box_padding", || {
            (box_padding.to_string(), format!("1 to {MAX_BOX_PADDING}"))
        })?;
        self.require((1..=MAX_POSES).contains(&poses), "limits.poses", || {
            (poses.to_string(), format!("1 to {MAX_POSES}"))
        })?;
        self.require(centers == 0, "limits.centers", || {
            (centers.to_string(), format!("no such key: a {} has no centres", sections.bundle.model))
        })
    }

    /// Checks that the role's batch sizes ascend from 1 at least to `most` at most, which errors call `what`.
    pub fn batch_sizes(&self, role: &str, engine: &EngineSection, what: &str, most: usize) -> Result<(), BundleError> {
        let ascending = engine.batch_sizes.windows(2).all(|pair| pair[0] < pair[1]);
        let in_range = engine.batch_sizes.iter().all(|size| (1..=most).contains(size));
        self.require(
            !engine.batch_sizes.is_empty() && ascending && in_range,
            &format!("engine.{role}.batch_sizes"),
            || (format!("{:?}", engine.batch_sizes), format!("ascending numbers from 1 to {what}, {most}")),
        )
    }

    /// Checks that a role without an `n` in its shapes has no batch sizes.
    pub fn no_batch_sizes(&self, role: &str, engine: &EngineSection) -> Result<(), BundleError> {
        self.require(engine.batch_sizes.is_empty(), &format!("engine.{role}.batch_sizes"), || {
            (format!("{:?}", engine.batch_sizes), "nothing, because no shape has an `n`".to_owned())
        })
    }
}
