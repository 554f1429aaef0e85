//! How images get into a network: whole, or as crops.

use super::EstimateError;
use crate::bundle::Manifest;
use crate::bundle::manifest::Input;
use crate::geometry::{Affine, ShortSideLayout, Size};
use crate::pixels::{ImageView, PixelFormat, Warp, WarpError};

/// Widest image, in heights, and tallest, in widths. Memory grows with it, and a network that was trained on
/// photographs has seen nothing like it.
const MAX_ASPECT: usize = 8;

/// The layout for images of one size, and the warp for one format.
#[derive(Debug)]
pub(super) struct InputTransform {
    pub image: Size,
    pub format: PixelFormat,
    pub layout: ShortSideLayout,
    warp: Warp,
}

impl InputTransform {
    pub(super) fn new(manifest: &Manifest, image: Size, format: PixelFormat) -> Result<Self, EstimateError> {
        let unsupported_size = |reason: String| EstimateError::Image { image, reason };
        let input = &manifest.input;
        let (short, long) = (image.width.min(image.height), image.width.max(image.height));
        if short.saturating_mul(MAX_ASPECT) < long {
            return Err(unsupported_size(format!(
                "one side is more than {MAX_ASPECT} times the other; cut it into parts"
            )));
        }
        let layout = (input.rule.centre())
            .and_then(|centre| ShortSideLayout::new(image, input.short_side, input.multiple, centre))
            .ok_or_else(|| unsupported_size("it is empty, or too large to compute with".to_owned()))?;
        let warp = Warp::new(format, image, &layout.image_from_network, layout.network, input.mean, input.std)
            .map_err(|error| unsupported_size(error.to_string()))?;
        Ok(Self { image, format, layout, warp })
    }

    /// Lays an image into a network's input, `[3, height, width]`.
    pub(super) fn write_input(&mut self, image: ImageView<'_>, input: &mut [f32]) -> Result<(), EstimateError> {
        let unsupported_size = |reason: String| EstimateError::Image { image: image.size(), reason };
        self.warp.run(image, input).map_err(|error| unsupported_size(error.to_string()))
    }
}

/// Lays crops of images into a network's input of one size. A crop like the last one needs no new tables.
#[derive(Debug)]
pub(super) struct CropTransform {
    network: Size,
    mean: [f32; 3],
    std: [f32; 3],
    last: Option<Aim>,
}

/// A warp, and what it was made for.
#[derive(Debug)]
struct Aim {
    image: Size,
    format: PixelFormat,
    image_from_network: Affine,
    warp: Warp,
}

impl CropTransform {
    pub(super) fn new(input: &Input, network: Size) -> Self {
        Self { network, mean: input.mean, std: input.std, last: None }
    }

    /// Lays the part of an image that `image_from_network` says into `input`, `[3, height, width]`.
    pub(super) fn write_input(
        &mut self,
        image: ImageView<'_>,
        image_from_network: Affine,
        input: &mut [f32],
    ) -> Result<(), EstimateError> {
        let (size, format) = (image.size(), image.format());
        let unsupported_size = |error: WarpError| EstimateError::Image { image: size, reason: error.to_string() };
        let same =
            |aim: &&mut Aim| (aim.image, aim.format, aim.image_from_network) == (size, format, image_from_network);
        let aim = match self.last.as_mut().filter(same) {
            Some(aim) => aim,
            None => {
                let warp = Warp::new(format, size, &image_from_network, self.network, self.mean, self.std)
                    .map_err(unsupported_size)?;
                self.last.insert(Aim { image: size, format, image_from_network, warp })
            }
        };
        aim.warp.run(image, input).map_err(unsupported_size)
    }
}
