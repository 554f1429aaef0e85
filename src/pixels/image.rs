//! Images in memory.

use super::{Colour, PixelFormat};
use crate::geometry::Size;

/// A borrowed image. Its size, stride and number of bytes were checked when it was made.
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
    /// If a side is 0, a row does not fit the stride, or the data are too short. Longer data are fine.
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

    /// The same image, with YUV values interpreted by `colour`.
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

    /// Meaning of YUV values.
    pub fn colour(&self) -> Colour {
        self.colour
    }

    /// All bytes.
    pub fn data(&self) -> &'a [u8] {
        self.data
    }
}

/// An image in its own memory, which can be reused: once it is large enough, nothing is allocated.
///
/// Its size, stride and number of bytes are checked where they are set, so that [`Image::view`] cannot fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    format: PixelFormat,
    size: Size,
    stride: usize,
    colour: Colour,
    data: Vec<u8>,
}

impl Default for Image {
    /// One black pixel, to be replaced.
    fn default() -> Self {
        let (format, size, colour) = (PixelFormat::Grey, Size::new(1, 1), Colour::default());
        Self { format, size, stride: 1, colour, data: vec![0] }
    }
}

impl Image {
    /// An image of `size` whose rows lie in `data` without gaps.
    ///
    /// # Errors
    /// Same as [`ImageView::new`].
    pub fn new(format: PixelFormat, size: Size, data: Vec<u8>) -> Result<Self, ImageError> {
        let ImageView { stride, colour, .. } =
            ImageView::new(format, size, format.row_bytes(size.width).unwrap_or(0), &data)?;
        Ok(Self { format, size, stride, colour, data })
    }

    /// Makes this an image of another size and format, its rows without gaps, and returns its bytes to be written; their content is
    /// unspecified.
    ///
    /// # Errors
    /// If a side is 0 or there is not enough memory; the image is unchanged then.
    pub fn reset(&mut self, format: PixelFormat, size: Size) -> Result<&mut [u8], ImageError> {
        if size.width == 0 || size.height == 0 {
            return Err(ImageError::Empty { size });
        }
        let stride = format.row_bytes(size.width);
        let bytes = stride.and_then(|stride| format.image_bytes(size, stride));
        let (Some(stride), Some(bytes)) = (stride, bytes) else { return Err(ImageError::TooLarge { format, size }) };
        self.data.resize(bytes, 0);
        (self.format, self.size, self.stride, self.colour) = (format, size, stride, Colour::default());
        Ok(&mut self.data)
    }

    /// Makes this a copy of `image`, stride included.
    pub fn copy_from(&mut self, image: ImageView<'_>) {
        let ImageView { format, size, stride, colour, data } = image;
        // A view was checked to have this many bytes; those after them are not part of the image.
        let bytes = format.image_bytes(size, stride).unwrap_or(data.len());
        self.data.clear();
        self.data.extend_from_slice(&data[..bytes]);
        (self.format, self.size, self.stride, self.colour) = (format, size, stride, colour);
    }

    /// The pixel layout.
    pub fn format(&self) -> PixelFormat {
        self.format
    }

    /// Width and height in pixels.
    pub fn size(&self) -> Size {
        self.size
    }

    /// Bytes from one row to the next, as [`ImageView::stride`].
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// All bytes.
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// The same image, with YUV values interpreted by `colour`.
    #[must_use]
    pub fn with_colour(self, colour: Colour) -> Self {
        Self { colour, ..self }
    }

    /// The image, borrowed.
    pub fn view(&self) -> ImageView<'_> {
        let Self { format, size, stride, colour, ref data } = *self;
        ImageView { format, size, stride, colour, data }
    }
}

impl From<ImageView<'_>> for Image {
    fn from(view: ImageView<'_>) -> Self {
        let mut image = Self::default();
        image.copy_from(view);
        image
    }
}

/// Why bytes are not an image.
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

    #[test]
    fn a_copy_keeps_stride_and_colour_and_drops_what_lies_behind() {
        let data: Vec<u8> = (0..40).collect();
        let colour = Colour { range: super::super::ColourRange::Full, ..Colour::default() };
        let view = ImageView::new(PixelFormat::Yuyv, Size::new(3, 3), 10, &data).unwrap().with_colour(colour);
        let mut image = Image::default();
        assert_eq!(image.view().size(), Size::new(1, 1));
        image.copy_from(view);
        assert_eq!((image.stride(), image.view().colour(), image.data()), (10, colour, &data[..28]));
        assert_eq!(image, Image::from(view));
        assert_eq!(image.reset(PixelFormat::Rgb, Size::new(2, 2)).unwrap().len(), 12);
        assert_eq!((image.view().stride(), image.view().colour()), (6, Colour::default()));
        assert!(matches!(image.reset(PixelFormat::Rgb, Size::new(0, 2)), Err(ImageError::Empty { .. })));
        assert!(matches!(image.reset(PixelFormat::Rgb, Size::new(usize::MAX, 2)), Err(ImageError::TooLarge { .. })));
        assert_eq!(image.size(), Size::new(2, 2), "what fails changes nothing");
    }
}
