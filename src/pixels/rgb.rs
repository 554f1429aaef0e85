//! Conversion of a whole image to RGB, for drawing and encoding.

use super::planes::YuvPlanes;
use super::points::{GreyPoints, Points, RgbPoints, YuvPoints};
use super::{ImageView, PixelFormat};

/// Writes the image into `rgb` as RGB, 3 bytes a pixel, rows without gaps. Chroma is not interpolated.
pub fn to_rgb(image: ImageView<'_>, rgb: &mut Vec<u8>) {
    match (image.format(), YuvPlanes::new(image)) {
        (PixelFormat::Grey, _) => write(image, &GreyPoints(image), rgb),
        (_, Some(planes)) => write(image, &YuvPoints::new(planes, image.colour()), rgb),
        (_, None) => write(image, &RgbPoints(image), rgb),
    }
}

fn write<P: Points>(image: ImageView<'_>, points: &P, rgb: &mut Vec<u8>) {
    let (width, height) = (image.size().width, image.size().height);
    rgb.resize(3 * width * height, 0);
    for (y, row) in rgb.chunks_exact_mut(3 * width).enumerate() {
        for (x, pixel) in row.chunks_exact_mut(3).enumerate() {
            pixel.copy_from_slice(&points.rgb(points.at(x, y)).map(|value| (value + 0.5) as u8));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Size;
    use crate::pixels::{Colour, ColourMatrix, ColourRange};

    fn converted(format: PixelFormat, size: Size, data: &[u8], colour: Colour) -> Vec<u8> {
        let view = ImageView::new(format, size, format.row_bytes(size.width).unwrap(), data).unwrap();
        let mut rgb = vec![7; 2];
        to_rgb(view.with_colour(colour), &mut rgb);
        rgb
    }

    #[test]
    fn known_colours() {
        let one = Size::new(1, 1);
        for (yuv, rgb) in [
            ([16, 128, 128], [0, 0, 0]),
            ([235, 128, 128], [255, 255, 255]),
            ([81, 90, 240], [254, 0, 0]),
            ([145, 54, 34], [0, 255, 1]),
            ([41, 240, 110], [0, 0, 255]),
        ] {
            assert_eq!(converted(PixelFormat::I420, one, &yuv, Colour::default()), rgb);
        }
        let high = Colour { matrix: ColourMatrix::Bt709, range: ColourRange::Limited };
        assert_eq!(converted(PixelFormat::I420, one, &[63, 102, 240], high), [255, 1, 0]);
        let full = Colour { matrix: ColourMatrix::Bt601, range: ColourRange::Full };
        assert_eq!(converted(PixelFormat::I420, one, &[76, 85, 255], full), [254, 0, 0]);
    }

    #[test]
    fn every_layout_finds_its_bytes() {
        let size = Size::new(3, 2);
        let (y, u, v) = ([50, 80, 110, 140, 170, 200], [100, 140], [120, 160]);
        let planar: Vec<u8> = [&y[..], &u, &v].concat();
        let expected = converted(PixelFormat::I420, size, &planar, Colour::default());
        let nv12 = [&y[..3], &[0], &y[3..], &[0], &[u[0], v[0], u[1], v[1]]].concat();
        let yuyv: Vec<u8> = y.chunks(3).flat_map(|y| [y[0], u[0], y[1], v[0], y[2], u[1], 0, v[1]]).collect();
        let uyvy: Vec<u8> = yuyv.chunks(2).flat_map(|pair| [pair[1], pair[0]]).collect();
        assert_eq!(converted(PixelFormat::Nv12, size, &nv12, Colour::default()), expected);
        assert_eq!(converted(PixelFormat::Yuyv, size, &yuyv, Colour::default()), expected);
        assert_eq!(converted(PixelFormat::Uyvy, size, &uyvy, Colour::default()), expected);
        assert_eq!(converted(PixelFormat::Grey, size, &y, Colour::default())[3..6], [80, 80, 80]);
        assert_eq!(converted(PixelFormat::Rgb, size, &[9; 18], Colour::default()), [9; 18]);
    }
}
