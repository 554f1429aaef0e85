//! Images in the layout that most cameras give.

use super::{Image, ImageError, ImageView, PixelFormat, rgb};
use crate::geometry::Size;

/// The image in YUYV (BT.601, limited range) at another size, whose width must be even: scaled by nearest neighbour to fit,
/// letterboxed in black.
///
/// For benchmarks: the cost of a frame depends on its layout and size.
///
/// # Errors
/// If a side is 0, or the width is odd.
pub fn as_camera(image: ImageView<'_>, size: Size) -> Result<Image, ImageError> {
    let mut pixels = Vec::new();
    rgb::to_rgb(image, &mut pixels);
    let from = image.size();
    // Numerator and denominator of the scale that fits both sides.
    let (up, down) = if size.width * from.height <= size.height * from.width {
        (size.width, from.width)
    } else {
        (size.height, from.height)
    };
    let inside = Size::new(from.width * up / down, from.height * up / down);
    let (left, top) = ((size.width - inside.width) / 2, (size.height - inside.height) / 2);
    let at = |x: usize, y: usize| -> [f32; 3] {
        let (Some(x), Some(y)) = (x.checked_sub(left), y.checked_sub(top)) else { return [0.0; 3] };
        if x >= inside.width || y >= inside.height {
            return [0.0; 3];
        }
        let (x, y) = ((x * down / up).min(from.width - 1), (y * down / up).min(from.height - 1));
        let start = 3 * (y * from.width + x);
        [0, 1, 2].map(|channel| f32::from(pixels[start + channel]))
    };
    let mut data = Vec::with_capacity(2 * size.width * size.height);
    for y in 0..size.height {
        for x in (0..size.width).step_by(2) {
            let [first, second] = [at(x, y), at(x + 1, y)].map(yuv);
            let chroma = |index: usize| (0.5 * (first[index] + second[index]) + 0.5) as u8;
            data.extend([(first[0] + 0.5) as u8, chroma(1), (second[0] + 0.5) as u8, chroma(2)]);
        }
    }
    Image::new(PixelFormat::Yuyv, size, data)
}

/// BT.601, limited range.
fn yuv([red, green, blue]: [f32; 3]) -> [f32; 3] {
    let luma = 0.299 * red + 0.587 * green + 0.114 * blue;
    let chroma = |colour: f32, share: f32| 128.0 + 224.0 / 255.0 * (colour - luma) / (2.0 * (1.0 - share));
    [16.0 + 219.0 / 255.0 * luma, chroma(blue, 0.114), chroma(red, 0.299)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_survive_and_the_rest_is_black() {
        let colours = [[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]];
        // Every colour is 4x4 pixels, in a row, scaled by two; 16 rows remain, 8 above and 8 below.
        let row: Vec<u8> = colours.iter().flat_map(|colour| colour.repeat(4)).collect();
        let image = Image::new(PixelFormat::Rgb, Size::new(16, 4), row.repeat(4)).unwrap();
        let camera = as_camera(image.view(), Size::new(32, 24)).unwrap();
        assert_eq!((camera.format(), camera.size()), (PixelFormat::Yuyv, Size::new(32, 24)));
        let mut back = Vec::new();
        rgb::to_rgb(camera.view(), &mut back);
        for (number, colour) in colours.iter().enumerate() {
            let found = &back[3 * (12 * 32 + 8 * number + 4)..][..3];
            let far = found.iter().zip(colour).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
            assert!(far <= 3, "{colour:?} came back as {found:?}");
        }
        assert_eq!(back[..3], [0, 0, 0]);
        assert_eq!(back[back.len() - 3..], [0, 0, 0]);
    }
}
