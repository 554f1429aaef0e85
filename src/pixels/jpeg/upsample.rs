//! From planes of samples to pixels: chroma at full size, as libjpeg interpolates it, and colours.

use super::frame::Frame;

/// How a component's samples are spread over the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Method {
    /// As they are.
    Whole,
    /// Between two in a row, weighted 3 to 1.
    Across,
    /// Between two in a column.
    Down,
    /// Between four.
    Both,
    /// So many times across and down.
    Repeated(usize, usize),
}

/// Memory for one row of each component.
#[derive(Debug, Default)]
pub(super) struct Lines {
    samples: [Vec<u8>; 3],
    /// Sums of two rows of samples.
    sums: Vec<u16>,
}

/// Rows of a component at the image's width.
struct Rows<'a> {
    method: Method,
    plane: &'a [u8],
    stride: usize,
    width: usize,
    height: usize,
}

impl Rows<'_> {
    /// Writes row `y` of the image into `out`, which has room for the samples' rounding.
    fn write<'r>(&'r self, y: usize, sums: &mut [u16], out: &'r mut [u8]) -> &'r [u8] {
        let row = |y: usize| &self.plane[y * self.stride..][..self.width];
        // The nearer and the farther of two rows; beyond the edge the last is repeated.
        let pair = || {
            let near = y / 2;
            let far = if y.is_multiple_of(2) { near.saturating_sub(1) } else { (near + 1).min(self.height - 1) };
            (row(near), row(far))
        };
        match self.method {
            Method::Whole => return row(y),
            Method::Across => across(row(y), out),
            Method::Down => {
                let (near, far) = pair();
                let bias = 1 + (y % 2) as u16;
                for ((out, &near), &far) in out.iter_mut().zip(near).zip(far) {
                    *out = ((3 * u16::from(near) + u16::from(far) + bias) >> 2) as u8;
                }
            }
            Method::Both => {
                let (near, far) = pair();
                both(near, far, sums, out);
            }
            Method::Repeated(horizontally, vertically) => {
                for (out, &value) in out.chunks_mut(horizontally).zip(row(y / vertically)) {
                    out.fill(value);
                }
            }
        }
        out
    }
}

fn across(samples: &[u8], out: &mut [u8]) {
    let last = samples.len() - 1;
    let at = |x: usize| u16::from(samples[x]);
    out[0] = samples[0];
    out[1] = ((3 * at(0) + at(1) + 2) >> 2) as u8;
    for (out, three) in out[2..].chunks_exact_mut(2).zip(samples.windows(3)) {
        let [before, here, after] = [three[0], three[1], three[2]].map(u16::from);
        out[0] = ((3 * here + before + 1) >> 2) as u8;
        out[1] = ((3 * here + after + 2) >> 2) as u8;
    }
    out[2 * last] = ((3 * at(last) + at(last - 1) + 1) >> 2) as u8;
    out[2 * last + 1] = samples[last];
}

fn both(near: &[u8], far: &[u8], sums: &mut [u16], out: &mut [u8]) {
    let sums = &mut sums[..near.len()];
    for ((sum, &near), &far) in sums.iter_mut().zip(near).zip(far) {
        *sum = 3 * u16::from(near) + u16::from(far);
    }
    let last = sums.len() - 1;
    out[0] = ((4 * sums[0] + 8) >> 4) as u8;
    out[1] = ((3 * sums[0] + sums[1] + 7) >> 4) as u8;
    for (out, sums) in out[2..].chunks_exact_mut(2).zip(sums.windows(3)) {
        out[0] = ((3 * sums[1] + sums[0] + 8) >> 4) as u8;
        out[1] = ((3 * sums[1] + sums[2] + 7) >> 4) as u8;
    }
    out[2 * last] = ((3 * sums[last] + sums[last - 1] + 8) >> 4) as u8;
    out[2 * last + 1] = ((4 * sums[last] + 7) >> 4) as u8;
}

/// A constant with 16 bits of fraction.
const fn fixed(value: f64) -> i32 {
    (value * 65536.0 + 0.5) as i32
}

/// ITU-R BT.601 in full range, as JFIF has it.
fn to_rgb(y: &[u8], cb: &[u8], cr: &[u8], rgb: &mut [u8]) {
    const HALF: i32 = 1 << 15;
    for (((pixel, &y), &cb), &cr) in rgb.chunks_exact_mut(3).zip(y).zip(cb).zip(cr) {
        let (y, cb, cr) = (i32::from(y), i32::from(cb) - 128, i32::from(cr) - 128);
        let red = y + ((fixed(1.402) * cr + HALF) >> 16);
        let green = y + ((HALF - fixed(0.344_14) * cb - fixed(0.714_14) * cr) >> 16);
        let blue = y + ((fixed(1.772) * cb + HALF) >> 16);
        pixel[0] = red.clamp(0, 255) as u8;
        pixel[1] = green.clamp(0, 255) as u8;
        pixel[2] = blue.clamp(0, 255) as u8;
    }
}

/// Whether each component's samples are whole fractions of the image, which is all that is read.
pub(super) fn is_supported(frame: &Frame) -> bool {
    let (h, v) = frame.most_samples();
    frame.components().iter().all(|component| h % component.h == 0 && v % component.v == 0)
}

/// Writes the pixels of all planes: grey, or red, green and blue.
pub(super) fn write_pixels(frame: &Frame, planes: &[Vec<u8>; 3], lines: &mut Lines, pixels: &mut [u8]) {
    let (h, v) = frame.most_samples();
    let width = frame.size.width;
    let rows = |index: usize| {
        let component = &frame.components()[index];
        let (samples, stride) = (component.samples, 8 * component.blocks_across);
        let method = match (h / component.h, v / component.v) {
            (1, 1) => Method::Whole,
            (2, 1) if samples.width > 2 => Method::Across,
            (1, 2) => Method::Down,
            (2, 2) if samples.width > 2 => Method::Both,
            (across, down) => Method::Repeated(across, down),
        };
        Rows { method, plane: &planes[index], stride, width: samples.width, height: samples.height }
    };
    if frame.components().len() == 1 {
        let grey = rows(0);
        for (y, target) in pixels.chunks_exact_mut(width).enumerate() {
            target.copy_from_slice(&grey.write(y, &mut [], &mut [])[..width]);
        }
        return;
    }
    let components = [rows(0), rows(1), rows(2)];
    // A component's last sample may reach beyond the image, by less than 4 pixels.
    let room = width + 4;
    let Lines { samples: [first, second, third], sums } = lines;
    [&mut *first, second, third].into_iter().for_each(|line| line.resize(room, 0));
    sums.resize(room, 0);
    for (y, target) in pixels.chunks_exact_mut(3 * width).enumerate() {
        let [a, b, c] = &components;
        let (a, b, c) = (a.write(y, sums, first), b.write(y, sums, second), c.write(y, sums, third));
        if frame.is_rgb {
            for (((pixel, &a), &b), &c) in target.chunks_exact_mut(3).zip(a).zip(b).zip(c) {
                pixel.copy_from_slice(&[a, b, c]);
            }
        } else {
            to_rgb(a, b, c, target);
        }
    }
}
