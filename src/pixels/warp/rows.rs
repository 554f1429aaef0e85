//! Rows of every format, laid out alike, ready for interpolation.
//!
//! Samples come in groups: of a YUV or grey image luma, U, luma, V for two pixels, of an RGB image red, green, blue for
//! one. A sample is its byte times 257, so that 255 is the largest number of 16 bits. All arithmetic on them is 16-bit and
//! written so that compilers vectorise it.

use crate::pixels::planes::YuvPlanes;
use crate::pixels::{ImageView, PixelFormat};

/// Steps of a sample for a step of its byte.
pub(super) const STEPS: f32 = 257.0;

/// Chroma that has no colour.
const NEUTRAL: u8 = 128;

fn sample(byte: u8) -> u16 {
    u16::from_le_bytes([byte, byte])
}

/// Meaning of a group of samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// Two pixels: luma, U, luma, V.
    Pair,
    /// One pixel: red, green, blue.
    Pixel,
}

impl Layout {
    pub fn of(format: PixelFormat) -> Self {
        if format == PixelFormat::Rgb { Self::Pixel } else { Self::Pair }
    }

    /// Samples of a group.
    pub fn samples(self) -> usize {
        match self {
            Self::Pair => 4,
            Self::Pixel => 3,
        }
    }

    /// Pixels of a group.
    pub fn pixels(self) -> usize {
        match self {
            Self::Pair => 2,
            Self::Pixel => 1,
        }
    }
}

/// `value` times `weight`, of which the largest counts as one: exactly `value` then, and less than 1/257 of a grey level
/// too high elsewhere. Shares whose weights add up to one add up to 16 bits at most.
#[inline(always)]
pub(super) fn share(value: u16, weight: u16) -> u16 {
    // The upper half of the product, rounded up; each half is one vector instruction.
    let upper = ((u32::from(value) * u32::from(weight)) >> 16) as u16;
    upper + u16::from(value.wrapping_mul(weight) != 0)
}

/// Two neighbouring rows, and the weight of the lower one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Between {
    /// Rows of the image.
    pub upper: usize,
    pub lower: usize,
    pub weight: u16,
}

impl Between {
    #[inline(always)]
    fn bytes<const N: usize>(&self, upper: [u8; N], lower: [u8; N]) -> [u16; N] {
        core::array::from_fn(|at| {
            share(sample(upper[at]), u16::MAX - self.weight) + share(sample(lower[at]), self.weight)
        })
    }
}

/// Reads rows of one image.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rows<'a> {
    image: ImageView<'a>,
    planes: Option<YuvPlanes<'a>>,
}

impl<'a> Rows<'a> {
    pub fn new(image: ImageView<'a>) -> Self {
        Self { image, planes: YuvPlanes::new(image) }
    }

    /// A group that is black, followed by what fills it up to four.
    pub fn black(&self) -> [u16; 4] {
        let luma = match self.image.format() {
            PixelFormat::Rgb => return [0; 4],
            PixelFormat::Grey => 0,
            _ => self.image.colour().coefficients().black,
        };
        [luma, NEUTRAL, luma, NEUTRAL].map(sample)
    }

    /// Writes samples of a blend of two rows, from pixel `start` on, which must be even; `pixels` of them, of which a
    /// pair may have only the first.
    #[inline(always)]
    pub fn read(&self, rows: Between, start: usize, pixels: usize, out: &mut [u16]) {
        let (data, stride) = (self.image.data(), self.image.stride());
        let both = |bytes_per_pair: usize| {
            [rows.upper, rows.lower].map(|row| &data[row * stride + start * bytes_per_pair / 2..])
        };
        match (self.image.format(), &self.planes) {
            (PixelFormat::Yuyv, _) => flat(rows, both(4), out),
            (PixelFormat::Uyvy, _) => {
                flat(rows, both(4), out);
                for group in out.as_chunks_mut::<4>().0 {
                    let [u, first, v, second] = *group;
                    *group = [first, u, second, v];
                }
            }
            (PixelFormat::Rgb, _) => flat(rows, both(6), out),
            (_, None) => {
                let neutral = core::iter::repeat([sample(NEUTRAL); 2]);
                planar(rows, both(2).map(|luma| &luma[..pixels]), neutral, out);
            }
            (_, Some(planes)) => {
                let luma =
                    [rows.upper, rows.lower].map(|row| &planes.luma[row * planes.luma_stride + start..][..pixels]);
                let chroma = |plane: &'a [u8]| {
                    let first = start / 2 * planes.chroma_step;
                    [rows.upper, rows.lower].map(|row| &plane[row / 2 * planes.chroma_stride + first..])
                };
                let (u, v) = (chroma(planes.u), chroma(planes.v));
                if planes.chroma_step == 2 {
                    // U and V side by side.
                    let [upper, lower] = u.map(|both| both.as_chunks::<2>().0.iter());
                    planar(rows, luma, upper.zip(lower).map(|(&upper, &lower)| rows.bytes(upper, lower)), out);
                } else {
                    let upper = u[0].iter().zip(v[0]);
                    let lower = u[1].iter().zip(v[1]);
                    let chroma =
                        upper.zip(lower).map(|((&u, &v), (&low_u, &low_v))| rows.bytes([u, v], [low_u, low_v]));
                    planar(rows, luma, chroma, out);
                }
            }
        }
    }
}

/// Rows whose bytes are samples one by one.
#[inline(always)]
fn flat(rows: Between, [upper, lower]: [&[u8]; 2], out: &mut [u16]) {
    for (value, (&upper, &lower)) in out.iter_mut().zip(upper.iter().zip(lower)) {
        [*value] = rows.bytes([upper], [lower]);
    }
}

/// Luma by itself, and the chroma of each pair.
#[inline(always)]
fn planar(rows: Between, luma: [&[u8]; 2], mut chroma: impl Iterator<Item = [u16; 2]>, out: &mut [u16]) {
    let [(upper, upper_last), (lower, lower_last)] = luma.map(|luma| luma.as_chunks::<2>());
    let (pairs, half) = out.as_chunks_mut::<4>().0.split_at_mut(upper.len());
    for ((group, [u, v]), (&upper, &lower)) in pairs.iter_mut().zip(&mut chroma).zip(upper.iter().zip(lower)) {
        let [first, second] = rows.bytes(upper, lower);
        *group = [first, u, second, v];
    }
    if let ([upper], [lower], [group, ..]) = (upper_last, lower_last, half)
        && let Some([u, v]) = chroma.next()
    {
        let [luma] = rows.bytes([*upper], [*lower]);
        *group = [luma, u, luma, v];
    }
}
