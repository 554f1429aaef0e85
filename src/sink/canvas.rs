//! An image in memory that embedded-graphics can draw on.

use core::convert::Infallible;

use embedded_graphics::Pixel;
use embedded_graphics::draw_target::DrawTarget;
use embedded_graphics::geometry::{OriginDimensions, Point, Size};
use embedded_graphics::pixelcolor::{Rgb888, RgbColor as _};
use embedded_graphics::primitives::Rectangle;

/// RGB, 3 bytes a pixel, rows without gaps; drawings are blended with the image.
#[derive(Debug)]
pub struct Canvas<'a> {
    pixels: &'a mut [u8],
    size: Size,
    opacity: u8,
}

impl<'a> Canvas<'a> {
    /// A canvas over `pixels`; `None` if they are not `3 * width * height` bytes, or a side exceeds `i32`.
    pub fn new(pixels: &'a mut [u8], size: crate::geometry::Size) -> Option<Self> {
        let (width, height) = (i32::try_from(size.width).ok()?, i32::try_from(size.height).ok()?);
        let bytes = size.area()?.checked_mul(3)?;
        (pixels.len() == bytes).then(|| Self {
            pixels,
            size: Size::new(width.unsigned_abs(), height.unsigned_abs()),
            opacity: u8::MAX,
        })
    }

    /// Opacity of further drawings, 0..=1.
    pub fn set_opacity(&mut self, opacity: f32) {
        self.opacity = (opacity.clamp(0.0, 1.0) * 255.0 + 0.5) as u8;
    }

    fn mix(pixel: &mut [u8], color: Rgb888, opacity: u8) {
        let opacity = u32::from(opacity);
        for (below, above) in pixel.iter_mut().zip([color.r(), color.g(), color.b()]) {
            let sum = u32::from(*below) * (255 - opacity) + u32::from(above) * opacity;
            *below = ((sum + 127) / 255) as u8;
        }
    }
}

impl OriginDimensions for Canvas<'_> {
    fn size(&self) -> Size {
        self.size
    }
}

impl DrawTarget for Canvas<'_> {
    type Color = Rgb888;
    type Error = Infallible;

    fn draw_iter<I>(&mut self, pixels: I) -> Result<(), Infallible>
    where
        I: IntoIterator<Item = Pixel<Rgb888>>,
    {
        for Pixel(Point { x, y }, color) in pixels {
            let inside = x >= 0 && y >= 0 && (x as u32) < self.size.width && (y as u32) < self.size.height;
            if inside {
                let start = 3 * (y as usize * self.size.width as usize + x as usize);
                Self::mix(&mut self.pixels[start..start + 3], color, self.opacity);
            }
        }
        Ok(())
    }

    fn fill_solid(&mut self, area: &Rectangle, color: Rgb888) -> Result<(), Infallible> {
        let area = area.intersection(&Rectangle::new(Point::zero(), self.size));
        let (left, top) = (area.top_left.x as usize, area.top_left.y as usize);
        let (width, height) = (area.size.width as usize, area.size.height as usize);
        for y in top..top + height {
            let start = 3 * (y * self.size.width as usize + left);
            for pixel in self.pixels[start..start + 3 * width].chunks_exact_mut(3) {
                Self::mix(pixel, color, self.opacity);
            }
        }
        Ok(())
    }
}

/// Draws every pixel as a square of `factor` pixels, from an origin of its own: bitmap letters for large images.
#[derive(Debug)]
pub struct Enlarged<'a, D> {
    target: &'a mut D,
    origin: Point,
    factor: u32,
}

impl<'a, D> Enlarged<'a, D> {
    /// `(0, 0)` becomes `origin` of `target`, and a pixel becomes `factor` times `factor` pixels.
    pub fn new(target: &'a mut D, origin: Point, factor: u32) -> Self {
        Self { target, origin, factor }
    }
}

impl<D: OriginDimensions> OriginDimensions for Enlarged<'_, D> {
    fn size(&self) -> Size {
        self.target.size() / self.factor
    }
}

impl<D: DrawTarget + OriginDimensions> DrawTarget for Enlarged<'_, D> {
    type Color = D::Color;
    type Error = D::Error;

    fn draw_iter<I>(&mut self, pixels: I) -> Result<(), D::Error>
    where
        I: IntoIterator<Item = Pixel<D::Color>>,
    {
        for Pixel(point, color) in pixels {
            let corner = self.origin + point * self.factor as i32;
            self.target.fill_solid(&Rectangle::new(corner, Size::new(self.factor, self.factor)), color)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use embedded_graphics::Drawable as _;
    use embedded_graphics::primitives::{Line, Primitive as _, PrimitiveStyle};

    use super::*;

    /// One letter per pixel: `.` black, `#` white, `+` between.
    fn image(pixels: &[u8], width: usize) -> Vec<String> {
        pixels
            .chunks(3 * width)
            .map(|row| {
                row.chunks(3)
                    .map(|pixel| match pixel[0] {
                        0 => '.',
                        255 => '#',
                        _ => '+',
                    })
                    .collect()
            })
            .collect()
    }

    #[test]
    fn draws_inside_only() {
        let mut pixels = vec![0; 3 * 5 * 3];
        let mut canvas = Canvas::new(&mut pixels, crate::geometry::Size::new(5, 3)).unwrap();
        let style = PrimitiveStyle::with_stroke(Rgb888::WHITE, 1);
        Line::new(Point::new(-10, 1), Point::new(10, 1)).into_styled(style).draw(&mut canvas).unwrap();
        canvas.set_opacity(0.5);
        canvas.fill_solid(&Rectangle::new(Point::new(3, -4), Size::new(9, 9)), Rgb888::BLACK).unwrap();
        assert_eq!(image(&pixels, 5), [".....", "###++", "....."]);
        assert_eq!(pixels[3 * (5 + 3)], 127, "half of 255");
    }

    #[test]
    fn enlarged_pixels_are_squares() {
        let mut pixels = vec![0; 3 * 6 * 4];
        let mut canvas = Canvas::new(&mut pixels, crate::geometry::Size::new(6, 4)).unwrap();
        let mut enlarged = Enlarged::new(&mut canvas, Point::new(1, 0), 2);
        enlarged.draw_iter([Pixel(Point::new(0, 0), Rgb888::WHITE), Pixel(Point::new(1, 1), Rgb888::WHITE)]).unwrap();
        assert_eq!(image(&pixels, 6), [".##...", ".##...", "...##.", "...##."]);
    }

    #[test]
    fn refuses_what_does_not_fit() {
        assert!(Canvas::new(&mut [0; 5], crate::geometry::Size::new(2, 1)).is_none());
        assert!(Canvas::new(&mut [], crate::geometry::Size::new(usize::MAX, 2)).is_none());
    }
}
