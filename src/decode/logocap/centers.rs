//! Person centres: the local maxima of the upsampled centre map, found from its cells.

use heapless::Vec;

use super::MAX_CENTERS;
use crate::decode::heatmap::{UPSAMPLING, blend};
use crate::decode::{Map, larger, smaller};

/// A candidate for a person.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Center {
    /// Column, network pixels, a whole number.
    pub x: f32,
    /// Row, network pixels, a whole number.
    pub y: f32,
    /// The centre map's value there.
    pub value: f32,
}

/// A plateau of equal maxima that touch, or a single one.
#[derive(Debug, Clone, Copy)]
struct Peak {
    value: f32,
    left: u32,
    right: u32,
    top: u32,
    bottom: u32,
}

impl Peak {
    fn touches(&self, x: u32, y: u32) -> bool {
        (self.left..=self.right + 2).contains(&(x + 1)) && (self.top..=self.bottom + 2).contains(&(y + 1))
    }

    /// Higher values first, then reading order of the first pixel.
    fn precedes(&self, other: &Self) -> bool {
        self.value > other.value || (self.value == other.value && (self.top, self.left) < (other.top, other.left))
    }
}

/// The best maxima so far, best first.
#[derive(Debug)]
struct Peaks {
    list: Vec<Peak, MAX_CENTERS>,
    capacity: usize,
    collapse: bool,
    found: u32,
}

impl Peaks {
    fn add(&mut self, x: u32, y: u32, value: f32) {
        let mut peak = Peak { value, left: x, right: x, top: y, bottom: y };
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

/// What a search for centres answers, besides the centres.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found {
    /// Maxima that reach the threshold, or plateaus of them; more than the centres where these were capped.
    pub peaks: u32,
    /// The best maximum was taken although it does not reach the threshold.
    pub fallback: bool,
    /// Cells that are not finite.
    pub non_finite: u32,
}

/// How centres are chosen.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rule {
    /// Above 0.
    pub threshold: f32,
    /// Where no centre reaches the threshold, take the best.
    pub fallback: bool,
    /// One centre per plateau: the middle of its bounding box.
    pub collapse: bool,
    /// 1 to [`MAX_CENTERS`].
    pub capacity: usize,
}

/// The pixels of the upsampled map that no neighbour of theirs exceeds, and that are not negative: the best of those
/// that reach the threshold (reference description, sections 1.4 and 1.5). Best first; equal ones in reading order.
pub(super) fn find(map: Map<'_>, rule: Rule, centers: &mut Vec<Center, MAX_CENTERS>) -> Found {
    let (largest, non_finite) = magnitude(map);
    let mut peaks = Peaks { list: Vec::new(), capacity: rule.capacity, collapse: rule.collapse, found: 0 };
    scan(map, largest, rule.threshold, &mut peaks);
    let found = peaks.found;
    let fallback = found == 0 && rule.fallback;
    if fallback {
        peaks.capacity = 1;
        scan(map, largest, f32::from_bits(1), &mut peaks);
        if peaks.list.is_empty() {
            // Nothing is positive: the first pixel, like all others, counts as 0.
            peaks.add(0, 0, 0.0);
        }
    }
    centers.clear();
    centers.extend(peaks.list.iter().map(|peak| Center {
        x: ((peak.left + peak.right) / 2) as f32,
        y: ((peak.top + peak.bottom) / 2) as f32,
        value: peak.value,
    }));
    Found { peaks: found, fallback, non_finite }
}

/// The largest finite absolute value, and how many values are not finite.
fn magnitude(map: Map<'_>) -> (f32, u32) {
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
        return (largest.iter().copied().fold(0.0, larger), 0);
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

/// Adds every maximum that reaches `threshold`, which must be positive. `largest` is the map's largest absolute value.
fn scan(map: Map<'_>, largest: f32, threshold: f32, peaks: &mut Peaks) {
    let size = map.size();
    // An upsampled value exceeds the cells around it by no more than rounding.
    let least = threshold * (1.0 - 1e-6);
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
            if peak.iter().copied().fold(f32::NEG_INFINITY, larger) < least {
                continue;
            }
            let candidates = may_hold_maximum(&rows, &peak, least, margin);
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
                add_maxima(&cells, place, threshold, peaks);
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

/// Whether the 4x4 pixels of each cell may hold a maximum that is at least `least`.
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
struct Place {
    column: usize,
    row: usize,
    left: bool,
    right: bool,
    top: bool,
    bottom: bool,
}

/// Upsamples one cell and compares its 4x4 pixels with their neighbours.
fn add_maxima(cells: &[[f32; 3]; 3], place: Place, threshold: f32, peaks: &mut Peaks) {
    let along_x = fractions(place.left);
    let along_y = fractions(place.top);
    let mut blended = [[0.0f32; 6]; 3];
    for (blended, cells) in blended.iter_mut().zip(cells) {
        for (value, (first, fraction)) in blended.iter_mut().zip(along_x) {
            *value = blend(cells[first], cells[first + 1], fraction);
        }
    }
    let mut pixels = [[f32::NEG_INFINITY; 6]; 6];
    // Outside the map nothing competes.
    let rows = usize::from(place.top)..6 - usize::from(place.bottom);
    let columns = usize::from(place.left)..6 - usize::from(place.right);
    for y in rows {
        let (first, fraction) = along_y[y];
        for x in columns.clone() {
            pixels[y][x] = blend(blended[first][x], blended[first + 1][x], fraction);
        }
    }
    for y in 1..5 {
        for x in 1..5 {
            let value = pixels[y][x];
            if !(value >= threshold && value.is_finite()) {
                continue;
            }
            // A neighbour that is not a number rules the pixel out too.
            let mut highest = true;
            for row in &pixels[y - 1..=y + 1] {
                for &neighbour in &row[x - 1..=x + 1] {
                    highest &= value >= neighbour;
                }
            }
            if highest {
                let pixel = |cell: usize, offset: usize| (UPSAMPLING * cell + offset - 1) as u32;
                peaks.add(pixel(place.column, x), pixel(place.row, y), value);
            }
        }
    }
}

/// For the pixels -1 to 4 of a cell: the first of the two cells (0: the one before) and how far towards the second.
const fn fractions(first_cell: bool) -> [(usize, f32); 6] {
    if first_cell {
        // Pixels before the middle of the first cell have its value.
        [(1, 0.0), (1, 0.0), (1, 0.0), (1, 0.125), (1, 0.375), (1, 0.625)]
    } else {
        [(0, 0.375), (0, 0.625), (0, 0.875), (1, 0.125), (1, 0.375), (1, 0.625)]
    }
}
