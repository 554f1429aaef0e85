//! Identifiers of enrolled keypoints.

use super::SLOTS;
use crate::decode::ShapeError;
use crate::decode::maps::Expected;
use crate::decode::sines::{slowness, wave};

/// Writes the identifier `[width]` of keypoint number `index`, below [`SLOTS`] (`docs/algorithms.md`, CapeFormer 4): sines and cosines of a
/// constant, then of its place among a hundred keypoints, however many there are.
///
/// It depends on the index at enrolment: keypoints that are dropped must not renumber the others.
///
/// # Errors
/// If `index` is too large, or `identity` has an odd number of halves.
pub fn write_identity(index: usize, identity: &mut [f32]) -> Result<(), ShapeError> {
    if index >= SLOTS {
        let expected = Expected::Between(0, SLOTS - 1);
        return Err(ShapeError { tensor: "identity", axis: "keypoints", expected, found: index });
    }
    if !identity.len().is_multiple_of(4) {
        let (expected, found) = (Expected::MultipleOf(4), identity.len());
        return Err(ShapeError { tensor: "identity", axis: "values", expected, found });
    }
    let (constant, own) = identity.split_at_mut(identity.len() / 2);
    encode(1.0 / (1.0 + 1e-6), constant);
    encode((index as f64 + 1.0) / (SLOTS as f64 + 1e-6), own);
    Ok(())
}

fn encode(value: f64, encoded: &mut [f32]) {
    let half = encoded.len();
    for (channel, encoded) in encoded.iter_mut().enumerate() {
        *encoded = wave(channel, core::f64::consts::TAU * value / slowness(channel, half));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_index_has_its_own() {
        let (mut first, mut second) = ([0.0; 32], [0.0; 32]);
        write_identity(0, &mut first).unwrap();
        write_identity(1, &mut second).unwrap();
        assert_eq!(first[..16], second[..16]);
        assert!(first[16..].iter().zip(&second[16..]).any(|(a, b)| (a - b).abs() > 0.01));
        let hundredth = core::f32::consts::TAU / 100.0;
        assert!((first[16] - hundredth.sin()).abs() < 1e-6 && (first[17] - hundredth.cos()).abs() < 1e-6);
        assert!(write_identity(SLOTS, &mut first).is_err());
        assert!(write_identity(0, &mut first[..30]).is_err());
    }
}
