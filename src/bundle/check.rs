//! Whether a manifest's values fit each other and the program's limits.

use std::collections::HashSet;
use std::path::{Component, Path};

use super::error::BundleError;
use super::manifest::{Decode, EngineSection, Input, InputRule, Keypoints, Manifest, ModelFile, TensorSection};
use super::parse::nearest;
use super::shape::{self, Dimension};
use super::{capeformer, centergroup, lofr, logocap};
use crate::decode::ConfigError;
use crate::engine::DataType;
use crate::pose::{MAX_EDGES, MAX_KEYPOINTS, MAX_POSES};

/// Largest short side of a network, pixels: full HD four times over.
const MAX_SHORT_SIDE: usize = 4320;
/// Largest multiple that a network's sides are rounded up to.
const MAX_MULTIPLE: usize = 1024;
/// Largest `decode.margin`: beyond it the thing is a dot in its crop.
const MAX_MARGIN: f64 = 8.0;

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

    /// Fails with what `describe` says was found and expected, unless `holds`.
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

    /// The section of a role that the model needs; `roles` are all that it may have.
    pub fn role<'m>(
        &self,
        manifest: &'m Manifest,
        role: &str,
        roles: &[&str],
    ) -> Result<&'m EngineSection, BundleError> {
        if let Some(unknown) = manifest.engines.keys().find(|name| !roles.contains(&name.as_str())) {
            return Err(BundleError::Manifest {
                path: self.path.to_owned(),
                line: None,
                key: format!("engine.{unknown}"),
                reason: format!("a {} bundle has no such role, only {}", manifest.about.model, roles.join(" and ")),
                nearest: nearest(unknown, roles.iter().copied()).map(str::to_owned),
            });
        }
        let reason = || format!("missing: a {} bundle needs the roles {}", manifest.about.model, roles.join(" and "));
        manifest.engines.get(role).ok_or_else(|| BundleError::Manifest {
            path: self.path.to_owned(),
            line: None,
            key: format!("engine.{role}"),
            reason: reason(),
            nearest: None,
        })
    }

    /// A hyper-parameter that the decoder refuses.
    pub fn config(&self, error: ConfigError) -> BundleError {
        self.value(error.key, error.found.to_string(), error.expected)
    }

    /// Whether the tensors under `key` are the wanted ones, in any order.
    pub fn tensors(&self, key: &str, found: &[TensorSection], wanted: &[Wanted]) -> Result<(), BundleError> {
        for (name, element, shape) in wanted {
            let names = || found.iter().map(|tensor| format!("`{}`", tensor.name)).collect::<Vec<_>>().join(", ");
            let Some(tensor) = found.iter().find(|tensor| tensor.name == *name) else {
                let expected = format!("a tensor named `{name}` among them");
                return Err(self.value(key, format!("[{}]", names()), expected));
            };
            let key = format!("{key}.{name}");
            self.require(tensor.data_type == *element, &format!("{key}.data_type"), || {
                (tensor.data_type.to_string(), element.to_string())
            })?;
            self.require(tensor.shape == *shape, &key, || (shape::written(&tensor.shape), shape::written(shape)))?;
        }
        let names: Vec<&str> = found.iter().map(|tensor| tensor.name.as_str()).collect();
        self.require(names.len() == wanted.len(), key, || {
            let wanted: Vec<&str> = wanted.iter().map(|(name, ..)| *name).collect();
            (format!("{names:?}"), format!("{wanted:?} only, each once"))
        })
    }

    /// What all models of one thing per box have in common: `decode.margin`, and limits without centres.
    pub fn boxed(&self, manifest: &Manifest, box_padding: f64) -> Result<(), BundleError> {
        let (poses, centers) = (manifest.limits.poses, manifest.limits.centers);
        self.require((1.0..=MAX_MARGIN).contains(&box_padding), "decode.box_padding", || {
            (box_padding.to_string(), format!("1 to {MAX_MARGIN}"))
        })?;
        self.require((1..=MAX_POSES).contains(&poses), "limits.poses", || {
            (poses.to_string(), format!("1 to {MAX_POSES}"))
        })?;
        self.require(centers == 0, "limits.centers", || {
            (centers.to_string(), format!("no such key: a {} has no centres", manifest.about.model))
        })
    }

    /// Whether the role's chunks are numbers from 1 to `most`, which is called `what`, ascending.
    pub fn chunks(&self, role: &str, engine: &EngineSection, what: &str, most: usize) -> Result<(), BundleError> {
        let ascending = engine.batch_sizes.windows(2).all(|pair| pair[0] < pair[1]);
        let in_range = engine.batch_sizes.iter().all(|chunk| (1..=most).contains(chunk));
        self.require(
            !engine.batch_sizes.is_empty() && ascending && in_range,
            &format!("engine.{role}.batch_sizes"),
            || (format!("{:?}", engine.batch_sizes), format!("ascending numbers from 1 to {what}, {most}")),
        )
    }

    /// Whether a role without an `n` in its shapes has no chunks.
    pub fn no_chunks(&self, role: &str, engine: &EngineSection) -> Result<(), BundleError> {
        self.require(engine.batch_sizes.is_empty(), &format!("engine.{role}.batch_sizes"), || {
            (format!("{:?}", engine.batch_sizes), "nothing, because no shape has an `n`".to_owned())
        })
    }
}

/// What a tensor must be: its name, what it holds, its extents.
pub(super) type Wanted = (&'static str, DataType, Vec<Dimension>);

/// Checks everything that needs no file but the manifest at `path`.
pub(super) fn manifest(path: &Path, manifest: &Manifest) -> Result<(), BundleError> {
    let checker = Checker { path };
    let name = &manifest.about.name;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    checker.require(!name.is_empty() && name.bytes().all(plain), "bundle.name", || {
        (format!("{name:?}"), "letters, digits, `-`, `_` and `.`".to_owned())
    })?;
    input(&checker, &manifest.input)?;
    if matches!(manifest.decode, Decode::Capeformer(_)) {
        capeformer::no_keypoints(&checker, &manifest.keypoints)?;
    } else {
        keypoints(&checker, &manifest.keypoints)?;
    }
    // Whole images are laid in by their short side, what lies in a box as a crop.
    let crop = manifest.input.rule == InputRule::Crop;
    let boxed = manifest.about.model.takes_boxes();
    checker.require(crop == boxed, "input.rule", || {
        let fitting = if boxed { "\"crop\"" } else { "\"short-side\" or \"short-side-even\"" };
        (if crop { "\"crop\"" } else { "a rule for whole images" }.to_owned(), fitting.to_owned())
    })?;
    for (role, engine) in &manifest.engines {
        for (precision, file) in engine.precision.files() {
            model_file(&checker, &format!("engine.{role}.precision.{precision}"), file)?;
        }
    }
    match &manifest.decode {
        Decode::Logocap(decode) => logocap::check(&checker, manifest, decode)?,
        Decode::Centergroup(decode) => centergroup::check(&checker, manifest, decode)?,
        Decode::Capeformer(decode) => capeformer::check(&checker, manifest, decode)?,
        Decode::Lofr(decode) => lofr::check(&checker, manifest, decode)?,
    }
    if let Err(error) = manifest.track_options().check() {
        return Err(checker.value(&format!("track.{}", error.key), error.found.to_string(), error.expected));
    }
    for (index, row) in manifest.accuracy.iter().enumerate() {
        let key = |field: &str| format!("accuracy[{index}].{field}");
        checker.require((0.0..=1.0).contains(&row.value), &key("value"), || {
            (row.value.to_string(), "0 to 1".to_owned())
        })?;
        checker.require(
            ["fp32", "fp16", "int8", "int8_cpu"].contains(&row.precision.as_str()),
            &key("precision"),
            || (format!("{:?}", row.precision), "\"fp32\", \"fp16\", \"int8\" or \"int8_cpu\"".to_owned()),
        )?;
    }
    let drop = manifest.int8.as_ref().map_or(0.0, |int8| int8.allowed_drop);
    checker.require((0.0..=100.0).contains(&drop), "int8.allowed_drop", || (drop.to_string(), "0 to 100".to_owned()))
}

fn input(checker: &Checker<'_>, input: &Input) -> Result<(), BundleError> {
    checker.require((1..=MAX_SHORT_SIDE).contains(&input.short_side), "input.short_side", || {
        (input.short_side.to_string(), format!("1 to {MAX_SHORT_SIDE}"))
    })?;
    checker.require((1..=MAX_MULTIPLE).contains(&input.multiple), "input.multiple", || {
        (input.multiple.to_string(), format!("1 to {MAX_MULTIPLE}"))
    })?;
    checker.require(input.mean.iter().all(|mean| mean.is_finite()), "input.mean", || {
        (format!("{:?}", input.mean), "three finite numbers".to_owned())
    })?;
    checker.require(input.std.iter().all(|std| std.is_finite() && *std > 0.0), "input.std", || {
        (format!("{:?}", input.std), "three numbers above 0".to_owned())
    })
}

fn keypoints(checker: &Checker<'_>, keypoints: &Keypoints) -> Result<(), BundleError> {
    let names = &keypoints.names;
    let count = names.len();
    checker.require((1..=MAX_KEYPOINTS).contains(&count), "keypoints.names", || {
        (format!("a list of {count}"), format!("1 to {MAX_KEYPOINTS} names"))
    })?;
    let mut seen = HashSet::new();
    if let Some(name) = names.iter().find(|name| name.is_empty() || !seen.insert(name.as_str())) {
        return Err(checker.value("keypoints.names", format!("a list with {name:?}"), "different names, none empty"));
    }
    checker.require(keypoints.sigmas.len() == count, "keypoints.sigmas", || {
        (format!("a list of {}", keypoints.sigmas.len()), format!("{count} numbers, one per keypoint"))
    })?;
    let bad = keypoints.sigmas.iter().find(|&&sigma| !(sigma.is_finite() && sigma > 0.0));
    checker.require(bad.is_none(), "keypoints.sigmas", || {
        (format!("{:?}", keypoints.sigmas), "numbers above 0".to_owned())
    })?;
    checker.require(keypoints.edges.len() <= MAX_EDGES, "keypoints.edges", || {
        (format!("a list of {}", keypoints.edges.len()), format!("at most {MAX_EDGES} pairs"))
    })?;
    let within = |pair: &&(u16, u16)| pair.0 == pair.1 || usize::from(pair.0.max(pair.1)) >= count;
    for (key, pairs) in [("keypoints.edges", &keypoints.edges), ("keypoints.flip_pairs", &keypoints.flip_pairs)] {
        if let Some((a, b)) = pairs.iter().find(within) {
            let expected = format!("pairs of different keypoints, 0 to {}", count - 1);
            return Err(checker.value(key, format!("a list with [{a}, {b}]"), expected));
        }
    }
    let mut swapped = HashSet::new();
    let again = keypoints.flip_pairs.iter().flat_map(|&(a, b)| [a, b]).find(|&index| !swapped.insert(index));
    checker.require(again.is_none(), "keypoints.flip_pairs", || {
        (format!("a list with {} twice", again.unwrap_or_default()), "every keypoint once at most".to_owned())
    })
}

fn model_file(checker: &Checker<'_>, key: &str, file: &ModelFile) -> Result<(), BundleError> {
    let path = Path::new(&file.onnx);
    let inside = path.components().all(|part| matches!(part, Component::Normal(_))) && path.file_name().is_some();
    checker.require(inside, &format!("{key}.onnx"), || {
        (format!("{:?}", file.onnx), "a path inside the bundle's folder".to_owned())
    })?;
    let digits = file.sha256.len() == 64 && file.sha256.bytes().all(|byte| byte.is_ascii_hexdigit());
    checker.require(digits, &format!("{key}.sha256"), || {
        (format!("{:?}", file.sha256), "64 hexadecimal digits".to_owned())
    })
}
