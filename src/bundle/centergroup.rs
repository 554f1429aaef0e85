//! What a CenterGroup bundle says beyond the common sections: `[decode]`, and the tensors of its two networks.

use serde::Deserialize;

use super::check::Checker;
use super::error::BundleError;
use super::manifest::{Manifest, token_width};
use super::shape::{self, Dimension, Symbol};
use crate::decode::centergroup::{Config, Decoder};
pub use crate::decode::centergroup::{ScoreRule, TieRule};
use crate::engine::DataType;

/// Role of the network that reads the image.
pub const BACKBONE: &str = "backbone";
/// Role of the network that gathers tokens around centres.
pub const GROUPING: &str = "grouping";
/// Both roles.
pub const ROLES: [&str; 2] = [BACKBONE, GROUPING];

/// `[decode]` of CenterGroup; the section numbers of the reference description stand in [`crate::decode::centergroup`].
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DecodeSection {
    /// Network pixels per cell of the feature maps.
    pub stride: usize,
    /// A keypoint's peak is the highest pixel of the window of `2 * keypoint_window_radius + 1` a side around it.
    pub keypoint_window_radius: usize,
    /// The same for the centre.
    pub center_window_radius: usize,
    /// A token counts from this heatmap value on.
    pub token_threshold: f32,
    /// The best so many tokens of every type count whatever their value.
    pub least_tokens: usize,
    /// One token per plateau, none without a positive value; the reference takes every pixel.
    pub collapse_ties: bool,
    /// Which token a keypoint takes where several are attended to equally.
    pub attention_ties: TieRule,
    /// What a person's score is: `visibility`, as in the reference, or `evidence`.
    pub score: ScoreRule,
    /// A keypoint counts in the score if its visibility is above.
    pub visible_threshold: f32,
    /// A centre is a person if its presence is above.
    pub person_threshold: f32,
    /// The most visible so many keypoints count in the score whatever their visibility.
    pub scored_keypoints: usize,
    /// A pose is kept iff its score is above.
    pub score_threshold: f32,
    /// Of two poses with an OKS above this the better one stays; from 1 on all stay.
    pub nms_similarity: f32,
}

impl DecodeSection {
    /// The decoder's hyper-parameters, with the manifest's keypoints and limits, which have been checked.
    pub fn config(&self, manifest: &Manifest) -> Config {
        Config {
            sigmas: manifest.keypoints.sigmas.iter().copied().collect(),
            stride: self.stride,
            keypoint_window_radius: self.keypoint_window_radius,
            center_window_radius: self.center_window_radius,
            token_threshold: self.token_threshold,
            least_tokens: self.least_tokens,
            collapse_ties: self.collapse_ties,
            attention_ties: self.attention_ties,
            score: self.score,
            visible_threshold: self.visible_threshold,
            person_threshold: self.person_threshold,
            scored_keypoints: self.scored_keypoints,
            score_threshold: self.score_threshold,
            nms_similarity: self.nms_similarity,
            max_tokens: manifest.limits.centers,
            max_poses: manifest.limits.poses,
        }
    }
}

/// Checks `[decode]`, `[limits]` and the networks' tensors; `manifest.keypoints` has been checked.
pub(super) fn check(checker: &Checker<'_>, manifest: &Manifest, decode: &DecodeSection) -> Result<(), BundleError> {
    Decoder::new(&decode.config(manifest)).map_err(|error| checker.config(error))?;
    let multiple = 2 * decode.stride;
    checker.require(manifest.input.multiple.is_multiple_of(multiple), "input.multiple", || {
        (manifest.input.multiple.to_string(), format!("a multiple of {multiple}, twice decode.stride"))
    })?;
    let backbone = checker.role(manifest, BACKBONE, &ROLES)?;
    let grouping = checker.role(manifest, GROUPING, &ROLES)?;

    let keypoints = manifest.keypoints.names.len();
    let number = Dimension::Number;
    let symbolic = |factor, symbol, divisor| Dimension::Symbolic { factor, symbol, divisor, addend: 0 };
    let cells = decode.stride * decode.stride;
    // The encoding of positions fills half of the channels per axis, in pairs of sine and cosine.
    let width = token_width(&backbone.outputs, "rows").unwrap_or(4);
    checker.require(width.is_multiple_of(4), "engine.backbone.outputs.rows", || {
        (format!("{width} channels"), "a multiple of 4".to_owned())
    })?;
    let rows = vec![symbolic(1, Symbol::Area, cells / 2), number(width)];
    let half = |symbol| symbolic(1, symbol, decode.stride / 2);
    let heat_half = vec![number(keypoints + 1), half(Symbol::Height), half(Symbol::Width)];
    let chunk = Dimension::symbol(Symbol::Chunk);
    let tokens = |types| symbolic(types, Symbol::Chunk, 1);

    let float = |name, shape| (name, DataType::F32, shape);
    checker.tensors("engine.backbone.inputs", &backbone.inputs, &[float("image", shape::of_image())])?;
    let outputs = [float("heat_half", heat_half), float("rows", rows.clone())];
    checker.tensors("engine.backbone.outputs", &backbone.outputs, &outputs)?;
    let inputs = [
        float("rows", rows),
        float("pos_rows", vec![symbolic(1, Symbol::Area, cells), number(width)]),
        ("idx", DataType::I32, vec![tokens(keypoints + 1), number(4)]),
        float("wgt", vec![tokens(keypoints + 1), number(4)]),
        float("bias", vec![tokens(keypoints + 1)]),
    ];
    checker.tensors("engine.grouping.inputs", &grouping.inputs, &inputs)?;
    let outputs = [
        float("attn", vec![number(keypoints), chunk, tokens(keypoints)]),
        float("vis", vec![number(keypoints), chunk]),
        float("center", vec![chunk]),
    ];
    checker.tensors("engine.grouping.outputs", &grouping.outputs, &outputs)?;
    checker.chunks(GROUPING, grouping, "limits.centers", manifest.limits.centers)?;
    let most = manifest.limits.centers;
    checker.require(grouping.batch_sizes.last() == Some(&most), "engine.grouping.batch_sizes", || {
        (
            format!("{:?}", grouping.batch_sizes),
            format!("a list that ends with limits.centers, {most}: all tokens of a type in one run"),
        )
    })?;
    checker.no_chunks(BACKBONE, backbone)
}
