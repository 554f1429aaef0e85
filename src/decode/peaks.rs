//! Which cells of a map can hold a maximum of the upsampled map, and the best maxima so far.
//!
//! Upsampling is bilinear and by two or more, so a pixel depends on the 3x3 cells around its own and exceeds none of
//! them. That rules out nearly every cell without upsampling it.

use core::ops::Range;

use heapless::Vec;

use super::{Map, larger, maximum, smaller};

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

    fn touches(&self, x: u32, y: u32) -> bool {
        (self.left..=self.right + 2).contains(&(x + 1)) && (self.top..=self.bottom + 2).contains(&(y + 1))
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
        if self.collapse {
            let plateau = self.list.iter().position(|known| known.value == value && known.touches(x, y));
            match plateau {
                Some(index) => {
                    let known = self.list.remove(index);
                    peak.left = known.left.min(x);
                    peak.right = known.right.max(x);
                    peak.top = known.top.min(y);
                    peak.bottom = known.bottom.max(y);
                }
                None => self.found += 1,
            }
        } else {
            self.found += 1;
        }
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
const RUN: usize = 32;
/// They and a neighbour on either side.
const WIDE: usize = RUN + 2;

/// Three rows of cells, the first and the last column being neighbours of the run.
type Rows = [[f32; WIDE]; 3];

/// Calls `visit` with the 3x3 cells around every cell whose pixels may hold a maximum of at least the bar, in reading
/// order; the border repeats. `visit` answers the bar from there on. It starts at `threshold`, which must be positive.
/// `largest` is the map's largest absolute value.
///
/// `is_cut` says whether pixels do not count in or beside these columns of this row: there a slope may end in a maximum.
pub(super) fn scan(
    map: Map<'_>,
    largest: f32,
    threshold: f32,
    is_cut: impl Fn(Range<usize>, usize) -> bool,
    mut visit: impl FnMut(&[[f32; 3]; 3], Place) -> f32,
) {
    let size = map.size();
    // An upsampled value exceeds the cells around it by no more than rounding.
    let below = |bar: f32| bar * (1.0 - 1e-6);
    let mut least = below(threshold);
    // Between neighbouring upsampled pixels lies at least a quarter of the difference of the cells. Four roundings
    // each cannot turn that round if the difference is above 2^-18 of the largest value.
    let margin = largest * (1.0 / 262_144.0) + f32::MIN_POSITIVE;
    let mut rows: Rows = [[0.0; WIDE]; 3];
    for row in 0..size.height {
        let source = [row.saturating_sub(1), row, (row + 1).min(size.height - 1)].map(|row| map.row(row));
        for start in (0..size.width).step_by(RUN) {
            let count = RUN.min(size.width - start);
            for (target, source) in rows.iter_mut().zip(source) {
                load(source, start, target);
            }
            let mut peak = [f32::NEG_INFINITY; WIDE];
            for row in &rows {
                for (peak, &value) in peak.iter_mut().zip(row) {
                    *peak = larger(value, *peak);
                }
            }
            let (runs, rest) = peak.as_chunks();
            if rest.iter().copied().fold(maximum(runs), larger) < least {
                continue;
            }
            let mut candidates = may_hold_maximum(&rows, &peak, least, margin);
            if is_cut(start..start + count, row) {
                for (index, candidate) in candidates.iter_mut().enumerate().take(count) {
                    let column = start + index;
                    *candidate |= is_cut(column..column + 1, row);
                }
            }
            for column in (0..count).filter(|&column| candidates[column]) {
                let cells = [0, 1, 2].map(|row: usize| [0, 1, 2].map(|dx| rows[row][column + dx]));
                let place = Place {
                    column: start + column,
                    row,
                    left: start + column == 0,
                    right: start + column == size.width - 1,
                    top: row == 0,
                    bottom: row == size.height - 1,
                };
                least = below(visit(&cells, place));
            }
        }
    }
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

/// Whether the pixels of each cell may hold a maximum that is at least `least`.
///
/// They cannot where no cell around is so high, nor where values rise strictly along x in all three rows, or fall, or
/// do so along y in all three columns: then every one of the pixels has a neighbour above it.
fn may_hold_maximum(rows: &Rows, peak: &[f32; WIDE], least: f32, margin: f32) -> [bool; RUN] {
    let mut step_x = [(0.0f32, 0.0f32); WIDE - 1];
    for (index, (low, high)) in step_x.iter_mut().enumerate() {
        let steps = [0, 1, 2].map(|row: usize| rows[row][index + 1] - rows[row][index]);
        *low = smaller(steps[0], smaller(steps[1], steps[2]));
        *high = larger(steps[0], larger(steps[1], steps[2]));
    }
    let mut step_y = [(0.0f32, 0.0f32); WIDE];
    for (index, (low, high)) in step_y.iter_mut().enumerate() {
        let (upper, lower) = (rows[1][index] - rows[0][index], rows[2][index] - rows[1][index]);
        *low = smaller(upper, lower);
        *high = larger(upper, lower);
    }
    let mut candidates = [false; RUN];
    for (index, candidate) in candidates.iter_mut().enumerate() {
        let near = larger(peak[index], larger(peak[index + 1], peak[index + 2]));
        let low_x = smaller(step_x[index].0, step_x[index + 1].0);
        let high_x = larger(step_x[index].1, step_x[index + 1].1);
        let low_y = smaller(step_y[index].0, smaller(step_y[index + 1].0, step_y[index + 2].0));
        let high_y = larger(step_y[index].1, larger(step_y[index + 1].1, step_y[index + 2].1));
        let monotonous = (low_x > margin) | (high_x < -margin) | (low_y > margin) | (high_y < -margin);
        *candidate = (near >= least) & !monotonous;
    }
    candidates
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
