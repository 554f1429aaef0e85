//! Checks that a manifest's values fit each other and the program's limits.

use std::collections::HashSet;
use std::path::{Component, Path};

use super::DEFAULT_SIZE;
use super::checker::Checker;
use super::error::BundleError;
use super::manifest::{About, Decode, Input, InputRule, Keypoints, Manifest, Model, ModelFile, Sections};
use super::score::ScoreSection;
use crate::pose::{MAX_EDGES, MAX_KEYPOINTS};

/// Largest short side of a network, pixels: four times full HD.
const MAX_SHORT_SIDE: usize = 4320;
/// Largest multiple that a network's sides are rounded up to.
const MAX_MULTIPLE: usize = 1024;

/// Checks everything that needs no file but the manifest at `path`; `model` checks what depends on the model.
pub(super) fn manifest<D>(
    path: &Path,
    sections: Sections<D>,
    model: impl FnOnce(&Checker<'_>, &Sections<D>) -> Result<Decode, BundleError>,
) -> Result<Manifest, BundleError> {
    let checker = Checker { path };
    let About { name, model: kind, .. } = &sections.bundle;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    checker.require(!name.is_empty() && name.bytes().all(plain), "bundle.name", || {
        (format!("{name:?}"), "letters, digits, `-`, `_` and `.`".to_owned())
    })?;
    input(&checker, &sections.input)?;
    if *kind == Model::Capeformer {
        no_keypoints(&checker, &sections.keypoints)?;
    } else {
        keypoints(&checker, &sections.keypoints)?;
    }
    // Models of all people see whole images, the others crops.
    let crop = sections.input.rule == InputRule::Crop;
    let boxed = kind.takes_boxes();
    checker.require(crop == boxed, "input.rule", || {
        let fitting = if boxed { "\"crop\"" } else { "\"short-side\" or \"short-side-even\"" };
        (if crop { "\"crop\"" } else { "a rule for whole images" }.to_owned(), fitting.to_owned())
    })?;
    for (role, engine) in &sections.engine {
        for (precision, file) in engine.precision.files() {
            model_file(&checker, &format!("engine.{role}.precision.{precision}"), file)?;
        }
    }
    let decode = model(&checker, &sections)?;
    if let Some(section) = &sections.score {
        score(&checker, section)?;
    }
    for (index, row) in sections.accuracy.iter().enumerate() {
        let key = |field: &str| format!("accuracy[{index}].{field}");
        checker.require((0.0..=1.0).contains(&row.value), &key("value"), || {
            (row.value.to_string(), "0 to 1".to_owned())
        })?;
        checker.require(
            ["fp32", "fp16", "int8", "int8_fp16", "int8_cpu"].contains(&row.precision.as_str()),
            &key("precision"),
            || {
                (
                    format!("{:?}", row.precision),
                    "\"fp32\", \"fp16\", \"int8\", \"int8_fp16\" or \"int8_cpu\"".to_owned(),
                )
            },
        )?;
    }
    let drop = sections.int8.as_ref().map_or(0.0, |int8| int8.allowed_drop);
    checker
        .require((0.0..=100.0).contains(&drop), "int8.allowed_drop", || (drop.to_string(), "0 to 100".to_owned()))?;
    let manifest = sections.into_manifest(decode);
    if let Err(error) = manifest.track_options().check() {
        return Err(checker.value(&format!("track.{}", error.key), error.found.to_string(), error.expected));
    }
    Ok(manifest)
}

fn input(checker: &Checker<'_>, input: &Input) -> Result<(), BundleError> {
    checker.require((1..=MAX_SHORT_SIDE).contains(&input.short_side), "input.short_side", || {
        (input.short_side.to_string(), format!("1 to {MAX_SHORT_SIDE}"))
    })?;
    for (name, &side) in &input.sizes {
        let key = format!("input.sizes.{name}");
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        let named = !name.is_empty() && name != DEFAULT_SIZE && name.bytes().all(plain);
        checker.require(named, &key, || {
            ("a name".to_owned(), format!("letters, digits, `-` and `_`, and not `{DEFAULT_SIZE}`"))
        })?;
        checker.require(input.rule != InputRule::Crop, &key, || {
            ("a size".to_owned(), "none: crops are as large as the network was made for".to_owned())
        })?;
        checker.require((1..=MAX_SHORT_SIDE).contains(&side), &key, || {
            (side.to_string(), format!("1 to {MAX_SHORT_SIDE}"))
        })?;
    }
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

/// Checks that `[score]` has maps that can be used.
fn score(checker: &Checker<'_>, section: &ScoreSection) -> Result<(), BundleError> {
    checker.require(section.pose.is_some() || section.keypoint.is_some(), "score", || {
        ("an empty section".to_owned(), "`pose`, `keypoint` or both".to_owned())
    })?;
    section.maps().map(drop).map_err(|error| checker.config(error))
}

/// Checks that `[keypoints]` is empty: templates name them.
fn no_keypoints(checker: &Checker<'_>, keypoints: &Keypoints) -> Result<(), BundleError> {
    let Keypoints { names, edges, flip_pairs, sigmas } = keypoints;
    let lists =
        [("names", names.len()), ("edges", edges.len()), ("flip_pairs", flip_pairs.len()), ("sigmas", sigmas.len())];
    for (key, length) in lists {
        checker.require(length == 0, &format!("keypoints.{key}"), || {
            (format!("a list of {length}"), "[], because templates name the keypoints".to_owned())
        })?;
    }
    Ok(())
}

fn model_file(checker: &Checker<'_>, key: &str, file: &ModelFile) -> Result<(), BundleError> {
    listed_file(checker, key, "onnx", &file.onnx, &file.sha256)?;
    for (index, data) in file.data.iter().enumerate() {
        listed_file(checker, &format!("{key}.data[{index}]"), "file", &data.file, &data.sha256)?;
    }
    Ok(())
}

fn listed_file(checker: &Checker<'_>, key: &str, field: &str, file: &str, sha256: &str) -> Result<(), BundleError> {
    let path = Path::new(file);
    let inside = path.components().all(|part| matches!(part, Component::Normal(_))) && path.file_name().is_some();
    checker.require(inside, &format!("{key}.{field}"), || {
        (format!("{file:?}"), "a path inside the bundle's folder".to_owned())
    })?;
    let digits = sha256.len() == 64 && sha256.bytes().all(|byte| byte.is_ascii_hexdigit());
    checker.require(digits, &format!("{key}.sha256"), || (format!("{sha256:?}"), "64 hexadecimal digits".to_owned()))
}
