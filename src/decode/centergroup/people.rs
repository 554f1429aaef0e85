//! From the grouping network's outputs to people: the token of each keypoint, its certainty, its exact place.

use wide::f32x8;

use super::{Config, MAX_TOKENS, MAX_TYPES, TieRule, Token};
use crate::decode::heatmap::Double;
use crate::decode::{larger, maximum, smaller, square_root};
use crate::pose::{MAX_KEYPOINTS, Pose};

/// Tokens at most this far apart, as a fraction of the person's size, show the same keypoint; minimum size of a person, network
/// pixels; logits this far below the largest have no weight.
const SAME_PLACE: f32 = 0.08;
const SMALLEST: f32 = 12.0;
const NOTHING: f32 = 20.0;

/// Two weights are equal after softmax in `f32` if the logits differ by at most this: `exp` of less rounds to 1.
const TIE: f32 = 1.0 / 33_554_432.0;

/// Where the keypoint lies that `logits`, `[keypoints * k]`, point to (eq. 13, CenterGroup 5): network pixels. `None` if
/// that is undefined, or they point to a token that does not count.
pub(super) fn assign<'a>(
    logits: &[f32],
    k: usize,
    tokens: impl Fn(usize) -> &'a [Token],
    rule: TieRule,
) -> Option<[f32; 2]> {
    let (runs, rest) = logits.as_chunks::<8>();
    let largest = rest.iter().copied().fold(maximum(runs), larger);
    if !largest.is_finite() {
        return None;
    }
    let mut count = 0;
    let (mut x, mut y) = (0, 0);
    let mut best: Option<Token> = None;
    for (index, &logit) in logits.iter().enumerate() {
        if largest - logit > TIE {
            continue;
        }
        // A logit that is not a number comes here too.
        let token = *tokens(index / k).get(index % k).filter(|token| token.keep && !logit.is_nan())?;
        count += 1;
        x += token.x;
        y += token.y;
        if best.is_none_or(|best| token.score > best.score) {
            best = Some(token);
        }
    }
    let best = best?;
    Some(match rule {
        TieRule::Highest => [best.x as f32, best.y as f32],
        TieRule::Mean => [x as f32 / count as f32, y as f32 / count as f32],
    })
}

/// A quarter pixel towards the higher neighbour on the heatmap of the keypoint's own type, of equal ones towards the
/// first, then half a pixel (CenterGroup 6).
pub(super) fn shift([x, y]: [f32; 2], map: Double<'_>) -> [f32; 2] {
    let size = map.size();
    let column = (x as usize).min(size.width - 1);
    let row = (y as usize).min(size.height - 1);
    let quarter = |higher: bool| if higher { 0.25 } else { -0.25 };
    let right = map.at((column + 1).min(size.width - 1), row) > map.at(column.saturating_sub(1), row);
    let below = map.at(column, (row + 1).min(size.height - 1)) > map.at(column, row.saturating_sub(1));
    [x + quarter(right) + 0.5, y + quarter(below) + 0.5]
}

/// Tokens of every type, best first.
pub(super) type Tokens = [heapless::Vec<Token, MAX_TOKENS>; MAX_TYPES];

/// The side of a square as large as the box around some places, network pixels.
pub(super) fn extent(places: &[[f32; 2]]) -> f32 {
    let span = |axis: usize| {
        let along = || places.iter().map(|place| place[axis]);
        let (low, high) = (along().fold(f32::INFINITY, smaller), along().fold(f32::NEG_INFINITY, larger));
        larger(high - low, SMALLEST)
    };
    square_root(span(0) * span(1))
}

/// How much of the attention that `logits`, `[keypoints * k]`, stand for goes to tokens near `place`, for a person of this
/// `extent`: 0 to 1.
pub(super) fn attention_near(logits: &[f32], k: usize, tokens: &Tokens, [x, y]: [f32; 2], extent: f32) -> f32 {
    let (runs, rest) = logits.as_chunks::<8>();
    let largest = f32x8::splat(rest.iter().copied().fold(maximum(runs), larger));
    let reach = SAME_PLACE * extent;
    let (mut near, mut all) = (0.0, f32x8::ZERO);
    for (tokens, logits) in tokens.iter().zip(logits.chunks_exact(k)) {
        for (part, logits) in logits.chunks(8).enumerate() {
            // There is no NaN here: `assign` has refused such a person.
            let mut below = [f32::NEG_INFINITY; 8];
            below[..logits.len()].copy_from_slice(logits);
            let below = f32x8::new(below) - largest;
            let weights = below.exp() & below.simd_gt(f32x8::splat(-NOTHING));
            all += weights;
            for (token, weight) in tokens.iter().skip(8 * part).zip(weights.to_array()) {
                let (across, down) = (token.x as f32 - x, token.y as f32 - y);
                if across * across + down * down < reach * reach {
                    near += weight;
                }
            }
        }
    }
    near / all.reduce_add()
}

/// How high a heatmap is at `place`, 0 to 1.
pub(super) fn height(place: [f32; 2], map: Double<'_>) -> f32 {
    let size = map.size();
    map.at((place[0] as usize).min(size.width - 1), (place[1] as usize).min(size.height - 1)).clamp(0.0, 1.0)
}

/// The score of a person (eq. 14 as it is coded, CenterGroup 7) whose keypoints' scores are their visibilities.
pub(super) fn score(pose: &Pose, presence: f32, config: &Config) -> f32 {
    if presence.is_nan() || presence <= config.person_threshold {
        return presence;
    }
    let mut visible = [0.0; MAX_KEYPOINTS];
    let count = pose.keypoints.len();
    for (visible, keypoint) in visible.iter_mut().zip(&pose.keypoints) {
        *visible = keypoint.score;
    }
    let sorted = &mut visible[..count];
    sorted.sort_unstable_by(|a, b| b.total_cmp(a));
    let least = sorted[config.scored_keypoints.min(count) - 1];
    let counted = |&score: &f32| score > config.visible_threshold || score >= least;
    // The order of adding is that of the keypoints.
    let scores = || pose.keypoints.iter().map(|keypoint| keypoint.score).filter(counted);
    scores().sum::<f32>() / scores().count() as f32
}
