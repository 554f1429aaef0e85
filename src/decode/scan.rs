//! Which cells of a map can hold a maximum of the upsampled map.
//!
//! Upsampling is bilinear and by two or more, so a pixel depends on the 3x3 cells around its own and exceeds none of
//! them. That rules out nearly every cell without upsampling it.

use core::ops::Range;

use wide::f32x8;

use super::{Map, eight, larger, maximum, run};
use crate::geometry::Size;

/// Cells that are processed together.
const RUN: usize = 32;
/// These and a neighbour on either side.
const WIDE: usize = RUN + 2;

/// Three rows of cells, the first and the last column being neighbours of the run.
pub(super) type Rows<'a> = [&'a [f32; WIDE]; 3];
/// A number for every cell of a run.
pub(super) type Bounds = [f32x8; RUN / 8];

/// Most blocks on a side of a map.
const MAX_BLOCKS: usize = 32;
/// Fewest rows of a block.
const MIN_BLOCK_ROWS: usize = 8;

/// A map divided into blocks of cells, so that the best maxima can be looked for first.
struct Blocks {
    size: Size,
    block: Size,
    /// Blocks in a row.
    columns: usize,
}

impl Blocks {
    fn new(size: Size) -> Self {
        let width = RUN * size.width.div_ceil(RUN).div_ceil(MAX_BLOCKS);
        let height = size.height.div_ceil(MAX_BLOCKS).max(MIN_BLOCK_ROWS);
        Self { size, block: Size::new(width, height), columns: size.width.div_ceil(width) }
    }

    fn count(&self) -> usize {
        self.columns * self.size.height.div_ceil(self.block.height)
    }

    /// Columns and rows of block number `index`.
    fn cells(&self, index: usize) -> (Range<usize>, Range<usize>) {
        let along = |number: usize, extent: usize, end: usize| number * extent..((number + 1) * extent).min(end);
        (
            along(index % self.columns, self.block.width, self.size.width),
            along(index / self.columns, self.block.height, self.size.height),
        )
    }

    /// The same with the cells next to it.
    fn with_neighbours(&self, index: usize) -> (Range<usize>, Range<usize>) {
        let (columns, rows) = self.cells(index);
        let wider = |cells: Range<usize>, end: usize| cells.start.saturating_sub(1)..(cells.end + 1).min(end);
        (wider(columns, self.size.width), wider(rows, self.size.height))
    }
}

/// Statistics of some cells.
#[derive(Clone, Copy)]
struct Look {
    highest: f32x8,
    lowest: f32x8,
    /// Zeros while all are finite.
    poison: f32x8,
}

impl Look {
    fn new() -> Self {
        let infinite = f32x8::splat(f32::INFINITY);
        Self { highest: -infinite, lowest: infinite, poison: f32x8::ZERO }
    }

    #[inline(always)]
    #[expect(clippy::eq_op, reason = "a finite number less itself is 0, no other is")]
    fn add(&mut self, values: f32x8) {
        self.highest = values.fast_max(self.highest);
        self.lowest = values.fast_min(self.lowest);
        self.poison |= values - values;
    }

    fn add_all(&mut self, values: &[f32]) {
        let (runs, rest) = values.as_chunks();
        for &run in runs {
            self.add(f32x8::new(run));
        }
        match values.last_chunk() {
            // Some are visited twice.
            Some(&last) if !rest.is_empty() => self.add(f32x8::new(last)),
            _ => rest.iter().for_each(|&value| self.add(f32x8::splat(value))),
        }
    }
}

/// Result of a first pass over a map.
pub(super) struct Survey<'a> {
    map: Map<'a>,
    blocks: Blocks,
    /// By block: the highest cell in or next to it.
    highest: [f32; MAX_BLOCKS * MAX_BLOCKS],
    /// The largest finite absolute value.
    largest: f32,
    /// How many cells are not finite.
    pub non_finite: u32,
}

impl<'a> Survey<'a> {
    /// Looks at every cell of `map`.
    pub fn new(map: Map<'a>) -> Self {
        let blocks = Blocks::new(map.size());
        let mut highest = [f32::NEG_INFINITY; MAX_BLOCKS * MAX_BLOCKS];
        let mut all = Look::new();
        for (index, highest) in highest.iter_mut().enumerate().take(blocks.count()) {
            let (columns, rows) = blocks.with_neighbours(index);
            let mut look = Look { highest: Look::new().highest, ..all };
            for row in rows {
                look.add_all(&map.row(row)[columns.clone()]);
            }
            *highest = maximum(&[look.highest.to_array()]);
            all = Look { highest: all.highest.fast_max(look.highest), ..look };
        }
        let largest = maximum(&[all.highest.to_array(), (-all.lowest).to_array()]);
        let mut survey = Self { map, blocks, highest, largest, non_finite: 0 };
        if all.poison != f32x8::ZERO {
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
        self.highest.fill(f32::INFINITY);
    }

    /// Calls `visit` with the 3x3 cells around every cell whose pixels may hold a maximum of at least the bar; the border
    /// repeats. `visit` returns the bar from there on; it starts at `threshold`, which must be positive. With `best_first`
    /// parts with higher cells come first, so that the bar may rise early.
    ///
    /// `highest` returns for every cell a number that its pixels do not exceed by more than rounding.
    ///
    /// `is_cut` tells whether pixels in or next to these columns of this row do not count: there a slope may end in a
    /// maximum.
    pub fn scan(
        &self,
        threshold: f32,
        best_first: bool,
        highest: impl Fn(Rows<'_>) -> Bounds,
        is_cut: impl Fn(Range<usize>, usize) -> bool,
        mut visit: impl FnMut(&[[f32; 3]; 3], Place) -> f32,
    ) {
        // Between neighbouring upsampled pixels lies at least a quarter of the difference of the cells. Four roundings
        // each cannot turn that round if the difference is above 2^-18 of the largest value. Nor can an upsampled value
        // exceed the cells around it by so much.
        let margin = self.largest * (1.0 / 262_144.0) + f32::MIN_POSITIVE;
        let mut least = threshold - margin;
        let mut order = [(0.0f32, 0u16); MAX_BLOCKS * MAX_BLOCKS];
        let mut promising = 0;
        for (index, &highest) in self.highest.iter().enumerate().take(self.blocks.count()) {
            if highest >= least {
                order[promising] = (highest, index as u16);
                promising += 1;
            }
        }
        let order = &mut order[..promising];
        if best_first {
            order.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
        }
        let mut storage = [[0.0; WIDE]; 3];
        for &(bound, index) in order.iter() {
            if bound < least {
                continue;
            }
            let (columns, rows) = self.blocks.cells(usize::from(index));
            for row in rows {
                for start in columns.clone().step_by(RUN) {
                    let cells = around(self.map, start, row, &mut storage);
                    for (first, bounds) in (start..columns.end).step_by(8).zip(highest(cells)) {
                        // Nearly always all are. What is not a number is not below.
                        if bounds.simd_lt(f32x8::splat(least)).all() {
                            continue;
                        }
                        let eight = first..(first + 8).min(columns.end);
                        let cut = is_cut(eight.clone(), row);
                        let slopes = slopes(cells, first - start, margin);
                        for (lane, (column, highest)) in eight.zip(bounds.to_array()).enumerate() {
                            let is_slope = slopes >> lane & 1 == 1 && !(cut && is_cut(column..column + 1, row));
                            if highest < least || is_slope {
                                continue;
                            }
                            let near = cells.map(|row| *run(row, column - start));
                            least = visit(&near, Place::new(self.map.size(), column, row)) - margin;
                        }
                    }
                }
            }
        }
    }
}

/// The cells of a run that begins at column `start` of row `row`, with those around them; outside, the border repeats.
#[inline]
fn around<'a>(map: Map<'a>, start: usize, row: usize, storage: &'a mut [[f32; WIDE]; 3]) -> Rows<'a> {
    let last = map.size().height - 1;
    let rows = [row.saturating_sub(1), row, (row + 1).min(last)].map(|row| map.row(row));
    if start > 0 && start + RUN < map.size().width {
        return rows.map(|row| run(row, start - 1));
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

/// No lower than the 3x3 cells around each: for any upsampling.
pub(super) fn highest_cell(rows: Rows<'_>) -> Bounds {
    let columns = along_columns(|first| {
        let [above, here, below] = rows.map(|row| eight(row, first));
        here.fast_max(above.fast_max(below))
    });
    core::array::from_fn(|part| {
        let [left, middle, right] = [0, 1, 2].map(|shift| eight(&columns, 8 * part + shift));
        middle.fast_max(left.fast_max(right))
    })
}

/// No lower than the 2x2 pixels of each, where upsampling is by two.
///
/// A pixel has three quarters of its cell and a quarter of its neighbour, on both axes; which neighbour that is may differ
/// from pixel to pixel, which is ignored here.
pub(super) fn highest_pixel(rows: Rows<'_>) -> Bounds {
    let toward = |middle: f32x8, one: f32x8, other: f32x8| 0.75 * middle + 0.25 * one.fast_max(other);
    let columns = along_columns(|first| {
        let [above, here, below] = rows.map(|row| eight(row, first));
        toward(here, above, below)
    });
    core::array::from_fn(|part| {
        let [left, middle, right] = [0, 1, 2].map(|shift| eight(&columns, 8 * part + shift));
        toward(middle, left, right)
    })
}

/// What `column` returns for eight columns at a time, for all of them.
#[inline(always)]
fn along_columns(column: impl Fn(usize) -> f32x8) -> [f32; WIDE] {
    let mut columns = [0.0; WIDE];
    // The last eight overlap with those before.
    for first in [0, 8, 16, 24, WIDE - 8] {
        columns[first..first + 8].copy_from_slice(column(first).as_array());
    }
    columns
}

/// For eight cells of the run from `first` on, a bit each: whether values rise strictly along x in all three rows around the
/// cell, or fall, or do so along y in all three columns: then every pixel of the cell has a neighbour above it.
fn slopes(rows: Rows<'_>, first: usize, margin: f32) -> u32 {
    let cells = rows.map(|row| [0, 1, 2].map(|shift| eight(row, first + shift)));
    let margin = f32x8::splat(margin);
    let all = |steps: [f32x8; 6]| {
        let low = steps.into_iter().reduce(f32x8::fast_min).unwrap_or_default();
        let high = steps.into_iter().reduce(f32x8::fast_max).unwrap_or_default();
        low.simd_gt(margin) | high.simd_lt(-margin)
    };
    let [upper, middle, lower] = cells;
    let along_x = |row: [f32x8; 3]| [row[1] - row[0], row[2] - row[1]];
    let [[a, b], [c, d], [e, f]] = [upper, middle, lower].map(along_x);
    let across = all([a, b, c, d, e, f]);
    let down = all([
        middle[0] - upper[0],
        middle[1] - upper[1],
        middle[2] - upper[2],
        lower[0] - middle[0],
        lower[1] - middle[1],
        lower[2] - middle[2],
    ]);
    (across | down).to_bitmask()
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
