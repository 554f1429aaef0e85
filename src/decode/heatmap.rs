//! Heatmaps read as if they had been upsampled, without ever making the large map.

use heapless::Vec;

use super::maps::Plane;

/// Most pixels of an upsampled map per cell and axis.
pub const MAX_FACTOR: usize = 4;

/// A local maximum of an upsampled heatmap.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Peak {
    /// Column in the upsampled map.
    pub x: usize,
    /// Row in the upsampled map.
    pub y: usize,
    /// The upsampled value.
    pub value: f32,
}

/// The two cells that one upsampled coordinate lies between, and how far it is from the first (0..1).
fn taps(upsampled: usize, factor: usize, cells: usize) -> (usize, usize, f32) {
    let position = ((upsampled as f32 + 0.5) / factor as f32 - 0.5).max(0.0);
    let first = (position as usize).min(cells - 1);
    (first, (first + 1).min(cells - 1), position - first as f32)
}

/// `fma(near, 1 - t, far * t)`, rounded once at the end of the sum.
///
/// That is how PyTorch blends, and at the border, where both taps are the same cell, the rounding alone decides
/// whether neighbouring pixels tie. The product is exact in `f64`.
fn blend(near: f32, far: f32, t: f32) -> f32 {
    (f64::from(near) * f64::from(1.0 - t) + f64::from(far * t)) as f32
}

/// The value of pixel `(x, y)` of `plane` upsampled by `factor`: bilinear, half-pixel centres, border repeated
/// (LOGO-CAP spec, section 1.4).
pub fn upsampled(plane: &Plane<'_>, factor: usize, x: usize, y: usize) -> f32 {
    let (x0, x1, tx) = taps(x, factor, plane.width());
    let (y0, y1, ty) = taps(y, factor, plane.height());
    let along_x = |row: &[f32]| blend(row[x0], row[x1], tx);
    blend(along_x(plane.row(y0)), along_x(plane.row(y1)), ty)
}

/// What [`peaks`] saw besides the peaks that it returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PeakCounts {
    /// Peaks that were better than nothing but did not fit.
    pub over_capacity: u32,
    /// Peaks with an infinite value.
    pub not_finite: u32,
}

/// Finds the pixels of the upsampled map that equal the maximum of their 3x3 neighbourhood and reach `threshold`
/// (which must be positive), best first, equal ones in reading order (LOGO-CAP spec, section 1.5).
///
/// Equal to upsampling the whole map, but only cells whose own neighbourhood reaches the threshold are looked at: no
/// upsampled value exceeds the cells that it is blended from. With `collapse_ties`, of touching equal pixels only the
/// first found is taken.
pub fn peaks<const CAPACITY: usize>(
    plane: &Plane<'_>,
    factor: usize,
    threshold: f32,
    collapse_ties: bool,
    limit: usize,
    peaks: &mut Vec<Peak, CAPACITY>,
) -> PeakCounts {
    let mut counts = PeakCounts::default();
    peaks.clear();
    let limit = limit.min(CAPACITY);
    let factor = factor.clamp(1, MAX_FACTOR);
    for row in 0..plane.height() {
        let (above, below) = (plane.row(row.saturating_sub(1)), plane.row(row + 1));
        let here = plane.row(row);
        for column in 0..plane.width() {
            let (left, right) = (column.saturating_sub(1), (column + 1).min(plane.width() - 1));
            let highest = |cells: &[f32]| cells[left].max(cells[column]).max(cells[right]);
            if !(highest(above).max(highest(here)).max(highest(below)) >= threshold) {
                continue;
            }
            let patch = Patch::around(plane, factor, row, column);
            for y in 0..factor {
                for x in 0..factor {
                    let value = patch.at(y, x);
                    if !(value >= threshold) || !patch.is_peak(y, x) {
                        continue;
                    }
                    if !value.is_finite() {
                        counts.not_finite += 1;
                        continue;
                    }
                    let peak = Peak { x: column * factor + x, y: row * factor + y, value };
                    let touches = |other: &Peak| {
                        other.value == value && other.x.abs_diff(peak.x) <= 1 && other.y.abs_diff(peak.y) <= 1
                    };
                    if collapse_ties && peaks.iter().any(touches) {
                        continue;
                    }
                    insert(peaks, peak, limit, plane.width() * factor, &mut counts);
                }
            }
        }
    }
    counts
}

/// The largest pixel of the upsampled map among those that equal the maximum of their neighbourhood; the first pixel
/// with value 0 where nothing is positive (LOGO-CAP spec, section 1.5, "if none").
pub fn highest_peak(plane: &Plane<'_>, factor: usize) -> Peak {
    let mut best = Peak { x: 0, y: 0, value: 0.0 };
    for y in 0..plane.height() * factor {
        for x in 0..plane.width() * factor {
            let value = upsampled(plane, factor, x, y);
            if value > best.value && value.is_finite() {
                best = Peak { x, y, value };
            }
        }
    }
    best
}

/// The upsampled pixels of one cell, and one pixel around them.
struct Patch {
    values: [[f32; MAX_FACTOR + 2]; MAX_FACTOR + 2],
}

impl Patch {
    fn around(plane: &Plane<'_>, factor: usize, row: usize, column: usize) -> Self {
        // Pixels beyond the map are below every other, so that they never keep a peak from being one.
        let mut values = [[f32::NEG_INFINITY; MAX_FACTOR + 2]; MAX_FACTOR + 2];
        for (y, values) in values.iter_mut().enumerate().take(factor + 2) {
            let Some(y) = (row * factor + y).checked_sub(1).filter(|y| *y < plane.height() * factor) else { continue };
            let (y0, y1, ty) = taps(y, factor, plane.height());
            let (near, far) = (plane.row(y0), plane.row(y1));
            for (x, value) in values.iter_mut().enumerate().take(factor + 2) {
                let Some(x) = (column * factor + x).checked_sub(1).filter(|x| *x < plane.width() * factor) else {
                    continue;
                };
                let (x0, x1, tx) = taps(x, factor, plane.width());
                *value = blend(blend(near[x0], near[x1], tx), blend(far[x0], far[x1], tx), ty);
            }
        }
        Self { values }
    }

    /// The pixel `(x, y)` of the cell.
    fn at(&self, y: usize, x: usize) -> f32 {
        self.values[y + 1][x + 1]
    }

    /// Whether no neighbour of that pixel is larger. Not "any is larger": a neighbour that is not a number must not
    /// let a pixel pass for a maximum.
    fn is_peak(&self, y: usize, x: usize) -> bool {
        let value = self.at(y, x);
        self.values[y..y + 3].iter().all(|row| row[x..x + 3].iter().all(|neighbour| *neighbour <= value))
    }
}

/// Keeps `peaks` sorted: larger values first, equal ones in reading order.
fn insert<const CAPACITY: usize>(
    peaks: &mut Vec<Peak, CAPACITY>,
    peak: Peak,
    limit: usize,
    width: usize,
    counts: &mut PeakCounts,
) {
    let before = |other: &Peak| {
        other.value > peak.value || (other.value == peak.value && other.y * width + other.x < peak.y * width + peak.x)
    };
    let place = peaks.partition_point(before);
    if peaks.len() == limit {
        counts.over_capacity += 1;
        if place == limit {
            return;
        }
        peaks.pop();
    }
    // Cannot fail: there is room, and the place is within the list.
    let _ = peaks.insert(place, peak);
}
