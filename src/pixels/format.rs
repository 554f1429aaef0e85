//! Pixel layouts.

use crate::geometry::Size;

/// A pixel layout that the warp reads directly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PixelFormat {
    /// 3 bytes a pixel: red, green, blue.
    Rgb,
    /// 1 byte a pixel: luma, full range.
    Grey,
    /// 4 bytes for 2 pixels: Y0 U Y1 V.
    Yuyv,
    /// 4 bytes for 2 pixels: U Y0 V Y1.
    Uyvy,
    /// A luma plane, then a plane of U V pairs, one pair for 2x2 pixels.
    Nv12,
    /// A luma plane, then a U plane, then a V plane, one value for 2x2 pixels; chroma rows are half a stride apart.
    I420,
}

impl PixelFormat {
    /// Minimum number of bytes in a row of `width` pixels (of the luma plane, for planar formats), or `None` if
    /// they overflow.
    pub const fn row_bytes(self, width: usize) -> Option<usize> {
        match self {
            Self::Rgb => width.checked_mul(3),
            Self::Grey | Self::I420 => Some(width),
            // A pair of pixels shares its chroma: an odd last pixel still has a whole pair.
            Self::Yuyv | Self::Uyvy => width.div_ceil(2).checked_mul(4),
            Self::Nv12 => width.div_ceil(2).checked_mul(2),
        }
    }

    /// Minimum number of bytes of an image of `size` with rows `stride` bytes apart, or `None` if they overflow.
    /// The last row of the last plane may end early.
    pub const fn image_bytes(self, size: Size, stride: usize) -> Option<usize> {
        if size.width == 0 || size.height == 0 {
            return Some(0);
        }
        let chroma_rows = size.height.div_ceil(2);
        let (whole_rows, rest) = match self {
            Self::Rgb | Self::Grey | Self::Yuyv | Self::Uyvy => {
                (stride.checked_mul(size.height - 1), self.row_bytes(size.width))
            }
            Self::Nv12 => match size.height.checked_add(chroma_rows - 1) {
                Some(rows) => (stride.checked_mul(rows), self.row_bytes(size.width)),
                None => return None,
            },
            Self::I420 => {
                let chroma = stride.div_ceil(2).checked_mul(2 * chroma_rows - 1);
                match chroma {
                    Some(chroma) => (stride.checked_mul(size.height), chroma.checked_add(size.width.div_ceil(2))),
                    None => return None,
                }
            }
        };
        match (whole_rows, rest) {
            (Some(whole_rows), Some(rest)) => whole_rows.checked_add(rest),
            _ => None,
        }
    }
}

impl PixelFormat {
    /// The layout with this name in GStreamer.
    pub fn from_gstreamer(name: &str) -> Option<Self> {
        Some(match name {
            "RGB" => Self::Rgb,
            "GRAY8" => Self::Grey,
            "YUY2" => Self::Yuyv,
            "UYVY" => Self::Uyvy,
            "NV12" => Self::Nv12,
            "I420" => Self::I420,
            _ => return None,
        })
    }
}

impl core::fmt::Display for PixelFormat {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Rgb => "RGB",
            Self::Grey => "GREY",
            Self::Yuyv => "YUYV",
            Self::Uyvy => "UYVY",
            Self::Nv12 => "NV12",
            Self::I420 => "I420",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes() {
        let size = Size::new(5, 3);
        assert_eq!(PixelFormat::Rgb.image_bytes(size, 15), Some(45));
        assert_eq!(PixelFormat::Rgb.image_bytes(size, 16), Some(47));
        assert_eq!(PixelFormat::Grey.image_bytes(size, 5), Some(15));
        assert_eq!(PixelFormat::Yuyv.image_bytes(size, 12), Some(36));
        assert_eq!(PixelFormat::Nv12.image_bytes(size, 6), Some(18 + 12));
        assert_eq!(PixelFormat::I420.image_bytes(size, 5), Some(15 + 6 + 6));
        assert_eq!(PixelFormat::I420.image_bytes(size, 8), Some(24 + 3 * 4 + 3));
        assert_eq!(PixelFormat::Yuyv.image_bytes(Size::new(2, usize::MAX), 4), None);
    }
}
