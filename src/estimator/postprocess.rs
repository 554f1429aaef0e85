//! The decoding alone, on network outputs that were made elsewhere.

use super::{EstimateError, Options, logocap};
use crate::bundle::logocap::Level;
use crate::bundle::{Bundle, Decode};
use crate::decode::Maps;
use crate::decode::logocap::{Decoder, Workspace};
use crate::geometry::{Centre, ShortSideLayout, Size};
use crate::npz::{Array, Arrays};
use crate::pose::{Keypoint, Pose, Poses};

/// Decodes dumped network outputs of a picture of `picture` pixels with the bundle's decoder.
///
/// For LOGO-CAP, `tensors` holds `heatmaps [K+1, h, w]`, `offsets [2K, h, w]` and, but for the level `none`, the raw
/// `kam [n, K, l, l]`, one per centre in the order of the centres. The answer holds `centers [n, 3]` (x, y, value),
/// `initial_poses [n, K, 2]` and `refined_poses [n, K, 3]` (x, y, score) in network pixels, then `scores [m]` of the
/// people above the threshold, and `poses [r, K, 3]` in picture pixels with `keep [r]`, their rows among the m.
///
/// # Errors
/// Where an array is missing or has a shape that does not fit, or an option is out of range.
pub fn postprocess(
    bundle: &Bundle,
    options: &Options,
    picture: Size,
    tensors: &Arrays,
) -> Result<Arrays, EstimateError> {
    let Decode::Logocap(decode) = &bundle.manifest().decode;
    let (decoder, level) = logocap::configure(bundle.manifest(), decode, options)?;
    decode_logocap(&decoder, level, picture, tensors)
}

fn decode_logocap(decoder: &Decoder, level: Level, picture: Size, tensors: &Arrays) -> Result<Arrays, EstimateError> {
    let keypoints = decoder.keypoints();
    let (heatmaps, heatmaps_shape) = stack(tensors, "heatmaps", keypoints + 1)?;
    let (offsets, offsets_shape) = stack(tensors, "offsets", 2 * keypoints)?;
    let inputs = decoder
        .inputs(Maps::new("heatmaps", &heatmaps, heatmaps_shape)?, Maps::new("offsets", &offsets, offsets_shape)?)?;
    let stride = decoder.config().stride;
    let network = Size::new(inputs.cells().width * stride, inputs.cells().height * stride);
    let layout = ShortSideLayout::with_network(picture, network, Centre::RoundedUp)
        .ok_or_else(|| EstimateError::Picture { picture, reason: "it is empty".to_owned() })?;

    let mut workspace = Box::<Workspace>::default();
    let mut poses = Poses::default();
    decoder.find_centers(&inputs, &mut workspace);
    decoder.initial_poses(&inputs, &mut workspace);
    let count = workspace.centers().len();
    if level == Level::None {
        decoder.score_initial(&inputs, &mut workspace);
    } else if count > 0 {
        let side = decoder.kernel_side();
        let kernels = with_shape(tensors, "kam", &[count, keypoints, side, side], "one per centre")?;
        match level {
            Level::Partial => decoder.refine_locally(0..count, &kernels, &mut workspace)?,
            _ => decoder.refine(&inputs, 0..count, &kernels, &mut workspace)?,
        }
    }
    decoder.finish(&layout.network_to_picture, &mut workspace, &mut poses);
    Ok(answer(&workspace, &poses, keypoints))
}

fn answer(workspace: &Workspace, poses: &Poses, keypoints: usize) -> Arrays {
    let flat =
        |points: &[Keypoint]| points.iter().flat_map(|point| [point.x, point.y, point.score]).collect::<Vec<_>>();
    let centers: Vec<f32> = workspace.centers().iter().flat_map(|center| [center.x, center.y, center.value]).collect();
    let initial: Vec<f32> = workspace.initial_poses().flat_map(|pose| pose.iter().copied().flatten()).collect();
    let refined: Vec<f32> = workspace.refined_poses().flat_map(flat).collect();
    let scores: Vec<f32> = workspace.people().iter().map(|pose| pose.score).collect();
    let kept: Vec<f32> = poses.list.iter().flat_map(|pose: &Pose| flat(&pose.keypoints)).collect();
    let keep: Vec<i64> = workspace.keep().iter().map(|&row| row as i64).collect();
    let count = workspace.centers().len();
    let arrays = [
        ("centers", Array::from_f32(&[count, 3], centers)),
        ("initial_poses", Array::from_f32(&[count, keypoints, 2], initial)),
        ("refined_poses", Array::from_f32(&[count, keypoints, 3], refined)),
        ("scores", Array::from_f32(&[scores.len()], scores)),
        ("poses", Array::from_f32(&[poses.list.len(), keypoints, 3], kept)),
        ("keep", Array::from_i64(&[keep.len()], keep)),
    ];
    let named = |(name, array): (&str, Option<Array>)| (name.to_owned(), array.expect("as many values as counted"));
    arrays.into_iter().map(named).collect()
}

fn missing(name: &str, expected: String) -> EstimateError {
    EstimateError::Array { name: name.to_owned(), found: "missing".to_owned(), expected }
}

/// The array `name` as a stack of `channels` maps of any size.
fn stack(tensors: &Arrays, name: &str, channels: usize) -> Result<(Vec<f32>, [usize; 3]), EstimateError> {
    let expected = || format!("[{channels}, h, w]");
    let array = tensors.get(name).ok_or_else(|| missing(name, expected()))?;
    match array.shape[..] {
        [found, height, width] if found == channels && height > 0 && width > 0 => {
            Ok((array.to_f32(), [channels, height, width]))
        }
        _ => Err(misshaped(name, array, expected())),
    }
}

/// The array `name`, which must have exactly this shape.
fn with_shape(tensors: &Arrays, name: &str, shape: &[usize], why: &str) -> Result<Vec<f32>, EstimateError> {
    let expected = || format!("{shape:?}, {why}");
    let array = tensors.get(name).ok_or_else(|| missing(name, expected()))?;
    if array.shape == shape { Ok(array.to_f32()) } else { Err(misshaped(name, array, expected())) }
}

fn misshaped(name: &str, array: &Array, expected: String) -> EstimateError {
    EstimateError::Array { name: name.to_owned(), found: format!("of shape {:?}", array.shape), expected }
}
