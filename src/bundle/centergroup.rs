//! What a CenterGroup bundle has beyond the common sections: `[decode]`, and the tensors of its two networks.

use super::checker::Checker;
use super::error::BundleError;
use super::manifest::{Decode, Sections, TensorSection};
use super::shape::{self, Dimension, Symbol};
use crate::decode::centergroup::{Config, Decoder};
use crate::engine::DataType;

/// Role of the network that reads the image.
pub const BACKBONE: &str = "backbone";
/// Role of the network that gathers tokens around centres.
pub const GROUPING: &str = "grouping";
/// Both roles.
pub const ROLES: [&str; 2] = [BACKBONE, GROUPING];

/// Whether the networks also see the mirrored image: then `rows` and `pos_rows` hold a second half for it, cell by cell as the
/// first, and the grouping network merges both results. Recognised by the shape of the backbone's `rows`, `H*W/4` for a stride of 4.
pub fn is_mirrored(backbone_outputs: &[TensorSection], stride: usize) -> bool {
    let both = Dimension::Symbolic { factor: 1, symbol: Symbol::Area, divisor: stride * stride / 4, addend: 0 };
    backbone_outputs.iter().any(|tensor| tensor.name == "rows" && tensor.shape.first() == Some(&both))
}

/// Checks `[decode]`, `[limits]` and the networks' tensors; `sections.keypoints` has been checked.
pub(super) fn check(checker: &Checker<'_>, sections: &Sections<Config>) -> Result<Decode, BundleError> {
    let decode = Config {
        sigmas: sections.keypoints.sigmas.iter().copied().collect(),
        max_tokens: sections.limits.centers,
        max_poses: sections.limits.poses,
        ..sections.decode.clone()
    };
    Decoder::new(&decode).map_err(|error| checker.config(error))?;
    let multiple = 2 * decode.stride;
    checker.require(sections.input.multiple.is_multiple_of(multiple), "input.multiple", || {
        (sections.input.multiple.to_string(), format!("a multiple of {multiple}, twice decode.stride"))
    })?;
    let backbone = checker.role(sections, BACKBONE, &ROLES)?;
    let grouping = checker.role(sections, GROUPING, &ROLES)?;

    let keypoints = sections.keypoints.names.len();
    let number = Dimension::Number;
    let symbolic = |factor, symbol, divisor| Dimension::Symbolic { factor, symbol, divisor, addend: 0 };
    let cells = decode.stride * decode.stride;
    let width = checker.token_width("engine.backbone.outputs", &backbone.outputs, "rows")?;
    let images = 1 + usize::from(is_mirrored(&backbone.outputs, decode.stride));
    let rows = vec![symbolic(1, Symbol::Area, cells / 2 / images), number(width)];
    let half = |symbol| symbolic(1, symbol, decode.stride / 2);
    let heat_half = vec![number(keypoints + 1), half(Symbol::Height), half(Symbol::Width)];
    let batch = Dimension::symbol(Symbol::Chunk);
    let tokens = |types| symbolic(types, Symbol::Chunk, 1);

    let float = |name, shape| (name, DataType::F32, shape);
    checker.tensors("engine.backbone.inputs", &backbone.inputs, &[float("image", shape::of_image())])?;
    let outputs = [float("heat_half", heat_half), float("rows", rows.clone())];
    checker.tensors("engine.backbone.outputs", &backbone.outputs, &outputs)?;
    let inputs = [
        float("rows", rows),
        float("pos_rows", vec![symbolic(1, Symbol::Area, cells / images), number(width)]),
        ("idx", DataType::I32, vec![tokens(keypoints + 1), number(4)]),
        float("wgt", vec![tokens(keypoints + 1), number(4)]),
        float("bias", vec![tokens(keypoints + 1)]),
    ];
    checker.tensors("engine.grouping.inputs", &grouping.inputs, &inputs)?;
    let outputs = [
        float("attn", vec![number(keypoints), batch, tokens(keypoints)]),
        float("vis", vec![number(keypoints), batch]),
        float("center", vec![batch]),
    ];
    checker.tensors("engine.grouping.outputs", &grouping.outputs, &outputs)?;
    checker.batch_sizes(GROUPING, grouping, "limits.centers", sections.limits.centers)?;
    let most = sections.limits.centers;
    checker.require(grouping.batch_sizes.last() == Some(&most), "engine.grouping.batch_sizes", || {
        (
            format!("{:?}", grouping.batch_sizes),
            format!("a list that ends with limits.centers, {most}: all tokens of a type in one run"),
        )
    })?;
    checker.no_batch_sizes(BACKBONE, backbone)?;
    Ok(Decode::Centergroup { config: decode, width })
}
