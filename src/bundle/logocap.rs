//! What a LOGO-CAP bundle has beyond the common sections: `[decode]`, and the tensors of its two networks.

use super::checker::Checker;
use super::error::BundleError;
use super::manifest::{Decode, Sections};
use super::shape::{self, Dimension, Symbol};
pub use crate::decode::logocap::Refinement;
use crate::decode::logocap::{Config, Decoder};
use crate::engine::DataType;

/// Role of the network that reads the image.
pub const BACKBONE: &str = "backbone";
/// Role of the network that reads the embedding around every initial keypoint.
pub const KAM: &str = "kam";
/// Both roles.
pub const ROLES: [&str; 2] = [BACKBONE, KAM];

/// Checks `[decode]`, `[limits]` and the networks' tensors; `sections.keypoints` has been checked.
pub(super) fn check(checker: &Checker<'_>, sections: &Sections<Config>) -> Result<Decode, BundleError> {
    let decode = Config {
        sigmas: sections.keypoints.sigmas.iter().copied().collect(),
        max_centers: sections.limits.centers,
        max_poses: sections.limits.poses,
        ..sections.decode.clone()
    };
    Decoder::new(&decode).map_err(|error| checker.config(error))?;
    checker.require(sections.input.multiple.is_multiple_of(decode.stride), "input.multiple", || {
        (sections.input.multiple.to_string(), format!("a multiple of decode.stride, {}", decode.stride))
    })?;
    let backbone = checker.role(sections, BACKBONE, &ROLES)?;
    let kam = checker.role(sections, KAM, &ROLES)?;

    let keypoints = sections.keypoints.names.len();
    let side = 2 * decode.mesh_radius + 1;
    let cells = |addend| {
        let (factor, divisor) = (1, decode.stride);
        [Symbol::Height, Symbol::Width].map(|symbol| Dimension::Symbolic { factor, symbol, divisor, addend })
    };
    let number = Dimension::Number;
    let maps = |channels| [&[number(channels)][..], &cells(0)].concat();
    // The model decides only how many channels the embedding has.
    let channels = match backbone.outputs.iter().find(|tensor| tensor.name == "embedding").map(|tensor| &*tensor.shape)
    {
        Some(&[Dimension::Number(channels), ..]) => channels,
        _ => {
            let expected = "a tensor named `embedding` whose first extent is a number: its channels";
            return Err(checker.value("engine.backbone.outputs", "none such", expected));
        }
    };
    let embedding = [&[number(channels)][..], &cells(2)].concat();
    let chunk = Dimension::symbol(Symbol::Chunk);
    let mesh_rows = Dimension::Symbolic { factor: keypoints * side, symbol: Symbol::Chunk, divisor: 1, addend: 0 };

    let float = |name, shape| (name, DataType::F32, shape);
    checker.tensors("engine.backbone.inputs", &backbone.inputs, &[float("image", shape::of_image())])?;
    let outputs = [
        float("heatmaps", maps(keypoints + 1)),
        float("offsets", maps(2 * keypoints)),
        float("embedding", embedding.clone()),
    ];
    checker.tensors("engine.backbone.outputs", &backbone.outputs, &outputs)?;
    let inputs = [float("embedding", embedding), float("grid", vec![mesh_rows, number(side), number(2)])];
    checker.tensors("engine.kam.inputs", &kam.inputs, &inputs)?;
    let outputs = [float("kam", vec![chunk, number(keypoints), number(side), number(side)])];
    checker.tensors("engine.kam.outputs", &kam.outputs, &outputs)?;
    checker.batch_sizes(KAM, kam, "limits.centers", sections.limits.centers)?;
    checker.no_batch_sizes(BACKBONE, backbone)?;
    Ok(Decode::Logocap(decode))
}
