//! How pictures get into a network: whole, or as crops.

use super::EstimateError;
use crate::bundle::Manifest;
use crate::bundle::manifest::Input;
use crate::geometry::{Affine, ShortSideLayout, Size};
use crate::pixels::{PictureView, PixelFormat, Warp, WarpError};

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

/// Lays crops of pictures into a network's input of one size. A crop like the last one needs no new tables.
#[derive(Debug)]
pub(super) struct CropView {
    network: Size,
    mean: [f32; 3],
    std: [f32; 3],
    last: Option<Aim>,
}

/// A warp, and what it was made for.
#[derive(Debug)]
struct Aim {
    picture: Size,
    format: PixelFormat,
    network_to_picture: Affine,
    warp: Warp,
}

impl CropView {
    pub(super) fn new(input: &Input, network: Size) -> Self {
        Self { network, mean: input.mean, std: input.std, last: None }
    }

    /// Lays the part of a picture that `network_to_picture` says into `input`, `[3, height, width]`.
    pub(super) fn lay(
        &mut self,
        picture: PictureView<'_>,
        network_to_picture: Affine,
        input: &mut [f32],
    ) -> Result<(), EstimateError> {
        let (size, format) = (picture.size(), picture.format());
        let unfit = |error: WarpError| EstimateError::Picture { picture: size, reason: error.to_string() };
        let same =
            |aim: &&mut Aim| (aim.picture, aim.format, aim.network_to_picture) == (size, format, network_to_picture);
        let aim = match self.last.as_mut().filter(same) {
            Some(aim) => aim,
            None => {
                let warp =
                    Warp::new(format, size, &network_to_picture, self.network, self.mean, self.std).map_err(unfit)?;
                self.last.insert(Aim { picture: size, format, network_to_picture, warp })
            }
        };
        aim.warp.run(picture, input).map_err(unfit)
    }
}
