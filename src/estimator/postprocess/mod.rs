//! Decoding alone, on dumped network outputs.

mod capeformer;
mod centergroup;
mod lofr;
mod logocap;

use super::{EstimateError, Options};
use crate::bundle::{Bundle, Decode};
use crate::geometry::{Centre, ShortSideLayout, Size};
use crate::npz::{Array, Arrays};

/// Decodes dumped network outputs of an image of `image` pixels with the bundle's decoder. The sizes of maps are those
/// of the arrays.
///
/// **LOGO-CAP**: `tensors` holds `heatmaps [K+1, h, w]`, `offsets [2K, h, w]` and, but for the level `none`, the raw
/// `kam [n, K, l, l]`, one per centre in the order of the centres. The result holds `centers [n, 3]` (x, y, value),
/// `initial_poses [n, K, 2]` and `refined_poses [n, K, 3]` (x, y, score) in network pixels, then `scores [m]` of the
/// people above the threshold, and `poses [r, K, 3]` in image pixels with `keep [r]`, their rows among the m.
///
/// **CenterGroup**: `tensors` holds `heat_half [K+1, H/2, W/2]` and, where there is padding, `mask [H, W]`. The result
/// holds, for each of the T tokens of every type, `peaks_xy [K+1, T, 2]` in network pixels, `peaks_score [K+1, T]` and
/// `peaks_keep [K+1, T]`, and the grouping network's inputs `idx [(K+1)T, 4]`, `wgt [(K+1)T, 4]`, `bias [(K+1)T]`. With
/// that network's outputs for k tokens of every type, `attn [K, k, Kk]`, `vis [K, k]` and `center [k]`, it also holds
/// `poses [n, K, 4]` (x, y in image pixels, visibility twice) and `scores [n]`.
///
/// **CapeFormer**: `tensors` holds `similarity [K, 64]` or `[K, 8, 8]`, and for `poses` also `keypoints
/// [K, 2]`, from 0 to 1 of the crop, and `crop [3]` (column and row of the middle, side; image pixels). The result holds
/// `proposals [K, 2]` and `poses [K, 3]` (x, y in image pixels, score). Both are empty if a number is not finite.
///
/// **LOFR**: `tensors` holds `response [n, J, h, w]`, `presence [n, J]` (logits) and `boxes [n, 4]` (x, y, width, height;
/// image pixels). The result holds `poses [n, J, 3]` (x, y in image pixels, score), zeros if a box is invalid or a
/// number is not finite.
///
/// # Errors
/// If an array is missing or has a shape that does not fit, or an option is out of range.
pub fn postprocess(bundle: &Bundle, options: &Options, image: Size, tensors: &Arrays) -> Result<Arrays, EstimateError> {
    let manifest = bundle.manifest();
    let centre = |reference: Centre| {
        let own = manifest.input.rule.centre().filter(|_| !options.exact);
        own.unwrap_or(reference)
    };
    match &manifest.decode {
        Decode::Logocap(config) => {
            let decoder = super::logocap::configure(manifest, config, options)?;
            let frame = Frame { image, centre: centre(Centre::RoundedUp) };
            logocap::decode(&decoder, frame, tensors)
        }
        Decode::Centergroup { config, .. } => {
            let decoder = super::centergroup::configure(manifest, config, options)?;
            let frame = Frame { image, centre: centre(Centre::RoundedToEven) };
            centergroup::decode(&decoder, frame, tensors)
        }
        Decode::Capeformer { .. } => capeformer::decode(tensors),
        Decode::Lofr { config, network, .. } => {
            lofr::decode(&super::lofr::configure(config, options)?, *network, image, tensors)
        }
    }
}

/// The image, and how it lies in the network's input.
#[derive(Debug, Clone, Copy)]
struct Frame {
    image: Size,
    centre: Centre,
}

impl Frame {
    fn layout(self, network: Size) -> Result<ShortSideLayout, EstimateError> {
        let Self { image, centre } = self;
        ShortSideLayout::with_network(image, network, centre)
            .ok_or_else(|| EstimateError::Image { image, reason: "it is empty".to_owned() })
    }
}

/// Arrays under their names; each must have as many values as its shape says.
fn named<const N: usize>(arrays: [(&str, Option<Array>); N]) -> Arrays {
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
