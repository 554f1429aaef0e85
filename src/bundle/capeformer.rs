//! What a CapeFormer bundle has beyond the common sections: `[decode]`, and the tensors of its three networks.

use super::checker::Checker;
use super::error::BundleError;
use super::manifest::{Decode, Sections};
use super::shape::{self, Dimension, Symbol};
use crate::decode::capeformer::{CROP, Config, SLOTS, TOKENS};
use crate::engine::DataType;

/// Role of the network that reads a crop.
pub const FEATURES: &str = "features";
/// Role of the network that compares a crop with enrolled keypoints.
pub const MATCH: &str = "match";
/// Role of the network that moves proposals to keypoints.
pub const REFINE: &str = "refine";
/// The output of [`FEATURES`] for a crop in which keypoints are located: a token per row.
pub const QUERY_TOKENS: &str = "query_tokens";
/// All roles.
pub const ROLES: [&str; 3] = [FEATURES, MATCH, REFINE];

/// Checks `[decode]`, `[limits]`, the crop and the networks' tensors.
pub(super) fn check(checker: &Checker<'_>, sections: &Sections<Config>) -> Result<Decode, BundleError> {
    let config = sections.decode;
    checker.boxed(sections, config.box_padding)?;
    for (key, found) in [("short_side", sections.input.short_side), ("multiple", sections.input.multiple)] {
        checker.require(found == CROP, &format!("input.{key}"), || (found.to_string(), CROP.to_string()))?;
    }
    let features = checker.role(sections, FEATURES, &ROLES)?;
    let matching = checker.role(sections, MATCH, &ROLES)?;
    let refine = checker.role(sections, REFINE, &ROLES)?;

    let width = checker.token_width("engine.features.outputs", &features.outputs, QUERY_TOKENS)?;
    let number = Dimension::Number;
    let batch = || Dimension::symbol(Symbol::Chunk);
    let float = |name, shape| (name, DataType::F32, shape);
    let tokens = || vec![number(TOKENS), number(width)];
    let rows = || vec![batch(), number(width)];
    let places = || vec![batch(), number(2)];

    // The graph has one size. Older manifests name it by symbols, which engine builders take for open shapes.
    let open = features.inputs.iter().any(|tensor| tensor.shape == shape::of_image());
    let image = if open { shape::of_image() } else { [1, 3, CROP, CROP].map(number).to_vec() };
    checker.tensors("engine.features.inputs", &features.inputs, &[float("image", image)])?;
    let outputs = [float(QUERY_TOKENS, tokens()), float("support_tokens", tokens())];
    checker.tensors("engine.features.outputs", &features.outputs, &outputs)?;
    let inputs = [
        float(QUERY_TOKENS, tokens()),
        float("support", rows()),
        float("identity", rows()),
        float("key_bias", vec![batch()]),
    ];
    checker.tensors("engine.match.inputs", &matching.inputs, &inputs)?;
    let similarity = vec![batch(), number(TOKENS)];
    let outputs = [float("similarity", similarity), float("memory", tokens()), float("refined", rows())];
    checker.tensors("engine.match.outputs", &matching.outputs, &outputs)?;
    let inputs = [
        float("memory", tokens()),
        float("refined", rows()),
        float("identity", rows()),
        float("key_bias", vec![batch()]),
        float("proposals", places()),
    ];
    checker.tensors("engine.refine.inputs", &refine.inputs, &inputs)?;
    checker.tensors("engine.refine.outputs", &refine.outputs, &[float("keypoints", places())])?;
    checker.batch_sizes(MATCH, matching, "the most keypoints", SLOTS)?;
    checker.require(refine.batch_sizes == matching.batch_sizes, "engine.refine.batch_sizes", || {
        (format!("{:?}", refine.batch_sizes), format!("those of engine.match, {:?}", matching.batch_sizes))
    })?;
    checker.no_batch_sizes(FEATURES, features)?;
    Ok(Decode::Capeformer { config, width })
}
