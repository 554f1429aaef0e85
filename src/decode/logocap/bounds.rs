//! Upper bounds of the cells of a refined window's tiles, block by block.
//!
//! A block is as wide as a cell of the heatmap. The kernel is cut into blocks as well, so that a cell of the result is no
//! larger than the sum, over the kernel's blocks, of their mass times the largest value that they meet; it lies in two by
//! two blocks of the window. What the prior and the heatmap's cells say of a block bounds its values.

use fearless_simd::f32x8;
use fearless_simd::prelude::*;

use super::window::{BLOCK, KERNEL, MAX_BLOCKS, MAX_TILES, Prior, REACH, TILE, Window};
use crate::decode::{larger, load};

/// Blocks of a tile on a side.
const PER_TILE: usize = TILE / BLOCK;
/// Blocks of the kernel on a side; the first holds what lies [`REACH`] before a position.
const KERNEL_BLOCKS: usize = (KERNEL + BLOCK - 1).div_ceil(BLOCK);
/// Blocks of the window before a position's own that a kernel reaches.
const BEFORE: usize = REACH.div_ceil(BLOCK);
/// Tiles whose bounds are computed together.
const TOGETHER: usize = 8 / PER_TILE;
/// Blocks in a row, with margins of nothing, as far as eight at a time reach.
const WIDTH: usize = MAX_TILES.next_multiple_of(TOGETHER) * PER_TILE + 8;

/// The mass of every block of a kernel.
pub(super) type Masses = [[f32; KERNEL_BLOCKS]; KERNEL_BLOCKS];

/// By tile, from its row and column.
pub(super) type Bounds = [[f32; MAX_TILES]; MAX_TILES];

/// The masses of a kernel whose weights are not negative; correlating, weight `[row][column]` meets what lies `row` and
/// `column` less [`REACH`] from a cell.
#[inline(always)]
pub(super) fn masses(weights: &[[f32; KERNEL]; KERNEL]) -> Masses {
    let block = |tap: usize| (tap + BEFORE * BLOCK - REACH) / BLOCK;
    let mut masses = [[0.0; KERNEL_BLOCKS]; KERNEL_BLOCKS];
    for (row, weights) in weights.iter().enumerate() {
        for (column, weight) in weights.iter().enumerate() {
            masses[block(row)][block(column)] += weight;
        }
    }
    masses
}

/// By tile: an upper bound of its refined cells and of 0, except for rounding.
#[inline(always)]
pub(super) fn of_tiles<S: Simd>(simd: S, window: &Window, prior: &Prior, masses: &Masses) -> Bounds {
    // Row and column `i` are of block `i - BEFORE`, and of its neighbour to the right.
    let mut blocks = [[0.0f32; WIDTH]; MAX_BLOCKS + KERNEL_BLOCKS + 1];
    for block in 0..PER_TILE * prior.tiles {
        let mut padded = [0.0; WIDTH + 1];
        let row = padded[BEFORE..].first_chunk_mut().expect("the margins are wider");
        window.block_row(prior, block, row);
        for (column, highest) in blocks[block + BEFORE].iter_mut().enumerate() {
            *highest = larger(padded[column], padded[column + 1]);
        }
    }
    let mut bounds = [[0.0; MAX_TILES]; MAX_TILES];
    for (tile_y, bounds) in bounds.iter_mut().enumerate().take(prior.tiles) {
        for group in 0..prior.tiles.div_ceil(TOGETHER) {
            let cells = tile_row(simd, &blocks, PER_TILE * tile_y, 8 * group, masses);
            let bounds = bounds.iter_mut().skip(TOGETHER * group);
            for (bound, blocks) in bounds.zip(cells.as_chunks::<PER_TILE>().0) {
                *bound = blocks.iter().copied().fold(0.0, larger);
            }
        }
    }
    bounds
}

/// Bounds of the eight blocks from `column` on, the larger of the two from `row` on.
#[inline(always)]
fn tile_row<S: Simd>(
    simd: S,
    blocks: &[[f32; WIDTH]; MAX_BLOCKS + KERNEL_BLOCKS + 1],
    row: usize,
    column: usize,
    masses: &Masses,
) -> [f32; 8] {
    let mut sums = [f32x8::splat(simd, 0.0); PER_TILE];
    for shift in 0..PER_TILE + KERNEL_BLOCKS - 1 {
        let (upper, lower) = (&blocks[row + shift], &blocks[row + shift + 1]);
        for tap in 0..KERNEL_BLOCKS {
            let met = load(simd, upper, column + tap).max(load(simd, lower, column + tap));
            for (place, sum) in sums.iter_mut().enumerate() {
                if let Some(masses) = shift.checked_sub(place).and_then(|row| masses.get(row)) {
                    *sum = met.mul_add(masses[tap], *sum);
                }
            }
        }
    }
    sums[0].max(sums[1]).to_array()
}
