//! From interpolated samples to red, green and blue: the colour matrix, held between black and white, and the network's
//! normalisation, as one sum per channel.

use wide::{f32x8, i32x8};

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
            Layout::Pair => {
                self.write_as(pixels, planes, |near, far| [low(near) + low(far), high(near), high(far)]);
            }
            Layout::Pixel => self.write_as(pixels, planes, |near, far| [low(near), high(near), low(far)]),
        }
    }

    /// `values` takes the first two samples of each pixel, and the other two.
    #[inline(always)]
    fn write_as(&self, pixels: &[[u16; 4]], planes: [&mut [f32]; 3], values: impl Fn(i32x8, i32x8) -> [i32x8; 3]) {
        let rgb = |pixels: &[[u16; 4]; EIGHT]| {
            let both = |first: usize| pixels.map(|pixel| i32::from(pixel[first]) | i32::from(pixel[first + 1]) << 16);
            let values = values(i32x8::new(both(0)), i32x8::new(both(2))).map(f32x8::from_i32x8);
            core::array::from_fn::<[f32; EIGHT], 3, _>(|channel| {
                let [a, b, c, constant] = self.matrix[channel];
                let [black, white] = self.range[channel];
                let value = a * values[0] + b * values[1] + c * values[2] + f32x8::splat(constant);
                value.fast_max(f32x8::splat(black)).fast_min(f32x8::splat(white)).to_array()
            })
        };
        let (whole, rest) = pixels.as_chunks();
        let mut planes = planes.map(|plane| plane.as_chunks_mut::<EIGHT>());
        for (index, pixels) in whole.iter().enumerate() {
            for ((plane, _), values) in planes.iter_mut().zip(rgb(pixels)) {
                plane[index] = values;
            }
        }
        let mut last = [[0; 4]; EIGHT];
        last[..rest.len()].copy_from_slice(rest);
        for ((_, plane), values) in planes.iter_mut().zip(rgb(&last)) {
            plane.copy_from_slice(&values[..rest.len()]);
        }
    }
}

/// Pixels that are computed together.
const EIGHT: usize = 8;

/// The lower and the upper one of two samples of 16 bits.
#[inline(always)]
fn low(both: i32x8) -> i32x8 {
    both & i32x8::splat(0xffff)
}

#[inline(always)]
fn high(both: i32x8) -> i32x8 {
    low(both >> 16)
}
