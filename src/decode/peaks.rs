//! Which cells of a map can hold a maximum of the upsampled map, and the best maxima so far.
//!
//! Upsampling is bilinear and by two or more, so a pixel depends on the 3x3 cells around its own and exceeds none of
//! them. That rules out nearly every cell without upsampling it.

use core::ops::Range;

use heapless::Vec;

use super::{Map, larger, maximum, smaller};
use crate::geometry::Size;

/// A plateau of equal maxima that touch, or a single one; pixels of the upsampled map.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Peak {
    pub value: f32,
    pub left: u32,
    pub right: u32,
    pub top: u32,
    pub bottom: u32,
}

impl Peak {
    pub(super) const fn pixel(x: u32, y: u32, value: f32) -> Self {
        Self { value, left: x, right: x, top: y, bottom: y }
    }

    /// The middle of its bounding box.
    pub(super) fn middle(&self) -> (u32, u32) {
        ((self.left + self.right) / 2, (self.top + self.bottom) / 2)
    }

    /// Whether the two are equally high and touch.
    fn is_same_plateau(&self, other: &Self) -> bool {
        self.value == other.value
            && self.left <= other.right + 1
            && other.left <= self.right + 1
            && self.top <= other.bottom + 1
            && other.top <= self.bottom + 1
    }

    fn joined(self, other: &Self) -> Self {
        Self {
            value: self.value,
            left: self.left.min(other.left),
            right: self.right.max(other.right),
            top: self.top.min(other.top),
            bottom: self.bottom.max(other.bottom),
        }
    }

    /// Higher values first, then reading order of the first pixel.
    fn precedes(&self, other: &Self) -> bool {
        self.value > other.value || (self.value == other.value && (self.top, self.left) < (other.top, other.left))
    }
}

/// The best maxima so far, best first; `N` is the most that there is room for.
#[derive(Debug, Clone)]
pub(super) struct Peaks<const N: usize> {
    pub list: Vec<Peak, N>,
    /// 1 to `N`.
    pub capacity: usize,
    /// Equal ones that touch count once.
    pub collapse: bool,
    /// How many there were, also of those that were pushed out.
    pub found: u32,
}

impl<const N: usize> Peaks<N> {
    pub(super) const fn new(capacity: usize, collapse: bool) -> Self {
        Self { list: Vec::new(), capacity, collapse, found: 0 }
    }

    /// Values below this cannot enter any more.
    pub(super) fn least(&self) -> f32 {
        match self.list.last() {
            Some(last) if self.list.len() >= self.capacity => last.value,
            _ => f32::NEG_INFINITY,
        }
    }

    pub(super) fn add(&mut self, x: u32, y: u32, value: f32) {
        let mut peak = Peak::pixel(x, y, value);
        let mut known = false;
        // A pixel may join parts of a plateau that did not touch before.
        while let Some(index) = self.list.iter().position(|other| self.collapse && other.is_same_plateau(&peak)) {
            peak = peak.joined(&self.list.remove(index));
            self.found -= u32::from(known);
            known = true;
        }
        self.found += u32::from(!known);
        let place = self.list.iter().position(|known| peak.precedes(known)).unwrap_or(self.list.len());
        if place >= self.capacity {
            return;
        }
        self.list.truncate(self.capacity - 1);
        // There is room for one.
        let _ = self.list.insert(place, peak);
    }
}

/// The largest finite absolute value, and how many values are not finite.
pub(super) fn magnitude(map: Map<'_>) -> (f32, u32) {
    let (runs, rest) = map.values().as_chunks::<8>();
    let mut largest = [0.0f32; 8];
    let mut poison = [0.0f32; 8];
    for run in runs {
        for lane in 0..8 {
            largest[lane] = larger(run[lane].abs(), largest[lane]);
            poison[lane] += run[lane] * 0.0;
        }
    }
    for &value in rest {
        largest[0] = larger(value.abs(), largest[0]);
        poison[0] += value * 0.0;
    }
    let sum: f32 = poison.iter().sum();
    if sum == 0.0 {
        return (maximum(&[largest]), 0);
    }
    let finite = map.values().iter().filter(|value| value.is_finite());
    let non_finite = map.values().iter().filter(|value| !value.is_finite()).count();
    (finite.fold(0.0, |largest, value| larger(value.abs(), largest)), non_finite as u32)
}

/// Cells that are looked at together.
pub(super) const RUN: usize = 32;
/// They and a neighbour on either side.
const WIDE: usize = RUN + 2;

/// Three rows of cells, the first and the last column being neighbours of the run.
pub(super) type Rows = [[f32; WIDE]; 3];

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

    /// The highest cell of a block and beside it.
    fn highest(&self, map: Map<'_>, index: usize) -> f32 {
        let (columns, rows) = self.cells(index);
        let (left, right) = (columns.start.saturating_sub(1), (columns.end + 1).min(self.size.width));
        let (top, bottom) = (rows.start.saturating_sub(1), (rows.end + 1).min(self.size.height));
        let mut highest = f32::NEG_INFINITY;
        for row in top..bottom {
            let (runs, rest) = map.row(row)[left..right].as_chunks();
            highest = larger(maximum(runs), highest);
            for &value in rest {
                highest = larger(value, highest);
            }
        }
        highest
    }
}

/// Calls `visit` with the 3x3 cells around every cell whose pixels may hold a maximum of at least the bar; the border
/// repeats. `visit` answers the bar from there on; it starts at `threshold`, which must be positive. With `best_first`
/// parts with higher cells come first, so that the bar may rise early. `largest` is the map's largest absolute value.
///
/// `highest` answers for every cell a number that its pixels do not exceed by more than rounding.
///
/// `is_cut` says whether pixels do not count in or beside these columns of this row: there a slope may end in a maximum.
pub(super) fn scan(
    map: Map<'_>,
    largest: f32,
    threshold: f32,
    best_first: bool,
    highest: impl Fn(&Rows) -> [f32; RUN],
    is_cut: impl Fn(Range<usize>, usize) -> bool,
    mut visit: impl FnMut(&[[f32; 3]; 3], Place) -> f32,
) {
    // Between neighbouring upsampled pixels lies at least a quarter of the difference of the cells. Four roundings
    // each cannot turn that round if the difference is above 2^-18 of the largest value. Nor can an upsampled value
    // exceed the cells around it by so much.
    let margin = largest * (1.0 / 262_144.0) + f32::MIN_POSITIVE;
    let mut least = threshold - margin;
    let blocks = Blocks::new(map.size());
    let mut order = [(0.0f32, 0u16); MAX_BLOCKS * MAX_BLOCKS];
    let mut promising = 0;
    for index in 0..blocks.count() {
        let highest = blocks.highest(map, index);
        if highest >= least {
            order[promising] = (highest, index as u16);
            promising += 1;
        }
    }
    let order = &mut order[..promising];
    if best_first {
        order.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
    }
    let mut cells: Rows = [[0.0; WIDE]; 3];
    for &(bound, index) in order.iter() {
        if bound < least {
            continue;
        }
        let (columns, rows) = blocks.cells(usize::from(index));
        for row in rows {
            for start in columns.clone().step_by(RUN) {
                let run = start..(start + RUN).min(columns.end);
                load_around(map, start, row, &mut cells);
                let highest = highest(&cells);
                // Nearly always all are; asked of all at once. What is not a number is not below.
                if highest.iter().fold(true, |below, &value| below & (value < least)) {
                    continue;
                }
                let cut = is_cut(run.clone(), row);
                for (index, column) in run.enumerate() {
                    if highest[index] < least
                        || (is_slope(&cells, index, margin) && !(cut && is_cut(column..column + 1, row)))
                    {
                        continue;
                    }
                    let near = [0, 1, 2].map(|row: usize| [0, 1, 2].map(|dx| cells[row][index + dx]));
                    least = visit(&near, Place::new(map.size(), column, row)) - margin;
                }
            }
        }
    }
}

/// The cells of a run that begins at column `start` of row `row`, with those around them.
#[inline]
fn load_around(map: Map<'_>, start: usize, row: usize, rows: &mut Rows) {
    let last = map.size().height - 1;
    for (target, row) in rows.iter_mut().zip([row.saturating_sub(1), row, (row + 1).min(last)]) {
        load(map.row(row), start, target);
    }
}

/// The highest of the 3x3 cells around each: for any upsampling.
pub(super) fn highest_cell(rows: &Rows) -> [f32; RUN] {
    let mut column = [0.0; WIDE];
    for (index, column) in column.iter_mut().enumerate() {
        *column = larger(rows[0][index], larger(rows[1][index], rows[2][index]));
    }
    core::array::from_fn(|index| larger(column[index], larger(column[index + 1], column[index + 2])))
}

/// The highest of the 2x2 pixels of each, where upsampling is by two.
pub(super) fn highest_pixel(rows: &Rows) -> [f32; RUN] {
    let mut blended = [[0.0; WIDE]; 2];
    for index in 0..WIDE {
        blended[0][index] = 0.25 * rows[0][index] + 0.75 * rows[1][index];
        blended[1][index] = 0.75 * rows[1][index] + 0.25 * rows[2][index];
    }
    core::array::from_fn(|index| {
        let [upper, lower] = blended.each_ref().map(|row| {
            let (left, right) = (0.25 * row[index], 0.25 * row[index + 2]);
            0.75 * row[index + 1] + larger(left, right)
        });
        larger(upper, lower)
    })
}

/// The cells `start - 1 ..= start + RUN` of a row; outside, the border repeats.
fn load(source: &[f32], start: usize, target: &mut [f32; WIDE]) {
    if start > 0 && start + RUN < source.len() {
        target.copy_from_slice(&source[start - 1..][..WIDE]);
        return;
    }
    for (index, value) in target.iter_mut().enumerate() {
        *value = source[(start + index).saturating_sub(1).min(source.len() - 1)];
    }
}

/// Whether values rise strictly along x in all three rows around cell `column` of the run, or fall, or do so along y in
/// all three columns: then every pixel of the cell has a neighbour above it.
fn is_slope(rows: &Rows, column: usize, margin: f32) -> bool {
    let all = |steps: [f32; 6]| {
        let low = steps.into_iter().fold(f32::INFINITY, smaller);
        let high = steps.into_iter().fold(f32::NEG_INFINITY, larger);
        low > margin || high < -margin
    };
    let [upper, middle, lower] = rows.each_ref().map(|row| [row[column], row[column + 1], row[column + 2]]);
    let along_x = |row: [f32; 3]| [row[1] - row[0], row[2] - row[1]];
    let [[a, b], [c, d], [e, f]] = [upper, middle, lower].map(along_x);
    all([a, b, c, d, e, f])
        || all([
            middle[0] - upper[0],
            middle[1] - upper[1],
            middle[2] - upper[2],
            lower[0] - middle[0],
            lower[1] - middle[1],
            lower[2] - middle[2],
        ])
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

    /// Whether a cell beside it is missing.
    pub(super) fn is_at_border(&self) -> bool {
        self.left || self.right || self.top || self.bottom
    }
}
