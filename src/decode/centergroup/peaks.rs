//! The peaks of one upsampled heatmap, found from its cells.

use fearless_simd::Simd;
use heapless::Vec;

use super::{MAX_TOKENS, Mask, Token};
use crate::decode::heatmap::{Double, double_around};
use crate::decode::peaks::{Peak, Peaks};
use crate::decode::scan::{Place, Survey, Upsampling};
use crate::decode::{Map, larger, smaller};

/// How tokens of one type are chosen.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rule {
    /// A peak is the highest pixel of the window of `2 * radius + 1` a side around it.
    pub radius: usize,
    /// Minimum value of a token.
    pub threshold: f32,
    /// This many best tokens count whatever their value.
    pub least: usize,
    /// One token per plateau; none without a positive value.
    pub collapse: bool,
    /// 1 to [`MAX_TOKENS`].
    pub capacity: usize,
    /// Also list tokens that do not count.
    pub complete: bool,
}

impl Rule {
    /// Whether there is no need to look for tokens that do not count. Without a positive threshold all count; where ties
    /// collapse, later peaks can join some of the best few, and the next take their places.
    fn counted_only(&self) -> bool {
        !self.complete && self.threshold > 0.0 && (self.least == 0 || !self.collapse)
    }

    /// The value from which on a further peak matters; always positive.
    fn bar(&self, peaks: &Peaks<MAX_TOKENS>) -> f32 {
        let counts = match self.least.checked_sub(1) {
            // One below the threshold could still push another out of the list.
            _ if !self.counted_only() => SMALLEST,
            None => self.threshold,
            Some(last) => peaks.list.get(last).map_or(SMALLEST, |peak| smaller(self.threshold, peak.value)),
        };
        larger(peaks.least(), counts)
    }
}

/// The smallest positive value.
const SMALLEST: f32 = f32::from_bits(1);

/// One heatmap at its full size, with the padding.
#[derive(Debug, Clone, Copy)]
struct Pixels<'a> {
    map: Double<'a>,
    mask: Mask<'a>,
    /// Whether no cell is infinite or not a number.
    finite: bool,
}

impl Pixels<'_> {
    /// The value of a pixel; padding is 0.
    fn at(&self, x: usize, y: usize) -> f32 {
        if self.mask.contains(x, y) { self.map.at(x, y) } else { 0.0 }
    }

    /// Whether no pixel of the window around `(x, y)` is higher than `value`, or not a number.
    fn is_highest(&self, x: usize, y: usize, value: f32, radius: usize) -> bool {
        // Nearly all that fail do so by a direct neighbour.
        self.none_higher(x, y, value, 1) && (radius == 1 || self.none_higher(x, y, value, radius))
    }

    fn none_higher(&self, x: usize, y: usize, value: f32, radius: usize) -> bool {
        let size = self.map.size();
        // Blending exceeds the cells by rounding at most. Below 0 the padding counts too, which has no cells.
        let blended_only_above = if self.finite && value > 0.0 { value * (1.0 - 1e-6) } else { f32::NEG_INFINITY };
        for row in y.saturating_sub(radius)..=(y + radius).min(size.height - 1) {
            for column in x.saturating_sub(radius)..=(x + radius).min(size.width - 1) {
                if self.map.bound(column, row) < blended_only_above {
                    continue;
                }
                let other = self.at(column, row);
                if other > value || other.is_nan() {
                    return false;
                }
            }
        }
        true
    }
}

/// Finds the tokens of one heatmap, best first, equal ones in reading order (`docs/algorithms.md`, CenterGroup 3);
/// returns how many cells are not finite.
#[inline(always)]
pub(super) fn find<S: Simd>(
    simd: S,
    map: Map<'_>,
    mask: Mask<'_>,
    rule: Rule,
    tokens: &mut Vec<Token, MAX_TOKENS>,
) -> u32 {
    let survey = Survey::new(simd, map, Upsampling::Double);
    let pixels = Pixels { map: Double::new(map), mask, finite: survey.non_finite == 0 };
    let mut peaks = Peaks::new(rule.capacity, rule.collapse);
    add_positive(simd, &survey, &pixels, rule, &mut peaks);
    tokens.clear();
    tokens.extend(peaks.list.iter().enumerate().map(|(rank, peak)| {
        let (x, y) = peak.middle();
        token(&pixels, rule, rank, Peak::pixel(x, y, peak.value))
    }));
    if !rule.collapse {
        let room = if rule.counted_only() { rule.least } else { rule.capacity };
        fill(&pixels, rule, room, tokens);
    }
    if !rule.complete {
        tokens.truncate(tokens.iter().rposition(|token| token.keep).map_or(0, |last| last + 1));
    }
    survey.non_finite
}

fn token(pixels: &Pixels<'_>, rule: Rule, rank: usize, Peak { value, left: x, top: y, .. }: Peak) -> Token {
    let counts = (value >= rule.threshold || rank < rule.least) && pixels.mask.contains(x as usize, y as usize);
    Token { x, y, score: value, keep: counts }
}

/// Adds all positive peaks that matter.
#[inline(always)]
fn add_positive<S: Simd>(simd: S, survey: &Survey<'_>, pixels: &Pixels<'_>, rule: Rule, peaks: &mut Peaks<MAX_TOKENS>) {
    let is_cut = |columns, row| pixels.mask.has_padding_beside(columns, row);
    survey.scan(simd, rule.bar(peaks), is_cut, |cells, place| {
        if !place.is_at_border() && !is_cut(place.column..place.column + 1, place.row) {
            add_inner(cells, place, pixels, rule, peaks);
            return rule.bar(peaks);
        }
        for y in [2 * place.row, 2 * place.row + 1] {
            for x in [2 * place.column, 2 * place.column + 1] {
                let value = pixels.at(x, y);
                let enters = value >= rule.bar(peaks) && value.is_finite();
                if enters && pixels.is_highest(x, y, value, rule.radius) {
                    peaks.add(x as u32, y as u32, value);
                }
            }
        }
        rule.bar(peaks)
    });
}

/// The same for one cell not next to a border or padding: all pixels that can be a direct neighbour are made at once,
/// and nearly all pixels that are not peaks fail by one of these.
fn add_inner(cells: &[[f32; 3]; 3], place: Place, pixels: &Pixels<'_>, rule: Rule, peaks: &mut Peaks<MAX_TOKENS>) {
    let around = double_around(cells);
    for (dy, dx) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        let value = around[1 + dy][1 + dx];
        let enters = value >= rule.bar(peaks) && value.is_finite();
        // A neighbour that is not a number fails too.
        let is_highest = || around[dy..dy + 3].iter().all(|row| row[dx..dx + 3].iter().all(|&other| other <= value));
        if !enters || !is_highest() {
            continue;
        }
        let (x, y) = (2 * place.column + dx, 2 * place.row + dy);
        if rule.radius == 1 || pixels.none_higher(x, y, value, rule.radius) {
            peaks.add(x as u32, y as u32, value);
        }
    }
}

/// Fills the list up as the reference does: every pixel that is not a peak counts as 0, so the first of these follow, and
/// after them the peaks that are negative, highest first; up to `room` of them all.
fn fill(pixels: &Pixels<'_>, rule: Rule, room: usize, tokens: &mut Vec<Token, MAX_TOKENS>) {
    let size = pixels.map.size();
    let positive = tokens.len();
    for y in 0..size.height {
        for x in 0..size.width {
            if tokens.len() >= room {
                return;
            }
            let value = pixels.at(x, y);
            let known = |token: &Token| (token.x as usize, token.y as usize) == (x, y);
            let peak = if value > 0.0 {
                tokens[..positive].iter().any(known)
            } else {
                value < 0.0 && pixels.is_highest(x, y, value, rule.radius)
            };
            if !peak && !value.is_nan() {
                let zero = token(pixels, rule, tokens.len(), Peak::pixel(x as u32, y as u32, 0.0));
                let _ = tokens.push(zero);
            }
        }
    }
    let mut negative: Peaks<MAX_TOKENS> = Peaks::new(room - tokens.len(), false);
    if negative.capacity == 0 {
        return;
    }
    for y in 0..size.height {
        for x in 0..size.width {
            let value = pixels.at(x, y);
            let enters = value < 0.0 && value.is_finite() && value > negative.least();
            if enters && pixels.is_highest(x, y, value, rule.radius) {
                negative.add(x as u32, y as u32, value);
            }
        }
    }
    for &peak in &negative.list {
        let last = token(pixels, rule, tokens.len(), peak);
        let _ = tokens.push(last);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::heatmap::dense;
    use crate::geometry::Size;
    use crate::vectors::vectors;
    use fearless_simd::dispatch;
    use proptest::prelude::*;
    use std::vec;
    use std::vec::Vec as List;

    const RULE: Rule =
        Rule { radius: 2, threshold: 0.005, least: 3, collapse: false, capacity: MAX_TOKENS, complete: true };

    fn found(map: Map<'_>, mask: Mask<'_>, rule: Rule) -> List<(u32, u32, f32, bool)> {
        let mut tokens = Vec::new();
        dispatch!(vectors(), simd => find(simd, map, mask, rule, &mut tokens));
        tokens.iter().map(|token| (token.x, token.y, token.score, token.keep)).collect()
    }

    /// The plain way: the whole upsampled map, every window's maximum, a stable sort.
    fn plain(map: Map<'_>, mask: Mask<'_>, rule: Rule) -> List<(u32, u32, f32, bool)> {
        let (width, mut values) = dense::upsample(map, 2);
        let height = values.len() / width;
        for (index, value) in values.iter_mut().enumerate() {
            if !mask.contains(index % width, index / width) {
                *value = 0.0;
            }
        }
        let mut survivors: List<_> = (0..values.len())
            .map(|index| {
                let (x, y) = (index % width, index / width);
                let rows = y.saturating_sub(rule.radius)..=(y + rule.radius).min(height - 1);
                let columns = x.saturating_sub(rule.radius)..=(x + rule.radius).min(width - 1);
                let around = |row: usize| &values[row * width..][columns.clone()];
                let highest = rows.flat_map(around).fold(f32::NEG_INFINITY, |highest, &value| highest.max(value));
                let value = values[index];
                (x, y, if value == highest { value } else { 0.0 })
            })
            .collect();
        survivors.sort_by(|a, b| b.2.partial_cmp(&a.2).unwrap());
        let survivors = survivors.into_iter().take(rule.capacity).enumerate();
        survivors
            .map(|(rank, (x, y, value))| {
                let keep = (value >= rule.threshold || rank < rule.least) && mask.contains(x, y);
                (x as u32, y as u32, value, keep)
            })
            .collect()
    }

    /// Maps of all kinds: noise of both signs, few different values and so plateaus, near ties, mostly flat, negative, slopes.
    fn maps(most: usize) -> impl Strategy<Value = (usize, List<f32>)> {
        (1..most, 1..most, 0..7u8).prop_flat_map(|(width, height, kind)| {
            let cell = match kind {
                0 => (-1.0f32..1.0).boxed(),
                1 => (0u8..3).prop_map(|level| 0.3 * f32::from(level)).boxed(),
                2 => (0u8..4).prop_map(|level| 0.7 + 1e-7 * f32::from(level)).boxed(),
                3 => (-1.0f32..0.005).boxed(),
                6 => Just(0.0f32).boxed(),
                4 => prop_oneof![Just(-0.5f32), Just(-0.25f32)].boxed(),
                _ => prop_oneof![9 => Just(0.0f32), 1 => 0.0f32..1.0].boxed(),
            };
            let slope = move |values: List<f32>| -> List<f32> {
                let place = |index: usize| (index % width) as f32 - 0.3 * (index / width) as f32;
                values
                    .iter()
                    .enumerate()
                    .map(|(index, v)| if kind == 6 { 0.5 + 0.01 * place(index) } else { *v })
                    .collect()
            };
            (Just(width), prop::collection::vec(cell, width * height).prop_map(slope))
        })
    }

    /// A mask with some padding, or with none.
    fn padded(padding: Option<u64>, pixels: usize) -> List<u8> {
        let counts = |index: usize| padding.is_none_or(|bits| bits.rotate_left(index as u32 * 7) % 3 != 0);
        (0..pixels).map(|index| u8::from(counts(index))).collect()
    }

    proptest! {
        #[test]
        fn equal_to_the_upsampled_map(
            (width, values) in maps(if cfg!(miri) { 5 } else { 20 }),
            radius in prop_oneof![Just(1usize), Just(2), Just(8)],
            capacity in prop_oneof![3usize..6, Just(MAX_TOKENS)],
            padding in prop_oneof![Just(None), any::<u64>().prop_map(Some)],
        ) {
            let map = Map::new("map", &values, [values.len() / width, width]).unwrap();
            let size = Double::new(map).size();
            let bytes = padded(padding, 4 * values.len());
            let mask = Mask::new(&bytes, size).unwrap();
            let rule = Rule { radius, capacity, ..RULE };
            prop_assert_eq!(found(map, mask, rule), plain(map, mask, rule));
        }

        #[test]
        fn maps_of_many_blocks_too(
            (width, height) in prop_oneof![(1..300usize, 1..9usize), (1..9usize, 200..700usize), (500..700usize, 2..4usize)],
            levels in 2..2000u32,
            seed: u32,
        ) {
            let noise = |index: usize| {
                let mixed = (index as u32 ^ seed).wrapping_mul(0x9E37_79B1);
                ((mixed ^ mixed >> 15).wrapping_mul(0x85EB_CA77) >> 8) % levels
            };
            let values: List<f32> = (0..width * height).map(|index| noise(index) as f32 / levels as f32 - 0.2).collect();
            let map = Map::new("map", &values, [height, width]).unwrap();
            let mask = Mask::all(Double::new(map).size());
            prop_assert_eq!(found(map, mask, RULE), plain(map, mask, RULE));
        }

        #[test]
        fn collapsing_keeps_the_positive_ones((width, values) in maps(if cfg!(miri) { 5 } else { 16 })) {
            let map = Map::new("map", &values, [values.len() / width, width]).unwrap();
            let mask = Mask::all(Double::new(map).size());
            let capacity = MAX_TOKENS;
            let all = plain(map, mask, Rule { capacity: 4 * values.len(), ..RULE });
            let positive: List<_> = all.into_iter().filter(|token| token.2 > 0.0).collect();
            let collapsed = found(map, mask, Rule { collapse: true, capacity, ..RULE });
            prop_assert!(collapsed.len() <= positive.len());
            prop_assert_eq!(collapsed.is_empty(), positive.is_empty());
            prop_assert_eq!(collapsed.first().map(|token| token.2), positive.first().map(|token| token.2));
            for token in &collapsed {
                prop_assert!(positive.iter().any(|other| other.2 == token.2));
            }
        }

        #[test]
        fn those_that_count_are_the_first_of_all(
            (width, values) in maps(if cfg!(miri) { 5 } else { 20 }),
            radius in prop_oneof![Just(2usize), Just(8)],
            threshold in prop_oneof![Just(0.005f32), Just(0.3), Just(0.0), Just(-0.1)],
            least in 0..4usize,
            capacity in prop_oneof![3usize..6, Just(MAX_TOKENS)],
            collapse: bool,
            padding in prop_oneof![Just(None), any::<u64>().prop_map(Some)],
        ) {
            let map = Map::new("map", &values, [values.len() / width, width]).unwrap();
            let size = Double::new(map).size();
            let bytes = padded(padding, 4 * values.len());
            let mask = Mask::new(&bytes, size).unwrap();
            let all = Rule { radius, threshold, least, capacity, collapse, complete: true };
            let mut expected = found(map, mask, all);
            let last = expected.iter().rposition(|token| token.3);
            expected.truncate(last.map_or(0, |last| last + 1));
            prop_assert_eq!(found(map, mask, Rule { complete: false, ..all }), expected);
        }

        #[test]
        fn values_that_are_not_finite_are_never_tokens(
            (width, values) in maps(if cfg!(miri) { 5 } else { 20 }),
            poison in prop::collection::vec((any::<prop::sample::Index>(), 0..3usize), 1..5),
            collapse: bool,
        ) {
            let mut values = values;
            for (place, kind) in poison {
                let index = place.index(values.len());
                values[index] = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY][kind];
            }
            let map = Map::new("map", &values, [values.len() / width, width]).unwrap();
            let mask = Mask::all(Double::new(map).size());
            let mut tokens = Vec::new();
            let rule = Rule { collapse, ..RULE };
            let non_finite = dispatch!(vectors(), simd => find(simd, map, mask, rule, &mut tokens));
            prop_assert_eq!(non_finite as usize, values.iter().filter(|value| !value.is_finite()).count());
            prop_assert!(tokens.iter().all(|token| token.score.is_finite()));
        }
    }

    #[test]
    fn a_plateau_is_one_token_where_ties_collapse() {
        let mut values = [0.0; 64];
        values[3 * 8 + 3] = 0.5;
        values[3 * 8 + 4] = 0.5;
        let map = Map::new("map", &values, [8, 8]).unwrap();
        let mask = Mask::all(Size::new(16, 16));
        let tokens = found(map, mask, RULE);
        // Twice two pixels lie between the two cells, and nowhere is anything else.
        assert_eq!(tokens.len(), MAX_TOKENS);
        assert_eq!(tokens.iter().filter(|token| token.2 > 0.0).count(), 4);
        assert_eq!(tokens.iter().filter(|token| token.3).count(), 4);
        let tokens = found(map, mask, Rule { collapse: true, ..RULE });
        assert_eq!(tokens, [(7, 6, 0.5 * 0.75, true)]);
    }

    #[test]
    fn parts_of_a_plateau_that_meet_late_are_one() {
        // Two columns, then the pixel that joins their lower ends.
        let mut peaks: Peaks<4> = Peaks::new(4, true);
        for (x, y) in [(0, 0), (2, 0), (0, 1), (2, 1), (1, 2)] {
            peaks.add(x, y, 0.5);
        }
        assert_eq!((peaks.found, peaks.list.len(), peaks.list[0].middle()), (1, 1, (1, 1)));
    }

    #[test]
    fn a_slope_that_padding_cuts_has_a_peak() {
        let values: List<f32> =
            (0..64).map(|index| 0.1 + 0.1 * (index % 8) as f32 + 0.01 * (index / 8) as f32).collect();
        let map = Map::new("map", &values, [8, 8]).unwrap();
        let size = Size::new(16, 16);
        let padding: List<u8> = (0..256).map(|index| u8::from(index % 16 < 11 && index / 16 > 2)).collect();
        let mask = Mask::new(&padding, size).unwrap();
        let tokens = found(map, mask, RULE);
        assert_eq!((tokens[0].0, tokens[0].1), (10, 15));
        assert_eq!(tokens, plain(map, mask, RULE));
    }

    #[test]
    fn padding_only_keeps_nothing() {
        let values = vec![0.5; 64];
        let map = Map::new("map", &values, [8, 8]).unwrap();
        let padding = [0; 256];
        let mask = Mask::new(&padding, Size::new(16, 16)).unwrap();
        let tokens = found(map, mask, RULE);
        assert_eq!(tokens.len(), MAX_TOKENS);
        assert!(tokens.iter().all(|token| !token.3 && token.2 == 0.0));
        assert!(found(map, mask, Rule { collapse: true, ..RULE }).is_empty());
    }
}
