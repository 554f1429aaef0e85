//! The features of an enrolled keypoint, from the tokens of an image that shows it.

use super::{CELLS, CROP, TOKENS};
use crate::decode::ShapeError;
use crate::decode::maps::Expected;

/// Cells on a side of the heatmap that the reference draws.
const HEATMAP: i32 = 64;
/// Heatmap cells per token.
const ENLARGED: i32 = HEATMAP / CELLS as i32;
/// Radius of the Gaussian, heatmap cells.
const RADIUS: i32 = 6;

/// The weight of each token in the features of a keypoint at `(x, y)`, crop pixels; weights sum to 1
/// (CapeFormer 2). `None` for a keypoint that lies outside the crop, or if it is not finite.
///
/// The reference enlarges the tokens to 64 by 64 and takes the mean under a bell. Enlarging is linear, so the bell is
/// carried down to the 8 by 8 instead, one axis at a time. It also accepts keypoints slightly outside the crop, some of
/// which get no features.
pub fn support_weights(x: f32, y: f32) -> Option<[f32; TOKENS]> {
    let inside = |value: f32| (0.0..CROP as f32).contains(&value);
    if !(inside(x) && inside(y)) {
        return None;
    }
    let (along_x, sum_x) = axis_weights(x);
    let (along_y, sum_y) = axis_weights(y);
    let total = sum_x * sum_y + 1e-8;
    let mut weights = [0.0; TOKENS];
    for (row, &down) in weights.chunks_exact_mut(CELLS).zip(&along_y) {
        for (weight, &across) in row.iter_mut().zip(&along_x) {
            *weight = (down * across / total) as f32;
        }
    }
    Some(weights)
}

/// The bell around `position` (crop pixels) on one axis, carried down to the tokens; and its sum.
fn axis_weights(position: f32) -> ([f64; CELLS], f64) {
    let middle = (f64::from(position) / (CROP as f64 / f64::from(HEATMAP)) + 0.5) as i32;
    let mut weights = [0.0; CELLS];
    let mut sum = 0.0;
    for cell in (middle - RADIUS).max(0)..=(middle + RADIUS).min(HEATMAP - 1) {
        let distance = f64::from(cell - middle);
        let bell = libm::exp(-distance * distance / 8.0);
        sum += bell;
        // Bilinear, half-pixel centres, the border repeated.
        let last = (CELLS - 1) as f64;
        let place = ((f64::from(cell) + 0.5) / f64::from(ENLARGED) - 0.5).clamp(0.0, last);
        let low = (place as usize).min(CELLS - 2);
        let far = place - low as f64;
        weights[low] += bell * (1.0 - far);
        weights[low + 1] += bell * far;
    }
    (weights, sum)
}

/// Adds `share` times the features of a keypoint to `features [width]`: the mean of `tokens [64, width]` by `weights`.
///
/// With several images, each adds its share.
///
/// # Errors
/// If `tokens` does not have 64 rows as long as `features`.
pub fn pool(weights: &[f32; TOKENS], tokens: &[f32], share: f32, features: &mut [f32]) -> Result<(), ShapeError> {
    let expected = TOKENS * features.len();
    if tokens.len() != expected {
        let (expected, found) = (Expected::Exactly(expected), tokens.len());
        return Err(ShapeError { tensor: "support_tokens", axis: "values", expected, found });
    }
    for (&weight, token) in weights.iter().zip(tokens.chunks_exact(features.len().max(1))) {
        // Most tokens are too far away to count.
        if weight != 0.0 {
            for (feature, &value) in features.iter_mut().zip(token) {
                *feature += share * weight * value;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec;
    use std::vec::Vec;

    /// The plain way: enlarge a token's indicator to 64 by 64, mean under the bell.
    fn plain(x: f32, y: f32) -> Vec<f32> {
        let middle = [x, y].map(|value| (value / 4.0 + 0.5).trunc() as i32);
        let bell = |cell: i32, middle: i32| {
            let distance = (cell - middle) as f64;
            if distance.abs() <= 6.0 { (-distance * distance / 8.0).exp() } else { 0.0 }
        };
        let mut weights = vec![0.0; TOKENS];
        let mut total = 1e-8;
        for row in 0..64 {
            for column in 0..64 {
                let heat = bell(row, middle[1]) * bell(column, middle[0]);
                if heat == 0.0 {
                    continue;
                }
                total += heat;
                let place = |cell: i32| ((f64::from(cell) + 0.5) / 8.0 - 0.5).clamp(0.0, 7.0);
                let (down, across) = (place(row), place(column));
                for (token, weight) in weights.iter_mut().enumerate() {
                    let near = |position: f64, cell: usize| (1.0 - (position - cell as f64).abs()).max(0.0);
                    *weight += heat * near(down, token / CELLS) * near(across, token % CELLS);
                }
            }
        }
        weights.iter().map(|weight| (weight / total) as f32).collect()
    }

    proptest! {
        #[test]
        fn equal_to_the_enlarged_map(x in 0.0f32..256.0, y in 0.0f32..256.0) {
            let weights = support_weights(x, y).unwrap();
            prop_assert!((weights.iter().sum::<f32>() - 1.0).abs() < 1e-5);
            for (found, expected) in weights.iter().zip(plain(x, y)) {
                prop_assert!((found - expected).abs() < 1e-6);
            }
        }
    }

    #[test]
    fn outside_is_refused() {
        for (x, y) in [(-0.1, 5.0), (256.0, 5.0), (5.0, f32::NAN), (f32::INFINITY, 5.0)] {
            assert_eq!(support_weights(x, y), None);
        }
    }

    #[test]
    fn features_are_means() {
        let tokens: Vec<f32> = (0..TOKENS).flat_map(|token| [token as f32, 1.0]).collect();
        let weights = support_weights(128.0, 16.0).unwrap();
        let mut features = [0.0; 2];
        pool(&weights, &tokens, 0.5, &mut features).unwrap();
        pool(&weights, &tokens, 0.5, &mut features).unwrap();
        assert!((features[1] - 1.0).abs() < 1e-5);
        let mean: f32 = weights.iter().enumerate().map(|(token, weight)| token as f32 * weight).sum();
        assert!((features[0] - mean).abs() < 1e-4);
        assert!(pool(&weights, &tokens[1..], 1.0, &mut features).is_err());
    }
}
