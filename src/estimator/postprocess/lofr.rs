//! LOFR's decoding alone.

use super::{misshaped, missing, named, with_shape};
use crate::decode::Maps;
use crate::decode::lofr::{Crop, Decoder};
use crate::estimator::EstimateError;
use crate::geometry::{Rectangle, Size};
use crate::npz::{Array, Arrays};
use crate::pose::Pose;

pub(super) fn decode(decoder: &Decoder, network: Size, image: Size, tensors: &Arrays) -> Result<Arrays, EstimateError> {
    let keypoints = decoder.config().keypoints;
    let expected = || format!("[n, {keypoints}, h, w]");
    let array = tensors.get("response").ok_or_else(|| missing("response", expected()))?;
    let [count, channels, height, width] = array.shape[..] else {
        return Err(misshaped("response", array, expected()));
    };
    if channels != keypoints {
        return Err(misshaped("response", array, expected()));
    }
    let presence = with_shape(tensors, "presence", &[count, keypoints], "one row per crop")?;
    let boxes = with_shape(tensors, "boxes", &[count, 4], "one row per crop: x, y, width, height")?;
    let response = array.to_f32();
    let box_padding = decoder.config().box_padding;
    let mut flat = Vec::with_capacity(3 * count * keypoints);
    let area = keypoints * height * width;
    for (number, &[x, y, width_of, height_of]) in boxes.as_chunks::<4>().0.iter().enumerate() {
        let maps = Maps::new("response", &response[number * area..][..area], [keypoints, height, width])?;
        let bounds = Rectangle { x, y, width: width_of, height: height_of };
        let mut pose = Pose::default();
        if let Some(crop) = Crop::around(bounds, image, network, box_padding) {
            // A box without a person has low scores; what is not finite has no pose.
            let _ = decoder.locate(&maps, &presence[number * keypoints..][..keypoints], &crop, &mut pose)?;
        }
        // A row for every box, so that rows stay in step; without a pose it is zeros.
        pose.keypoints.resize_default(keypoints).unwrap_or_default();
        flat.extend(pose.keypoints.iter().flat_map(|point| [point.x, point.y, point.score]));
    }
    Ok(named([("poses", Array::from_f32(&[count, keypoints, 3], flat))]))
}
