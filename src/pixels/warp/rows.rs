//! Rows of every format, in RGB, ready for interpolation.
//!
//! A row is laid out as red, green, blue and a filler for every pixel, [`LEVEL`] for a grey level. All arithmetic is in 16
//! bits, written so that compilers make vector instructions of it.

use crate::pixels::colour::Coefficients;
use crate::pixels::planes::YuvPlanes;
use crate::pixels::{Colour, PictureView, PixelFormat};

/// Steps for a grey level: what keeps the difference of two values within 16 bits.
pub(super) const LEVEL: i16 = 1 << LEVEL_BITS;
const LEVEL_BITS: u32 = 7;

/// Red, green, blue and a filler, [`LEVEL`] for a grey level.
pub(super) type WidePixel = [i16; 4];

/// Steps for a grey level within the colour conversion: what leaves room for the largest sum in 16 bits.
const STEPS: f64 = (1 << STEPS_BITS) as f64;
const STEPS_BITS: u32 = 5;

/// `Coefficients` in fixed point, those for chroma by channel of two pixels.
#[derive(Debug, Clone, Copy)]
struct FixedCoefficients {
    black: i16,
    luma: i16,
    from_u: [i16; 8],
    from_v: [i16; 8],
}

impl FixedCoefficients {
    fn new(colour: Colour) -> Self {
        let Coefficients { black, luma, red_v, green_u, green_v, blue_u } = colour.coefficients();
        // Luma is multiplied by 2^7 and chroma by 2^8 before, and the upper 16 bits of the product are kept.
        let luma_scale = STEPS * 65536.0 / 128.0;
        let chroma_scale = STEPS * 65536.0 / 256.0;
        let twice =
            |channels: [f64; 4]| core::array::from_fn(|lane| (channels[lane % 4] * chroma_scale).round() as i16);
        Self {
            black: i16::from(black),
            luma: (luma * luma_scale).round() as i16,
            from_u: twice([0.0, -green_u, blue_u, 0.0]),
            from_v: twice([red_v, -green_v, 0.0, 0.0]),
        }
    }

    /// Two pixels that share their chroma.
    #[inline(always)]
    fn pair(&self, first: u8, second: u8, u: u8, v: u8) -> [WidePixel; 2] {
        let luma = |value: u8| (i16::from(value) - self.black) << 7;
        let chroma = |value: u8| (i16::from(value) - 128) << 8;
        let (first, second, u, v) = (luma(first), luma(second), chroma(u), chroma(v));
        let luma = [first, first, first, first, second, second, second, second];
        let lanes: [i16; 8] = core::array::from_fn(|lane| {
            // Every product is rounded down: on the average the sum is one step too low.
            let sum = high(luma[lane], self.luma) + high(u, self.from_u[lane]) + high(v, self.from_v[lane]) + 1;
            sum.clamp(0, 255 << STEPS_BITS) << (LEVEL_BITS - STEPS_BITS)
        });
        let mut pixels = [[0; 4]; 2];
        pixels.as_flattened_mut().copy_from_slice(&lanes);
        pixels
    }
}

/// The upper half of a product.
#[inline(always)]
fn high(a: i16, b: i16) -> i16 {
    ((i32::from(a) * i32::from(b)) >> 16) as i16
}

/// Reads rows of one picture.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rows<'a> {
    picture: PictureView<'a>,
    planes: Option<YuvPlanes<'a>>,
    coefficients: FixedCoefficients,
}

impl<'a> Rows<'a> {
    pub fn new(picture: PictureView<'a>) -> Self {
        Self { picture, planes: YuvPlanes::new(picture), coefficients: FixedCoefficients::new(picture.colour()) }
    }

    /// Writes the pixels `start..start + out.len()` of row `y`; `start` must be even.
    pub fn read(&self, y: usize, start: usize, out: &mut [WidePixel]) {
        let (data, stride, format) = (self.picture.data(), self.picture.stride(), self.picture.format());
        let width = out.len();
        match (format, &self.planes) {
            (PixelFormat::Grey, _) => {
                for (pixel, &grey) in out.iter_mut().zip(&data[y * stride + start..]) {
                    let value = i16::from(grey) << LEVEL_BITS;
                    *pixel = [value, value, value, 0];
                }
            }
            (PixelFormat::Yuyv, _) => self.packed::<0>(&data[y * stride + 2 * start..], out),
            (PixelFormat::Uyvy, _) => self.packed::<1>(&data[y * stride + 2 * start..], out),
            (_, Some(planes)) => {
                let luma = &planes.luma[y * planes.luma_stride + start..];
                let chroma = (y / 2) * planes.chroma_stride + (start / 2) * planes.chroma_step;
                let (u, v) = (&planes.u[chroma..], &planes.v[chroma..]);
                if planes.chroma_step == 1 {
                    self.planar::<1>(luma, u, v, out)
                } else {
                    self.planar::<2>(luma, u, v, out)
                }
            }
            (_, None) => {
                rgb(&data[y * stride + 3 * start..][..3 * width], out);
            }
        }
    }

    /// Luma at byte `LUMA` of every 2, U before V in the others.
    fn packed<const LUMA: usize>(&self, bytes: &[u8], out: &mut [WidePixel]) {
        let coefficients = self.coefficients;
        let convert =
            |bytes: &[u8; 4]| coefficients.pair(bytes[LUMA], bytes[LUMA + 2], bytes[1 - LUMA], bytes[3 - LUMA]);
        let (bytes, _) = bytes.as_chunks::<4>();
        let (pairs, last) = out.as_chunks_mut::<2>();
        for (pair, bytes) in pairs.iter_mut().zip(bytes) {
            *pair = convert(bytes);
        }
        if let [last] = last {
            // An odd row ends with a whole pair all the same.
            [*last, _] = convert(&bytes[pairs.len()]);
        }
    }

    /// Luma and chroma apart, chroma values `STEP` bytes apart.
    fn planar<const STEP: usize>(&self, luma: &[u8], u: &[u8], v: &[u8], out: &mut [WidePixel]) {
        let coefficients = self.coefficients;
        let (pairs, last) = out.as_chunks_mut::<2>();
        let (lumas, _) = luma.as_chunks::<2>();
        let chroma = u.iter().step_by(STEP).zip(v.iter().step_by(STEP));
        for ((pair, &[first, second]), (&u, &v)) in pairs.iter_mut().zip(lumas).zip(chroma) {
            *pair = coefficients.pair(first, second, u, v);
        }
        if let [last] = last {
            let (luma, chroma) = (luma[2 * pairs.len()], STEP * pairs.len());
            [*last, _] = coefficients.pair(luma, luma, u[chroma], v[chroma]);
        }
    }
}

/// Three bytes a pixel; four pixels at a time are a few vector instructions.
fn rgb(bytes: &[u8], out: &mut [WidePixel]) {
    let (pixels, _) = bytes.as_chunks::<3>();
    let (blocks, last) = out.as_chunks_mut::<4>();
    let (four, rest) = pixels.as_chunks::<4>();
    let wide = |value: u8| i16::from(value) << LEVEL_BITS;
    for (block, pixels) in blocks.iter_mut().zip(four) {
        for (pixel, rgb) in block.iter_mut().zip(pixels) {
            *pixel = [wide(rgb[0]), wide(rgb[1]), wide(rgb[2]), 0];
        }
    }
    for (pixel, rgb) in last.iter_mut().zip(rest) {
        *pixel = [wide(rgb[0]), wide(rgb[1]), wide(rgb[2]), 0];
    }
}
