//! Conversion of luma and chroma to red, green and blue.

use crate::geometry::Size;

/// The weights of red, green and blue in luma.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ColourMatrix {
    /// ITU-R BT.601: standard definition, USB cameras, JPEG.
    #[default]
    Bt601,
    /// ITU-R BT.709: high definition.
    Bt709,
}

/// The byte values of black and white.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ColourRange {
    /// Luma from 16 to 235, chroma from 16 to 240.
    #[default]
    Limited,
    /// Luma and chroma from 0 to 255.
    Full,
}

/// Meaning of the bytes of a YUV image; unused for RGB and grey.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Colour {
    /// The matrix.
    pub matrix: ColourMatrix,
    /// The range.
    pub range: ColourRange,
}

impl Colour {
    /// The usual meaning for video without colour tags: limited range, BT.709 from high definition on
    /// (1280 columns, or more than 576 rows), as video players assume.
    pub const fn usual_for_video(size: Size) -> Self {
        let high = size.width >= 1280 || size.height > 576;
        let matrix = if high { ColourMatrix::Bt709 } else { ColourMatrix::Bt601 };
        Self { matrix, range: ColourRange::Limited }
    }

    /// The coefficients of the map to RGB.
    pub(super) fn coefficients(self) -> Coefficients {
        let (red, blue) = match self.matrix {
            ColourMatrix::Bt601 => (0.299, 0.114),
            ColourMatrix::Bt709 => (0.2126, 0.0722),
        };
        let green = 1.0 - red - blue;
        let (black, luma, chroma) = match self.range {
            ColourRange::Limited => (16, 255.0 / 219.0, 255.0 / 224.0),
            ColourRange::Full => (0, 1.0, 1.0),
        };
        let (from_u, from_v) = (2.0 * (1.0 - blue) * chroma, 2.0 * (1.0 - red) * chroma);
        Coefficients {
            black,
            luma,
            red_v: from_v,
            green_u: from_u * blue / green,
            green_v: from_v * red / green,
            blue_u: from_u,
        }
    }

    /// The rows of the matrix to red, green and blue, over luma, U, V and 1; the result is not held between 0 and 255.
    pub(super) fn matrix_to_rgb(self) -> [[f32; 4]; 3] {
        let Coefficients { black, luma, red_v, green_u, green_v, blue_u } = self.coefficients();
        let row = |u: f64, v: f64| {
            let constant = -luma * f64::from(black) - 128.0 * (u + v);
            [luma as f32, u as f32, v as f32, constant as f32]
        };
        [row(0.0, red_v), row(-green_u, -green_v), row(blue_u, 0.0)]
    }
}

/// `red = luma (y - black) + red_v (v - 128)`, `green = luma (y - black) - green_u (u - 128) - green_v (v - 128)`,
/// `blue = luma (y - black) + blue_u (u - 128)`, each then held between 0 and 255.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Coefficients {
    pub black: u8,
    pub luma: f64,
    pub red_v: f64,
    pub green_u: f64,
    pub green_v: f64,
    pub blue_u: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_coefficients() {
        let close = |a: f64, b: f64| assert!((a - b).abs() < 5e-4, "{a} {b}");
        let c = Colour::default().coefficients();
        for (ours, published) in
            [(c.luma, 1.1644), (c.red_v, 1.5960), (c.green_u, 0.3918), (c.green_v, 0.8130), (c.blue_u, 2.0172)]
        {
            close(ours, published);
        }
        let c = Colour { matrix: ColourMatrix::Bt709, range: ColourRange::Limited }.coefficients();
        for (ours, published) in [(c.red_v, 1.7927), (c.green_u, 0.2132), (c.green_v, 0.5329), (c.blue_u, 2.1124)] {
            close(ours, published);
        }
    }
}
