//! Which pixels come from the image, and which are padding.

use core::ops::Range;

use crate::decode::ShapeError;
use crate::decode::maps::Expected;
use crate::geometry::{Affine, Size};

/// Which pixels of a network's input, or of a smaller version of it, come from the image.
#[derive(Debug, Clone, Copy)]
pub struct Mask<'a> {
    /// One byte per pixel, row by row, not 0 if it comes from the image; `None` if all do.
    valid: Option<&'a [u8]>,
    size: Size,
}

impl<'a> Mask<'a> {
    /// No padding.
    pub const fn all(size: Size) -> Self {
        Self { valid: None, size }
    }

    /// A view of `valid` as `[height, width]`; a pixel is padding where the byte is 0.
    ///
    /// # Errors
    /// If the numbers of bytes and pixels differ.
    pub fn new(valid: &'a [u8], size: Size) -> Result<Self, ShapeError> {
        let expected = size.area().unwrap_or(usize::MAX);
        if valid.len() != expected {
            let (expected, found) = (Expected::Exactly(expected), valid.len());
            return Err(ShapeError { tensor: "mask", axis: "values", expected, found });
        }
        let all = valid.iter().all(|&byte| byte != 0);
        Ok(Self { valid: if all { None } else { Some(valid) }, size })
    }

    /// Size in pixels.
    pub fn size(&self) -> Size {
        self.size
    }

    /// Whether pixel `(x, y)`, which must be inside, comes from the image.
    #[inline]
    pub fn contains(&self, x: usize, y: usize) -> bool {
        self.valid.is_none_or(|valid| valid[y * self.size.width + x] != 0)
    }

    /// Whether there is padding in or directly next to some cells of two by two pixels.
    pub(super) fn has_padding_beside(&self, columns: Range<usize>, row: usize) -> bool {
        let Some(valid) = self.valid else { return false };
        let Size { width, height } = self.size;
        let (left, right) = ((2 * columns.start).saturating_sub(1), (2 * columns.end + 1).min(width));
        let (top, bottom) = ((2 * row).saturating_sub(1), (2 * row + 3).min(height));
        (top..bottom).any(|y| valid[y * width..][left..right].contains(&0))
    }
}

/// OpenCV 4 interpolates 8-bit images at positions rounded to this part of a pixel.
const STEPS: f64 = 32.0;

/// Writes the mask of a network's input, or of one shrunk to `size`, row by row: 1 where the pixel comes from the image.
///
/// The official test warps a white 8-bit image of `image` pixels bilinearly onto black and keeps what is above half of 255. A weight of exactly 0.5 is rounded up to 128 and so counts; weights are those of positions rounded to 1/32 pixel.
/// Both matter at common sizes: 640x480 in a network with a short side of 640 has its last column at exactly 0.5.
///
/// `image_from_mask` maps pixels of that size to the image and does not rotate.
///
/// # Errors
/// If `mask` does not have one byte per pixel.
pub fn write_mask(image: Size, image_from_mask: &Affine, size: Size, mask: &mut [u8]) -> Result<(), ShapeError> {
    Mask::new(mask, size)?;
    if size.width == 0 {
        return Ok(());
    }
    let white = |position: f64, extent: usize| {
        let position = libm::floor(position * STEPS + 0.5) / STEPS;
        (position + 1.0).min(extent as f64 - position).clamp(0.0, 1.0)
    };
    for (y, row) in mask.chunks_exact_mut(size.width).enumerate() {
        let along_y = white(image_from_mask.yy * y as f64 + image_from_mask.y0, image.height);
        for (x, valid) in row.iter_mut().enumerate() {
            let along_x = white(image_from_mask.xx * x as f64 + image_from_mask.x0, image.width);
            *valid = u8::from(along_x * along_y >= 0.5);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::{Centre, ShortSideLayout};

    #[test]
    fn another_size_is_refused() {
        assert!(Mask::new(&[1; 6], Size::new(3, 2)).is_ok());
        let error = Mask::new(&[1; 5], Size::new(3, 2)).unwrap_err();
        assert_eq!(std::format!("{error}"), "tensor `mask` has 5 values, expected 6");
    }

    #[test]
    fn padding_lies_on_both_ends() {
        let (image, network) = (Size::new(16, 8), Size::new(24, 8));
        let layout = ShortSideLayout::with_network(image, network, Centre::RoundedToEven).unwrap();
        let mut mask = [9; 24 * 8];
        write_mask(image, &layout.image_from_network, network, &mut mask).unwrap();
        let mask = Mask::new(&mask, network).unwrap();
        for y in 0..8 {
            for x in 0..24 {
                assert_eq!(mask.contains(x, y), (4..20).contains(&x));
            }
        }
    }
}
