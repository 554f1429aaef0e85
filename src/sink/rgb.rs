//! Any pixel format to RGB, for drawing on.

use crate::pixels::{PictureView, PixelFormat};

/// Makes `rgb` the picture in RGB, 3 bytes a pixel, rows without gaps. Chroma is not interpolated.
pub fn convert(picture: PictureView<'_>, rgb: &mut Vec<u8>) {
    let (width, height) = (picture.size().width, picture.size().height);
    rgb.resize(3 * width * height, 0);
    for (y, row) in rgb.chunks_exact_mut((3 * width).max(1)).enumerate() {
        let source = &picture.data()[y * picture.stride()..];
        match picture.format() {
            PixelFormat::Rgb => row.copy_from_slice(&source[..3 * width]),
            PixelFormat::Grey => {
                for (pixel, &luma) in row.chunks_exact_mut(3).zip(source) {
                    pixel.fill(luma);
                }
            }
            PixelFormat::Yuyv => packed(row, source, [0, 1, 2, 3]),
            PixelFormat::Uyvy => packed(row, source, [1, 0, 3, 2]),
            PixelFormat::Nv12 => {
                let chroma = &picture.data()[(height + y / 2) * picture.stride()..];
                for (x, pixel) in row.chunks_exact_mut(3).enumerate() {
                    let start = x / 2 * 2;
                    pixel.copy_from_slice(&bt601(source[x], chroma[start], chroma[start + 1]));
                }
            }
        }
    }
}

/// Two pixels in four bytes, `order` saying where Y0, U, Y1 and V stand.
fn packed(row: &mut [u8], source: &[u8], order: [usize; 4]) {
    for (pixels, bytes) in row.chunks_mut(6).zip(source.chunks_exact(4)) {
        let [first, u, second, v] = order.map(|index| bytes[index]);
        for (pixel, luma) in pixels.chunks_exact_mut(3).zip([first, second]) {
            pixel.copy_from_slice(&bt601(luma, u, v));
        }
    }
}

/// Limited-range BT.601 to RGB.
fn bt601(y: u8, u: u8, v: u8) -> [u8; 3] {
    let (y, u, v) = (f32::from(y) - 16.0, f32::from(u) - 128.0, f32::from(v) - 128.0);
    let luma = y * (255.0 / 219.0);
    let chroma = 255.0 / 224.0;
    let red = luma + 1.402 * chroma * v;
    let green = luma - (0.344_136 * u + 0.714_136 * v) * chroma;
    let blue = luma + 1.772 * chroma * u;
    // A cast saturates.
    [red, green, blue].map(|value| (value + 0.5) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limited_range_ends_meet_full_range_ends() {
        assert_eq!(bt601(16, 128, 128), [0, 0, 0]);
        assert_eq!(bt601(235, 128, 128), [255, 255, 255]);
        assert_eq!(bt601(81, 90, 240), [254, 0, 0]);
    }
}
