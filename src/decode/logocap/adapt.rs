//! Local-global adaptation: the two best cells of a window convolved by an attraction map.
//!
//! The cells of a tile are bounded before any of them is computed ([`super::bounds`]). The window is therefore searched in
//! tiles, best bound first, and a tile is computed only if its bound reaches the second best cell so far. The result equals that of the dense convolution, ties included: every cell is summed in the same order
//! wherever it lies, and bounds are widened by what rounding can do.

use fearless_simd::f32x8;
use fearless_simd::prelude::*;
use heapless::Vec;

use super::bounds::{self, Masses};
use super::window::{KERNEL, MAX_TILES, Prior, REACH, TILE, Window};
use crate::decode::{load, maximum, run};

/// Rows of a tile that are computed together.
const BAND: usize = 4;
/// Bands of kernel rows.
const KERNEL_BANDS: usize = KERNEL.div_ceil(BAND);
/// Rows of the window that a band of cells and a band of kernel rows share.
const SHARED: usize = 2 * BAND - 1;

/// An attraction map, clamped to 0..1, divided, and turned round so that correlating by it convolves.
#[derive(Debug, Clone)]
pub(super) struct Kernel {
    weights: [[f32; KERNEL]; KERNEL],
    /// Sums over the columns of each band of rows.
    bands: [[f32; KERNEL]; KERNEL_BANDS],
    masses: Masses,
    /// Sum of all weights; none of them is negative.
    pub sum: f32,
}

impl Kernel {
    /// From a raw attraction map of `(2 * radius + 1)^2` values, row by row, all finite; `radius` at most [`REACH`].
    #[inline(always)]
    pub fn new(raw: &[f32], radius: usize, divisor: f32) -> Self {
        let side = 2 * radius + 1;
        let mut weights = [[0.0; KERNEL]; KERNEL];
        let rows = weights[REACH - radius..].iter_mut().rev();
        for (target, source) in rows.skip(REACH - radius).zip(raw.chunks_exact(side)) {
            for (weight, &value) in target[REACH - radius..][..side].iter_mut().rev().zip(source) {
                *weight = value.clamp(0.0, 1.0) / divisor;
            }
        }
        let mut bands = [[0.0; KERNEL]; KERNEL_BANDS];
        for (row, weights) in weights.iter().enumerate() {
            for (sum, weight) in bands[row / BAND].iter_mut().zip(weights) {
                *sum += weight;
            }
        }
        Self { weights, bands, masses: bounds::masses(&weights), sum: bands.iter().flatten().sum() }
    }
}

/// A cell of the refined window.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Cell {
    pub value: f32,
    pub column: u32,
    pub row: u32,
}

impl Cell {
    /// Higher values first, then reading order.
    fn precedes(&self, other: &Self) -> bool {
        self.value > other.value || (self.value == other.value && (self.row, self.column) < (other.row, other.column))
    }
}

/// The best and the second best cell.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Best {
    pub first: Cell,
    pub second: Cell,
}

impl Best {
    fn add(&mut self, cell: Cell) {
        if cell.precedes(&self.first) {
            self.second = self.first;
            self.first = cell;
        } else if cell.precedes(&self.second) {
            self.second = cell;
        }
    }
}

/// How far rounding can lift a computed cell above a computed bound, relative to the bound's terms.
///
/// With `M` the values that the bound assumes, a cell is no larger than the sum of its 121 products of `M`, because
/// rounding keeps order. That sum is off by 122 roundings of 2^-24 at most, the bound by 50.
const ROUNDING: f32 = 2e-5;

/// The two best cells of the refined window among those above `least`, if there are two.
#[inline(always)]
pub(super) fn best_above<S: Simd>(
    simd: S,
    least: f32,
    window: &mut Window,
    prior: &Prior,
    kernel: &Kernel,
) -> Option<Best> {
    // No cell of a value of `least` precedes these.
    let nowhere = Cell { value: least, column: 0, row: 0 };
    let mut search = Search { simd, best: Best { first: nowhere, second: nowhere }, window, prior, kernel };
    let mut bounds = bounds::of_tiles(simd, search.window, prior, &kernel.masses);
    // The tile of the highest bound first: what it holds rules most others out.
    let mut first = (0, 0);
    let mut highest = f32::NEG_INFINITY;
    for (y, bounds) in bounds.iter().enumerate().take(prior.tiles) {
        for (x, &bound) in bounds.iter().enumerate().take(prior.tiles) {
            if bound > highest {
                (highest, first) = (bound, (x, y));
            }
        }
    }
    search.tile(first.0, first.1);
    // It is done.
    bounds[first.1][first.0] = f32::NEG_INFINITY;
    let mut left: Vec<Tile, { MAX_TILES * MAX_TILES }> = Vec::new();
    for (y, bounds) in bounds.iter().enumerate().take(prior.tiles) {
        for (x, &bound) in bounds.iter().enumerate().take(prior.tiles) {
            if bound > least && search.is_within_reach(bound) {
                // There is room for all tiles.
                let _ = left.push(Tile { bound, x, y });
            }
        }
    }
    left.sort_unstable_by(|a, b| b.bound.total_cmp(&a.bound));
    for tile in &left {
        if search.is_within_reach(tile.bound) {
            search.tile(tile.x, tile.y);
        }
    }
    (search.best.second.value > least).then_some(search.best)
}

/// A tile that may hold one of the two best cells.
#[derive(Debug, Clone, Copy)]
struct Tile {
    bound: f32,
    x: usize,
    y: usize,
}

/// A search under way.
#[derive(Debug)]
struct Search<'a, S> {
    simd: S,
    best: Best,
    window: &'a mut Window,
    prior: &'a Prior,
    kernel: &'a Kernel,
}

impl<S: Simd> Search<'_, S> {
    /// Whether a cell with this bound can be among the best.
    #[inline(always)]
    fn is_within_reach(&self, bound: f32) -> bool {
        bound * (1.0 + ROUNDING) >= self.best.second.value
    }

    /// Adds the cells of a tile that can be among the best.
    ///
    /// It is the one large part that is called from two places: hence a function of its own, for the same vectors.
    fn tile(&mut self, tile_x: usize, tile_y: usize) {
        let simd = self.simd;
        simd.vectorize(
            #[inline(always)]
            || self.look_at(tile_x, tile_y),
        );
    }

    #[inline(always)]
    fn look_at(&mut self, tile_x: usize, tile_y: usize) {
        self.window.fill_around(self.simd, self.prior, tile_x, tile_y);
        let bounds = band_bounds(self.simd, self.window, self.kernel, tile_x, tile_y);
        for (band, bound) in bounds.into_iter().enumerate() {
            if bound >= self.best.second.value {
                let row = TILE * tile_y + BAND * band;
                let cells = convolve(self.simd, self.window, self.kernel, tile_x, row);
                self.add(&cells, TILE * tile_x, row);
            }
        }
    }

    /// Adds those of `cells` that lie within the window.
    #[inline(always)]
    fn add(&mut self, cells: &[[f32; TILE]; BAND], column: usize, row: usize) {
        if maximum(cells) < self.best.second.value {
            return;
        }
        let side = self.prior.side;
        for (dy, values) in cells.iter().enumerate().take(side.saturating_sub(row)) {
            for (dx, &value) in values.iter().enumerate().take(side - column) {
                self.best.add(Cell { value, column: (column + dx) as u32, row: (row + dy) as u32 });
            }
        }
    }
}

/// Upper bounds of the cells of both bands of a tile, rounding included.
///
/// Per column and band of kernel rows, the kernel's column sum times the largest of the window's values that it meets.
#[inline(always)]
fn band_bounds<S: Simd>(simd: S, window: &Window, kernel: &Kernel, tile_x: usize, tile_y: usize) -> [f32; TILE / BAND] {
    const ROWS: usize = TILE + 2 * REACH;
    const COLUMNS: usize = 3 * TILE;
    let rows = window.rows::<{ ROWS }>(TILE * (tile_y + 1) - REACH);
    let mut columns = [[f32::NEG_INFINITY; COLUMNS]; TILE / BAND + KERNEL_BANDS - 1];
    for (band, columns) in columns.iter_mut().enumerate() {
        for (part, columns) in columns.as_chunks_mut::<TILE>().0.iter_mut().enumerate() {
            let column = TILE * (tile_x + part);
            let shared = rows.iter().skip(BAND * band).take(SHARED);
            let highest =
                shared.fold(f32x8::splat(simd, f32::NEG_INFINITY), |highest, row| highest.max(load(simd, row, column)));
            *columns = highest.to_array();
        }
    }
    let mut bounds = [0.0; TILE / BAND];
    for (band, bound) in bounds.iter_mut().enumerate() {
        let mut sum = f32x8::splat(simd, 0.0);
        let mut magnitude = f32x8::splat(simd, 0.0);
        for (weights, highest) in kernel.bands.iter().zip(&columns[band..]) {
            for (tap, &weight) in weights.iter().enumerate() {
                sum = load(simd, highest, TILE - REACH + tap).mul_add(weight, sum);
            }
            for highest in highest.as_chunks::<TILE>().0 {
                magnitude = magnitude.max(f32x8::load_array_ref(simd, highest).abs());
            }
        }
        *bound = maximum(&[sum.to_array()]) + ROUNDING * kernel.sum * maximum(&[magnitude.to_array()]);
    }
    bounds
}

/// The cells of one band of a tile, from window row `row` on.
#[inline(always)]
fn convolve<S: Simd>(simd: S, window: &Window, kernel: &Kernel, tile_x: usize, row: usize) -> [[f32; TILE]; BAND] {
    const ROWS: usize = BAND + 2 * REACH;
    const COLUMNS: usize = TILE + 2 * REACH;
    let rows = window.rows::<{ ROWS }>(row + TILE - REACH);
    let mut sums = [f32x8::splat(simd, 0.0); BAND];
    for (shift, weights) in kernel.weights.iter().enumerate() {
        let near: [&[f32; COLUMNS]; BAND] =
            core::array::from_fn(|band| run(&rows[shift + band], TILE * (tile_x + 1) - REACH));
        for (tap, &weight) in weights.iter().enumerate() {
            let weight = f32x8::splat(simd, weight);
            for (sum, near) in sums.iter_mut().zip(near) {
                *sum = weight.mul_add(load(simd, near, tap), *sum);
            }
        }
    }
    sums.map(|sum| sum.to_array())
}

/// The clamped attraction map's best cell: its value, column and row; the first on ties.
pub(super) fn best_of_kernel(raw: &[f32], radius: usize) -> Cell {
    let side = 2 * radius + 1;
    let mut best = Cell { value: f32::NEG_INFINITY, column: 0, row: 0 };
    for (row, values) in raw.chunks_exact(side).enumerate() {
        for (column, &value) in values.iter().enumerate() {
            let value = value.clamp(0.0, 1.0);
            if value > best.value {
                best = Cell { value, column: column as u32, row: row as u32 };
            }
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::super::MAX_WINDOW_RADIUS;
    use super::*;
    use crate::decode::Map;
    use crate::decode::heatmap::dense;
    use crate::vectors::vectors;
    use fearless_simd::{Level, dispatch};
    use proptest::prelude::*;
    use std::boxed::Box;
    use std::vec::Vec as List;

    /// Every cell, without any bound.
    fn best_of_all<S: Simd>(simd: S, window: &mut Window, prior: &Prior, kernel: &Kernel) -> Best {
        let nowhere = Cell { value: f32::NEG_INFINITY, column: 0, row: 0 };
        let mut search = Search { simd, best: Best { first: nowhere, second: nowhere }, window, prior, kernel };
        for tile_y in 0..prior.tiles {
            for tile_x in 0..prior.tiles {
                search.window.fill_around(simd, prior, tile_x, tile_y);
                for row in [TILE * tile_y, TILE * tile_y + BAND] {
                    let cells = convolve(simd, search.window, kernel, tile_x, row);
                    search.add(&cells, TILE * tile_x, row);
                }
            }
        }
        search.best
    }

    /// The refined window the plain way: sampled from the upsampled map, times the prior, convolved.
    fn plain(map: Map<'_>, (x, y): (f32, f32), radius: usize, sigma: f32, raw: &[f32], reach: usize) -> List<f32> {
        let (width, upsampled) = dense::upsample(map, 4);
        let side = 2 * radius + 1;
        let center = |position: usize| position as f32 - radius as f32;
        let window: List<f32> = (0..side * side)
            .map(|index| {
                let (dx, dy) = (center(index % side), center(index / side));
                let prior = (-(dx * dx + dy * dy) / (2.0 * sigma * sigma)).exp();
                dense::sample(width, &upsampled, x + dx, y + dy) * prior
            })
            .collect();
        let mesh = 2 * reach + 1;
        let mut refined = List::new();
        for row in 0..side {
            for column in 0..side {
                let mut sum = 0.0f64;
                for (index, value) in raw.iter().enumerate() {
                    let (from_x, from_y) = (column + reach, row + reach);
                    let (Some(from_x), Some(from_y)) =
                        (from_x.checked_sub(index % mesh), from_y.checked_sub(index / mesh))
                    else {
                        continue;
                    };
                    if from_x < side && from_y < side {
                        sum += f64::from(value.clamp(0.0, 1.0)) / 121.0 * f64::from(window[from_y * side + from_x]);
                    }
                }
                refined.push(sum as f32);
            }
        }
        refined
    }

    #[derive(Debug, Clone)]
    struct Case {
        width: usize,
        values: List<f32>,
        center: (f32, f32),
        radius: usize,
        reach: usize,
        raw: List<f32>,
    }

    /// Cells of a heatmap: noise, few different values, all negative, mostly zero, flat.
    fn cells() -> impl Strategy<Value = BoxedStrategy<f32>> {
        prop_oneof![
            Just((-1.0f32..1.0).boxed()),
            Just((0u8..3).prop_map(|level| 0.5 * f32::from(level)).boxed()),
            Just((-1.0f32..-0.1).boxed()),
            Just(prop_oneof![30 => Just(0.0f32), 1 => 0.0f32..1.0].boxed()),
            Just(Just(0.25f32).boxed()),
        ]
    }

    /// Raw values of an attraction map: beyond 0..1 on both sides, flat, mostly nothing, small.
    fn attractions() -> impl Strategy<Value = BoxedStrategy<f32>> {
        prop_oneof![
            Just((-0.5f32..1.5).boxed()),
            Just(Just(1.0f32).boxed()),
            Just(prop_oneof![60 => Just(-0.1f32), 1 => 0.0f32..2.0].boxed()),
            Just((0.0f32..0.1).boxed()),
        ]
    }

    fn cases() -> impl Strategy<Value = Case> {
        let (side, radius, reach) = if cfg!(miri) { (4usize, 5, 1) } else { (30, MAX_WINDOW_RADIUS, REACH) };
        (cells(), attractions(), 1..side, 1..side, 3..=radius, 1..=reach).prop_flat_map(
            |(cells, attractions, width, height, radius, reach)| {
                let place = |cells: usize| {
                    let end = 4.0 * cells as f32 + 20.0;
                    prop_oneof![-20.0..end, (-20.0..end).prop_map(f32::round)]
                };
                let mesh = (2 * reach + 1) * (2 * reach + 1);
                (
                    prop::collection::vec(cells, width * height),
                    prop::collection::vec(attractions, mesh),
                    (place(width), place(height)),
                )
                    .prop_map(move |(values, raw, center)| Case {
                        width,
                        values,
                        center,
                        radius,
                        reach,
                        raw,
                    })
            },
        )
    }

    proptest! {
        #[test]
        fn bounded_equals_dense_and_dense_equals_plain(case in cases()) {
            let map = Map::new("map", &case.values, [case.values.len() / case.width, case.width]).unwrap();
            let sigma = case.radius as f32 / 3.0;
            let prior = Prior::new(case.radius, sigma);
            let kernel = Kernel::new(&case.raw, case.reach, 121.0);
            let mut window = Box::new(Window::EMPTY);
            let extent = window.place(&prior, map, case.center.0, case.center.1);
            prop_assert!(extent.finite);
            let mut narrow = None;
            for level in [Level::baseline(), vectors()] {
                window.place(&prior, map, case.center.0, case.center.1);
                let bounded =
                    dispatch!(level, simd => best_above(simd, f32::NEG_INFINITY, &mut window, &prior, &kernel));
                window.place(&prior, map, case.center.0, case.center.1);
                let dense = dispatch!(level, simd => best_of_all(simd, &mut window, &prior, &kernel));
                prop_assert_eq!(bounded, Some(dense), "{:?}", level);

                let positive = dispatch!(level, simd => best_above(simd, 0.0, &mut window, &prior, &kernel));
                prop_assert_eq!(positive, Some(dense).filter(|best| best.second.value > 0.0), "{:?}", level);
                narrow.get_or_insert(dense);
            }
            let dense = narrow.expect("one level at least");

            let plain = plain(map, case.center, case.radius, sigma, &case.raw, case.reach);
            let at = |cell: Cell| plain[cell.row as usize * prior.side + cell.column as usize];
            let mut sorted = plain.clone();
            sorted.sort_by(|a, b| b.total_cmp(a));
            for (cell, expected) in [(dense.first, sorted[0]), (dense.second, sorted[1])] {
                prop_assert!((cell.value - at(cell)).abs() <= 2e-6, "{cell:?}, plainly {}", at(cell));
                prop_assert!((cell.value - expected).abs() <= 2e-6, "{cell:?}, best {expected}");
            }
        }

        #[test]
        fn kernels_are_turned_round(reach in 1..=REACH, tap in any::<prop::sample::Index>()) {
            let side = 2 * reach + 1;
            let mut raw = std::vec![-0.5; side * side];
            let index = tap.index(raw.len());
            raw[index] = 2.0;
            let kernel = Kernel::new(&raw, reach, 4.0);
            prop_assert_eq!(kernel.sum, 0.25);
            let (row, column) = (index / side, index % side);
            prop_assert_eq!(kernel.weights[REACH + reach - row][REACH + reach - column], 0.25);
            let best = best_of_kernel(&raw, reach);
            prop_assert_eq!((best.value, best.row as usize, best.column as usize), (1.0, row, column));
        }
    }

    #[test]
    fn most_of_a_window_is_left_alone() {
        let hill = |index: usize| {
            let (dx, dy) = ((index % 40) as f32 - 20.3, (index / 40) as f32 - 18.8);
            (-(dx * dx + dy * dy) / 8.0).exp()
        };
        let values: List<f32> = (0..1600).map(hill).collect();
        let map = Map::new("map", &values, [40, 40]).unwrap();
        let prior = Prior::new(MAX_WINDOW_RADIUS, 16.0);
        let kernel = Kernel::new(&[0.5; 121], REACH, 121.0);
        let mut window = Box::new(Window::EMPTY);
        window.place(&prior, map, 84.0, 74.0);
        dispatch!(vectors(), simd => best_above(simd, f32::NEG_INFINITY, &mut window, &prior, &kernel)).unwrap();
        let computed = window.computed_tiles();
        assert!(computed <= 49, "{computed} of {} tiles", MAX_TILES * MAX_TILES);
    }
}
