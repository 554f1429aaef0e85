//! Single pixels of every format.

use super::planes::YuvPlanes;
use super::{Colour, ImageView};

/// An image that gives its pixels one by one. Coordinates must lie within it.
pub(super) trait Points {
    /// The values of a black pixel.
    fn black(&self) -> [f32; 3] {
        [0.0; 3]
    }

    /// The values of a pixel in the image's own format; neighbours' values may be blended.
    fn at(&self, x: usize, y: usize) -> [f32; 3];

    /// Converts a pixel's values, or a blend of them, to red, green and blue, from 0 to 255.
    #[inline(always)]
    fn rgb(&self, values: [f32; 3]) -> [f32; 3] {
        values
    }
}

/// 3 bytes a pixel.
pub(super) struct RgbPoints<'a>(pub ImageView<'a>);

impl Points for RgbPoints<'_> {
    #[inline(always)]
    fn at(&self, x: usize, y: usize) -> [f32; 3] {
        let start = y * self.0.stride() + 3 * x;
        let pixel = &self.0.data()[start..start + 3];
        [f32::from(pixel[0]), f32::from(pixel[1]), f32::from(pixel[2])]
    }
}

/// 1 byte a pixel.
pub(super) struct GreyPoints<'a>(pub ImageView<'a>);

impl Points for GreyPoints<'_> {
    #[inline(always)]
    fn at(&self, x: usize, y: usize) -> [f32; 3] {
        [f32::from(self.0.data()[y * self.0.stride() + x]); 3]
    }
}

/// Luma and chroma.
pub(super) struct YuvPoints<'a> {
    planes: YuvPlanes<'a>,
    black: f32,
    /// The rows of the matrix to RGB, over luma, U, V and 1.
    matrix: [[f32; 4]; 3],
}

impl<'a> YuvPoints<'a> {
    pub fn new(planes: YuvPlanes<'a>, colour: Colour) -> Self {
        Self { planes, black: f32::from(colour.coefficients().black), matrix: colour.matrix_to_rgb() }
    }
}

impl Points for YuvPoints<'_> {
    fn black(&self) -> [f32; 3] {
        [self.black, 128.0, 128.0]
    }

    #[inline(always)]
    fn at(&self, x: usize, y: usize) -> [f32; 3] {
        self.planes.at(x, y).map(f32::from)
    }

    #[inline(always)]
    fn rgb(&self, [luma, u, v]: [f32; 3]) -> [f32; 3] {
        self.matrix
            .map(|[of_luma, of_u, of_v, constant]| (of_luma * luma + of_u * u + of_v * v + constant).clamp(0.0, 255.0))
    }
}
