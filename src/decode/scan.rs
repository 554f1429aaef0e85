//! Which cells of a map can hold a maximum of the upsampled map.
//!
//! Upsampling is bilinear and by two or more, so a pixel depends on the 3x3 cells around its own and exceeds none of
//! them. That rules out nearly every cell without upsampling it.

use core::ops::Range;

use fearless_simd::{Simd, f32x8, prelude::*};

use super::{Map, larger, load, maximum, run};
use crate::geometry::Size;

/// Cells that are processed together.
const RUN: usize = 8;
/// These and a neighbour on either side.
const WIDE: usize = RUN + 2;

/// Most blocks side by side, and above each other.
const MAX_BLOCKS: [usize; 2] = [8, 256];
/// Fewest columns of a block.
const MIN_BLOCK_COLUMNS: usize = 64;
/// Blocks that may hold a pixel of this share of the map's largest value are scanned before the others.
const HIGH_SHARE: f32 = 0.125;

/// What the scan knows of the upsampling.
#[derive(Debug, Clone, Copy)]
pub(super) enum Upsampling {
    /// By two.
    Double,
    /// By four.
    Fourfold,
}

impl Upsampling {
    /// On one axis: what pixels of a cell do not exceed by more than rounding, given it and its neighbours. With it on both
    /// axes, no pixel of the cell in the middle of 3x3 is higher.
    ///
    /// By two, a pixel has three quarters of its cell and a quarter of its neighbour; which neighbour that is differs from
    /// pixel to pixel, which is ignored here. By four, only that it exceeds none of the cells is used.
    #[inline(always)]
    fn highest<S: Simd>(self, one: f32x8<S>, middle: f32x8<S>, other: f32x8<S>) -> f32x8<S> {
        let beside = one.max(other);
        match self {
            Self::Double => middle * 0.75 + beside * 0.25,
            Self::Fourfold => middle.max(beside),
        }
    }
}

/// A map divided into blocks of cells: 64 columns of one row, more where the map is large.
struct Blocks {
    size: Size,
    block: Size,
}

impl Blocks {
    fn new(size: Size) -> Self {
        let width = MIN_BLOCK_COLUMNS * size.width.div_ceil(MIN_BLOCK_COLUMNS).div_ceil(MAX_BLOCKS[0]);
        Self { size, block: Size::new(width, size.height.div_ceil(MAX_BLOCKS[1])) }
    }

    /// Columns of every block of a row.
    fn columns(&self) -> impl Iterator<Item = Range<usize>> {
        let (width, end) = (self.block.width, self.size.width);
        (0..end).step_by(width).map(move |first| first..(first + width).min(end))
    }

    /// Rows of every row of blocks.
    fn rows(&self) -> impl Iterator<Item = Range<usize>> {
        let (height, end) = (self.block.height, self.size.height);
        (0..end).step_by(height).map(move |first| first..(first + height).min(end))
    }
}

/// Statistics of some cells.
#[derive(Clone, Copy)]
struct Look<S: Simd> {
    simd: S,
    highest: f32x8<S>,
    lowest: f32x8<S>,
    /// Zeros while all are finite.
    poison: f32x8<S>,
}

impl<S: Simd> Look<S> {
    #[inline(always)]
    fn new(simd: S) -> Self {
        let infinite = f32x8::splat(simd, f32::INFINITY);
        Self { simd, highest: -infinite, lowest: infinite, poison: f32x8::splat(simd, 0.0) }
    }

    #[inline(always)]
    #[expect(clippy::eq_op, reason = "a finite number less itself is 0, no other is")]
    fn add(&mut self, values: f32x8<S>) {
        self.highest = values.max(self.highest);
        self.lowest = values.min(self.lowest);
        self.poison += values - values;
    }

    /// Adds these cells of a row; returns numbers that no pixel of theirs exceeds by more than rounding.
    #[inline(always)]
    fn add_columns(&mut self, map: Map<'_>, row: usize, columns: Range<usize>, upsampling: Upsampling) -> f32x8<S> {
        let simd = self.simd;
        let [above, here, below] = rows_around(map, row);
        let last = map.size().width - 1;
        let mut highest = f32x8::splat(simd, f32::NEG_INFINITY);
        let inner = columns.start.max(1)..columns.end.min(last);
        // At the border, and where it is too narrow, one at a time.
        let vectors = if inner.len() < RUN { columns.start..columns.start } else { inner };
        for column in (columns.start..vectors.start).chain(vectors.end..columns.end) {
            let [left, right] = [column.saturating_sub(1), (column + 1).min(last)];
            let cell = |row: &[f32], column: usize| f32x8::splat(simd, row[column]);
            let one = |row: &[f32]| [cell(row, left), cell(row, column), cell(row, right)];
            let near = Near { rows: [one(above), one(here), one(below)] };
            self.add(near.rows[1][1]);
            highest = highest.max(near.highest(upsampling));
        }
        let mut start = vectors.start;
        while start < vectors.end {
            // The last one may hold some for the second time.
            let from = start.min(vectors.end - RUN) - 1;
            let near = Near::new(simd, &above[from..][..WIDE], &here[from..][..WIDE], &below[from..][..WIDE]);
            self.add(near.rows[1][1]);
            highest = highest.max(near.highest(upsampling));
            start += RUN;
        }
        highest
    }

    /// Whether all were finite.
    #[inline(always)]
    fn are_finite(&self) -> bool {
        self.poison.simd_eq(f32x8::splat(self.simd, 0.0)).all_true()
    }
}

/// A number for every block.
type ByBlock = [[f32; MAX_BLOCKS[0]]; MAX_BLOCKS[1]];

/// Result of a first pass over a map.
pub(super) struct Survey<'a> {
    map: Map<'a>,
    upsampling: Upsampling,
    blocks: Blocks,
    /// A number that no pixel of a block exceeds by more than rounding.
    bounds: ByBlock,
    /// The largest finite absolute value.
    largest: f32,
    /// How many cells are not finite.
    pub non_finite: u32,
}

impl<'a> Survey<'a> {
    /// Looks at every cell of `map`.
    #[inline(always)]
    pub fn new<S: Simd>(simd: S, map: Map<'a>, upsampling: Upsampling) -> Self {
        let blocks = Blocks::new(map.size());
        let mut bounds = [[f32::NEG_INFINITY; MAX_BLOCKS[0]]; MAX_BLOCKS[1]];
        let mut all = Look::new(simd);
        for (rows, bounds) in blocks.rows().zip(&mut bounds) {
            for (columns, bound) in blocks.columns().zip(bounds) {
                let mut highest = f32x8::splat(simd, f32::NEG_INFINITY);
                for row in rows.clone() {
                    highest = highest.max(all.add_columns(map, row, columns.clone(), upsampling));
                }
                *bound = maximum(&[highest.to_array()]);
            }
        }
        let largest = maximum(&[all.highest.to_array(), (-all.lowest).to_array()]);
        let mut survey = Self { map, upsampling, blocks, bounds, largest, non_finite: 0 };
        if !all.are_finite() {
            survey.look_carefully();
        }
        survey
    }

    /// Values that are not finite may have hidden anything.
    fn look_carefully(&mut self) {
        let values = self.map.values();
        self.non_finite = values.iter().filter(|value| !value.is_finite()).count() as u32;
        let finite = values.iter().filter(|value| value.is_finite());
        self.largest = finite.fold(0.0, |largest, value| larger(value.abs(), largest));
        self.bounds = [[f32::INFINITY; MAX_BLOCKS[0]]; MAX_BLOCKS[1]];
    }

    /// Calls `visit` with the 3x3 cells around every cell whose pixels may hold a maximum of at least the bar; the border
    /// repeats. `visit` returns the bar from there on; it starts at `threshold`, which must be positive. Parts with high
    /// cells come first, so that the bar may rise early.
    ///
    /// `is_cut` tells whether pixels in or next to these columns of this row do not count: there a slope may end in a
    /// maximum.
    #[inline(always)]
    pub fn scan<S: Simd>(
        &self,
        simd: S,
        threshold: f32,
        is_cut: impl Fn(Range<usize>, usize) -> bool,
        mut visit: impl FnMut(&[[f32; 3]; 3], Place) -> f32,
    ) {
        // Between neighbouring upsampled pixels lies at least a quarter of the difference of the cells. Four roundings
        // each cannot turn that round if the difference is above 2^-18 of the largest value. Nor can an upsampled value
        // exceed the cells around it by so much.
        let margin = self.largest * (1.0 / 262_144.0) + f32::MIN_POSITIVE;
        let mut least = threshold - margin;
        let high = HIGH_SHARE * self.largest;
        for is_high in [true, false] {
            for (rows, bounds) in self.blocks.rows().zip(&self.bounds) {
                for (columns, &bound) in self.blocks.columns().zip(bounds) {
                    if (bound < least) | ((bound >= high) != is_high) {
                        continue;
                    }
                    for row in rows.clone() {
                        for start in columns.clone().step_by(RUN) {
                            let columns = start..(start + RUN).min(columns.end);
                            least = self.scan_run(simd, row, columns, [least, margin], &is_cut, &mut visit);
                        }
                    }
                }
            }
        }
    }

    /// The same for a run of at most [`RUN`] columns; takes and returns the bar less the margin for rounding.
    #[inline(always)]
    fn scan_run<S: Simd>(
        &self,
        simd: S,
        row: usize,
        columns: Range<usize>,
        [mut least, margin]: [f32; 2],
        is_cut: &impl Fn(Range<usize>, usize) -> bool,
        visit: &mut impl FnMut(&[[f32; 3]; 3], Place) -> f32,
    ) -> f32 {
        let mut storage = [[0.0; WIDE]; 3];
        let around = around(self.map, columns.start, row, &mut storage);
        let near = Near::new(simd, around[0], around[1], around[2]);
        let bounds = near.highest(self.upsampling);
        let below = bounds.simd_lt(f32x8::splat(simd, least)).to_bitmask();
        // Nearly always there are none. What is not a number is not below.
        let mut candidates = !below & ((1 << columns.len()) - 1);
        if candidates == 0 {
            return least;
        }
        let slopes = near.slopes(simd, margin);
        if !is_cut(columns.clone(), row) {
            candidates &= !slopes;
        }
        while candidates != 0 {
            let lane = candidates.trailing_zeros() as usize;
            candidates &= candidates - 1;
            let column = columns.start + lane;
            let is_slope = slopes >> lane & 1 == 1 && !is_cut(column..column + 1, row);
            if bounds[lane] < least || is_slope {
                continue;
            }
            let cells = [*run(around[0], lane), *run(around[1], lane), *run(around[2], lane)];
            least = visit(&cells, Place::new(self.map.size(), column, row)) - margin;
        }
        least
    }
}

/// A row with the one above and the one below; outside, the border repeats.
#[inline(always)]
fn rows_around<'a>(map: Map<'a>, row: usize) -> [&'a [f32]; 3] {
    [map.row(row.saturating_sub(1)), map.row(row), map.row((row + 1).min(map.size().height - 1))]
}

/// A run of cells with those around it.
struct Near<S: Simd> {
    /// Of three rows the cells to the left, the cells, and those to the right.
    rows: [[f32x8<S>; 3]; 3],
}

impl<S: Simd> Near<S> {
    #[inline(always)]
    fn new(simd: S, above: &[f32], here: &[f32], below: &[f32]) -> Self {
        // Without closures over arrays, which are not inlined.
        let shifts = |row: &[f32]| [load(simd, row, 0), load(simd, row, 1), load(simd, row, 2)];
        Self { rows: [shifts(above), shifts(here), shifts(below)] }
    }

    /// For every cell of the run a number that its pixels do not exceed by more than rounding.
    #[inline(always)]
    fn highest(&self, upsampling: Upsampling) -> f32x8<S> {
        let [above, here, below] = &self.rows;
        let column = |shift: usize| upsampling.highest(above[shift], here[shift], below[shift]);
        upsampling.highest(column(0), column(1), column(2))
    }

    /// For the cells of the run, a bit each: whether values rise strictly along x in all three rows around the cell, or fall,
    /// or do so along y in all three columns: then every pixel of the cell has a neighbour above it.
    #[inline(always)]
    fn slopes(&self, simd: S, margin: f32) -> u64 {
        let margin = f32x8::splat(simd, margin);
        let all = |[a, b]: [f32x8<S>; 2], [c, d]: [f32x8<S>; 2], [e, f]: [f32x8<S>; 2]| {
            let low = a.min(b).min(c.min(d)).min(e.min(f));
            let high = a.max(b).max(c.max(d)).max(e.max(f));
            low.simd_gt(margin) | high.simd_lt(-margin)
        };
        let [above, here, below] = &self.rows;
        let across = |row: &[f32x8<S>; 3]| [row[1] - row[0], row[2] - row[1]];
        let down = |shift: usize| [here[shift] - above[shift], below[shift] - here[shift]];
        (all(across(above), across(here), across(below)) | all(down(0), down(1), down(2))).to_bitmask()
    }
}

/// The cells of a run that begins at column `start` of row `row`, with those around them; outside, the border repeats.
#[inline(always)]
fn around<'a>(map: Map<'a>, start: usize, row: usize, storage: &'a mut [[f32; WIDE]; 3]) -> [&'a [f32; WIDE]; 3] {
    let rows = rows_around(map, row);
    if start > 0 && start + RUN < map.size().width {
        return [run(rows[0], start - 1), run(rows[1], start - 1), run(rows[2], start - 1)];
    }
    for (target, row) in storage.iter_mut().zip(rows) {
        let inside = &row[start.saturating_sub(1)..(start + RUN + 1).min(row.len())];
        let (before, rest) = target.split_at_mut(usize::from(start == 0));
        let (within, behind) = rest.split_at_mut(inside.len().min(rest.len()));
        before.fill(row[0]);
        within.copy_from_slice(&inside[..within.len()]);
        behind.fill(row[row.len() - 1]);
    }
    storage.each_ref()
}

/// Where a cell lies, and which borders of the map it touches.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub column: usize,
    pub row: usize,
    pub left: bool,
    pub right: bool,
    pub top: bool,
    pub bottom: bool,
}

impl Place {
    fn new(size: Size, column: usize, row: usize) -> Self {
        Self {
            column,
            row,
            left: column == 0,
            right: column == size.width - 1,
            top: row == 0,
            bottom: row == size.height - 1,
        }
    }

    /// Whether it lies at the border of the map.
    pub(super) fn is_at_border(&self) -> bool {
        self.left || self.right || self.top || self.bottom
    }
}
