//! LOGO-CAP's decoding alone.

use super::{Frame, named, stack, with_shape};
use crate::decode::Maps;
use crate::decode::logocap::{Decoder, Refinement, Workspace};
use crate::estimator::EstimateError;
use crate::geometry::Size;
use crate::npz::{Array, Arrays};
use crate::pose::{Keypoint, Pose, Poses};

pub(super) fn decode(decoder: &Decoder, frame: Frame, tensors: &Arrays) -> Result<Arrays, EstimateError> {
    let (keypoints, level) = (decoder.keypoints(), decoder.config().level);
    let (heatmaps, heatmaps_shape) = stack(tensors, "heatmaps", keypoints + 1)?;
    let (offsets, offsets_shape) = stack(tensors, "offsets", 2 * keypoints)?;
    let inputs = decoder
        .inputs(Maps::new("heatmaps", &heatmaps, heatmaps_shape)?, Maps::new("offsets", &offsets, offsets_shape)?)?;
    let stride = decoder.config().stride;
    let network = Size::new(inputs.cells().width * stride, inputs.cells().height * stride);
    let layout = frame.layout(network)?;

    let mut workspace = Box::<Workspace>::default();
    let mut poses = Poses::default();
    decoder.find_centers(&inputs, &mut workspace);
    decoder.initial_poses(&inputs, &mut workspace);
    let count = workspace.centers().len();
    if level == Refinement::None {
        decoder.score_initial(&inputs, &mut workspace);
    } else if count > 0 {
        let side = decoder.kernel_side();
        let kernels = with_shape(tensors, "kam", &[count, keypoints, side, side], "one per centre")?;
        match level {
            Refinement::Partial => decoder.refine_locally(0..count, &kernels, &mut workspace)?,
            _ => decoder.refine_all(&inputs, 0..count, &kernels, &mut workspace)?,
        }
    }
    decoder.finish(&layout.image_from_network, &mut workspace, &mut poses);
    Ok(describe(&workspace, &poses, keypoints))
}

fn describe(workspace: &Workspace, poses: &Poses, keypoints: usize) -> Arrays {
    let flat =
        |points: &[Keypoint]| points.iter().flat_map(|point| [point.x, point.y, point.score]).collect::<Vec<_>>();
    let centers: Vec<f32> = workspace.centers().iter().flat_map(|center| [center.x, center.y, center.value]).collect();
    let initial: Vec<f32> = workspace.initial_poses().flat_map(|pose| pose.iter().copied().flatten()).collect();
    let refined: Vec<f32> = workspace.refined_poses().flat_map(flat).collect();
    let scores: Vec<f32> = workspace.people().iter().map(|pose| pose.score).collect();
    let kept: Vec<f32> = poses.list.iter().flat_map(|pose: &Pose| flat(&pose.keypoints)).collect();
    let keep: Vec<i64> = workspace.keep().iter().map(|&row| row as i64).collect();
    let count = workspace.centers().len();
    named([
        ("centers", Array::from_f32(&[count, 3], centers)),
        ("initial_poses", Array::from_f32(&[count, keypoints, 2], initial)),
        ("refined_poses", Array::from_f32(&[count, keypoints, 3], refined)),
        ("scores", Array::from_f32(&[scores.len()], scores)),
        ("poses", Array::from_f32(&[poses.list.len(), keypoints, 3], kept)),
        ("keep", Array::from_i64(&[keep.len()], keep)),
    ])
}
