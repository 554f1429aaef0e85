//! CenterGroup's post-processing: heatmaps to tokens, and the grouping network's outputs to poses.
//!
//! The steps are functions of their own, because the grouping network runs between them:
//!
//! 1. [`Decoder::find_tokens`]: the peaks of every heatmap that count, the centre's last.
//! 2. [`Decoder::write_index`], [`Decoder::write_weight`], [`Decoder::write_bias`]: where the grouping network reads each
//!    token's features, and which tokens count.
//! 3. [`Decoder::group`]: which token is which keypoint of each centre, scores, image coordinates, pose NMS.
//!
//! [`write_mask`] and [`write_positions`] compute what depends on the geometry only. No map is upsampled as a whole; the results
//! are equal. `docs/algorithms.md` defines the steps ("CenterGroup 3") and says why; equation numbers
//! are those of the paper "The Center of Attention: Center-Keypoint Grouping via Attention for Multi-Person Pose
//! Estimation".

mod config;
mod mask;
mod peaks;
mod people;
mod positions;
mod tokens;
mod workspace;

pub use config::{Config, ScoreRule, TieRule};
pub use mask::{Mask, write_mask};
pub use positions::write_positions;
pub use workspace::{Report, Token, Workspace};

use fearless_simd::{Simd, dispatch};

use super::heatmap::Double;
use super::maps::Expected;
use super::nms::SimilarityNms;
use super::{ConfigError, Maps, ShapeError, sigmoid};
use crate::geometry::{Affine, Size};
use crate::pose::{Keypoint, MAX_KEYPOINTS, MAX_POSES, Pose, Poses};
use crate::vectors::vectors;

/// Maximum number of tokens of one type.
pub const MAX_TOKENS: usize = MAX_POSES;
/// Maximum number of types: all keypoints, and the centre.
pub const MAX_TYPES: usize = MAX_KEYPOINTS + 1;
/// Largest radius of the window that a peak is the highest pixel of.
pub const MAX_WINDOW_RADIUS: usize = 8;

/// The first network's heatmaps for one frame, with the padding; see [`Decoder::inputs`].
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a> {
    heat_half: Maps<'a>,
    mask: Mask<'a>,
}

impl Inputs<'_> {
    /// Size of the network's input, pixels.
    pub fn network(&self) -> Size {
        self.mask.size()
    }

    /// Size of the feature maps, cells.
    pub fn cells(&self) -> Size {
        let half = self.heat_half.size();
        Size::new(half.width / 2, half.height / 2)
    }
}

/// The grouping network's outputs for one frame, all logits; see [`Decoder::grouped`].
#[derive(Debug, Clone, Copy)]
pub struct Grouped<'a> {
    attention: &'a [f32],
    visible: &'a [f32],
    center: &'a [f32],
    /// Tokens per type.
    tokens: usize,
}

/// CenterGroup's post-processing with its hyper-parameters.
#[derive(Debug, Clone)]
pub struct Decoder {
    config: Config,
}

impl Decoder {
    /// A decoder for the given hyper-parameters.
    ///
    /// # Errors
    /// If one is out of range.
    pub fn new(config: &Config) -> Result<Self, ConfigError> {
        config.check()?;
        Ok(Self { config: config.clone() })
    }

    /// The hyper-parameters.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Number of keypoints, `J`.
    pub fn keypoints(&self) -> usize {
        self.config.sigmas.len()
    }

    /// Number of types, `J + 1`; the centre is the last.
    pub fn types(&self) -> usize {
        self.keypoints() + 1
    }

    /// Views the first network's output: `heat_half [J + 1, H/2, W/2]`, the mean of both heatmaps, the centre's last, and
    /// `mask [H, W]`.
    ///
    /// # Errors
    /// If the number of maps is not the decoder's, their sides are odd, or the mask has another size.
    pub fn inputs<'a>(&self, heat_half: Maps<'a>, mask: Mask<'a>) -> Result<Inputs<'a>, ShapeError> {
        let half = heat_half.size();
        let exactly = Expected::Exactly;
        let rules = [
            ("heat_half", "channels", heat_half.channels(), exactly(self.types())),
            ("mask", "rows", mask.size().height, exactly(2 * half.height)),
            ("mask", "columns", mask.size().width, exactly(2 * half.width)),
        ];
        for (tensor, axis, found, expected) in rules {
            if expected != exactly(found) {
                return Err(ShapeError { tensor, axis, expected, found });
            }
        }
        for (axis, found) in [("rows", half.height), ("columns", half.width)] {
            if found % 2 != 0 {
                return Err(ShapeError { tensor: "heat_half", axis, expected: Expected::MultipleOf(2), found });
            }
        }
        Ok(Inputs { heat_half, mask })
    }

    /// Begins a frame: finds the tokens of every type that count (CenterGroup 3), best first, equal ones in reading order.
    ///
    /// A token is a pixel of the upsampled heatmap that no other of the window around it exceeds. It counts if it
    /// reaches the threshold or is one of the best few, and is not padding. See [`Config::collapse_ties`]. Tokens that do
    /// not count are listed where one that does comes after them.
    pub fn find_tokens(&self, inputs: &Inputs<'_>, workspace: &mut Workspace) {
        dispatch!(vectors(), simd => self.search_tokens(simd, inputs, workspace, false));
    }

    /// The same with the tokens that do not count, as the reference lists them: whole lists, which go down to pixels
    /// that are not peaks. No pose depends on them, and looking for them takes longer.
    pub fn find_all_tokens(&self, inputs: &Inputs<'_>, workspace: &mut Workspace) {
        dispatch!(vectors(), simd => self.search_tokens(simd, inputs, workspace, true));
    }

    #[inline(always)]
    fn search_tokens<S: Simd>(&self, simd: S, inputs: &Inputs<'_>, workspace: &mut Workspace, complete: bool) {
        let config = &self.config;
        workspace.types = self.types();
        workspace.people.clear();
        workspace.keep.clear();
        workspace.report = Report::default();
        for (kind, tokens) in workspace.tokens.iter_mut().enumerate().take(self.types()) {
            let is_center = kind == self.keypoints();
            let rule = peaks::Rule {
                radius: if is_center { config.center_window_radius } else { config.keypoint_window_radius },
                threshold: config.token_threshold,
                least: config.least_tokens,
                collapse: config.collapse_ties,
                capacity: config.max_tokens,
                complete,
            };
            let map = inputs.heat_half.map(kind);
            workspace.report.non_finite_cells += peaks::find(simd, map, inputs.mask, rule, tokens);
            let count = tokens.iter().filter(|token| token.keep).count() as u32;
            workspace.report.tokens += count;
            if is_center {
                workspace.report.centers = count;
            }
        }
    }

    /// Writes where the grouping network reads the features of `k` tokens of every type (CenterGroup 4): `index [(J + 1) k,
    /// 4]`, by type, centres last; rows of the feature maps, all cells of the keypoints' map, then all of the centres'.
    ///
    /// With fewer than [`Workspace::tokens_needed`] some that count are missing. Places without a token read the first
    /// cell.
    ///
    /// # Errors
    /// If the slice has another length.
    pub fn write_index(
        &self,
        inputs: &Inputs<'_>,
        k: usize,
        workspace: &Workspace,
        index: &mut [i32],
    ) -> Result<(), ShapeError> {
        self.check_length("idx", index.len(), 4 * k)?;
        let cells = inputs.cells();
        let centers_from = (cells.width * cells.height) as i32;
        for (slot, index) in index.chunks_exact_mut(4).enumerate() {
            let first = if slot / k == self.keypoints() { centers_from } else { 0 };
            let Token { x, y, .. } = workspace.token(slot / k, slot % k);
            index.copy_from_slice(&tokens::taps(x, y, cells).0.map(|cell| first + cell));
        }
        Ok(())
    }

    /// Writes the weights of the four cells of every token, `weight [(J + 1) k, 4]`, as [`Decoder::write_index`] does.
    ///
    /// # Errors
    /// If the slice has another length.
    pub fn write_weight(
        &self,
        inputs: &Inputs<'_>,
        k: usize,
        workspace: &Workspace,
        weight: &mut [f32],
    ) -> Result<(), ShapeError> {
        self.check_length("wgt", weight.len(), 4 * k)?;
        for (slot, weight) in weight.chunks_exact_mut(4).enumerate() {
            let Token { x, y, .. } = workspace.token(slot / k, slot % k);
            weight.copy_from_slice(&tokens::taps(x, y, inputs.cells()).1);
        }
        Ok(())
    }

    /// Writes what is added to the attention to every token, `bias [(J + 1) k]`: 0 if it counts, -10,000 if it does
    /// not.
    ///
    /// # Errors
    /// If the slice has another length.
    pub fn write_bias(&self, k: usize, workspace: &Workspace, bias: &mut [f32]) -> Result<(), ShapeError> {
        self.check_length("bias", bias.len(), k)?;
        for (slot, bias) in bias.iter_mut().enumerate() {
            *bias = if workspace.token(slot / k, slot % k).keep { 0.0 } else { tokens::MASKED };
        }
        Ok(())
    }

    fn check_length(&self, tensor: &'static str, found: usize, per_type: usize) -> Result<(), ShapeError> {
        let expected = self.types() * per_type;
        if found == expected {
            return Ok(());
        }
        Err(ShapeError { tensor, axis: "values", expected: Expected::Exactly(expected), found })
    }

    /// Views the grouping network's outputs for `k` tokens of every type: `attention [J, k, J k]`, the logit of every
    /// keypoint token for every type of every centre, `visible [J, k]` and `center [k]`.
    ///
    /// # Errors
    /// If a slice has another length.
    pub fn grouped<'a>(
        &self,
        k: usize,
        attention: &'a [f32],
        visible: &'a [f32],
        center: &'a [f32],
    ) -> Result<Grouped<'a>, ShapeError> {
        let row = self.keypoints() * k;
        let lengths = [
            ("attn", attention.len(), row.saturating_mul(row)),
            ("vis", visible.len(), row),
            ("center", center.len(), k),
        ];
        for (tensor, found, expected) in lengths {
            if found != expected {
                return Err(ShapeError { tensor, axis: "values", expected: Expected::Exactly(expected), found });
            }
        }
        Ok(Grouped { attention, visible, center, tokens: k })
    }

    /// Ends a frame: gathers the keypoints of every centre that counts (eq. 13), scores them (eq. 14), moves them to the
    /// image, and keeps one of every cluster if configured. `poses` is cleared before.
    ///
    /// A keypoint's score is its visibility. [`Poses::dropped`] counts people that did not fit or were not finite; maps
    /// that are not finite count as one, as they may hide people. Without outputs of the network there are no people.
    pub fn group(
        &self,
        inputs: &Inputs<'_>,
        grouped: Option<&Grouped<'_>>,
        image_from_network: &Affine,
        workspace: &mut Workspace,
        poses: &mut Poses,
    ) {
        poses.clear();
        workspace.people.clear();
        workspace.keep.clear();
        if let Some(grouped) = grouped {
            let Workspace { tokens, people, report, .. } = workspace;
            let centers = tokens[self.keypoints()].iter().take(grouped.tokens).enumerate();
            for (rank, _) in centers.filter(|(_, center)| center.keep) {
                match self.person(inputs, grouped, tokens, rank) {
                    // There are at most as many people as centres.
                    Some(mut pose) => {
                        pose.transform(image_from_network);
                        let _ = people.push(pose);
                    }
                    None => report.non_finite += 1,
                }
            }
        }
        self.choose(workspace, poses);
    }

    /// The person of one centre, network pixels; `None` if a number is not finite.
    fn person(&self, inputs: &Inputs<'_>, grouped: &Grouped<'_>, tokens: &people::Tokens, rank: usize) -> Option<Pose> {
        let k = grouped.tokens;
        let row = self.keypoints() * k;
        let mut pose = Pose::default();
        let mut places = [[0.0; 2]; MAX_KEYPOINTS];
        let logits = |keypoint: usize| &grouped.attention[(keypoint * k + rank) * row..][..row];
        let map = |keypoint| Double::new(inputs.heat_half.map(keypoint));
        for (keypoint, place) in places.iter_mut().enumerate().take(self.keypoints()) {
            *place = people::assign(logits(keypoint), k, |kind| &tokens[kind], self.config.attention_ties)?;
            let [x, y] = people::shift(*place, map(keypoint));
            let visible = sigmoid(grouped.visible[keypoint * k + rank]);
            // Room is checked when the configuration is.
            let _ = pose.keypoints.push(Keypoint { x, y, score: visible });
        }
        pose.score = match self.config.score {
            ScoreRule::Visibility => people::score(&pose, sigmoid(grouped.center[rank]), &self.config),
            ScoreRule::Evidence => {
                let places = &places[..self.keypoints()];
                let extent = people::extent(places);
                let evidence = places.iter().enumerate().map(|(keypoint, &place)| {
                    let near = people::attention_near(logits(keypoint), k, tokens, place, extent);
                    near * people::height(place, map(keypoint))
                });
                evidence.sum::<f32>() / places.len() as f32
            }
        };
        let finite = pose.score.is_finite() && pose.keypoints.iter().all(|keypoint| keypoint.score.is_finite());
        finite.then_some(pose)
    }

    /// Drops people for their score and as duplicates.
    fn choose(&self, workspace: &mut Workspace, poses: &mut Poses) {
        let Workspace { people, keep, report, .. } = workspace;
        let config = &self.config;
        let good = |&row: &usize| people[row].score > config.score_threshold;
        if config.nms_similarity < 1.0 {
            let nms = SimilarityNms { similarity: config.nms_similarity, sigmas: &config.sigmas };
            let mut rows: heapless::Vec<usize, MAX_POSES> = (0..people.len()).filter(good).collect();
            report.below_threshold = (people.len() - rows.len()) as u32;
            // Rows break ties, so that the order does not depend on the way of sorting.
            rows.sort_unstable_by(|&a, &b| people[b].score.total_cmp(&people[a].score).then(a.cmp(&b)));
            *keep = nms.keep(people, &rows);
            report.suppressed = (rows.len() - keep.len()) as u32;
        } else {
            keep.extend((0..people.len()).filter(good));
            report.below_threshold = (people.len() - keep.len()) as u32;
        }
        report.over_limit = keep.len().saturating_sub(config.max_poses) as u32;
        keep.truncate(config.max_poses);
        poses.list.extend(keep.iter().map(|&row| people[row].clone()));
        poses.dropped = report.over_limit + report.non_finite + u32::from(report.non_finite_cells > 0);
    }
}

#[cfg(test)]
mod tests;
