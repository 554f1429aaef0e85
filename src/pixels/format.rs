//! How pixels lie in memory.

use crate::geometry::Size;

/// A pixel layout that the warp reads directly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PixelFormat {
    /// 3 bytes a pixel: red, green, blue.
    Rgb,
    /// 1 byte a pixel: luma, full range.
    Grey,
    /// 4 bytes for 2 pixels: Y0 U Y1 V, limited range.
    Yuyv,
    /// 4 bytes for 2 pixels: U Y0 V Y1, limited range.
    Uyvy,
    /// A luma plane, then a half-size plane of U V pairs; limited range.
    Nv12,
}

/// A picture in somebody else's memory.
#[derive(Debug, Clone, Copy)]
pub struct PictureView<'a> {
    format: PixelFormat,
    size: Size,
    stride: usize,
    data: &'a [u8],
}

impl<'a> PictureView<'a> {
    /// The pixel layout.
    pub fn format(&self) -> PixelFormat {
        self.format
    }

    /// Width and height in pixels.
    pub fn size(&self) -> Size {
        self.size
    }

    /// Bytes from one row to the next (of the luma plane, for NV12; its chroma rows use the same).
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// All bytes.
    pub fn data(&self) -> &'a [u8] {
        self.data
    }
}
