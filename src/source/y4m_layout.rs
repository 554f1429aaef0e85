//! How the planes of a y4m frame lie in its file: packed, as the format wants it, or with GStreamer's padding.

use crate::geometry::Size;
use crate::pixels::PixelFormat;

/// A plane: samples of a row, rows, and bytes and rows with padding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Plane {
    width: usize,
    height: usize,
    stride: usize,
    rows: usize,
}

/// The planes of a frame, at most three.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    planes: [Plane; 3],
}

impl Layout {
    /// Planes without gaps. 4:2:2 is planar in a file, and [`PixelFormat::Yuyv`] in memory.
    pub fn packed(format: PixelFormat, size: Size) -> Self {
        Self::new(format, size, |plane, _| plane.width, |height| height)
    }

    /// Planes as GStreamer's `y4menc` (seen with 1.22) writes them: its own memory, whose rows are padded to 4 bytes and,
    /// in 4:2:0, whose planes are padded to an even number of luma rows.
    pub fn gstreamer(format: PixelFormat, size: Size) -> Self {
        let is_420 = format == PixelFormat::I420;
        let stride = |plane: Plane, is_chroma: bool| match (is_chroma, is_420) {
            (true, false) => size.width.next_multiple_of(8) / 2,
            _ => plane.width.next_multiple_of(4),
        };
        Self::new(format, size, stride, |height| if is_420 { height.next_multiple_of(2) } else { height })
    }

    fn new(
        format: PixelFormat,
        size: Size,
        stride: impl Fn(Plane, bool) -> usize,
        luma_rows: impl Fn(usize) -> usize,
    ) -> Self {
        let luma = Plane { width: size.width, height: size.height, stride: 0, rows: luma_rows(size.height) };
        let width = size.width.div_ceil(2);
        let chroma = match format {
            PixelFormat::I420 => {
                Some(Plane { width, height: size.height.div_ceil(2), stride: 0, rows: luma.rows.div_ceil(2) })
            }
            PixelFormat::Yuyv => Some(Plane { width, ..luma }),
            _ => None,
        };
        let luma = Plane { stride: stride(luma, false), ..luma };
        let chroma = chroma.map(|plane| Plane { stride: stride(plane, true), ..plane }).unwrap_or_default();
        Self { planes: [luma, chroma, chroma] }
    }

    /// Bytes of a frame in the file.
    pub fn bytes(&self) -> usize {
        self.planes.iter().map(|plane| plane.stride * plane.rows).sum()
    }

    /// Copies a frame's planes from the file's bytes, without their gaps.
    pub fn copy_packed(&self, mut file: &[u8], mut packed: &mut [u8]) {
        for plane in self.planes.iter().filter(|plane| plane.width > 0) {
            let (bytes, rest) = file.split_at(plane.stride * plane.rows);
            let (target, others) = std::mem::take(&mut packed).split_at_mut(plane.width * plane.height);
            for (target, row) in target.chunks_exact_mut(plane.width).zip(bytes.chunks_exact(plane.stride)) {
                target.copy_from_slice(&row[..plane.width]);
            }
            (file, packed) = (rest, others);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What GStreamer 1.22 writes; the first three were measured with its `fdsink`.
    #[test]
    fn sizes_of_frames() {
        for (format, width, height, packed, padded) in [
            (PixelFormat::I420, 426, 240, 153_360, 154_560),
            (PixelFormat::I420, 1366, 768, 1_573_632, 1_575_936),
            (PixelFormat::Grey, 854, 480, 409_920, 410_880),
            (PixelFormat::I420, 640, 480, 460_800, 460_800),
            (PixelFormat::I420, 5, 3, 15 + 2 * 6, 8 * 4 + 2 * 8),
            (PixelFormat::Yuyv, 10, 3, 60, 12 * 3 + 2 * 8 * 3),
        ] {
            let size = Size::new(width, height);
            assert_eq!(Layout::packed(format, size).bytes(), packed, "{format} {size}");
            assert_eq!(Layout::gstreamer(format, size).bytes(), padded, "{format} {size}");
        }
    }

    #[test]
    fn gaps_are_not_copied() {
        let size = Size::new(3, 3);
        let file: Vec<u8> = (0..4 * 4 + 2 * 4 * 2).collect();
        let mut packed = [0; 9 + 8];
        Layout::gstreamer(PixelFormat::I420, size).copy_packed(&file, &mut packed);
        assert_eq!(packed, [0, 1, 2, 4, 5, 6, 8, 9, 10, 16, 17, 20, 21, 24, 25, 28, 29]);
    }
}
