//! YUV4MPEG2 video: the simplest container there is, read by every video tool.
//!
//! Written as 8-bit 4:2:0, BT.601, limited range, chroma between its four pixels (`C420jpeg`).

use std::io::Write;

use crate::geometry::Size;

/// Frames per second as a fraction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Frames ...
    pub frames: u64,
    /// ... in so many seconds.
    pub seconds: u64,
}

/// Writes frames of one size.
#[derive(Debug)]
pub struct Writer<W> {
    output: W,
    size: Size,
    planes: Vec<u8>,
}

impl<W: Write> Writer<W> {
    /// Writes the header.
    pub fn new(mut output: W, size: Size, rate: Rate) -> std::io::Result<Self> {
        let Rate { frames, seconds } = rate;
        writeln!(
            output,
            "YUV4MPEG2 W{} H{} F{frames}:{seconds} Ip A1:1 C420jpeg XCOLORRANGE=LIMITED",
            size.width, size.height
        )?;
        let chroma = size.width.div_ceil(2) * size.height.div_ceil(2);
        Ok(Self { output, size, planes: vec![0; size.width * size.height + 2 * chroma] })
    }

    /// The size of every frame.
    pub fn size(&self) -> Size {
        self.size
    }

    /// Writes one frame, 3 bytes a pixel, rows without gaps.
    pub fn write(&mut self, rgb: &[u8]) -> std::io::Result<()> {
        to_planes(rgb, self.size, &mut self.planes);
        self.output.write_all(b"FRAME\n")?;
        self.output.write_all(&self.planes)
    }

    /// Writes what is still in a buffer.
    pub fn flush(&mut self) -> std::io::Result<()> {
        self.output.flush()
    }
}

/// RGB to planar 4:2:0 by BT.601, in 16-bit fixed point.
fn to_planes(rgb: &[u8], size: Size, planes: &mut [u8]) {
    let Size { width, height } = size;
    let (luma, chroma) = planes.split_at_mut(width * height);
    for (y, pixel) in luma.iter_mut().zip(rgb.chunks_exact(3)) {
        let [r, g, b] = [pixel[0], pixel[1], pixel[2]].map(i32::from);
        // 219/255 of (0.299, 0.587, 0.114).
        *y = ((16829 * r + 33039 * g + 6416 * b + (16 << 16) + (1 << 15)) >> 16) as u8;
    }
    let half = width.div_ceil(2);
    let (blue, red) = chroma.split_at_mut(half * height.div_ceil(2));
    for (index, (u, v)) in blue.iter_mut().zip(red).enumerate() {
        let (x, y) = (2 * (index % half), 2 * (index / half));
        // At an odd border the last column or row counts twice.
        let (next_x, next_y) = ((x + 1).min(width - 1), (y + 1).min(height - 1));
        let mut sum = [0_i32; 3];
        for start in [y * width + x, y * width + next_x, next_y * width + x, next_y * width + next_x] {
            for (sum, value) in sum.iter_mut().zip(&rgb[3 * start..]) {
                *sum += i32::from(*value);
            }
        }
        let [r, g, b] = sum;
        // 224/255 of (B - Y) / 1.772 and (R - Y) / 1.402, a quarter of the sum of four pixels.
        *u = ((-9714 * r - 19070 * g + 28784 * b + (128 << 18) + (1 << 17)) >> 18) as u8;
        *v = ((28784 * r - 24103 * g - 4681 * b + (128 << 18) + (1 << 17)) >> 18) as u8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_and_size() {
        let mut bytes = Vec::new();
        let mut writer = Writer::new(&mut bytes, Size::new(3, 1), Rate { frames: 30000, seconds: 1001 }).unwrap();
        writer.write(&[0; 9]).unwrap();
        let expected =
            b"YUV4MPEG2 W3 H1 F30000:1001 Ip A1:1 C420jpeg XCOLORRANGE=LIMITED\nFRAME\n\x10\x10\x10\x80\x80\x80\x80";
        assert_eq!(bytes, expected);
    }

    #[test]
    fn colours() {
        // Y, U, V of BT.601 in limited range.
        for (rgb, yuv) in [
            ([255, 255, 255], [235, 128, 128]),
            ([255, 0, 0], [81, 90, 240]),
            ([0, 255, 0], [145, 54, 34]),
            ([0, 0, 255], [41, 240, 110]),
        ] {
            let mut planes = [0; 6];
            to_planes(&rgb.repeat(4), Size::new(2, 2), &mut planes);
            assert_eq!([planes[0], planes[4], planes[5]], yuv, "{rgb:?}");
        }
    }
}
