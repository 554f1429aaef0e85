//! Person centres: the local maxima of the upsampled centre map, found from its cells.

use fearless_simd::Simd;
use heapless::Vec;

use super::MAX_CENTERS;
use crate::decode::Map;
use crate::decode::heatmap::{UPSAMPLING, blend};
use crate::decode::peaks::Peaks;
use crate::decode::scan::{Place, Survey, Upsampling};

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

/// Result of a search for centres, apart from the centres.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Detections {
    /// Maxima that reach the threshold, or plateaus of them; may exceed the number of centres.
    pub peaks: u32,
    /// Whether the best maximum was taken although it does not reach the threshold.
    pub fallback: bool,
    /// Cells that are not finite.
    pub non_finite: u32,
}

/// How centres are chosen.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rule {
    /// Positive.
    pub threshold: f32,
    /// Take the best centre if none reaches the threshold.
    pub fallback: bool,
    /// One centre per plateau: the middle of its bounding box. None where a slope runs into the border.
    pub collapse: bool,
    /// 1 to [`MAX_CENTERS`].
    pub capacity: usize,
}

/// The pixels of the upsampled map that no neighbour of theirs exceeds, and that are not negative: the best of those
/// that reach the threshold (`docs/algorithms.md`, LOGO-CAP 1). Best first; equal ones in reading order.
#[inline(always)]
pub(super) fn find<S: Simd>(simd: S, map: Map<'_>, rule: Rule, centers: &mut Vec<Center, MAX_CENTERS>) -> Detections {
    let survey = Survey::new(simd, map, Upsampling::Fourfold);
    let mut peaks = Peaks::new(rule.capacity, rule.collapse);
    scan(simd, &survey, rule.threshold, &mut peaks);
    let found = peaks.found;
    let fallback = found == 0 && rule.fallback;
    if fallback {
        peaks.capacity = 1;
        scan(simd, &survey, f32::from_bits(1), &mut peaks);
        if peaks.list.is_empty() {
            // Nothing is positive: the first pixel, like all others, counts as 0.
            peaks.add(0, 0, 0.0);
        }
    }
    centers.clear();
    centers.extend(peaks.list.iter().map(|peak| {
        let (x, y) = peak.middle();
        Center { x: x as f32, y: y as f32, value: peak.value }
    }));
    Detections { peaks: found, fallback, non_finite: survey.non_finite }
}

/// Adds every maximum that reaches `threshold`, which must be positive.
#[inline(always)]
fn scan<S: Simd>(simd: S, survey: &Survey<'_>, threshold: f32, peaks: &mut Peaks<MAX_CENTERS>) {
    let visit = |cells: &[[f32; 3]; 3], place| {
        add_maxima(cells, place, threshold, peaks);
        // All of them are counted, so the bar stays.
        threshold
    };
    survey.scan(simd, threshold, |_, _| false, visit);
}

/// Upsamples one cell and compares its 4x4 pixels with their neighbours.
fn add_maxima(cells: &[[f32; 3]; 3], place: Place, threshold: f32, peaks: &mut Peaks<MAX_CENTERS>) {
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
    // At a border two pixels repeat the cell's value. Where ties collapse, the outer one must also hold its own against
    // what lies beyond the inner one: a slope that runs into the border is not a maximum.
    let reach = |pixel: usize, first: bool, last: bool| {
        let start = pixel - 1 - usize::from(peaks.collapse && last && pixel == 4);
        let end = pixel + 1 + usize::from(peaks.collapse && first && pixel == 1);
        start..=end
    };
    let reach_x = [1, 2, 3, 4].map(|x| reach(x, place.left, place.right));
    let reach_y = [1, 2, 3, 4].map(|y| reach(y, place.top, place.bottom));
    for y in 1..5 {
        for x in 1..5 {
            let value = pixels[y][x];
            if !(value >= threshold && value.is_finite()) {
                continue;
            }
            // A neighbour that is not a number rules the pixel out too.
            let mut highest = true;
            for row in &pixels[reach_y[y - 1].clone()] {
                for &neighbour in &row[reach_x[x - 1].clone()] {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::heatmap::dense;
    use crate::vectors::vectors;
    use fearless_simd::dispatch;
    use proptest::prelude::*;
    use std::vec::Vec as List;

    const RULE: Rule = Rule { threshold: 0.01, fallback: true, collapse: false, capacity: MAX_CENTERS };

    fn found(map: Map<'_>, rule: Rule) -> (Detections, List<(f32, f32, f32)>) {
        let mut centers = Vec::new();
        let found = dispatch!(vectors(), simd => find(simd, map, rule, &mut centers));
        (found, centers.iter().map(|center| (center.x, center.y, center.value)).collect())
    }

    /// The plain way: the whole upsampled map, every pixel compared with its neighbours, a stable sort.
    fn plain(map: Map<'_>, rule: Rule) -> List<(f32, f32, f32)> {
        let (width, values) = dense::upsample(map, UPSAMPLING);
        let height = values.len() / width;
        let mut survivors: List<_> = (0..values.len())
            .map(|index| {
                let (x, y) = (index % width, index / width);
                let rows = y.saturating_sub(1)..=(y + 1).min(height - 1);
                let around = |row: usize| &values[row * width..][x.saturating_sub(1)..=(x + 1).min(width - 1)];
                let highest = rows.flat_map(around).fold(0.0f32, |highest, &value| highest.max(value));
                let value = values[index];
                (x as f32, y as f32, if value == highest { value } else { 0.0 })
            })
            .collect();
        survivors.sort_by(|a, b| b.2.total_cmp(&a.2));
        let count = survivors.iter().take(rule.capacity).filter(|center| center.2 >= rule.threshold).count();
        survivors.truncate(if rule.fallback { count.max(1) } else { count });
        survivors
    }

    /// Maps of all kinds: noise of both signs, few different values and so plateaus, smooth hills, near ties.
    fn maps(most: usize) -> impl Strategy<Value = (usize, List<f32>)> {
        (1..most, 1..most, 0..5u8).prop_flat_map(|(width, height, kind)| {
            let cell = match kind {
                0 => (-1.0f32..1.0).boxed(),
                1 => (0u8..3).prop_map(|level| 0.3 * f32::from(level)).boxed(),
                2 => (0u8..4).prop_map(|level| 0.7 + 1e-7 * f32::from(level)).boxed(),
                3 => (-1.0f32..0.005).boxed(),
                _ => prop_oneof![9 => Just(0.0f32), 1 => 0.0f32..1.0].boxed(),
            };
            (Just(width), prop::collection::vec(cell, width * height))
        })
    }

    proptest! {
        #[test]
        fn equal_to_the_upsampled_map(
            (width, values) in maps(if cfg!(miri) { 6 } else { 24 }),
            fallback: bool,
            capacity in prop_oneof![1usize..4, Just(MAX_CENTERS)],
        ) {
            let map = Map::new("map", &values, [values.len() / width, width]).unwrap();
            let rule = Rule { fallback, capacity, ..RULE };
            let (found, centers) = found(map, rule);
            prop_assert_eq!(&centers, &plain(map, rule));
            prop_assert_eq!(found.fallback, fallback && found.peaks == 0);
        }

        #[test]
        fn smooth_hills_are_found(
            width in 1usize..80,
            height in 1usize..8,
            hills in prop::collection::vec((0.0f32..80.0, 0.0f32..8.0, 0.5f32..4.0, 0.1f32..1.0), 1..6),
        ) {
            let (width, height) = if cfg!(miri) { (width.min(36), height.min(2)) } else { (width, height) };
            let values: List<f32> = (0..width * height).map(|index| {
                let (column, row) = ((index % width) as f32, (index / width) as f32);
                hills.iter().map(|&(x, y, sigma, peak)| {
                    let squared = (column - x) * (column - x) + (row - y) * (row - y);
                    peak * (-squared / (2.0 * sigma * sigma)).exp()
                }).fold(0.0, f32::max)
            }).collect();
            let map = Map::new("map", &values, [height, width]).unwrap();
            prop_assert_eq!(found(map, RULE).1, plain(map, RULE));
        }

        #[test]
        fn values_that_are_not_finite_are_never_centers(
            (width, values) in maps(if cfg!(miri) { 5 } else { 40 }),
            poison in prop::collection::vec((any::<prop::sample::Index>(), 0..3usize), 1..5),
        ) {
            let mut values = values;
            for (place, kind) in poison {
                let index = place.index(values.len());
                values[index] = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY][kind];
            }
            let map = Map::new("map", &values, [values.len() / width, width]).unwrap();
            let (found, centers) = found(map, RULE);
            prop_assert_eq!(found.non_finite as usize, values.iter().filter(|value| !value.is_finite()).count());
            prop_assert!(centers.iter().all(|center| center.2.is_finite()));
        }
    }

    #[test]
    fn a_border_makes_two_of_one_and_collapsing_one_again() {
        let mut values = [0.0; 48];
        // The first column of 6 rows by 8 columns, and a plateau of two cells.
        values[2 * 8] = 0.5;
        values[4 * 8 + 4] = 0.4;
        values[4 * 8 + 5] = 0.4;
        let map = Map::new("map", &values, [6, 8]).unwrap();
        let (tied, centers) = found(map, RULE);
        assert_eq!(tied.peaks as usize, centers.len());
        assert_eq!(
            centers[..2].iter().map(|center| (center.0, center.1)).collect::<List<_>>(),
            [(0.0, 9.0), (1.0, 9.0)]
        );
        assert_eq!(centers, plain(map, RULE));
        let (collapsed, centers) = found(map, Rule { collapse: true, ..RULE });
        assert_eq!(collapsed.peaks, 2);
        assert_eq!((centers[0].0, centers[0].1), (0.0, 9.0));
        // The plateau's middle lies between the middles of its two cells, 17.5 and 21.5.
        assert_eq!((centers[1].0, centers[1].1), (19.0, 17.0));
    }

    #[test]
    fn a_slope_that_runs_into_the_border_is_no_plateau() {
        let values: List<f32> =
            (0..48).map(|index| 0.5 - 0.1 * (index / 8) as f32 - 0.01 * (index % 8) as f32).collect();
        let map = Map::new("map", &values, [6, 8]).unwrap();
        assert_eq!(found(map, RULE).1, plain(map, RULE));
        assert!(found(map, RULE).1.len() > 1);
        assert_eq!(found(map, Rule { collapse: true, ..RULE }).1, [(0.0, 0.0, 0.5)]);
        let values: List<f32> = values.into_iter().rev().collect();
        let map = Map::new("map", &values, [6, 8]).unwrap();
        let (_, centers) = found(map, Rule { collapse: true, ..RULE });
        assert_eq!(centers.len(), 1);
        assert!(centers[0].0 >= 30.0 && centers[0].1 >= 22.0);
    }

    #[test]
    fn a_flat_map_is_one_plateau() {
        let values = [0.25; 40];
        let map = Map::new("map", &values, [4, 10]).unwrap();
        let (found, centers) = found(map, Rule { collapse: true, ..RULE });
        assert_eq!((found.peaks, centers.len()), (1, 1));
        assert_eq!(centers[0], (19.0, 7.0, 0.25));
    }

    #[test]
    fn too_many_are_counted() {
        let values: List<f32> =
            (0..100).map(|index| if index % 3 == 1 { 0.1 + 0.001 * index as f32 } else { 0.0 }).collect();
        let map = Map::new("map", &values, [1, 100]).unwrap();
        let (found, centers) = found(map, Rule { capacity: 5, collapse: true, ..RULE });
        assert_eq!(found.peaks, 33);
        let values: List<f32> = centers.iter().map(|center| center.2).collect();
        assert_eq!(values.len(), 5);
        assert!(values.is_sorted_by(|a, b| a >= b));
    }
}
