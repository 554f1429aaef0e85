//! The window around an initial keypoint, convolved by the keypoint's kernel, and its two best pixels.
//!
//! The reference upsamples every heatmap, cuts windows out of the large maps, convolves them whole and searches them.
//! All of that is linear or a maximum, so the same answer comes from much less: a window is `By P Bx^T` with `P` the
//! patch of the small map and three contiguous weights per row of `B`; and as kernels are not negative, a pixel cannot
//! exceed the kernel's sum times the window's maximum within reach, so only blocks whose bound reaches the second best
//! pixel so far are convolved.

use super::config::Config;
use super::kernel::{Kernel, border_taps};
use super::workspace::RefinedKeypoint;
use super::{MAX_MESH_RADIUS, MAX_WINDOW};
use crate::decode::maps::Plane;

/// Side of a block, pixels; at least the largest kernel's radius, so that only neighbouring blocks are within reach.
const BLOCK: usize = 8;
const BLOCKS: usize = MAX_WINDOW.div_ceil(BLOCK);
const PADDING: usize = MAX_MESH_RADIUS;
/// Columns of a window, whole blocks.
const COLUMNS: usize = BLOCKS * BLOCK;
/// Side of a window with its padding, rounded up to whole blocks.
const PADDED: usize = COLUMNS + 2 * PADDING;
/// Cells that one pixel is blended from, per axis.
const TAPS: usize = 3;

/// The bound is computed in another order than the pixels; this covers the rounding.
const SLACK: f32 = 1.0 + 1e-5;

/// Storage for one window.
#[derive(Debug, Clone)]
pub(super) struct Window {
    x_axis: Axis,
    y_axis: Axis,
    /// Rows of the patch, blended along x.
    rows: [[f32; COLUMNS]; MAX_WINDOW + TAPS],
    /// The window; zeros around it and beyond its last row and column.
    padded: [[f32; PADDED]; PADDED],
    /// Maxima of the window's blocks, at least 0, with a rim of zeros.
    maxima: [[f32; BLOCKS + 2]; BLOCKS + 2],
}

impl Default for Window {
    fn default() -> Self {
        Self {
            x_axis: Axis::default(),
            y_axis: Axis::default(),
            rows: [[0.0; COLUMNS]; MAX_WINDOW + TAPS],
            padded: [[0.0; PADDED]; PADDED],
            maxima: [[0.0; BLOCKS + 2]; BLOCKS + 2],
        }
    }
}

/// The weights of one axis: pixel `i` of the window is the sum of `weights[t][i] * cell[first[i] + t]`.
#[derive(Debug, Clone)]
struct Axis {
    first: [usize; MAX_WINDOW],
    weights: [[f32; MAX_WINDOW]; TAPS],
}

impl Default for Axis {
    fn default() -> Self {
        Self { first: [0; MAX_WINDOW], weights: [[0.0; MAX_WINDOW]; TAPS] }
    }
}

impl Axis {
    /// Folds upsampling (section 1.4), the sampling rule (1.8) and the prior (1.11) into one set of weights.
    fn fill(&mut self, config: &Config, prior: &[f32], initial: f32, cells: usize) {
        let stride = config.stride;
        for (index, prior) in prior.iter().enumerate().take(config.window_side()) {
            let position = initial + (index as f32 - config.window_radius as f32);
            let (near, far, near_weight, far_weight) = border_taps(position, cells * stride);
            let mut weights = [0.0; TAPS];
            let first = cell_of(near, stride);
            for (pixel, weight) in [(near, near_weight), (far, far_weight)] {
                let cell = cell_of(pixel, stride);
                let along = ((pixel as f32 + 0.5) / stride as f32 - 0.5).max(0.0) - cell as f32;
                weights[cell - first] += weight * (1.0 - along);
                weights[(cell + 1).min(cells - 1) - first] += weight * along;
            }
            self.first[index] = first;
            for (all, weight) in self.weights.iter_mut().zip(weights) {
                all[index] = weight * prior;
            }
        }
    }
}

/// The first of the two cells that an upsampled pixel lies between.
fn cell_of(pixel: usize, stride: usize) -> usize {
    ((pixel as f32 + 0.5) / stride as f32 - 0.5).max(0.0) as usize
}

impl Window {
    /// The refined keypoint (sections 1.11 to 1.13); its score is that of the map alone.
    ///
    /// Values that are not numbers lead to a score that is none, which the caller drops.
    pub(super) fn refine(
        &mut self,
        config: &Config,
        prior: &[f32],
        plane: &Plane<'_>,
        (x, y): (f32, f32),
        kernel: &Kernel,
    ) -> RefinedKeypoint {
        let side = config.window_side();
        self.x_axis.fill(config, prior, x, plane.width());
        self.y_axis.fill(config, prior, y, plane.height());
        self.cut(plane, side);
        self.find_maxima(side);
        let best = self.best_two(kernel, side);

        let [first, second] = config.top2_weights;
        let radius = config.window_radius as f32;
        let blend = |cell: fn(usize, usize) -> usize| {
            first * cell(best[0].index, side) as f32 + second * cell(best[1].index, side) as f32
        };
        RefinedKeypoint {
            x: x - radius + blend(|index, side| index % side),
            y: y - radius + blend(|index, side| index / side),
            score: first * best[0].value + second * best[1].value,
        }
    }

    /// `By P Bx^T`.
    fn cut(&mut self, plane: &Plane<'_>, side: usize) {
        let top = self.y_axis.first[0];
        let bottom = self.y_axis.first[side - 1] + TAPS;
        for (row, blended) in (top..bottom).zip(&mut self.rows) {
            let cells = plane.row(row);
            for (index, value) in blended.iter_mut().enumerate().take(side) {
                let first = self.x_axis.first[index];
                let mut sum = 0.0;
                for (tap, weights) in self.x_axis.weights.iter().enumerate() {
                    sum += weights[index] * cells[(first + tap).min(cells.len() - 1)];
                }
                *value = sum;
            }
        }
        for (index, target) in self.padded.iter_mut().skip(PADDING).enumerate() {
            let target = &mut target[PADDING..];
            if index >= side {
                target.fill(0.0);
                continue;
            }
            let first = self.y_axis.first[index] - top;
            let [a, b, c] = [0, 1, 2].map(|tap| self.y_axis.weights[tap][index]);
            let [row_a, row_b, row_c] = [0, 1, 2].map(|tap| &self.rows[first + tap]);
            for (column, value) in target.iter_mut().enumerate().take(side) {
                *value = a * row_a[column] + b * row_b[column] + c * row_c[column];
            }
            target[side..].fill(0.0);
        }
    }

    fn find_maxima(&mut self, side: usize) {
        let blocks = side.div_ceil(BLOCK);
        for row in self.maxima.iter_mut() {
            row.fill(0.0);
        }
        for block_row in 0..blocks {
            let mut columns = [0.0_f32; COLUMNS];
            for row in &self.padded[PADDING + block_row * BLOCK..PADDING + (block_row + 1) * BLOCK] {
                for (maximum, value) in columns.iter_mut().zip(&row[PADDING..PADDING + COLUMNS]) {
                    *maximum = if *value > *maximum { *value } else { *maximum };
                }
            }
            let maxima = &mut self.maxima[block_row + 1][1..=blocks];
            for (maximum, columns) in maxima.iter_mut().zip(columns.chunks_exact(BLOCK)) {
                *maximum = columns.iter().copied().fold(0.0, f32::max);
            }
        }
    }

    /// No pixel of the block exceeds this.
    fn bound(&self, kernel: &Kernel, block_row: usize, block_column: usize) -> f32 {
        let within_reach =
            self.maxima[block_row..block_row + 3].iter().flat_map(|row| &row[block_column..block_column + 3]);
        within_reach.copied().fold(0.0, f32::max) * kernel.sum * SLACK
    }

    /// The two largest pixels of the convolved window; of equal ones those that come first in reading order.
    fn best_two(&self, kernel: &Kernel, side: usize) -> [Best; 2] {
        let blocks = side.div_ceil(BLOCK);
        let every_block = || (0..blocks).flat_map(|row| (0..blocks).map(move |column| (row, column)));
        // The most promising block first, so that the others meet a high bar.
        let (mut start, mut highest) = ((0, 0), f32::NEG_INFINITY);
        for (row, column) in every_block() {
            let bound = self.bound(kernel, row, column);
            if bound > highest {
                (start, highest) = ((row, column), bound);
            }
        }
        let mut best = [Best::NONE; 2];
        self.convolve_block(kernel, start, side, &mut best);
        for block in every_block().filter(|block| *block != start) {
            // Negated, so that a bound that is not a number means "look".
            if !(self.bound(kernel, block.0, block.1) < best[1].value) {
                self.convolve_block(kernel, block, side, &mut best);
            }
        }
        best
    }

    /// True convolution (section 1.12) of one block: `out(p) = sum over q of K(q) in(p - q)`, zeros outside.
    fn convolve_block(
        &self,
        kernel: &Kernel,
        (block_row, block_column): (usize, usize),
        side: usize,
        best: &mut [Best; 2],
    ) {
        let (top, left) = (block_row * BLOCK, block_column * BLOCK);
        let kernel_side = 2 * kernel.radius + 1;
        for y in top..(top + BLOCK).min(side) {
            let mut sums = [0.0_f32; BLOCK];
            for (dy, weights) in kernel.values[..kernel_side].iter().enumerate() {
                let input = &self.padded[y + PADDING + kernel.radius - dy];
                for (dx, weight) in weights[..kernel_side].iter().enumerate() {
                    let start = left + PADDING + kernel.radius - dx;
                    for (sum, value) in sums.iter_mut().zip(&input[start..start + BLOCK]) {
                        *sum += weight * value;
                    }
                }
            }
            for (x, value) in (left..side).zip(sums) {
                Best::offer(best, Best { value, index: y * side + x });
            }
        }
    }
}

/// A pixel of the convolved window.
#[derive(Debug, Clone, Copy)]
struct Best {
    value: f32,
    index: usize,
}

impl Best {
    /// Behind every pixel. Where two pixels are never found, the weighted value is infinite and the pose is dropped.
    const NONE: Self = Self { value: f32::NEG_INFINITY, index: usize::MAX };

    fn before(&self, other: &Self) -> bool {
        self.value > other.value || (self.value == other.value && self.index < other.index)
    }

    fn offer(best: &mut [Self; 2], new: Self) {
        if new.before(&best[0]) {
            *best = [new, best[0]];
        } else if new.before(&best[1]) {
            best[1] = new;
        }
    }
}
