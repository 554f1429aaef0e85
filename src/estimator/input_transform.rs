//! From images to a network's input: whole images, and crops.

use super::EstimateError;
use crate::bundle::Manifest;
use crate::bundle::manifest::Input;
use crate::geometry::{Affine, ShortSideLayout, Size};
use crate::pixels::{ImageView, PixelFormat, Warp, WarpError};

/// Maximum aspect ratio of an image. Memory grows with it, and networks trained on photographs have never seen such images.
const MAX_ASPECT: usize = 8;

/// How whole images of one size are laid into the network's input.
pub(super) fn layout(manifest: &Manifest, image: Size) -> Result<ShortSideLayout, EstimateError> {
    let unsupported_size = |reason: String| EstimateError::Image { image, reason };
    let input = &manifest.input;
    let (short, long) = (image.width.min(image.height), image.width.max(image.height));
    if short.saturating_mul(MAX_ASPECT) < long {
        return Err(unsupported_size(format!("one side is more than {MAX_ASPECT} times the other; cut it into parts")));
    }
    (input.rule.centre())
        .and_then(|centre| ShortSideLayout::new(image, input.short_side, input.multiple, centre))
        .ok_or_else(|| unsupported_size("it is empty, or too large to compute with".to_owned()))
}

/// From whole images of one size and format to the network's input.
#[derive(Debug)]
pub(super) struct InputTransform {
    pub image: Size,
    pub layout: ShortSideLayout,
    warp: Warp,
}

impl InputTransform {
    pub(super) fn new(manifest: &Manifest, image: Size, format: PixelFormat) -> Result<Self, EstimateError> {
        let (layout, input) = (layout(manifest, image)?, &manifest.input);
        let warp = Warp::new(format, image, &layout.image_from_network, layout.network, input.mean, input.std)
            .map_err(|error| EstimateError::Image { image, reason: error.to_string() })?;
        Ok(Self { image, layout, warp })
    }

    /// Writes an image into a network's input, `[3, height, width]`.
    pub(super) fn write_input(&mut self, image: ImageView<'_>, input: &mut [f32]) -> Result<(), EstimateError> {
        let size = image.size();
        self.warp.run(image, input).map_err(|error| EstimateError::Image { image: size, reason: error.to_string() })
    }
}

/// From crops of images to a network's input of one size. The tables of the last crop are reused, so that moving boxes
/// allocate nothing.
#[derive(Debug)]
pub(super) struct CropTransform {
    network: Size,
    mean: [f32; 3],
    std: [f32; 3],
    /// Made for the first crop.
    warp: Option<Warp>,
}

impl CropTransform {
    pub(super) fn new(input: &Input, network: Size) -> Self {
        Self { network, mean: input.mean, std: input.std, warp: None }
    }

    /// Writes the part of an image that `image_from_network` maps the network's pixels to into `input`, `[3, height, width]`.
    pub(super) fn write_input(
        &mut self,
        image: ImageView<'_>,
        image_from_network: Affine,
        input: &mut [f32],
    ) -> Result<(), EstimateError> {
        let (size, format) = (image.size(), image.format());
        let unsupported_size = |error: WarpError| EstimateError::Image { image: size, reason: error.to_string() };
        let warp = match &mut self.warp {
            Some(warp) => {
                warp.aim(format, size, &image_from_network).map_err(unsupported_size)?;
                warp
            }
            none => {
                let warp = Warp::new(format, size, &image_from_network, self.network, self.mean, self.std);
                none.insert(warp.map_err(unsupported_size)?)
            }
        };
        warp.run(image, input).map_err(unsupported_size)
    }
}
