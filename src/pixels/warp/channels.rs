//! From interpolated samples to red, green and blue: the colour matrix, clamped between black and white, and the network's
//! normalisation, as one sum per channel.

use fearless_simd::prelude::*;
use fearless_simd::{f32x8, i32x8};

use super::Normalisation;
use super::rows::{Layout, STEPS};
use crate::pixels::{ImageView, PixelFormat};

/// How samples become the three planes of a network's input.
#[derive(Debug, Clone, Copy)]
pub(super) struct Channels {
    layout: Layout,
    /// By channel, over the three values of a pixel and 1.
    matrix: [[f32; 4]; 3],
    /// Black and white after normalisation.
    range: [[f32; 2]; 3],
}

impl Channels {
    /// Channels for images like `image`.
    pub fn new(image: ImageView<'_>, normalisation: &Normalisation) -> Self {
        let Normalisation { scale, offset } = *normalisation;
        let layout = Layout::of(image.format());
        let to_rgb = match image.format() {
            PixelFormat::Rgb => [[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]],
            PixelFormat::Grey => [[1.0, 0.0, 0.0, 0.0]; 3],
            _ => image.colour().matrix_to_rgb(),
        };
        let matrix = core::array::from_fn(|channel| {
            let [first, second, third, constant] = to_rgb[channel].map(|factor| factor * scale[channel]);
            [first / STEPS, second / STEPS, third / STEPS, constant + offset[channel]]
        });
        let range = core::array::from_fn(|channel| [offset[channel], 255.0 * scale[channel] + offset[channel]]);
        Self { layout, matrix, range }
    }

    /// Writes one row of each plane; `pixels` must have as many.
    #[inline(always)]
    pub fn write<S: Simd>(&self, simd: S, pixels: &[[u16; 4]], planes: [&mut [f32]; 3]) {
        let (whole, rest) = pixels.as_chunks();
        let mut planes = planes.map(|plane| plane.as_chunks_mut::<EIGHT>());
        for (index, pixels) in whole.iter().enumerate() {
            for ((plane, _), values) in planes.iter_mut().zip(self.rgb(simd, pixels)) {
                plane[index] = values;
            }
        }
        let mut last = [[0; 4]; EIGHT];
        last[..rest.len()].copy_from_slice(rest);
        for ((_, plane), values) in planes.iter_mut().zip(self.rgb(simd, &last)) {
            plane.copy_from_slice(&values[..rest.len()]);
        }
    }

    #[inline(always)]
    fn rgb<S: Simd>(&self, simd: S, pixels: &[[u16; 4]; EIGHT]) -> [[f32; EIGHT]; 3] {
        // The first two samples of each pixel, and the other two.
        let (mut near, mut far) = ([0; EIGHT], [0; EIGHT]);
        for (lane, &[a, b, c, d]) in pixels.iter().enumerate() {
            near[lane] = i32::from(a) | i32::from(b) << 16;
            far[lane] = i32::from(c) | i32::from(d) << 16;
        }
        let (near, far) = (i32x8::load_array(simd, near), i32x8::load_array(simd, far));
        let [a, b, c] = match self.layout {
            // Only one of the two lumas has a weight, or both are neighbours' shares.
            Layout::Pair => [low(near) + low(far), high(near), high(far)],
            Layout::Pixel => [low(near), high(near), low(far)],
        };
        let (a, b, c) = (a.to_float::<f32x8<S>>(), b.to_float::<f32x8<S>>(), c.to_float::<f32x8<S>>());
        let mut channels = [[0.0; EIGHT]; 3];
        for (channel, values) in channels.iter_mut().enumerate() {
            let [of_a, of_b, of_c, constant] = self.matrix[channel];
            let [black, white] = self.range[channel];
            let value = a.mul_add(of_a, b.mul_add(of_b, c.mul_add(of_c, constant)));
            *values = value.max(black).min(white).to_array();
        }
        channels
    }
}

/// Pixels that are computed together.
const EIGHT: usize = 8;

/// The lower and the upper one of two samples of 16 bits.
#[inline(always)]
fn low<S: Simd>(both: i32x8<S>) -> i32x8<S> {
    both & 0xffff
}

#[inline(always)]
fn high<S: Simd>(both: i32x8<S>) -> i32x8<S> {
    low(both >> 16)
}
