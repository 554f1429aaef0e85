//! Images in memory.

use super::{Colour, PixelFormat};
use crate::geometry::Size;

/// An image in somebody else's memory; its bytes are known to be enough for its size.
#[derive(Debug, Clone, Copy)]
pub struct ImageView<'a> {
    format: PixelFormat,
    size: Size,
    stride: usize,
    colour: Colour,
    data: &'a [u8],
}

impl<'a> ImageView<'a> {
    /// An image of `size` in `data`, its rows `stride` bytes apart; colours BT.601 in limited range where the format
    /// is YUV.
    ///
    /// # Errors
    /// Where a side is 0, a row does not fit the stride, or the data are too short. Longer data are fine.
    pub fn new(format: PixelFormat, size: Size, stride: usize, data: &'a [u8]) -> Result<Self, ImageError> {
        if size.width == 0 || size.height == 0 {
            return Err(ImageError::Empty { size });
        }
        let row = format.row_bytes(size.width).ok_or(ImageError::TooLarge { format, size })?;
        if stride < row {
            return Err(ImageError::Stride { format, size, stride, row });
        }
        let needed = format.image_bytes(size, stride).ok_or(ImageError::TooLarge { format, size })?;
        if data.len() < needed {
            return Err(ImageError::Short { format, size, stride, needed, found: data.len() });
        }
        Ok(Self { format, size, stride, colour: Colour::default(), data })
    }

    /// The same image, its YUV values meant as `colour` says.
    #[must_use]
    pub fn with_colour(self, colour: Colour) -> Self {
        Self { colour, ..self }
    }

    /// The pixel layout.
    pub fn format(&self) -> PixelFormat {
        self.format
    }

    /// Width and height in pixels.
    pub fn size(&self) -> Size {
        self.size
    }

    /// Bytes from one row to the next (of the luma plane, where there are planes; the chroma rows of NV12 have the
    /// same, those of I420 half of it, rounded up).
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// What YUV values mean.
    pub fn colour(&self) -> Colour {
        self.colour
    }

    /// All bytes.
    pub fn data(&self) -> &'a [u8] {
        self.data
    }
}

/// An image in its own memory, rows without gaps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    format: PixelFormat,
    size: Size,
    colour: Colour,
    data: Vec<u8>,
}

impl Image {
    /// An image of `size` whose rows lie in `data` without gaps.
    ///
    /// # Errors
    /// As [`ImageView::new`].
    pub fn new(format: PixelFormat, size: Size, data: Vec<u8>) -> Result<Self, ImageError> {
        let colour = ImageView::new(format, size, format.row_bytes(size.width).unwrap_or(0), &data)?.colour;
        Ok(Self { format, size, colour, data })
    }

    /// The pixel layout.
    pub fn format(&self) -> PixelFormat {
        self.format
    }

    /// Width and height in pixels.
    pub fn size(&self) -> Size {
        self.size
    }

    /// All bytes.
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// The image with other colours than are usual for its layout.
    pub fn with_colour(self, colour: Colour) -> Self {
        Self { colour, ..self }
    }

    /// The image, borrowed.
    pub fn view(&self) -> ImageView<'_> {
        ImageView {
            format: self.format,
            size: self.size,
            stride: self.format.row_bytes(self.size.width).unwrap_or(0),
            colour: self.colour,
            data: &self.data,
        }
    }
}

/// A copy of an image, in memory that is used again and again: it grows with the images, and nothing else is allocated.
#[derive(Debug, Clone)]
pub struct ImageBuffer {
    bytes: Vec<u8>,
    format: PixelFormat,
    size: Size,
    stride: usize,
    colour: Colour,
}

impl Default for ImageBuffer {
    /// One of nothing yet, which has no view.
    fn default() -> Self {
        let (format, size, colour) = (PixelFormat::Grey, Size::new(0, 0), Colour::default());
        Self { bytes: Vec::new(), format, size, stride: 0, colour }
    }
}

impl ImageBuffer {
    /// Becomes a copy of `image`.
    pub fn fill(&mut self, image: ImageView<'_>) {
        (self.format, self.size, self.stride) = (image.format, image.size, image.stride);
        self.colour = image.colour;
        // The view's check has seen that it has so many.
        let needed = self.format.image_bytes(self.size, self.stride).unwrap_or_default();
        self.bytes.clear();
        self.bytes.extend_from_slice(&image.data[..needed]);
    }

    /// The image, borrowed.
    ///
    /// # Errors
    /// Where it was never filled.
    pub fn view(&self) -> Result<ImageView<'_>, ImageError> {
        Ok(ImageView::new(self.format, self.size, self.stride, &self.bytes)?.with_colour(self.colour))
    }
}

/// Why bytes are no image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// A side is 0.
    #[error("an image of {size} has no pixels: give a width and a height of at least 1")]
    Empty {
        /// The size.
        size: Size,
    },
    /// The number of bytes overflows.
    #[error("a {format} image of {size} is larger than any memory: check the size")]
    TooLarge {
        /// The pixel layout.
        format: PixelFormat,
        /// The size.
        size: Size,
    },
    /// Rows overlap.
    #[error("a row of a {format} image of {size} takes {row} bytes, but rows are only {stride} bytes apart")]
    Stride {
        /// The pixel layout.
        format: PixelFormat,
        /// The size.
        size: Size,
        /// Bytes from one row to the next.
        stride: usize,
        /// Bytes that a row takes.
        row: usize,
    },
    /// Bytes are missing.
    #[error("a {format} image of {size} with rows {stride} bytes apart takes {needed} bytes, but there are {found}")]
    Short {
        /// The pixel layout.
        format: PixelFormat,
        /// The size.
        size: Size,
        /// Bytes from one row to the next.
        stride: usize,
        /// Bytes that the image takes.
        needed: usize,
        /// Bytes that there are.
        found: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checked() {
        let data = [0_u8; 24];
        let view = |width, height, stride| ImageView::new(PixelFormat::Rgb, Size::new(width, height), stride, &data);
        assert!(view(4, 2, 12).is_ok());
        assert!(view(3, 2, 12).is_ok());
        assert!(matches!(view(4, 2, 11), Err(ImageError::Stride { row: 12, stride: 11, .. })));
        assert!(matches!(view(4, 3, 12), Err(ImageError::Short { needed: 36, found: 24, .. })));
        assert!(matches!(view(0, 3, 12), Err(ImageError::Empty { .. })));
        assert!(matches!(view(usize::MAX, 3, 12), Err(ImageError::TooLarge { .. })));
        assert!(matches!(view(1, usize::MAX, 12), Err(ImageError::TooLarge { .. })));
    }

    #[test]
    fn owned_rows_have_no_gaps() {
        let image = Image::new(PixelFormat::I420, Size::new(5, 3), vec![0; 27]).unwrap();
        assert_eq!(image.view().stride(), 5);
        assert!(Image::new(PixelFormat::I420, Size::new(5, 3), vec![0; 26]).is_err());
    }
}
