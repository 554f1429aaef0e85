//! The inverse cosine transform of a block, in whole numbers.
//!
//! Loeffler, Ligtenberg and Moschytz, "Practical fast 1-D DCT algorithms with 11 multiplications" (ICASSP 1989), with
//! constants of 13 bits and two more bits kept between the passes: libjpeg's accurate method, which gives the same bytes.

use std::num::Wrapping;

use super::Fault;

type Int = Wrapping<i32>;
/// A row of eight values, or the same value of eight columns.
type Lanes = [Int; 8];

const FRACTION: u32 = 13;
/// Bits that are kept between the passes.
const KEPT: u32 = 2;

/// A constant with [`FRACTION`] bits.
const fn fixed(value: f64) -> Int {
    Wrapping((value * (1 << FRACTION) as f64 + 0.5) as i32)
}

/// One pass over all columns, descaled by `SHIFT` bits.
#[inline(always)]
fn pass<const SHIFT: u32>(c: &[Lanes; 8]) -> [Lanes; 8] {
    let mut out = [[Wrapping(0); 8]; 8];
    let half = Wrapping(1 << (SHIFT - 1));
    for i in 0..8 {
        // Even part: a rotation of 2 and 6, and a butterfly of 0 and 4.
        let rotated = (c[2][i] + c[6][i]) * fixed(0.541_196_100);
        let (low, high) = (rotated - c[6][i] * fixed(1.847_759_065), rotated + c[2][i] * fixed(0.765_366_865));
        let (sum, difference) = ((c[0][i] + c[4][i]) << FRACTION as usize, (c[0][i] - c[4][i]) << FRACTION as usize);
        let even = [sum + high, difference + low, difference - low, sum - high];
        // Odd part.
        let (a, b) = (c[7][i] + c[3][i], c[5][i] + c[1][i]);
        let both = (a + b) * fixed(1.175_875_602);
        let (a, b) = (both - a * fixed(1.961_570_560), both - b * fixed(0.390_180_644));
        let outer = (c[7][i] + c[1][i]) * fixed(0.899_976_223);
        let inner = (c[5][i] + c[3][i]) * fixed(2.562_915_447);
        let odd = [
            c[1][i] * fixed(1.501_321_110) - outer + b,
            c[3][i] * fixed(3.072_711_026) - inner + a,
            c[5][i] * fixed(2.053_119_869) - inner + b,
            c[7][i] * fixed(0.298_631_336) - outer + a,
        ];
        for n in 0..4 {
            out[n][i] = (even[n] + odd[n] + half) >> SHIFT as usize;
            out[7 - n][i] = (even[n] - odd[n] + half) >> SHIFT as usize;
        }
    }
    out
}

fn transposed(from: &[Lanes; 8]) -> [Lanes; 8] {
    let mut to = [[Wrapping(0); 8]; 8];
    for y in 0..8 {
        for x in 0..8 {
            to[x][y] = from[y][x];
        }
    }
    to
}

const IMPLAUSIBLE: Fault = Fault::Broken("a block's coefficients are larger than those of any image");

fn sample(value: i32) -> u8 {
    value.saturating_add(128).clamp(0, 255) as u8
}

/// Whether all values have at most 15 bits, so that sums of two have 16. libjpeg-turbo's vector code computes with 16 bits and
/// differs from its plain code beyond that; 8-bit images stay far below.
fn is_plausible(values: &[Lanes; 8]) -> bool {
    let beyond = values.as_flattened().iter().fold(0, |beyond, &Wrapping(value)| beyond | value.wrapping_add(1 << 14));
    beyond & !0x7fff == 0
}

/// Writes the samples of a block: `coefficients` in rows, not yet multiplied with `quantisation`, into the eight rows of
/// `plane` that are `stride` bytes apart.
///
/// # Errors
/// If the coefficients are larger than in any image.
pub(super) fn inverse(
    coefficients: &[i16; 64],
    quantisation: &[u16; 64],
    plane: &mut [u8],
    stride: usize,
) -> Result<(), Fault> {
    let mut rows = [[Wrapping(0); 8]; 8];
    for (y, row) in rows.iter_mut().enumerate() {
        for (x, value) in row.iter_mut().enumerate() {
            *value = Wrapping(i32::from(coefficients[8 * y + x])) * Wrapping(i32::from(quantisation[8 * y + x]));
        }
    }
    let columns = pass::<{ FRACTION - KEPT }>(&rows);
    if !is_plausible(&rows) || !is_plausible(&columns) {
        return Err(IMPLAUSIBLE);
    }
    let samples = transposed(&pass::<{ FRACTION + KEPT + 3 }>(&transposed(&columns)));
    for (target, row) in plane.chunks_mut(stride).zip(&samples) {
        for (target, &Wrapping(value)) in target[..8].iter_mut().zip(row) {
            *target = sample(value);
        }
    }
    Ok(())
}

/// The same of a block that has nothing but its mean.
pub(super) fn flat(mean: i16, quantisation: u16, plane: &mut [u8], stride: usize) -> Result<(), Fault> {
    let value = i32::from(mean) * i32::from(quantisation);
    if !(-(1 << 12)..1 << 12).contains(&value) {
        return Err(IMPLAUSIBLE);
    }
    let value = sample((value + 4) >> 3);
    for target in plane.chunks_mut(stride).take(8) {
        target[..8].fill(value);
    }
    Ok(())
}
