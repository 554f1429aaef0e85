//! The window around an initial keypoint: the upsampled heatmap times the prior, computed in tiles as they are asked
//! for, straight from the heatmap's cells.
//!
//! The window is `B_y P B_x^T`: `P` are the cells around the keypoint, and a row of `B` holds the weights with which a
//! window position reads them (upsampling, the sampling rule and the prior folded into one; `docs/algorithms.md`,
//! LOGO-CAP 4). Eight neighbouring positions read no more than four cells, so a tile of 8x8 is a
//! product of an 8x4, a 4x4 and a 4x8 matrix.

use fearless_simd::f32x8;
use fearless_simd::prelude::*;

use super::MAX_WINDOW_RADIUS;
use crate::decode::heatmap::{TAPS, Taps, UPSAMPLING, first_cell};
use crate::decode::{Map, larger, maximum, run, smaller};

/// Positions on a side of a tile.
pub(super) const TILE: usize = 8;
/// Positions on a side of the largest window.
pub(super) const MAX_SIDE: usize = 2 * MAX_WINDOW_RADIUS + 1;
/// Tiles on a side of the largest window.
pub(super) const MAX_TILES: usize = MAX_SIDE.div_ceil(TILE);
/// A tile of zeros on either side, into which kernels reach.
const WIDTH: usize = (MAX_TILES + 2) * TILE;
/// Cells on a side of the patch.
const PATCH: usize = 32;
/// Positions on a side of a block: as many as lie between two cells.
pub(super) const BLOCK: usize = UPSAMPLING;
/// Blocks on a side of the largest window.
pub(super) const MAX_BLOCKS: usize = MAX_TILES * TILE / BLOCK;
/// Cells that a block can depend on, on each axis: 4 positions, one more pixel for the fraction.
const BLOCK_CELLS: usize = 3;

/// A row of the window with its margins.
pub(super) type Row = [f32; WIDTH];

/// The prior along one axis.
#[derive(Debug, Clone)]
pub(super) struct Prior {
    /// Positions on a side of the window.
    pub side: usize,
    /// Tiles on a side.
    pub tiles: usize,
    /// Rows of the patch that are ever read.
    patch_rows: usize,
    radius: f32,
    /// By position; 0 beyond the window.
    values: [[f32; TILE]; MAX_TILES],
    /// The largest value within a block.
    blocks: [f32; MAX_BLOCKS],
}

/// How far a kernel reaches.
pub(super) const REACH: usize = super::MAX_MESH_RADIUS;
/// Cells on a side of the largest kernel.
pub(super) const KERNEL: usize = 2 * REACH + 1;

impl Prior {
    /// A Gaussian of `sigma` network pixels over a window of `radius`, at most [`MAX_WINDOW_RADIUS`].
    pub fn new(radius: usize, sigma: f32) -> Self {
        let side = 2 * radius + 1;
        let value = |position: usize| {
            let distance = position as f32 - radius as f32;
            libm::expf(-(distance * distance) / (2.0 * sigma * sigma))
        };
        let mut values = [[0.0; TILE]; MAX_TILES];
        for position in 0..side {
            values[position / TILE][position % TILE] = value(position);
        }
        let tiles = side.div_ceil(TILE);
        let mut blocks = [0.0; MAX_BLOCKS];
        for (block, highest) in blocks.iter_mut().enumerate().take(side.div_ceil(BLOCK)) {
            *highest = value(radius.clamp(BLOCK * block, (BLOCK * block + BLOCK - 1).min(side - 1)));
        }
        // Blocks begin a cell apart; where a tile begins rounding can add one.
        let patch_rows = TILE / BLOCK * tiles - 1 + BLOCK_CELLS.max(TAPS);
        Self { side, tiles, patch_rows, radius: radius as f32, values, blocks }
    }
}

/// One axis of a window.
#[derive(Debug, Clone)]
struct Axis {
    /// Centre of the window, network pixels.
    center: f32,
    /// Cells of the map.
    cells: usize,
    /// The cell where the patch begins.
    origin: usize,
    /// By tile: how its positions read the patch, the prior included; `first` counts from the origin.
    taps: [Taps<TILE>; MAX_TILES],
    /// Which tiles' taps have been computed.
    known: u16,
    /// By block: its first cell, counted from the origin.
    blocks: [usize; MAX_BLOCKS],
}

impl Axis {
    const EMPTY: Self =
        Self { center: 0.0, cells: 0, origin: 0, taps: [Taps::NONE; MAX_TILES], known: 0, blocks: [0; MAX_BLOCKS] };

    #[inline(always)]
    fn place(&mut self, prior: &Prior, center: f32, cells: usize) {
        (self.center, self.cells, self.known) = (center, cells, 0);
        self.origin = first_cell(center - prior.radius, cells);
        // A block is as wide as a cell, so that every block begins one cell after the one before; at the border they repeat.
        let corner = cell_before(center - prior.radius, cells);
        for (block, first) in self.blocks.iter_mut().enumerate() {
            *first = ((corner + block as i32).clamp(0, cells as i32 - 1) - self.origin as i32) as usize;
        }
    }

    /// Most tiles, and so their taps, are never needed.
    #[inline(always)]
    fn taps(&mut self, prior: &Prior, tile: usize) -> &Taps<TILE> {
        let taps = &mut self.taps[tile];
        if self.known >> tile & 1 == 0 {
            self.known |= 1 << tile;
            *taps = Taps::new(self.center, (TILE * tile) as f32 - prior.radius, self.cells);
            for weights in &mut taps.weights {
                for (weight, prior) in weights.iter_mut().zip(&prior.values[tile]) {
                    *weight *= prior;
                }
            }
            taps.first -= self.origin;
        }
        taps
    }
}

/// Storage for one window.
#[derive(Debug, Clone)]
pub(super) struct Window {
    along_x: Axis,
    along_y: Axis,
    patch: [[f32; PATCH]; PATCH],
    /// The window from row and column [`TILE`] on, then zeros.
    rows: [Row; WIDTH],
    /// Positions on a side of the window that `rows` was last used for.
    side: usize,
    /// Which tiles of `rows` hold this window: bit `column` of word `row`.
    filled: [u16; MAX_TILES],
}

/// What is known about a window before it is computed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Extent {
    /// The largest absolute value of the patch.
    pub largest: f32,
    /// Whether all of the patch is finite.
    pub finite: bool,
}

impl Window {
    pub const EMPTY: Self = Self {
        along_x: Axis::EMPTY,
        along_y: Axis::EMPTY,
        patch: [[0.0; PATCH]; PATCH],
        rows: [[0.0; WIDTH]; WIDTH],
        side: 0,
        filled: [0; MAX_TILES],
    };

    /// Begins the window around `(x, y)`, finite, in network pixels.
    #[inline(always)]
    pub fn place(&mut self, prior: &Prior, map: Map<'_>, x: f32, y: f32) -> Extent {
        let size = map.size();
        self.along_x.place(prior, x, size.width);
        self.along_y.place(prior, y, size.height);
        self.filled = [0; MAX_TILES];
        if self.side != prior.side {
            self.side = prior.side;
            self.rows.as_flattened_mut().fill(0.0);
        }
        let column = self.along_x.origin;
        let mut largest = [0.0f32; PATCH];
        let mut poison = [0.0f32; PATCH];
        for (row, patch) in self.patch.iter_mut().enumerate().take(prior.patch_rows) {
            let source = map.row((self.along_y.origin + row).min(size.height - 1));
            if let Some(source) = source.get(column..column + PATCH) {
                patch.copy_from_slice(source);
            } else {
                for (index, value) in patch.iter_mut().enumerate() {
                    *value = source[(column + index).min(size.width - 1)];
                }
            }
            for lane in 0..PATCH {
                largest[lane] = larger(patch[lane].abs(), largest[lane]);
                poison[lane] += patch[lane] * 0.0;
            }
        }
        let finite = poison.iter().sum::<f32>() == 0.0;
        Extent { largest: maximum(largest.as_chunks().0), finite }
    }

    /// An upper bound of the window's values and of 0.
    #[inline(always)]
    pub fn upper_bound(&self, prior: &Prior) -> f32 {
        let mut highest = [0.0; MAX_BLOCKS];
        for block_y in 0..TILE / BLOCK * prior.tiles {
            let mut row = [0.0; MAX_BLOCKS];
            self.block_row(prior, block_y, &mut row);
            for (highest, &bound) in highest.iter_mut().zip(&row) {
                *highest = larger(bound, *highest);
            }
        }
        highest.into_iter().fold(0.0, larger)
    }

    /// Per block of a row: an upper bound of its values and of 0.
    #[inline(always)]
    pub fn block_row(&self, prior: &Prior, block_y: usize, bounds: &mut [f32; MAX_BLOCKS]) {
        // Per column of the patch, the highest cell of these rows. The weights of a position add up to 1 at most, so no value
        // exceeds the highest of its cells.
        let mut one = [0.0; PATCH];
        for row in run::<_, BLOCK_CELLS>(&self.patch, self.along_y.blocks[block_y]) {
            for (highest, &value) in one.iter_mut().zip(row) {
                *highest = larger(value, *highest);
            }
        }
        let three = with_next(&with_next(&one));
        for (block, bound) in bounds.iter_mut().enumerate() {
            *bound = three[self.along_x.blocks[block]] * (prior.blocks[block_y] * prior.blocks[block]);
        }
    }

    /// Computes at least all values within [`REACH`] of a tile.
    #[inline(always)]
    pub fn fill_around<S: Simd>(&mut self, simd: S, prior: &Prior, tile_x: usize, tile_y: usize) {
        for y in tile_y.saturating_sub(1)..=(tile_y + 1).min(prior.tiles - 1) {
            for x in tile_x.saturating_sub(1)..=(tile_x + 1).min(prior.tiles - 1) {
                if self.filled[y] >> x & 1 == 0 {
                    self.filled[y] |= 1 << x;
                    self.fill(simd, prior, x, y);
                }
            }
        }
    }

    #[inline(always)]
    fn fill<S: Simd>(&mut self, simd: S, prior: &Prior, tile_x: usize, tile_y: usize) {
        let (along_x, along_y) = (self.along_x.taps(prior, tile_x), self.along_y.taps(prior, tile_y));
        let mut across = [f32x8::splat(simd, 0.0); TAPS];
        for (across, row) in across.iter_mut().zip(&self.patch[along_y.first..][..TAPS]) {
            for (weights, &value) in along_x.weights.iter().zip(&row[along_x.first..][..TAPS]) {
                *across = f32x8::load_array_ref(simd, weights).mul_add(value, *across);
            }
        }
        for (lane, row) in self.rows[TILE * (tile_y + 1)..][..TILE].iter_mut().enumerate() {
            let mut sum = f32x8::splat(simd, 0.0);
            for (weights, across) in along_y.weights.iter().zip(across) {
                sum = across.mul_add(weights[lane], sum);
            }
            row[TILE * (tile_x + 1)..][..TILE].copy_from_slice(&sum.to_array());
        }
    }

    /// How many tiles hold this window.
    #[cfg(test)]
    pub fn computed_tiles(&self) -> u32 {
        self.filled.iter().map(|row| row.count_ones()).sum()
    }

    /// `COUNT` rows of the window, with margins, from [`TILE`] rows before row `first` on.
    #[inline(always)]
    pub fn rows<const COUNT: usize>(&self, first: usize) -> &[Row; COUNT] {
        run(&self.rows, first)
    }
}

/// The first cell that a position reads, as if the map went on beyond its borders, as far as a window reaches.
#[inline(always)]
fn cell_before(position: f32, cells: usize) -> i32 {
    let beyond = (2 * UPSAMPLING * MAX_BLOCKS) as f32;
    let position = smaller(larger(position, -beyond), (UPSAMPLING * cells) as f32 + beyond);
    let towards_zero = position as i32;
    let pixel = towards_zero - i32::from(towards_zero as f32 > position);
    // Pixel `p` lies at cell `p / 4 - 3 / 8`.
    (2 * pixel - 3) >> 3
}

/// `max(values[i], values[i + 1])`, as far as there is a next.
#[inline(always)]
fn with_next(values: &[f32; PATCH]) -> [f32; PATCH] {
    let mut highest = *values;
    for index in 0..PATCH - 1 {
        highest[index] = larger(values[index], values[index + 1]);
    }
    highest
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn blocks_begin_where_their_first_position_reads(eighths in -2000i32..2000, cells in 1usize..100) {
            // Whole pixels, where the next cell begins, are among them.
            let corner = eighths as f32 / 8.0;
            for block in 0..MAX_BLOCKS {
                let cell = (cell_before(corner, cells) + block as i32).clamp(0, cells as i32 - 1);
                prop_assert_eq!(cell as usize, first_cell(corner + (BLOCK * block) as f32, cells));
            }
        }
    }
}
