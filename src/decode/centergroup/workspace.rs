//! Storage for one frame, and counts of its tokens.

use heapless::Vec;

use super::{MAX_TOKENS, MAX_TYPES};
use crate::pose::{MAX_POSES, Pose};

/// A peak of a heatmap: what the grouping network chooses from.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Token {
    /// Column, network pixels.
    pub x: u32,
    /// Row, network pixels.
    pub y: u32,
    /// The heatmap's value there; 0 if it has fewer peaks.
    pub score: f32,
    /// Whether it counts; the network does not see the others.
    pub keep: bool,
}

/// The decoder's storage and intermediate results for a frame, about 90 KiB; allocated once.
#[derive(Debug, Clone)]
pub struct Workspace {
    /// Tokens of every type, best first, the centre's last.
    pub(super) tokens: [Vec<Token, MAX_TOKENS>; MAX_TYPES],
    pub(super) types: usize,
    pub(super) people: Vec<Pose, MAX_TOKENS>,
    pub(super) keep: Vec<usize, MAX_POSES>,
    pub(super) report: Report,
}

/// Counts of a frame's tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Report {
    /// Tokens that count, of all types.
    pub tokens: u32,
    /// Centres among them.
    pub centers: u32,
    /// Cells of the heatmaps that are not finite.
    pub non_finite_cells: u32,
    /// Centres whose numbers are not finite, or which have no keypoint to choose from.
    pub non_finite: u32,
    /// Centres whose score does not reach the threshold.
    pub below_threshold: u32,
    /// People dropped as duplicates.
    pub suppressed: u32,
    /// People over the limit of poses.
    pub over_limit: u32,
}

impl Workspace {
    /// An empty workspace.
    pub const fn new() -> Self {
        Self {
            tokens: [const { Vec::new() }; MAX_TYPES],
            types: 0,
            people: Vec::new(),
            keep: Vec::new(),
            report: Report {
                tokens: 0,
                centers: 0,
                non_finite_cells: 0,
                non_finite: 0,
                below_threshold: 0,
                suppressed: 0,
                over_limit: 0,
            },
        }
    }

    /// The tokens of every type, best first, the centre's last.
    pub fn tokens(&self) -> impl ExactSizeIterator<Item = &[Token]> {
        self.tokens.iter().take(self.types).map(Vec::as_slice)
    }

    /// Token number `rank` of type `kind`, or one that does not count.
    pub(super) fn token(&self, kind: usize, rank: usize) -> Token {
        self.tokens.get(kind).and_then(|tokens| tokens.get(rank)).copied().unwrap_or_default()
    }

    /// How many tokens per type the network must take to see all that count.
    pub fn tokens_needed(&self) -> usize {
        let last = |tokens: &[Token]| tokens.iter().rposition(|token| token.keep).map_or(0, |rank| rank + 1);
        self.tokens().map(last).max().unwrap_or(0)
    }

    /// Whether the grouping network has work: there are centres and keypoints.
    pub fn has_people(&self) -> bool {
        let report = self.report;
        0 < report.centers && report.centers < report.tokens
    }

    /// The centres as people, image pixels, before any is dropped for its score or as a duplicate; those whose
    /// numbers are not finite are not among them.
    pub fn people(&self) -> &[Pose] {
        &self.people
    }

    /// Which of [`Workspace::people`] become poses, in the order of the poses.
    pub fn keep(&self) -> &[usize] {
        &self.keep
    }

    /// Counts of the tokens.
    pub fn report(&self) -> Report {
        self.report
    }
}

impl Default for Workspace {
    fn default() -> Self {
        Self::new()
    }
}
