//! YUV4MPEG2 video: the simplest container there is, read by every video tool.
//!
//! Written as 8-bit 4:2:0 in limited range, chroma between its four pixels (`C420jpeg`). The format cannot express
//! the matrix: it is the one that players assume for the size.

use std::io::{BufWriter, Write};

use crate::geometry::Size;
use crate::pixels::{Colour, ColourMatrix};
use crate::write::Replacement;

/// Frames per second as a fraction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Frames ...
    pub frames: u64,
    /// ... in this many seconds.
    pub seconds: u64,
}

/// The destination of a video.
pub(super) trait VideoOutput: Write {
    /// Whether the video must restart with its header, because another program has moved or deleted its file.
    ///
    /// # Errors
    /// If its path cannot be opened again.
    fn renewed(&mut self) -> std::io::Result<bool>;
}

impl VideoOutput for BufWriter<Replacement> {
    fn renewed(&mut self) -> std::io::Result<bool> {
        if self.get_ref().is_in_place() {
            return Ok(false);
        }
        // The buffer still belongs to the removed file.
        self.flush()?;
        self.get_mut().reopen()?;
        tracing::warn!("another program has moved or deleted a video that is being written; it is recreated");
        Ok(true)
    }
}

#[cfg(test)]
impl VideoOutput for &mut Vec<u8> {
    fn renewed(&mut self) -> std::io::Result<bool> {
        Ok(false)
    }
}

/// Writes frames of one size.
#[derive(Debug)]
pub struct Writer<W> {
    output: W,
    size: Size,
    rate: Rate,
    planes: Vec<u8>,
}

impl<W: VideoOutput> Writer<W> {
    /// Writes the header.
    pub fn new(output: W, size: Size, rate: Rate) -> std::io::Result<Self> {
        let chroma = size.width.div_ceil(2) * size.height.div_ceil(2);
        let mut writer = Self { output, size, rate, planes: vec![0; size.width * size.height + 2 * chroma] };
        writer.header()?;
        Ok(writer)
    }

    fn header(&mut self) -> std::io::Result<()> {
        let (Size { width, height }, Rate { frames, seconds }) = (self.size, self.rate);
        writeln!(self.output, "YUV4MPEG2 W{width} H{height} F{frames}:{seconds} Ip A1:1 C420jpeg XCOLORRANGE=LIMITED")
    }

    /// The size of every frame.
    pub fn size(&self) -> Size {
        self.size
    }

    /// Writes one frame, 3 bytes a pixel, rows without gaps.
    pub fn write(&mut self, rgb: &[u8]) -> std::io::Result<()> {
        if self.output.renewed()? {
            self.header()?;
        }
        to_planes(rgb, self.size, &mut self.planes);
        self.output.write_all(b"FRAME\n")?;
        self.output.write_all(&self.planes)
    }

    /// Writes what is still in a buffer.
    pub fn flush(&mut self) -> std::io::Result<()> {
        self.output.flush()
    }
}

/// RGB to planar 4:2:0 in limited range.
pub(super) fn to_planes(rgb: &[u8], size: Size, planes: &mut [u8]) {
    let Size { width, height } = size;
    let (red, blue) = match Colour::usual_for_video(size).matrix {
        ColourMatrix::Bt601 => (0.299, 0.114),
        ColourMatrix::Bt709 => (0.2126, 0.0722),
    };
    let weigh = |[r, g, b]: [f32; 3]| red * r + (1.0 - red - blue) * g + blue * b;
    let (luma, chroma) = planes.split_at_mut(width * height);
    let (pixels, _) = rgb.as_chunks::<3>();
    for (y, pixel) in luma.iter_mut().zip(pixels) {
        *y = (16.5 + 219.0 / 255.0 * weigh(pixel.map(f32::from))) as u8;
    }
    let half = width.div_ceil(2);
    let (u_plane, v_plane) = chroma.split_at_mut(half * height.div_ceil(2));
    for (index, (u, v)) in u_plane.iter_mut().zip(v_plane).enumerate() {
        let (x, y) = (2 * (index % half), 2 * (index / half));
        // At an odd border the last column or row counts twice.
        let (next_x, next_y) = ((x + 1).min(width - 1), (y + 1).min(height - 1));
        let mut mean = [0.0; 3];
        for index in [y * width + x, y * width + next_x, next_y * width + x, next_y * width + next_x] {
            for (mean, value) in mean.iter_mut().zip(pixels[index]) {
                *mean += f32::from(value) / 4.0;
            }
        }
        let y = weigh(mean);
        *u = (128.5 + 112.0 / 255.0 / (1.0 - blue) * (mean[2] - y)) as u8;
        *v = (128.5 + 112.0 / 255.0 / (1.0 - red) * (mean[0] - y)) as u8;
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
        // Y, U, V of BT.601 in limited range: these sizes are below high definition.
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
