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

/// `Coefficients` in fixed point.
#[derive(Debug, Clone, Copy)]
struct FixedCoefficients {
    black: i16,
    luma: i16,
    red_v: i16,
    minus_green_u: i16,
    minus_green_v: i16,
    blue_u: i16,
}

impl FixedCoefficients {
    fn new(colour: Colour) -> Self {
        let Coefficients { black, luma, red_v, green_u, green_v, blue_u } = colour.coefficients();
        // Luma is multiplied by 2^7 and chroma by 2^8 before, and the upper 16 bits of the product are kept.
        let luma_scale = STEPS * 65536.0 / 128.0;
        let chroma_scale = STEPS * 65536.0 / 256.0;
        Self {
            black: i16::from(black),
            luma: (luma * luma_scale).round() as i16,
            red_v: (red_v * chroma_scale).round() as i16,
            minus_green_u: (-green_u * chroma_scale).round() as i16,
            minus_green_v: (-green_v * chroma_scale).round() as i16,
            blue_u: (blue_u * chroma_scale).round() as i16,
        }
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

/// Pixel pairs that are converted together.
const BLOCK: usize = 16;

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
                let row = &data[y * stride + 3 * start..][..3 * width];
                for (pixel, rgb) in out.iter_mut().zip(row.chunks_exact(3)) {
                    let wide = |value: u8| i16::from(value) << LEVEL_BITS;
                    *pixel = [wide(rgb[0]), wide(rgb[1]), wide(rgb[2]), 0];
                }
            }
        }
    }

    /// Luma at byte `LUMA` of every 2, U before V in the others.
    fn packed<const LUMA: usize>(&self, bytes: &[u8], out: &mut [WidePixel]) {
        let convert = |bytes: &[u8; 4 * BLOCK], out: &mut [WidePixel; 2 * BLOCK]| {
            let (pairs, _) = bytes.as_chunks::<4>();
            let take = |at: usize| core::array::from_fn(|i| pairs[i][at]);
            self.block(&take(LUMA), &take(LUMA + 2), &take(1 - LUMA), &take(3 - LUMA), out);
        };
        let (blocks, last) = out.as_chunks_mut::<{ 2 * BLOCK }>();
        let (chunks, _) = bytes.as_chunks::<{ 4 * BLOCK }>();
        for (out, bytes) in blocks.iter_mut().zip(chunks) {
            convert(bytes, out);
        }
        if !last.is_empty() {
            let rest = &bytes[blocks.len() * 4 * BLOCK..][..last.len().div_ceil(2) * 4];
            let mut block = [[0; 4]; 2 * BLOCK];
            convert(&filled(rest), &mut block);
            last.copy_from_slice(&block[..last.len()]);
        }
    }

    /// Luma and chroma apart, chroma values `STEP` bytes apart.
    fn planar<const STEP: usize>(&self, luma: &[u8], u: &[u8], v: &[u8], out: &mut [WidePixel]) {
        let convert = |luma: &[u8; 2 * BLOCK], u: &[u8], v: &[u8], out: &mut [WidePixel; 2 * BLOCK]| {
            let chroma = |plane: &[u8]| core::array::from_fn(|i| plane[i * STEP]);
            let (u, v) = (&u[..(BLOCK - 1) * STEP + 1], &v[..(BLOCK - 1) * STEP + 1]);
            let (pairs, _) = luma.as_chunks::<2>();
            let take = |at: usize| core::array::from_fn(|i| pairs[i][at]);
            self.block(&take(0), &take(1), &chroma(u), &chroma(v), out);
        };
        let (blocks, last) = out.as_chunks_mut::<{ 2 * BLOCK }>();
        let (chunks, _) = luma.as_chunks::<{ 2 * BLOCK }>();
        let whole = blocks.len();
        for (block, (out, luma)) in blocks.iter_mut().zip(chunks).enumerate() {
            let start = block * BLOCK * STEP;
            convert(luma, &u[start..], &v[start..], out);
        }
        if !last.is_empty() {
            let start = whole * BLOCK * STEP;
            let rest = (last.len().div_ceil(2) - 1) * STEP + 1;
            let (u, v) = (filled::<{ 2 * BLOCK }>(&u[start..][..rest]), filled::<{ 2 * BLOCK }>(&v[start..][..rest]));
            let mut block = [[0; 4]; 2 * BLOCK];
            convert(&filled(&luma[whole * 2 * BLOCK..][..last.len()]), &u, &v, &mut block);
            last.copy_from_slice(&block[..last.len()]);
        }
    }

    /// Converts a block of pixel pairs: the even and the odd luma values, and the chroma they share.
    #[inline(always)]
    fn block(
        &self,
        even: &[u8; BLOCK],
        odd: &[u8; BLOCK],
        u: &[u8; BLOCK],
        v: &[u8; BLOCK],
        pixels: &mut [WidePixel; 2 * BLOCK],
    ) {
        let c = self.coefficients;
        let mut red = [[0; BLOCK]; 2];
        let mut green = [[0; BLOCK]; 2];
        let mut blue = [[0; BLOCK]; 2];
        for i in 0..BLOCK {
            let u = (i16::from(u[i]) - 128) << 8;
            let v = (i16::from(v[i]) - 128) << 8;
            let chroma = [high(v, c.red_v), high(u, c.minus_green_u) + high(v, c.minus_green_v), high(u, c.blue_u)];
            for (parity, luma) in [even[i], odd[i]].into_iter().enumerate() {
                let luma = high((i16::from(luma) - c.black) << 7, c.luma) + 1;
                let wide = |chroma: i16| (luma + chroma).clamp(0, 255 << STEPS_BITS) << (LEVEL_BITS - STEPS_BITS);
                red[parity][i] = wide(chroma[0]);
                green[parity][i] = wide(chroma[1]);
                blue[parity][i] = wide(chroma[2]);
            }
        }
        for i in 0..BLOCK {
            for parity in 0..2 {
                pixels[2 * i + parity] = [red[parity][i], green[parity][i], blue[parity][i], 0];
            }
        }
    }
}

/// `bytes`, then zeros.
fn filled<const LEN: usize>(bytes: &[u8]) -> [u8; LEN] {
    let mut block = [0; LEN];
    block[..bytes.len()].copy_from_slice(bytes);
    block
}
