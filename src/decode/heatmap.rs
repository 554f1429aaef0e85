//! Reading a heatmap as if it had been upsampled four times, without doing so.
//!
//! Upsampling is bilinear with half-pixel centres: pixel `X` of the upsampled axis lies at cell
//! `max((X + 0.5) / 4 - 0.5, 0)`, and the last cell repeats (`docs/algorithms.md`, Conventions).
//! Reading the upsampled map at any position `p` follows a sampling rule, per axis of `n` pixels:
//! `i0 = clamp(floor p, 0, n-1)`, `i1 = min(i0+1, n-1)`, weights `clamp(i1-p, 0, 1)` and `clamp(p-i0, 0, 1)`. It
//! repeats the border on the left, but on the right it drops to 0 at `p = n-1` and rises again until `p = n`.
//!
//! CenterGroup upsamples twice, by the same rule with 2 in place of 4, and reads whole pixels only: [`Double`].

use super::{Map, larger, smaller};
use crate::geometry::Size;

/// Pixels of the upsampled map per cell, on each axis.
pub const UPSAMPLING: usize = 4;

/// Cells that a run of up to 8 positions, one pixel apart, can depend on.
pub const TAPS: usize = 4;

/// How `N` positions on the upsampled axis, one pixel apart, read the cells.
#[derive(Debug, Clone, Copy)]
pub struct Taps<const N: usize> {
    /// The first of [`TAPS`] consecutive cells; those behind the last one have weight 0.
    pub first: usize,
    /// Weight of every cell, for every position.
    pub weights: [[f32; N]; TAPS],
}

/// The cells of a pixel of the upsampled axis of `cells` cells are read off its place between them: 1 at the place,
/// falling to 0 one cell away. All these numbers are multiples of 1/8, hence exact.
#[inline(always)]
fn place(pixel: f32, cells: usize) -> f32 {
    smaller(larger(pixel * 0.25 - 0.375, 0.0), (cells - 1) as f32)
}

/// The pixel that holds a position on an axis of `cells` cells.
#[inline(always)]
fn pixel_of(position: f32, cells: usize) -> f32 {
    let last_pixel = (UPSAMPLING * cells - 1) as f32;
    (smaller(larger(position, 0.0), last_pixel) as i32) as f32
}

/// The first cell that a position reads; it must not be a NaN.
#[inline(always)]
pub(super) fn first_cell(position: f32, cells: usize) -> usize {
    place(pixel_of(position, cells), cells) as usize
}

impl<const N: usize> Taps<N> {
    /// Positions that read nothing.
    pub const NONE: Self = Self { first: 0, weights: [[0.0; N]; TAPS] };

    /// The positions `position + start`, `position + start + 1`, ... (pixels of the upsampled axis) over `cells`
    /// cells. `N` is at most 8; `position` must not be a NaN.
    #[inline(always)]
    pub fn new(position: f32, start: f32, cells: usize) -> Self {
        let last_pixel = (UPSAMPLING * cells - 1) as f32;
        let first = first_cell(position + start, cells);
        let mut taps = Self { first, weights: [[0.0; N]; TAPS] };
        for lane in 0..N {
            let p = position + (start + lane as f32);
            let pixel = pixel_of(p, cells);
            let next = smaller(pixel + 1.0, last_pixel);
            let near = smaller(larger(next - p, 0.0), 1.0);
            let far = smaller(larger(p - pixel, 0.0), 1.0);
            let (place_near, place_far) = (place(pixel, cells), place(next, cells));
            for (tap, weights) in taps.weights.iter_mut().enumerate() {
                let cell = (first + tap) as f32;
                let at_near = larger(1.0 - (place_near - cell).abs(), 0.0);
                let at_far = larger(1.0 - (place_far - cell).abs(), 0.0);
                weights[lane] = near * at_near + far * at_far;
            }
        }
        taps
    }
}

/// The upsampled map's value at `(x, y)`, pixels of the upsampled map; a NaN if a coordinate is not finite.
pub fn sample_upsampled(map: Map<'_>, x: f32, y: f32) -> f32 {
    if !x.is_finite() || !y.is_finite() {
        return f32::NAN;
    }
    let size = map.size();
    let along_x = Taps::<1>::new(x, 0.0, size.width);
    let along_y = Taps::<1>::new(y, 0.0, size.height);
    let mut sum = 0.0;
    for (dy, [weight_y]) in along_y.weights.iter().enumerate() {
        let row = map.row((along_y.first + dy).min(size.height - 1));
        for (dx, [weight_x]) in along_x.weights.iter().enumerate() {
            let weight = weight_y * weight_x;
            // A cell without weight must not count even where it is infinite.
            if weight != 0.0 {
                sum += weight * row[(along_x.first + dx).min(size.width - 1)];
            }
        }
    }
    sum
}

/// The value `fraction` of the way from `near` to `far`, rounded as PyTorch rounds it: `near * (1 - fraction)` is
/// added to the rounded product of the other two in one operation.
#[inline(always)]
pub(super) fn blend(near: f32, far: f32, fraction: f32) -> f32 {
    // The product is exact in f64.
    (f64::from(near) * f64::from(1.0 - fraction) + f64::from(far * fraction)) as f32
}

/// A map as if it had been upsampled twice (CenterGroup 2).
#[derive(Debug, Clone, Copy)]
pub struct Double<'a> {
    map: Map<'a>,
}

impl<'a> Double<'a> {
    /// `map` at twice its size.
    pub fn new(map: Map<'a>) -> Self {
        Self { map }
    }

    /// Size in pixels.
    pub fn size(&self) -> Size {
        let cells = self.map.size();
        Size::new(2 * cells.width, 2 * cells.height)
    }

    /// The value of pixel `(x, y)`, which must be inside.
    #[inline]
    pub fn at(&self, x: usize, y: usize) -> f32 {
        let (cells, [across, down]) = self.cells(x, y);
        blend(blend(cells[0], cells[1], across), blend(cells[2], cells[3], across), down)
    }

    /// An upper bound of the pixel, except for rounding.
    #[inline]
    pub(super) fn bound(&self, x: usize, y: usize) -> f32 {
        let ([a, b, c, d], _) = self.cells(x, y);
        larger(larger(a, b), larger(c, d))
    }

    /// The four cells around a pixel, row by row, and how far it lies towards the second column and row.
    #[inline(always)]
    fn cells(&self, x: usize, y: usize) -> ([f32; 4], [f32; 2]) {
        let size = self.map.size();
        let (left, right, across) = between(x, size.width);
        let (top, bottom, down) = between(y, size.height);
        let (upper, lower) = (self.map.row(top), self.map.row(bottom));
        ([upper[left], upper[right], lower[left], lower[right]], [across, down])
    }
}

/// The four pixels of the cell in the middle of `cells` and the twelve around them, as [`Double::at`] has them, where none of
/// the cells is missing.
#[inline]
pub(super) fn double_around(cells: &[[f32; 3]; 3]) -> [[f32; 4]; 4] {
    const FRACTIONS: [f32; 4] = [0.25, 0.75, 0.25, 0.75];
    // Pixels 0 and 1 lie between the first two cells, 2 and 3 between the last two.
    let along = |line: [f32; 3]| {
        core::array::from_fn::<f32, 4, _>(|pixel| blend(line[pixel / 2], line[pixel / 2 + 1], FRACTIONS[pixel]))
    };
    let rows = cells.map(along);
    core::array::from_fn(|y| core::array::from_fn(|x| blend(rows[y / 2][x], rows[y / 2 + 1][x], FRACTIONS[y])))
}

/// The two of `cells` cells that pixel number `pixel` of twice as many lies between, and how far towards the second.
#[inline(always)]
fn between(pixel: usize, cells: usize) -> (usize, usize, f32) {
    let cell = pixel / 2;
    if pixel % 2 == 1 {
        (cell, (cell + 1).min(cells - 1), 0.25)
    } else if cell > 0 {
        (cell - 1, cell, 0.75)
    } else {
        (0, 0, 0.0)
    }
}

#[cfg(test)]
pub(super) mod dense {
    //! The plain way, to compare with.

    use super::*;
    use crate::decode::Map;
    use std::vec::Vec;

    /// The whole map upsampled by `factor`: its width and its values.
    pub fn upsample(map: Map<'_>, factor: usize) -> (usize, Vec<f32>) {
        let size = map.size();
        let taps = |cells: usize, pixel: usize| {
            let position = ((pixel as f32 + 0.5) / factor as f32 - 0.5).max(0.0);
            let first = position as usize;
            (first, (first + 1).min(cells - 1), position - first as f32)
        };
        let width = factor * size.width;
        let mut values = Vec::new();
        for y in 0..factor * size.height {
            let (top, bottom, down) = taps(size.height, y);
            for x in 0..width {
                let (left, right, across) = taps(size.width, x);
                let upper = blend(map.row(top)[left], map.row(top)[right], across);
                let lower = blend(map.row(bottom)[left], map.row(bottom)[right], across);
                values.push(blend(upper, lower, down));
            }
        }
        (width, values)
    }

    /// The sampling rule, as it is written.
    pub fn sample(width: usize, values: &[f32], x: f32, y: f32) -> f32 {
        let taps = |p: f32, n: usize| {
            let first = p.floor().clamp(0.0, (n - 1) as f32) as usize;
            let second = (first + 1).min(n - 1);
            (first, second, (second as f32 - p).clamp(0.0, 1.0), (p - first as f32).clamp(0.0, 1.0))
        };
        let (x0, x1, wx0, wx1) = taps(x, width);
        let (y0, y1, wy0, wy1) = taps(y, values.len() / width);
        wx0 * wy0 * values[y0 * width + x0]
            + wx1 * wy0 * values[y0 * width + x1]
            + wx0 * wy1 * values[y1 * width + x0]
            + wx1 * wy1 * values[y1 * width + x1]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    #[test]
    fn the_last_pixel_reads_zero_and_recovers() {
        let map = Map::new("map", &[1.0; 6], [2, 3]).unwrap();
        let at = |x| sample_upsampled(map, x, 2.0);
        assert_eq!(at(-7.5), 1.0);
        assert_eq!(at(10.75), 1.0);
        assert_eq!(at(11.0), 0.0);
        assert_eq!(at(11.5), 0.5);
        assert_eq!(at(1e30), 1.0);
        assert!(at(f32::NAN).is_nan() && at(f32::INFINITY).is_nan());
    }

    proptest! {
        #[test]
        fn sampling_equals_upsampling_first(
            (width, height, values) in (1usize..8, 1usize..8).prop_flat_map(|(width, height)| {
                let values = prop::collection::vec(-1.0f32..1.0, width * height);
                (Just(width), Just(height), values)
            }),
            x in prop_oneof![-12.0f32..44.0, (-12i32..44).prop_map(|x| x as f32)],
            y in prop_oneof![-12.0f32..44.0, (-12i32..44).prop_map(|y| y as f32)],
        ) {
            let map = Map::new("map", &values, [height, width]).unwrap();
            let (upsampled_width, upsampled) = dense::upsample(map, UPSAMPLING);
            let expected = dense::sample(upsampled_width, &upsampled, x, y);
            prop_assert!((sample_upsampled(map, x, y) - expected).abs() < 1e-6);
        }

        #[test]
        fn twice_as_large_equals_upsampling_first(
            width in 1usize..8,
            values in prop::collection::vec(-1.0f32..1.0, 1..50),
        ) {
            let height = values.len().div_ceil(width);
            let mut values = values;
            values.resize(width * height, 0.5);
            let map = Map::new("map", &values, [height, width]).unwrap();
            let (large, upsampled) = dense::upsample(map, 2);
            let double = Double::new(map);
            prop_assert_eq!(double.size(), Size::new(2 * width, 2 * height));
            for (index, &expected) in upsampled.iter().enumerate() {
                let (x, y) = (index % large, index / large);
                prop_assert_eq!(double.at(x, y), expected);
                prop_assert!(expected <= double.bound(x, y));
            }
        }

        #[test]
        fn runs_of_eight_equal_single_positions(x in -20.0f32..60.0, cells in 1usize..9) {
            let run = Taps::<8>::new(x, -3.0, cells);
            let line: Vec<f32> = (0..cells).map(|cell| 0.3 + 0.1 * cell as f32 * cell as f32).collect();
            let map = Map::new("map", &line, [1, cells]).unwrap();
            for lane in 0..8 {
                let read: f32 = (0..TAPS)
                    .map(|tap| run.weights[tap][lane] * line[(run.first + tap).min(cells - 1)])
                    .sum();
                let single = sample_upsampled(map, x + (lane as f32 - 3.0), 0.0);
                prop_assert!((read - single).abs() < 2e-6);
            }
        }
    }
}
