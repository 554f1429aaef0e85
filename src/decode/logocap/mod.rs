//! LOGO-CAP's post-processing: network outputs to poses.
//!
//! The steps are functions of their own, because the second network runs between them:
//!
//! 1. [`Decoder::find_centers`]: peaks of the centre map, the candidates.
//! 2. [`Decoder::initial_poses`]: the centre minus the offsets read there.
//! 3. [`Decoder::write_grid`]: where the second network samples the embedding; its outputs are attraction maps.
//! 4. One of [`Decoder::refine`] (level `full`), [`Decoder::refine_locally`] (`partial`), [`Decoder::score_initial`]
//!    (`none`).
//! 5. [`Decoder::finish`]: scores, image coordinates, pose NMS.
//!
//! No map is upsampled and no window convolved as a whole; the results are equal.
//! `docs/algorithms.md` defines the steps ("LOGO-CAP 3") and says why; equation numbers are those of the paper "Learning Local-Global Contextual Adaptation for Fully End-to-End Bottom-Up Human Pose Estimation".

mod adapt;
mod bounds;
mod centers;
mod config;
mod window;
mod workspace;

use core::ops::Range;

use fearless_simd::{Simd, dispatch};

pub use centers::Center;
pub use config::{Config, Refinement, ZeroKernel};
pub use workspace::{Report, Workspace};

use self::adapt::{Best, Cell, Kernel};
use self::window::{Prior, Window};
use super::heatmap::sample_upsampled;
use super::maps::Expected;
use super::nms::PoseNms;
use super::{ConfigError, Map, Maps, ShapeError};
use crate::geometry::{Affine, Size};
use crate::pose::{Keypoint, MAX_KEYPOINTS, MAX_POSES, Pose, Poses};
use crate::vectors::vectors;

/// Maximum number of candidates in a frame.
pub const MAX_CENTERS: usize = MAX_POSES;
/// Largest radius of the sampling mesh.
pub const MAX_MESH_RADIUS: usize = 5;
/// Largest radius of the window, network pixels.
pub const MAX_WINDOW_RADIUS: usize = 48;

/// The first network's outputs for one frame, fitting each other and the decoder; see [`Decoder::inputs`].
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a> {
    heatmaps: Maps<'a>,
    offsets: Maps<'a>,
}

impl Inputs<'_> {
    /// Size of the maps, in cells.
    pub fn cells(&self) -> Size {
        self.heatmaps.size()
    }
}

/// LOGO-CAP's post-processing with its hyper-parameters and the tables made from them.
#[derive(Debug, Clone)]
pub struct Decoder {
    config: Config,
    /// Network pixels between mesh points, per keypoint.
    spacing: [f32; MAX_KEYPOINTS],
    prior: Prior,
}

impl Decoder {
    /// A decoder for the given hyper-parameters.
    ///
    /// # Errors
    /// If one is out of range.
    pub fn new(config: &Config) -> Result<Self, ConfigError> {
        config.check()?;
        let least = config.sigmas.iter().copied().fold(f32::INFINITY, f32::min);
        let mut spacing = [1.0; MAX_KEYPOINTS];
        for (spacing, sigma) in spacing.iter_mut().zip(&config.sigmas) {
            *spacing = sigma / least;
        }
        let prior = Prior::new(config.window_radius, config.prior_sigma);
        Ok(Self { config: config.clone(), spacing, prior })
    }

    /// The hyper-parameters.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Number of keypoints, `K`.
    pub fn keypoints(&self) -> usize {
        self.config.sigmas.len()
    }

    /// Cells on a side of an attraction map, `l`.
    pub fn kernel_side(&self) -> usize {
        2 * self.config.mesh_radius + 1
    }

    /// Numbers in the attraction maps of `people`, `[people, K, l, l]`.
    pub fn kam_len(&self, people: usize) -> usize {
        people * self.keypoints() * self.kernel_len()
    }

    fn kernel_len(&self) -> usize {
        self.kernel_side() * self.kernel_side()
    }

    /// Numbers in the sampling grid of `people`, `[people * K * l, l, 2]`.
    pub fn grid_len(&self, people: usize) -> usize {
        2 * self.kam_len(people)
    }

    /// Views the first network's outputs: `heatmaps [K + 1, h, w]`, the centre map last, and `offsets [2K, h, w]`,
    /// channel `2k` holding x and `2k + 1` holding y of keypoint `k`, in cells, centre minus keypoint.
    ///
    /// # Errors
    /// If the number of maps is not the decoder's, or the sizes differ.
    pub fn inputs<'a>(&self, heatmaps: Maps<'a>, offsets: Maps<'a>) -> Result<Inputs<'a>, ShapeError> {
        let rules = [
            ("heatmaps", "channels", self.keypoints() + 1, heatmaps.channels()),
            ("offsets", "channels", 2 * self.keypoints(), offsets.channels()),
            ("offsets", "rows", heatmaps.size().height, offsets.size().height),
            ("offsets", "columns", heatmaps.size().width, offsets.size().width),
        ];
        match rules.into_iter().find(|(_, _, expected, found)| expected != found) {
            Some((tensor, axis, expected, found)) => {
                Err(ShapeError { tensor, axis, expected: Expected::Exactly(expected), found })
            }
            None => Ok(Inputs { heatmaps, offsets }),
        }
    }

    /// Begins a frame: finds the candidates (LOGO-CAP 1), best first, equal ones in reading order.
    ///
    /// A candidate is a pixel of the upsampled centre map that reaches the threshold and that none of its eight
    /// neighbours exceeds. With [`Config::collapse_ties`], candidates of the same value that touch count once, in the
    /// middle of their bounding box, and slopes that run into the border do not count.
    pub fn find_centers(&self, inputs: &Inputs<'_>, workspace: &mut Workspace) {
        let rule = centers::Rule {
            threshold: self.config.center_threshold,
            fallback: self.config.center_fallback,
            collapse: self.config.collapse_ties,
            capacity: self.config.max_centers,
        };
        workspace.begin(self.keypoints());
        let map = inputs.heatmaps.map(self.keypoints());
        let found = dispatch!(vectors(), simd => centers::find(simd, map, rule, &mut workspace.centers));
        workspace.report = Report {
            peaks: found.peaks,
            capped: found.peaks.saturating_sub(workspace.centers.len() as u32),
            fallback: found.fallback,
            non_finite_cells: found.non_finite,
            ..Report::default()
        };
    }

    /// Poses by the centre-offset rule (eq. 5, LOGO-CAP 2): offsets are read at the cell that holds the centre and taken
    /// off the centre itself.
    pub fn initial_poses(&self, inputs: &Inputs<'_>, workspace: &mut Workspace) {
        let stride = self.config.stride as f32;
        let size = inputs.cells();
        for (row, center) in workspace.centers.iter().enumerate() {
            let (x, y) = (center.x / stride, center.y / stride);
            let column_of_cell = (x as usize).min(size.width - 1);
            let row_of_cell = (y as usize).min(size.height - 1);
            for keypoint in 0..self.keypoints() {
                let offset = |axis: usize| inputs.offsets.at(2 * keypoint + axis, column_of_cell, row_of_cell);
                let (x, y) = ((x - offset(0)) * stride, (y - offset(1)) * stride);
                workspace.initial[row][keypoint] = [x, y];
                workspace.refined[row][keypoint] = Keypoint { x, y, score: 0.0 };
            }
        }
    }

    /// Writes where the second network samples the embedding for `people`, a range of candidates, into the front of
    /// `grid`, `[people * K * l, l, 2]` as x, y (LOGO-CAP 3); the rest of `grid` becomes 0.
    ///
    /// Values are those with which GridSample (aligned corners) reads an embedding of `h + 2` by `w + 2` cells, which ends with a
    /// row and a column of zeros and a copy of the last computed ones: per axis of `n` cells, the position in cells,
    /// plus 1 from `n - 1` on, divided by `n + 1`, times 2, minus 1. So the padding does what the sampling rule
    /// does at the border. Values are clamped to -1..1, which reads the same, and are finite whatever the poses.
    ///
    /// # Errors
    /// If `grid` is shorter than [`Decoder::grid_len`] of the range.
    pub fn write_grid(
        &self,
        inputs: &Inputs<'_>,
        people: Range<usize>,
        workspace: &Workspace,
        grid: &mut [f32],
    ) -> Result<(), ShapeError> {
        let people = workspace.candidates(people);
        let needed = self.grid_len(people.len());
        let found = grid.len();
        let Some((grid, rest)) = grid.split_at_mut_checked(needed) else {
            return Err(ShapeError { tensor: "grid", axis: "values", expected: Expected::AtLeast(needed), found });
        };
        rest.fill(0.0);
        let side = self.kernel_side();
        let stride = self.config.stride as f32;
        let radius = self.config.mesh_radius as f32;
        let axis = |values: &mut [f32], position: f32, spacing: f32, cells: usize| {
            let cells = cells as f32;
            for (index, value) in values.iter_mut().enumerate() {
                let position = (position + spacing * (index as f32 - radius)) / stride;
                let padded = if position >= cells - 1.0 { position + 1.0 } else { position };
                // The order of the comparisons sends a NaN to -1.
                *value = super::smaller(super::larger(padded / (cells + 1.0) * 2.0 - 1.0, -1.0), 1.0);
            }
        };
        let cells = inputs.cells();
        let poses =
            workspace.initial[people].iter().flat_map(|pose| pose.iter().zip(&self.spacing).take(self.keypoints()));
        for (mesh, (&[x, y], &spacing)) in grid.chunks_exact_mut(2 * side * side).zip(poses) {
            let (mut along_x, mut along_y) = ([0.0; 2 * MAX_MESH_RADIUS + 1], [0.0; 2 * MAX_MESH_RADIUS + 1]);
            axis(&mut along_x[..side], x, spacing, cells.width);
            axis(&mut along_y[..side], y, spacing, cells.height);
            for (row, &y) in mesh.chunks_exact_mut(2 * side).zip(&along_y) {
                for (point, &x) in row.chunks_exact_mut(2).zip(&along_x) {
                    point.copy_from_slice(&[x, y]);
                }
            }
        }
        Ok(())
    }

    /// Refinement `none`: initial poses, every keypoint scored by its heatmap at that point times the centre (LOGO-CAP 9).
    pub fn score_initial(&self, inputs: &Inputs<'_>, workspace: &mut Workspace) {
        for row in 0..workspace.centers.len() {
            for keypoint in 0..self.keypoints() {
                let [x, y] = workspace.initial[row][keypoint];
                let value = sample_upsampled(inputs.heatmaps.map(keypoint), x, y);
                let score = value * workspace.centers[row].value;
                workspace.refined[row][keypoint] = Keypoint { x, y, score };
            }
        }
    }

    /// Refinement `partial`: every keypoint of `people`, a range of candidates, moves to the best point of its mesh, the first
    /// on ties; its score is the attraction map's value there, clamped to 0..1, times the centre (LOGO-CAP 9).
    ///
    /// `kam` holds the raw attraction maps `[people, K, l, l]`, rows first; it may be longer.
    ///
    /// # Errors
    /// If `kam` is shorter than [`Decoder::kam_len`] of the range.
    pub fn refine_locally(
        &self,
        people: Range<usize>,
        kam: &[f32],
        workspace: &mut Workspace,
    ) -> Result<(), ShapeError> {
        let people = workspace.candidates(people);
        let radius = self.config.mesh_radius as f32;
        self.for_each_person(people, kam, |row, kernels| {
            for (keypoint, kernel) in kernels.chunks_exact(self.kernel_len()).enumerate() {
                let [x, y] = workspace.initial[row][keypoint];
                let cell = adapt::best_of_kernel(kernel, self.config.mesh_radius);
                let stays = cell.value <= 0.0 && self.config.zero_kernel == ZeroKernel::KeepInitial;
                let (dx, dy) = if stays { (0.0, 0.0) } else { (cell.column as f32 - radius, cell.row as f32 - radius) };
                let spacing = self.spacing[keypoint];
                workspace.refined[row][keypoint] = Keypoint {
                    x: x + spacing * dx,
                    y: y + spacing * dy,
                    score: if all_finite(kernel) { cell.value * workspace.centers[row].value } else { f32::NAN },
                };
            }
        })
    }

    /// Refinement `full`: every keypoint of `people`, a range of candidates, moves to the weighted mean of the two best cells
    /// of its window, which is the heatmap around it times the prior, convolved by its attraction map (eq. 8 and 9,
    /// LOGO-CAP 4 to 6). Its score is the weighted mean of their values times the centre.
    ///
    /// A candidate that cannot reach [`Config::score_threshold`] keeps its initial pose with scores of 0 and is dropped: most
    /// candidates are like that, and no pose depends on them.
    ///
    /// `kam` holds the raw attraction maps `[people, K, l, l]`, rows first; it may be longer.
    ///
    /// # Errors
    /// If `kam` is shorter than [`Decoder::kam_len`] of the range.
    pub fn refine(
        &self,
        inputs: &Inputs<'_>,
        people: Range<usize>,
        kam: &[f32],
        workspace: &mut Workspace,
    ) -> Result<(), ShapeError> {
        self.refine_people(inputs, people, kam, workspace, false)
    }

    /// The same for all candidates, including those that cannot reach the threshold: slower, with the same poses.
    ///
    /// # Errors
    /// Same as [`Decoder::refine`].
    pub fn refine_all(
        &self,
        inputs: &Inputs<'_>,
        people: Range<usize>,
        kam: &[f32],
        workspace: &mut Workspace,
    ) -> Result<(), ShapeError> {
        self.refine_people(inputs, people, kam, workspace, true)
    }

    fn refine_people(
        &self,
        inputs: &Inputs<'_>,
        people: Range<usize>,
        kam: &[f32],
        workspace: &mut Workspace,
        all: bool,
    ) -> Result<(), ShapeError> {
        let people = workspace.candidates(people);
        self.for_each_person(people, kam, |row, kernels| {
            dispatch!(vectors(), simd => self.refine_person(simd, inputs, row, kernels, workspace, all));
        })
    }

    // What is called from here on is inlined, to be compiled for the same vectors.
    #[inline(always)]
    fn refine_person<S: Simd>(
        &self,
        simd: S,
        inputs: &Inputs<'_>,
        row: usize,
        kernels: &[f32],
        workspace: &mut Workspace,
        all: bool,
    ) {
        let (center, initial) = (workspace.centers[row].value, workspace.initial[row]);
        let window = &mut workspace.window;
        if !all && self.stays_below(inputs, &initial, center, kernels, window) {
            return;
        }
        for (keypoint, kernel) in kernels.chunks_exact(self.kernel_len()).enumerate() {
            let map = inputs.heatmaps.map(keypoint);
            let mut refined = self.refine_keypoint(simd, map, initial[keypoint], kernel, window);
            refined.score *= center;
            workspace.refined[row][keypoint] = refined;
        }
    }

    /// Whether the score of a candidate with these attraction maps cannot exceed the threshold, whatever refinement finds.
    ///
    /// A cell of a refined window is no larger than the kernel's sum times the window's largest value, and the score is
    /// the mean over such cells. What is not finite has no bound.
    #[inline(always)]
    fn stays_below(
        &self,
        inputs: &Inputs<'_>,
        initial: &[[f32; 2]; MAX_KEYPOINTS],
        center: f32,
        kernels: &[f32],
        window: &mut Window,
    ) -> bool {
        let is_bounded = self.config.score_threshold > 0.0 && center >= 0.0;
        if !is_bounded {
            return false;
        }
        let [near, far] = self.config.top2_weights;
        let factor = (near.abs() + far.abs()) * center / self.keypoints() as f32;
        let kernels = kernels.chunks_exact(self.kernel_len());
        let mut bound = 0.0;
        for (keypoint, (&[x, y], raw)) in initial.iter().zip(kernels).enumerate() {
            if !(x.is_finite() && y.is_finite() && all_finite(raw)) {
                return false;
            }
            let extent = window.place(&self.prior, inputs.heatmaps.map(keypoint), x, y);
            if !extent.finite {
                return false;
            }
            let sum = total(raw, |value| super::smaller(super::larger(value, 0.0), 1.0));
            bound += sum / self.config.kernel_divisor * window.upper_bound(&self.prior);
            // Widened by more than rounding can do.
            if bound * factor * 1.001 > self.config.score_threshold {
                return false;
            }
        }
        true
    }

    /// One keypoint's refined position and value; the value is a NaN if a number that it depends on is not finite.
    #[inline(always)]
    fn refine_keypoint<S: Simd>(
        &self,
        simd: S,
        map: Map<'_>,
        [x, y]: [f32; 2],
        kernel: &[f32],
        window: &mut Window,
    ) -> Keypoint {
        let nowhere = Keypoint { x, y, score: f32::NAN };
        if !(x.is_finite() && y.is_finite() && all_finite(kernel)) {
            return nowhere;
        }
        let extent = window.place(&self.prior, map, x, y);
        if !extent.finite {
            return nowhere;
        }
        let kernel = Kernel::new(kernel, self.config.mesh_radius, self.config.kernel_divisor);
        let empty = kernel.sum == 0.0 || extent.largest == 0.0;
        let mut search = |least| adapt::best_above(simd, least, window, &self.prior, &kernel);
        let best = match self.config.zero_kernel {
            // All cells are 0: the first two win.
            ZeroKernel::Reference if empty => {
                let first = Cell { value: 0.0, column: 0, row: 0 };
                Some(Best { first, second: Cell { column: 1, ..first } })
            }
            ZeroKernel::Reference => search(f32::NEG_INFINITY),
            ZeroKernel::KeepInitial if empty => None,
            ZeroKernel::KeepInitial => search(0.0),
        };
        let Some(Best { first, second }) = best else {
            return Keypoint { score: 0.0, ..nowhere };
        };
        let [near, far] = self.config.top2_weights;
        let radius = self.config.window_radius as f32;
        Keypoint {
            x: x - radius + (near * first.column as f32 + far * second.column as f32),
            y: y - radius + (near * first.row as f32 + far * second.row as f32),
            score: near * first.value + far * second.value,
        }
    }

    /// Calls `visit` with every candidate of `people` and the attraction maps of all keypoints.
    fn for_each_person(
        &self,
        people: Range<usize>,
        kam: &[f32],
        mut visit: impl FnMut(usize, &[f32]),
    ) -> Result<(), ShapeError> {
        let needed = self.kam_len(people.len());
        if kam.len() < needed {
            return Err(ShapeError {
                tensor: "kam",
                axis: "values",
                expected: Expected::AtLeast(needed),
                found: kam.len(),
            });
        }
        for (row, kernels) in people.zip(kam.chunks_exact(self.kam_len(1))) {
            visit(row, kernels);
        }
        Ok(())
    }

    /// Ends a frame: scores people by the mean over their keypoints, maps them to the image, and keeps one of each
    /// cluster (LOGO-CAP 7 and 8). `poses` is cleared before; its order is that of keeping, roughly best centre
    /// first.
    ///
    /// [`Poses::dropped`] counts people that did not fit or were not finite; a centre map that is not finite counts as
    /// one, as it may hide people.
    pub fn finish(&self, image_from_network: &Affine, workspace: &mut Workspace, poses: &mut Poses) {
        poses.clear();
        workspace.people.clear();
        workspace.keep.clear();
        let report = &mut workspace.report;
        for row in 0..workspace.centers.len() {
            let refined = &workspace.refined[row][..self.keypoints()];
            let sum: f32 = refined.iter().map(|keypoint| keypoint.score).sum();
            let mut pose = Pose { score: sum / self.keypoints() as f32, ..Pose::default() };
            pose.keypoints.extend(refined.iter().copied());
            pose.transform(image_from_network);
            let finite = |point: &Keypoint| point.x.is_finite() && point.y.is_finite() && point.score.is_finite();
            if !(pose.score.is_finite() && pose.keypoints.iter().all(finite)) {
                report.non_finite += 1;
            } else if pose.score > self.config.score_threshold {
                // There are at most as many people as candidates.
                let _ = workspace.people.push(pose);
            } else {
                report.below_threshold += 1;
            }
        }
        let nms = PoseNms { distance: self.config.nms_distance, keypoints: self.config.nms_keypoints };
        let keep = nms.keep(&workspace.people);
        report.suppressed = (workspace.people.len() - keep.len()) as u32;
        report.over_limit = keep.len().saturating_sub(self.config.max_poses) as u32;
        workspace.keep.extend(keep.into_iter().take(self.config.max_poses));
        poses.list.extend(workspace.keep.iter().map(|&row| workspace.people[row].clone()));
        poses.dropped = report.over_limit + report.non_finite + u32::from(report.non_finite_cells > 0);
    }
}

#[inline(always)]
fn all_finite(values: &[f32]) -> bool {
    // A product with 0 is 0 unless a factor is not finite.
    total(values, |value| value * 0.0) == 0.0
}

/// The sum of what `term` makes of each, eight at a time.
#[inline(always)]
fn total(values: &[f32], term: impl Fn(f32) -> f32) -> f32 {
    let (runs, rest) = values.as_chunks::<8>();
    let mut lanes = [0.0; 8];
    for run in runs {
        for (lane, &value) in lanes.iter_mut().zip(run) {
            *lane += term(value);
        }
    }
    rest.iter().fold(lanes.iter().sum(), |sum, &value| sum + term(value))
}

#[cfg(test)]
mod tests;
