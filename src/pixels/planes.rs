//! Uniform access to luma and chroma of all YUV formats.

use super::{ImageView, PixelFormat};

/// The luma of pixel `(x, y)` is `luma[y * luma_stride + x * luma_step]`, its chroma is `u` and `v` at
/// `(y >> chroma_shift) * chroma_stride + (x / 2) * chroma_step`.
#[derive(Debug, Clone, Copy)]
pub(super) struct YuvPlanes<'a> {
    pub luma: &'a [u8],
    pub luma_stride: usize,
    pub luma_step: usize,
    pub u: &'a [u8],
    pub v: &'a [u8],
    pub chroma_stride: usize,
    pub chroma_step: usize,
    pub chroma_shift: u32,
}

impl<'a> YuvPlanes<'a> {
    /// The planes of `image`, or `None` if it is RGB or grey.
    pub fn new(image: ImageView<'a>) -> Option<Self> {
        let (data, stride) = (image.data(), image.stride());
        let packed = |luma: usize, u: usize, v: usize| Self {
            luma: &data[luma..],
            luma_stride: stride,
            luma_step: 2,
            u: &data[u..],
            v: &data[v..],
            chroma_stride: stride,
            chroma_step: 4,
            chroma_shift: 0,
        };
        let planar = |u: usize, v: usize, chroma_stride: usize, chroma_step: usize| Self {
            luma: data,
            luma_stride: stride,
            luma_step: 1,
            u: &data[u..],
            v: &data[v..],
            chroma_stride,
            chroma_step,
            chroma_shift: 1,
        };
        let height = image.size().height;
        match image.format() {
            PixelFormat::Rgb | PixelFormat::Grey => None,
            PixelFormat::Yuyv => Some(packed(0, 1, 3)),
            PixelFormat::Uyvy => Some(packed(1, 0, 2)),
            PixelFormat::Nv12 => Some(planar(height * stride, height * stride + 1, stride, 2)),
            PixelFormat::I420 => {
                let half = stride.div_ceil(2);
                let u = height * stride;
                Some(planar(u, u + half * height.div_ceil(2), half, 1))
            }
        }
    }

    /// Luma, U and V of a pixel within the image.
    #[inline(always)]
    pub fn at(&self, x: usize, y: usize) -> [u8; 3] {
        let chroma = (y >> self.chroma_shift) * self.chroma_stride + (x / 2) * self.chroma_step;
        [self.luma[y * self.luma_stride + x * self.luma_step], self.u[chroma], self.v[chroma]]
    }
}

/// Makes `planes` the luma, U and V of an image one after another, rows without gaps; for a grey image only luma.
/// Returns false for an RGB image, which has none.
pub fn copy_planes(image: ImageView<'_>, planes: &mut Vec<u8>) -> bool {
    let (width, height) = (image.size().width, image.size().height);
    planes.clear();
    // `count` bytes of every row, `step` apart.
    let mut take = |plane: &[u8], stride: usize, rows: usize, step: usize, count: usize| {
        for row in 0..rows {
            planes.extend(plane[row * stride..].iter().step_by(step).take(count));
        }
    };
    if image.format() == PixelFormat::Grey {
        take(image.data(), image.stride(), height, 1, width);
        return true;
    }
    let Some(own) = YuvPlanes::new(image) else { return false };
    take(own.luma, own.luma_stride, height, own.luma_step, width);
    let rows = height.div_ceil(1 << own.chroma_shift);
    for chroma in [own.u, own.v] {
        take(chroma, own.chroma_stride, rows, own.chroma_step, width.div_ceil(2));
    }
    true
}
