//! From interpolated samples to red, green and blue: the colour matrix, held between black and white, and the network's
//! normalisation, as one sum per channel.

use super::Normalisation;
use super::rows::{Layout, STEPS};
use crate::pixels::{PictureView, PixelFormat};

/// How samples become the three planes of a network's input.
#[derive(Debug, Clone, Copy)]
pub(super) struct Channels {
    layout: Layout,
    /// By channel, over the three values of a pixel and 1.
    matrix: [[f32; 4]; 3],
    /// What black and white become.
    range: [[f32; 2]; 3],
}

impl Channels {
    /// For pictures like `picture`.
    pub fn new(picture: PictureView<'_>, normalisation: &Normalisation) -> Self {
        let Normalisation { scale, offset } = *normalisation;
        let layout = Layout::of(picture.format());
        let to_rgb = match picture.format() {
            PixelFormat::Rgb => [[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]],
            PixelFormat::Grey => [[1.0, 0.0, 0.0, 0.0]; 3],
            _ => picture.colour().matrix_to_rgb(),
        };
        let matrix = core::array::from_fn(|channel| {
            let [first, second, third, constant] = to_rgb[channel].map(|factor| factor * scale[channel]);
            [first / STEPS, second / STEPS, third / STEPS, constant + offset[channel]]
        });
        let range = core::array::from_fn(|channel| [offset[channel], 255.0 * scale[channel] + offset[channel]]);
        Self { layout, matrix, range }
    }

    /// Writes one row of each plane; `pixels` must have as many.
    pub fn write(&self, pixels: &[[u16; 4]], planes: [&mut [f32]; 3]) {
        match self.layout {
            // Only one of the two lumas has a weight, or both are neighbours' shares.
            Layout::Pair => self.write_as(pixels, planes, |&[first, u, second, v]| [first + second, u, v]),
            Layout::Pixel => self.write_as(pixels, planes, |&[red, green, blue, _]| [red, green, blue]),
        }
    }

    #[inline(always)]
    fn write_as(&self, pixels: &[[u16; 4]], planes: [&mut [f32]; 3], values: impl Fn(&[u16; 4]) -> [u16; 3]) {
        let [red, green, blue] = planes;
        let channel = |channel: usize, values: [f32; 3]| {
            let [a, b, c, constant] = self.matrix[channel];
            let [black, white] = self.range[channel];
            let value = a * values[0] + b * values[1] + c * values[2] + constant;
            // Not `clamp`, which minds NaN and order.
            let value = if value > black { value } else { black };
            if value < white { value } else { white }
        };
        for (((pixel, red), green), blue) in pixels.iter().zip(red).zip(green).zip(blue) {
            let values = values(pixel).map(f32::from);
            *red = channel(0, values);
            *green = channel(1, values);
            *blue = channel(2, values);
        }
    }
}
