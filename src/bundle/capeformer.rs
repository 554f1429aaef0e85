//! What a CapeFormer bundle says beyond the common sections: `[decode]`, and the tensors of its three networks.

use serde::Deserialize;

use super::check::Checker;
use super::error::BundleError;
use super::manifest::{Keypoints, Manifest, token_width};
use super::shape::{self, Dimension, Symbol};
use crate::decode::capeformer::{CROP, SLOTS, TOKENS};
use crate::engine::DataType;

/// Role of the network that reads a crop.
pub const FEATURES: &str = "features";
/// Role of the network that compares a crop with enrolled keypoints.
pub const MATCH: &str = "match";
/// Role of the network that moves proposals to keypoints.
pub const REFINE: &str = "refine";
/// What [`FEATURES`] says of a crop in which keypoints are looked for, a token a row.
pub const QUERY_TOKENS: &str = "query_tokens";
/// All roles.
pub const ROLES: [&str; 3] = [FEATURES, MATCH, REFINE];

/// `[decode]` of CapeFormer.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DecodeSection {
    /// How much larger a crop is than the longer side of its box.
    #[serde(alias = "margin")]
    pub box_padding: f64,
    /// What becomes of a keypoint that some of the images do not show.
    pub hidden_keypoints: HiddenRule,
}

/// `decode.hidden_keypoints`: a keypoint is enrolled from several images, and hidden in one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HiddenRule {
    /// It is left out, as the reference does.
    Drop,
    /// It is enrolled from the images that show it.
    AverageSeen,
}

/// Checks that `[keypoints]` is empty: templates name them.
pub(super) fn no_keypoints(checker: &Checker<'_>, keypoints: &Keypoints) -> Result<(), BundleError> {
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

/// Checks `[decode]`, `[limits]`, the crop and the networks' tensors.
pub(super) fn check(checker: &Checker<'_>, manifest: &Manifest, decode: &DecodeSection) -> Result<(), BundleError> {
    checker.boxed(manifest, decode.box_padding)?;
    for (key, found) in [("short_side", manifest.input.short_side), ("multiple", manifest.input.multiple)] {
        checker.require(found == CROP, &format!("input.{key}"), || (found.to_string(), CROP.to_string()))?;
    }
    let features = checker.role(manifest, FEATURES, &ROLES)?;
    let matching = checker.role(manifest, MATCH, &ROLES)?;
    let refine = checker.role(manifest, REFINE, &ROLES)?;

    let width = token_width(&features.outputs, QUERY_TOKENS).unwrap_or(4);
    // The encoding of positions gives every axis half of the channels, in pairs of sine and cosine.
    checker.require(width.is_multiple_of(4), "engine.features.outputs.query_tokens", || {
        (format!("{width} channels"), "a multiple of 4".to_owned())
    })?;
    let number = Dimension::Number;
    let chunk = || Dimension::symbol(Symbol::Chunk);
    let float = |name, shape| (name, DataType::F32, shape);
    let tokens = || vec![number(TOKENS), number(width)];
    let rows = || vec![chunk(), number(width)];
    let places = || vec![chunk(), number(2)];

    checker.tensors("engine.features.inputs", &features.inputs, &[float("image", shape::of_image())])?;
    let outputs = [float(QUERY_TOKENS, tokens()), float("support_tokens", tokens())];
    checker.tensors("engine.features.outputs", &features.outputs, &outputs)?;
    let inputs = [
        float(QUERY_TOKENS, tokens()),
        float("support", rows()),
        float("identity", rows()),
        float("key_bias", vec![chunk()]),
    ];
    checker.tensors("engine.match.inputs", &matching.inputs, &inputs)?;
    let similarity = vec![chunk(), number(TOKENS)];
    let outputs = [float("similarity", similarity), float("memory", tokens()), float("refined", rows())];
    checker.tensors("engine.match.outputs", &matching.outputs, &outputs)?;
    let inputs = [
        float("memory", tokens()),
        float("refined", rows()),
        float("identity", rows()),
        float("key_bias", vec![chunk()]),
        float("proposals", places()),
    ];
    checker.tensors("engine.refine.inputs", &refine.inputs, &inputs)?;
    checker.tensors("engine.refine.outputs", &refine.outputs, &[float("keypoints", places())])?;
    checker.chunks(MATCH, matching, "the most keypoints", SLOTS)?;
    checker.require(refine.batch_sizes == matching.batch_sizes, "engine.refine.batch_sizes", || {
        (format!("{:?}", refine.batch_sizes), format!("those of engine.match, {:?}", matching.batch_sizes))
    })?;
    checker.no_chunks(FEATURES, features)
}
