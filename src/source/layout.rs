//! The layout of a frame's planes in a y4m file or a pipe: packed, or with GStreamer's padding.

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
    pub fn copy_packed(&self, file: &[u8], packed: &mut [u8]) {
        self.copy_rows(file, self.planes.map(|plane| plane.width), packed);
    }

    /// Copies the rows of each plane, with these strides.
    fn copy_rows(&self, mut file: &[u8], strides: [usize; 3], mut target: &mut [u8]) {
        for (plane, stride) in self.planes.iter().zip(strides).filter(|(plane, _)| plane.width > 0) {
            let (bytes, rest) = file.split_at(plane.stride * plane.rows);
            let (rows, others) = std::mem::take(&mut target).split_at_mut(stride * plane.height);
            for (target, row) in rows.chunks_exact_mut(stride).zip(bytes.chunks_exact(plane.stride)) {
                target[..plane.width].copy_from_slice(&row[..plane.width]);
            }
            (file, target) = (rest, others);
        }
    }
}

/// Frames from other programs.
#[cfg(any(feature = "camera", test))]
impl Layout {
    /// Planes without gaps, as bare frames and NUT have them, and as [`ImageView`](crate::pixels::ImageView) reads them.
    pub fn packed_raw(format: PixelFormat, size: Size) -> Self {
        Self::raw(format, size, |bytes| bytes, |rows| rows)
    }

    /// Planes as GStreamer's buffers have them (seen with 1.22): rows padded to 4 bytes, and where chroma has half the rows, the
    /// planes to an even number of luma rows.
    pub fn gstreamer_raw(format: PixelFormat, size: Size) -> Self {
        Self::raw(format, size, |bytes| bytes.next_multiple_of(4), |rows| rows.next_multiple_of(2))
    }

    /// Planes by what their rows are padded to, and their number where chroma has half of it.
    fn raw(format: PixelFormat, size: Size, pad: impl Fn(usize) -> usize, even: impl Fn(usize) -> usize) -> Self {
        let plane = |width, height, rows| Plane { width, height, stride: pad(width), rows };
        let Size { width, height } = size;
        let (columns, lines) = (width.div_ceil(2), height.div_ceil(2));
        let rows = even(height);
        let planes = match format {
            PixelFormat::Grey => [plane(width, height, height), Plane::default(), Plane::default()],
            PixelFormat::Rgb => [plane(3 * width, height, height), Plane::default(), Plane::default()],
            PixelFormat::Yuyv | PixelFormat::Uyvy => {
                [plane(4 * columns, height, height), Plane::default(), Plane::default()]
            }
            PixelFormat::I420 => {
                let chroma = plane(columns, lines, rows.div_ceil(2));
                [plane(width, height, rows), chroma, chroma]
            }
            PixelFormat::Nv12 => {
                [plane(width, height, rows), plane(2 * columns, lines, rows.div_ceil(2)), Plane::default()]
            }
        };
        Self { planes }
    }

    /// The bytes of an image, and those from one of its rows to the next: in place where the planes lie as an image's do, else
    /// copied into `copy`.
    pub fn image_data<'a>(
        &self,
        format: PixelFormat,
        size: Size,
        buffer: &'a [u8],
        copy: &'a mut Vec<u8>,
    ) -> (usize, &'a [u8]) {
        match self.stride_of_image(format) {
            Some(stride) => (stride, buffer),
            None => (self.copy_image(format, size, buffer, copy), copy),
        }
    }

    /// Copies a frame's planes as an image without gaps; its stride.
    fn copy_image(&self, format: PixelFormat, size: Size, buffer: &[u8], copy: &mut Vec<u8>) -> usize {
        let stride = format.row_bytes(size.width).unwrap_or(0);
        let chroma = if format == PixelFormat::I420 { stride.div_ceil(2) } else { stride };
        let bytes = self.planes[0].height * stride + (self.planes[1].height + self.planes[2].height) * chroma;
        copy.resize(bytes, 0);
        self.copy_rows(buffer, [stride, chroma, chroma], copy);
        stride
    }

    /// Bytes from one row to the next, where the planes lie as those of an image with this stride do.
    fn stride_of_image(&self, format: PixelFormat) -> Option<usize> {
        let [luma, chroma, _] = self.planes;
        let stride = luma.stride;
        let fits = match format {
            PixelFormat::Nv12 => luma.rows == luma.height && chroma.stride == stride,
            PixelFormat::I420 => {
                luma.rows == luma.height && chroma.rows == chroma.height && chroma.stride == stride.div_ceil(2)
            }
            _ => true,
        };
        // The rows of an image hold whole pairs.
        let is_wide_enough = format != PixelFormat::Nv12 || stride >= luma.width.next_multiple_of(2);
        (fits && is_wide_enough).then_some(stride)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pixels::ImageView;

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

    /// What GStreamer 1.22's `fdsink` and ffmpeg write, measured.
    #[test]
    fn sizes_of_raw_frames() {
        for (format, width, height, packed, padded) in [
            (PixelFormat::Nv12, 854, 480, 614_880, 616_320),
            (PixelFormat::Nv12, 427, 239, 427 * 239 + 428 * 120, 154_080),
            (PixelFormat::I420, 426, 240, 153_360, 154_560),
            (PixelFormat::I420, 1366, 768, 1_573_632, 1_575_936),
            (PixelFormat::Grey, 854, 480, 409_920, 410_880),
            (PixelFormat::Yuyv, 427, 2, 1712, 1712),
            (PixelFormat::Rgb, 427, 2, 2562, 2568),
        ] {
            let size = Size::new(width, height);
            assert_eq!(Layout::packed_raw(format, size).bytes(), packed, "{format} {size}");
            assert_eq!(Layout::gstreamer_raw(format, size).bytes(), padded, "{format} {size}");
        }
    }

    /// Every sample is where the image looks for it, be it read in place or copied.
    #[test]
    fn buffers_become_images() {
        for format in [
            PixelFormat::Nv12,
            PixelFormat::I420,
            PixelFormat::Yuyv,
            PixelFormat::Uyvy,
            PixelFormat::Grey,
            PixelFormat::Rgb,
        ] {
            for (width, height) in [(8, 4), (7, 3), (6, 4), (5, 2), (9, 5), (2, 1), (12, 3)] {
                let size = Size::new(width, height);
                let reference = Layout::gstreamer_raw(format, size);
                let sample = |plane: usize, row: usize, at: usize| (plane * 83 + row * 29 + at * 7 + 1) as u8;
                let mut colours = Vec::new();
                for layout in [reference, Layout::packed_raw(format, size)] {
                    let mut bytes = vec![0xee; layout.bytes()];
                    let mut start = 0;
                    for (number, plane) in layout.planes.iter().enumerate() {
                        for row in 0..plane.height {
                            for at in 0..plane.width {
                                bytes[start + row * plane.stride + at] = sample(number, row, at);
                            }
                        }
                        start += plane.stride * plane.rows;
                    }
                    let mut copy = Vec::new();
                    let (stride, data) = layout.image_data(format, size, &bytes, &mut copy);
                    let view = ImageView::new(format, size, stride, data).unwrap();
                    let mut rgb = Vec::new();
                    crate::pixels::to_rgb(view, &mut rgb);
                    colours.push(rgb);
                    let mut copied = Vec::new();
                    layout.copy_image(format, size, &bytes, &mut copied);
                    let stride = format.row_bytes(width).unwrap();
                    crate::pixels::to_rgb(ImageView::new(format, size, stride, &copied).unwrap(), &mut Vec::new());
                    let mut rgb = Vec::new();
                    crate::pixels::to_rgb(ImageView::new(format, size, stride, &copied).unwrap(), &mut rgb);
                    colours.push(rgb);
                }
                assert!(colours.windows(2).all(|pair| pair[0] == pair[1]), "{format} {size}");
                assert!(colours[0].iter().any(|&value| value != colours[0][0]), "{format} {size}");
            }
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
