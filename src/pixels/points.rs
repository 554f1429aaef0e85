//! Single pixels of every format, in RGB.

use super::colour::Coefficients;
use super::planes::YuvPlanes;
use super::{Colour, PictureView};

/// A picture that gives its pixels one by one: red, green, blue from 0 to 255. Coordinates must lie within it.
pub(super) trait Points {
    fn at(&self, x: usize, y: usize) -> [f32; 3];
}

/// 3 bytes a pixel.
pub(super) struct RgbPoints<'a>(pub PictureView<'a>);

impl Points for RgbPoints<'_> {
    #[inline(always)]
    fn at(&self, x: usize, y: usize) -> [f32; 3] {
        let start = y * self.0.stride() + 3 * x;
        let pixel = &self.0.data()[start..start + 3];
        [f32::from(pixel[0]), f32::from(pixel[1]), f32::from(pixel[2])]
    }
}

/// 1 byte a pixel.
pub(super) struct GreyPoints<'a>(pub PictureView<'a>);

impl Points for GreyPoints<'_> {
    #[inline(always)]
    fn at(&self, x: usize, y: usize) -> [f32; 3] {
        [f32::from(self.0.data()[y * self.0.stride() + x]); 3]
    }
}

/// Luma and chroma.
pub(super) struct YuvPoints<'a> {
    planes: YuvPlanes<'a>,
    /// The rows of the matrix to RGB, over luma, U, V and 1.
    matrix: [[f32; 4]; 3],
}

impl<'a> YuvPoints<'a> {
    pub fn new(planes: YuvPlanes<'a>, colour: Colour) -> Self {
        let Coefficients { black, luma, red_v, green_u, green_v, blue_u } = colour.coefficients();
        let row = |u: f64, v: f64| {
            let constant = -luma * f64::from(black) - 128.0 * (u + v);
            [luma as f32, u as f32, v as f32, constant as f32]
        };
        Self { planes, matrix: [row(0.0, red_v), row(-green_u, -green_v), row(blue_u, 0.0)] }
    }
}

impl Points for YuvPoints<'_> {
    #[inline(always)]
    fn at(&self, x: usize, y: usize) -> [f32; 3] {
        let [luma, u, v] = self.planes.at(x, y).map(f32::from);
        self.matrix
            .map(|[of_luma, of_u, of_v, constant]| (of_luma * luma + of_u * u + of_v * v + constant).clamp(0.0, 255.0))
    }
}
