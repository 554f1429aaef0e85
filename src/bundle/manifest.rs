//! The sections of `bundle.toml`, as `docs/bundle.md` describes them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::score::ScoreSection;
use super::shape::Dimension;
use super::track::TrackSection;
use crate::decode::{capeformer, centergroup, lofr, logocap};
use crate::engine::DataType;
use crate::geometry::{Centre, Size};
use crate::track::TrackOptions;

/// The contents of `bundle.toml`.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    /// `[bundle]`
    pub about: About,
    /// `[input]`
    pub input: Input,
    /// `[keypoints]`
    pub keypoints: Keypoints,
    /// `[engine.<role>]`, by role.
    pub engines: BTreeMap<String, EngineSection>,
    /// `[decode]`
    pub decode: Decode,
    /// `[score]`
    pub score: Option<ScoreSection>,
    /// `[limits]`
    pub limits: Limits,
    /// `[track]`
    pub track: TrackSection,
    /// `[[accuracy]]`
    pub accuracy: Vec<Accuracy>,
    /// `[int8]`
    pub int8: Option<Int8>,
}

impl Manifest {
    /// Tracker options of this bundle: the model's defaults, its keypoints' sigmas, and `[track]`.
    pub fn track_options(&self) -> TrackOptions {
        let mut options = TrackOptions {
            // The lengths are checked with the manifest.
            keypoint_sigmas: self.keypoints.sigmas.iter().copied().collect(),
            ..TrackOptions::default()
        };
        if let Decode::Lofr { config, .. } = &self.decode {
            // A keypoint that scores below this was not found in the box.
            options.pose_kpt_thr = config.visible_threshold;
        }
        self.track.apply(&mut options);
        options
    }
}

/// `[decode]`, by model: the decoder's hyper-parameters, with what they take from `[keypoints]` and `[limits]`, and what the
/// check of the networks' tensors has found.
#[derive(Debug, Clone, PartialEq)]
pub enum Decode {
    /// LOGO-CAP.
    Logocap(logocap::Config),
    /// CenterGroup.
    Centergroup {
        /// Hyper-parameters.
        config: centergroup::Config,
        /// Channels of a token.
        width: usize,
    },
    /// CapeFormer.
    Capeformer {
        /// Hyper-parameters.
        config: capeformer::Config,
        /// Channels of a token.
        width: usize,
    },
    /// LOFR.
    Lofr {
        /// Hyper-parameters.
        config: lofr::Config,
        /// The network's input, the same for every crop.
        network: Size,
        /// Cells of a response map.
        cells: Size,
    },
}

/// The file's sections in order, `[decode]` as the model's decoder has it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sections<D> {
    pub bundle: About,
    pub input: Input,
    pub keypoints: Keypoints,
    pub engine: BTreeMap<String, EngineSection>,
    pub decode: D,
    pub score: Option<ScoreSection>,
    pub limits: Limits,
    #[serde(default)]
    pub track: TrackSection,
    #[serde(default)]
    pub accuracy: Vec<Accuracy>,
    pub int8: Option<Int8>,
}

impl<D> Sections<D> {
    pub(super) fn into_manifest(self, decode: Decode) -> Manifest {
        Manifest {
            about: self.bundle,
            input: self.input,
            keypoints: self.keypoints,
            engines: self.engine,
            decode,
            score: self.score,
            limits: self.limits,
            track: self.track,
            accuracy: self.accuracy,
            int8: self.int8,
        }
    }
}

/// Which decoder a bundle is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Model {
    /// Bottom-up: centres, offsets, then local-global refinement.
    Logocap,
    /// Bottom-up: peaks of every keypoint, gathered around centres by attention.
    Centergroup,
    /// Keypoints of an object category, enrolled from a few images.
    Capeformer,
    /// Top-down: one person per box, trained without locations.
    Lofr,
}

impl Model {
    /// Whether it finds one object per box, rather than all people in an image.
    pub fn takes_boxes(self) -> bool {
        matches!(self, Self::Capeformer | Self::Lofr)
    }
}

impl std::fmt::Display for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Logocap => "logocap",
            Self::Centergroup => "centergroup",
            Self::Capeformer => "capeformer",
            Self::Lofr => "lofr",
        })
    }
}

/// `[bundle]`: name, model, licence, origin.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct About {
    /// The bundle's name.
    pub name: String,
    /// The model.
    pub model: Model,
    /// Version of the contents.
    pub version: u32,
    /// Version of the manifest's schema.
    pub format: u32,
    /// SPDX expression of the weights' licence.
    pub licence: String,
    /// Where the weights come from.
    pub provenance: String,
}

/// `[input]`: how an image becomes the network's input.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// How an image is laid into the network's input.
    pub rule: InputRule,
    /// Network pixels of the short side, before rounding up to `multiple`.
    pub short_side: usize,
    /// Other short sides by name, for [`crate::bundle::Bundle::with_size`].
    #[serde(default)]
    pub sizes: BTreeMap<String, usize>,
    /// Both sides of the network are multiples of it.
    pub multiple: usize,
    /// Subtracted from every colour, scaled to 0..1.
    pub mean: [f32; 3],
    /// Then divided by this.
    pub std: [f32; 3],
    /// Order of the colour planes.
    pub order: ColourOrder,
}

/// `input.rule`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InputRule {
    /// The whole image, short side fixed: [`crate::geometry::ShortSideLayout`].
    ShortSide,
    /// The same with [`crate::geometry::Centre::RoundedToEven`].
    ShortSideEven,
    /// A square around a box.
    Crop,
}

impl InputRule {
    /// How the middle of an image with an odd side is rounded; `None` for crops.
    pub fn centre(self) -> Option<Centre> {
        match self {
            Self::ShortSide => Some(Centre::RoundedUp),
            Self::ShortSideEven => Some(Centre::RoundedToEven),
            Self::Crop => None,
        }
    }
}

/// `input.order`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ColourOrder {
    /// Red, green, blue.
    Rgb,
}

/// `[keypoints]`: what the model finds.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keypoints {
    /// One name per keypoint; none if templates name them.
    pub names: Vec<String>,
    /// Pairs of indices to draw a line between.
    pub edges: Vec<(u16, u16)>,
    /// Pairs of indices that swap in a mirrored image.
    pub flip_pairs: Vec<(u16, u16)>,
    /// COCO's OKS `sigmas`, one per keypoint.
    pub sigmas: Vec<f32>,
}

/// `[engine.<role>]`: one network.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EngineSection {
    /// Inputs, in any order.
    pub inputs: Vec<TensorSection>,
    /// Outputs, in any order.
    pub outputs: Vec<TensorSection>,
    /// Values of `n` that an engine is opened for, ascending; empty if no shape has an `n`.
    #[serde(default)]
    #[serde(alias = "chunks")]
    pub batch_sizes: Vec<usize>,
    /// The graph, by precision.
    pub precision: Precisions,
}

/// One tensor of a network.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TensorSection {
    /// Its name in the graph.
    pub name: String,
    /// Its data type.
    #[serde(default, alias = "element")]
    pub data_type: DataType,
    /// Its extents.
    pub shape: Vec<Dimension>,
}

/// `precision.*`: the files of one network.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Precisions {
    /// The original.
    pub fp32: ModelFile,
    /// With 16-bit types; TensorRT makes its own from the original before version 11.
    pub fp16: Option<ModelFile>,
    /// With explicit quantisation, in TensorRT's form.
    pub int8: Option<ModelFile>,
    /// The same with 16-bit types between the quantised parts, for a TensorRT that computes with the types of the graph.
    pub int8_fp16: Option<ModelFile>,
    /// With explicit quantisation, in the form that is fast on CPUs.
    pub int8_cpu: Option<ModelFile>,
}

impl Precisions {
    /// All graphs and their keys.
    pub fn files(&self) -> impl Iterator<Item = (&'static str, &ModelFile)> {
        let files = [
            ("fp32", Some(&self.fp32)),
            ("fp16", self.fp16.as_ref()),
            ("int8", self.int8.as_ref()),
            ("int8_fp16", self.int8_fp16.as_ref()),
            ("int8_cpu", self.int8_cpu.as_ref()),
        ];
        files.into_iter().filter_map(|(name, file)| Some((name, file?)))
    }

    /// The files that may hold tensors of `graph`, one of these, with their hashes: its own `data`, and the fp32 graph with
    /// its `data`.
    pub fn external<'a>(&'a self, graph: &'a ModelFile) -> impl Iterator<Item = (&'a str, &'a str)> {
        let data = graph.data.iter().chain(&self.fp32.data).map(|data| (&*data.file, &*data.sha256));
        data.chain([(&*self.fp32.onnx, &*self.fp32.sha256)])
    }
}

/// A graph of the bundle.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelFile {
    /// Path from the manifest's folder.
    pub onnx: String,
    /// SHA-256 of its bytes, 64 hexadecimal digits.
    pub sha256: String,
    /// Other files that hold tensors of the graph (ONNX's external data).
    #[serde(default)]
    pub data: Vec<DataFile>,
}

/// A file of the bundle that holds tensors of a graph.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataFile {
    /// Path from the manifest's folder.
    pub file: String,
    /// SHA-256 of its bytes, 64 hexadecimal digits.
    pub sha256: String,
}

/// `[limits]`: maximum counts, for which storage is allocated.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Poses per frame.
    pub poses: usize,
    /// Candidate centres per frame; for CenterGroup also tokens of every other type. 0, the default, for
    /// models without centres.
    #[serde(default)]
    pub centers: usize,
}

/// `[[accuracy]]`: one measured figure.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Accuracy {
    /// What was measured: `oks-ap`, ...
    pub metric: String,
    /// On which images.
    pub data: String,
    /// `fp32`, `fp16` or `int8`.
    pub precision: String,
    /// Refinement level, if the model has levels.
    pub level: Option<String>,
    /// The figure, 0 to 1.
    pub value: f64,
}

/// `[int8]`: accuracy that quantisation may cost.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Int8 {
    /// Points of the metric.
    pub allowed_drop: f64,
}
