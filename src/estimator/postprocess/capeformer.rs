//! CapeFormer's decoding alone.

use super::{misshaped, missing, named};
use crate::decode::capeformer::{CELLS, Crop, Finiteness, SLOTS, TOKENS, Workspace};
use crate::estimator::EstimateError;
use crate::npz::{Array, Arrays};
use crate::pose::Pose;

pub(super) fn decode(tensors: &Arrays) -> Result<Arrays, EstimateError> {
    let expected = || format!("[K, {TOKENS}] or [K, {CELLS}, {CELLS}] with at most {SLOTS} keypoints");
    let array = tensors.get("similarity").ok_or_else(|| missing("similarity", expected()))?;
    let count = match array.shape[..] {
        [count, TOKENS] | [count, CELLS, CELLS] if count <= SLOTS => count,
        _ => return Err(misshaped("similarity", array, expected())),
    };
    let mut workspace = Workspace::new();
    // Where a number is not finite there are no proposals and no poses.
    let sound = workspace.propose(&array.to_f32(), count)? == Finiteness::Finite;
    let places: Vec<f32> = workspace.proposals().iter().flat_map(|proposal| [proposal.x, proposal.y]).collect();
    let rows = if sound { count } else { 0 };
    let mut result = named([("proposals", Array::from_f32(&[rows, 2], places))]);
    if let Some(keypoints) = tensors.get("keypoints") {
        let crop = crop(tensors)?;
        if keypoints.shape != [count, 2] {
            return Err(misshaped("keypoints", keypoints, format!("[{count}, 2], one per row of similarity")));
        }
        let mut pose = Pose::default();
        // Without a result the pose stays empty.
        let _ = workspace.result(&keypoints.to_f32(), &crop, &mut pose)?;
        let flat: Vec<f32> = pose.keypoints.iter().flat_map(|point| [point.x, point.y, point.score]).collect();
        result.extend(named([("poses", Array::from_f32(&[pose.keypoints.len(), 3], flat))]));
    }
    Ok(result)
}

/// Middle and side, image pixels.
fn crop(tensors: &Arrays) -> Result<Crop, EstimateError> {
    let expected = || "[3]: column and row of the middle, and the side, image pixels".to_owned();
    let array = tensors.get("crop").ok_or_else(|| missing("crop", expected()))?;
    match array.to_f64()[..] {
        [x, y, side] if array.shape == [3] && side > 0.0 && [x, y, side].iter().all(|value| value.is_finite()) => {
            Ok(Crop { x, y, side })
        }
        _ => Err(misshaped("crop", array, expected())),
    }
}
