//! CenterGroup's decoding alone.

use super::{Frame, misshaped, missing, named, stack, with_shape};
use crate::decode::Maps;
use crate::decode::centergroup::{Decoder, Inputs, Mask, Token, Workspace};
use crate::estimator::EstimateError;
use crate::geometry::Size;
use crate::npz::{Array, Arrays, Values};
use crate::pose::Poses;

/// The grouping network's outputs.
const GROUPED: [&str; 3] = ["attn", "vis", "center"];

pub(super) fn decode(decoder: &Decoder, frame: Frame, tensors: &Arrays) -> Result<Arrays, EstimateError> {
    let (heat_half, shape) = stack(tensors, "heat_half", decoder.types())?;
    let network = Size::new(2 * shape[2], 2 * shape[1]);
    let valid = mask(tensors, network)?;
    let inputs = decoder.inputs(Maps::new("heat_half", &heat_half, shape)?, Mask::new(&valid, network)?)?;
    let mut workspace = Box::<Workspace>::default();
    decoder.find_all_tokens(&inputs, &mut workspace);
    let mut result = describe_tokens(decoder, &inputs, &workspace)?;
    if GROUPED.iter().any(|name| tensors.contains_key(*name)) {
        result.extend(group(decoder, frame, &inputs, &mut workspace, tensors)?);
    }
    Ok(result)
}

/// One byte per pixel of the network's input, not 0 if it comes from the image: everywhere, unless `mask` says
/// otherwise.
fn mask(tensors: &Arrays, network: Size) -> Result<Vec<u8>, EstimateError> {
    let Some(array) = tensors.get("mask") else { return Ok(vec![1; network.width * network.height]) };
    if array.shape != [network.height, network.width] {
        let expected = format!("[{}, {}], twice the sides of heat_half", network.height, network.width);
        return Err(misshaped("mask", array, expected));
    }
    Ok(match &array.values {
        Values::I64(values) => values.iter().map(|&value| u8::from(value != 0)).collect(),
        _ => array.to_f32().iter().map(|&value| u8::from(value != 0.0)).collect(),
    })
}

fn describe_tokens(decoder: &Decoder, inputs: &Inputs<'_>, workspace: &Workspace) -> Result<Arrays, EstimateError> {
    let (types, room) = (decoder.types(), decoder.config().max_tokens);
    let count = types * room;
    // A type with fewer tokens is filled up with some that do not count.
    let all: Vec<Token> = workspace
        .tokens()
        .flat_map(|tokens| tokens.iter().copied().chain(std::iter::repeat(Token::default())).take(room))
        .collect();
    let (mut index, mut weight, mut bias) = (vec![0; 4 * count], vec![0.0; 4 * count], vec![0.0; count]);
    decoder.write_index(inputs, room, workspace, &mut index)?;
    decoder.write_weight(inputs, room, workspace, &mut weight)?;
    decoder.write_bias(room, workspace, &mut bias)?;
    let places = all.iter().flat_map(|token| [i64::from(token.x), i64::from(token.y)]).collect();
    let scores = all.iter().map(|token| token.score).collect();
    let keep = all.iter().map(|token| i64::from(token.keep)).collect();
    let index = index.into_iter().map(i64::from).collect();
    Ok(named([
        ("peaks_xy", Array::from_i64(&[types, room, 2], places)),
        ("peaks_score", Array::from_f32(&[types, room], scores)),
        ("peaks_keep", Array::from_i64(&[types, room], keep)),
        ("idx", Array::from_i64(&[count, 4], index)),
        ("wgt", Array::from_f32(&[count, 4], weight)),
        ("bias", Array::from_f32(&[count], bias)),
    ]))
}

fn group(
    decoder: &Decoder,
    frame: Frame,
    inputs: &Inputs<'_>,
    workspace: &mut Workspace,
    tensors: &Arrays,
) -> Result<Arrays, EstimateError> {
    let keypoints = decoder.keypoints();
    let visible = tensors.get("vis").ok_or_else(|| missing("vis", format!("[{keypoints}, k]")))?;
    let &[_, k] = &visible.shape[..] else { return Err(misshaped("vis", visible, format!("[{keypoints}, k]"))) };
    let why = format!("for k = {k} tokens of a type, as vis says");
    let attention = with_shape(tensors, "attn", &[keypoints, k, keypoints * k], &why)?;
    let visible = with_shape(tensors, "vis", &[keypoints, k], "one per keypoint and centre")?;
    let center = with_shape(tensors, "center", &[k], &why)?;
    let grouped = decoder.grouped(k, &attention, &visible, &center)?;
    let layout = frame.layout(inputs.network())?;
    let mut poses = Poses::default();
    decoder.group(inputs, Some(&grouped), &layout.image_from_network, workspace, &mut poses);
    let points = poses.list.iter().flat_map(|pose| &pose.keypoints);
    let values = points.flat_map(|point| [point.x, point.y, point.score, point.score]).collect();
    let scores: Vec<f32> = poses.list.iter().map(|pose| pose.score).collect();
    Ok(named([
        ("poses", Array::from_f32(&[scores.len(), keypoints, 4], values)),
        ("scores", Array::from_f32(&[scores.len()], scores)),
    ]))
}
