//! How pictures of one size and format get into a bottom-up network and back.

use super::EstimateError;
use crate::bundle::Manifest;
use crate::geometry::{ShortSideLayout, Size};
use crate::pixels::{PictureView, PixelFormat, Warp};

/// Widest picture, in heights, and tallest, in widths. Memory grows with it, and a network that was trained on
/// photographs has seen nothing like it.
const MAX_ASPECT: usize = 8;

/// The layout for pictures of one size, and the warp for one format.
#[derive(Debug)]
pub(super) struct View {
    pub picture: Size,
    pub format: PixelFormat,
    pub layout: ShortSideLayout,
    warp: Warp,
}

impl View {
    pub(super) fn new(manifest: &Manifest, picture: Size, format: PixelFormat) -> Result<Self, EstimateError> {
        let unfit = |reason: String| EstimateError::Picture { picture, reason };
        let input = &manifest.input;
        let (short, long) = (picture.width.min(picture.height), picture.width.max(picture.height));
        if short.saturating_mul(MAX_ASPECT) < long {
            return Err(unfit(format!("one side is more than {MAX_ASPECT} times the other; cut it into parts")));
        }
        let layout = (input.rule.centre())
            .and_then(|centre| ShortSideLayout::new(picture, input.short_side, input.multiple, centre))
            .ok_or_else(|| unfit("it is empty, or too large to compute with".to_owned()))?;
        let warp = Warp::new(format, picture, &layout.network_to_picture, layout.network, input.mean, input.std)
            .map_err(|error| unfit(error.to_string()))?;
        Ok(Self { picture, format, layout, warp })
    }

    /// Lays a picture into a network's input, `[3, height, width]`.
    pub(super) fn lay(&mut self, picture: PictureView<'_>, input: &mut [f32]) -> Result<(), EstimateError> {
        let unfit = |reason: String| EstimateError::Picture { picture: picture.size(), reason };
        self.warp.run(picture, input).map_err(|error| unfit(error.to_string()))
    }
}
