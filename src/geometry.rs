//! Sizes, boxes and affine maps between images and networks.
//!
//! Coordinates are pixels; the centre of the top-left pixel is `(0, 0)`, x to the right, y down.

/// Width and height in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Size {
    /// Pixels in a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
}

impl Size {
    /// A size of `width` by `height` pixels.
    pub const fn new(width: usize, height: usize) -> Self {
        Self { width, height }
    }

    /// Number of pixels, or `None` if it overflows.
    pub const fn area(self) -> Option<usize> {
        self.width.checked_mul(self.height)
    }
}

impl core::fmt::Display for Size {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

/// An axis-aligned rectangle in pixels: top-left corner, width, height.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rectangle {
    /// Left edge.
    pub x: f32,
    /// Top edge.
    pub y: f32,
    /// Extent to the right.
    pub width: f32,
    /// Extent downwards.
    pub height: f32,
}

impl Rectangle {
    /// The rectangle around all of an image.
    pub const fn of(image: Size) -> Self {
        Self { x: 0.0, y: 0.0, width: image.width as f32, height: image.height as f32 }
    }
}

/// A 2-D affine map, `x' = xx x + xy y + x0`, `y' = yx x + yy y + y0`.
///
/// Kept in `f64`: a map from a large image to a small network loses a hundredth of a pixel in `f32`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Affine {
    /// x' per x.
    pub xx: f64,
    /// x' per y.
    pub xy: f64,
    /// x' at the origin.
    pub x0: f64,
    /// y' per x.
    pub yx: f64,
    /// y' per y.
    pub yy: f64,
    /// y' at the origin.
    pub y0: f64,
}

impl Affine {
    /// The identity map.
    pub const IDENTITY: Self = Self { xx: 1.0, xy: 0.0, x0: 0.0, yx: 0.0, yy: 1.0, y0: 0.0 };

    /// A map without rotation: one `scale` for both axes, then a shift by `(x0, y0)`.
    pub const fn scale_shift(scale: f64, x0: f64, y0: f64) -> Self {
        Self { xx: scale, xy: 0.0, x0, yx: 0.0, yy: scale, y0 }
    }

    /// The image of the point `(x, y)`.
    pub fn apply(&self, x: f64, y: f64) -> (f64, f64) {
        (self.xx * x + self.xy * y + self.x0, self.yx * x + self.yy * y + self.y0)
    }

    /// The inverse map, or `None` if the map is singular or not finite.
    pub fn inverse(&self) -> Option<Self> {
        let determinant = self.xx * self.yy - self.xy * self.yx;
        let reciprocal = 1.0 / determinant;
        if !reciprocal.is_finite() || reciprocal == 0.0 {
            return None;
        }
        let (xx, xy) = (self.yy * reciprocal, -self.xy * reciprocal);
        let (yx, yy) = (-self.yx * reciprocal, self.xx * reciprocal);
        let x0 = -(xx * self.x0 + xy * self.y0);
        let y0 = -(yx * self.x0 + yy * self.y0);
        (x0.is_finite() && y0.is_finite()).then_some(Self { xx, xy, x0, yx, yy, y0 })
    }
}

/// Which whole pixel of an image lands in the middle of the network's input if half a side is not whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Centre {
    /// The upper one: 2.5 becomes 3 (LOGO-CAP).
    #[default]
    RoundedUp,
    /// The even one: 2.5 becomes 2 (CenterGroup).
    RoundedToEven,
}

impl Centre {
    fn of(self, extent: usize) -> f64 {
        match self {
            Self::RoundedUp => extent.div_ceil(2) as f64,
            Self::RoundedToEven => libm::rint(extent as f64 / 2.0),
        }
    }
}

/// How a whole image lies in a network's input: one isotropic scale, short side fixed,
/// long side rounded up to a multiple, the rest black.
///
/// This is the rule of LOGO-CAP and CenterGroup (`docs/algorithms.md`, Conventions).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ShortSideLayout {
    /// The network's input size.
    pub network: Size,
    /// Image pixels to network pixels.
    pub network_from_image: Affine,
    /// Network pixels to image pixels.
    pub image_from_network: Affine,
}

impl ShortSideLayout {
    /// Lays an image of size `image` into a network whose short side is `short_side` rounded up to `multiple`.
    ///
    /// `None` if the image is empty or `short_side` or `multiple` is 0.
    pub fn new(image: Size, short_side: usize, multiple: usize, centre: Centre) -> Option<Self> {
        if image.width == 0 || image.height == 0 || short_side == 0 || multiple == 0 {
            return None;
        }
        let short = short_side.checked_next_multiple_of(multiple)?;
        let image_short = image.width.min(image.height);
        let image_long = image.width.max(image.height);
        // The reference computes floor((m / short * long + multiple - 1) / multiple) * multiple in floating point.
        let exact = short as f64 / image_short as f64 * image_long as f64;
        let long = libm::floor((exact + (multiple - 1) as f64) / multiple as f64) as usize * multiple;
        let network = if image.width < image.height { Size::new(short, long) } else { Size::new(long, short) };
        Self::around(image, network, short as f64 / image_short as f64, centre)
    }

    /// Lays an image into a network of a given size, as [`ShortSideLayout::new`] would have chosen it:
    /// the scale that fits the image's short side to the network's.
    pub fn with_network(image: Size, network: Size, centre: Centre) -> Option<Self> {
        if image.width == 0 || image.height == 0 || network.width == 0 || network.height == 0 {
            return None;
        }
        let scale = if image.width < image.height {
            network.width as f64 / image.width as f64
        } else {
            network.height as f64 / image.height as f64
        };
        Self::around(image, network, scale, centre)
    }

    fn around(image: Size, network: Size, scale: f64, centre: Centre) -> Option<Self> {
        let (centre_x, centre_y) = (centre.of(image.width), centre.of(image.height));
        let network_from_image = Affine::scale_shift(
            scale,
            network.width as f64 / 2.0 - scale * centre_x,
            network.height as f64 / 2.0 - scale * centre_y,
        );
        let image_from_network = network_from_image.inverse()?;
        Some(Self { network, network_from_image, image_from_network })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reference_sizes() {
        // LOGO-CAP's own sizes.
        let size = |width, height, side| {
            ShortSideLayout::new(Size::new(width, height), side, 64, Centre::RoundedUp).unwrap().network
        };
        assert_eq!(size(640, 480, 512), Size::new(704, 512));
        assert_eq!(size(1920, 1080, 512), Size::new(960, 512));
        assert_eq!(size(1920, 1080, 640), Size::new(1152, 640));
        assert_eq!(size(480, 640, 512), Size::new(512, 704));
    }

    #[test]
    fn the_middle_of_an_odd_side_is_rounded() {
        // Two network pixels per image pixel, and 4 columns wide: the middle lands on 4.
        let x = |width, centre| {
            let layout = ShortSideLayout::with_network(Size::new(width, 4), Size::new(8, 8), centre).unwrap();
            layout.image_from_network.apply(4.0, 4.0).0
        };
        assert_eq!([5, 6, 7].map(|width| x(width, Centre::RoundedUp)), [3.0, 3.0, 4.0]);
        assert_eq!([5, 6, 7].map(|width| x(width, Centre::RoundedToEven)), [2.0, 3.0, 4.0]);
    }

    #[test]
    fn inverse_undoes() {
        let layout = ShortSideLayout::new(Size::new(641, 479), 256, 32, Centre::RoundedUp).unwrap();
        let (x, y) = layout.network_from_image.apply(123.0, 45.0);
        let (back_x, back_y) = layout.image_from_network.apply(x, y);
        assert!((back_x - 123.0).abs() < 1e-9 && (back_y - 45.0).abs() < 1e-9);
    }

    #[test]
    fn empty_is_refused() {
        assert!(ShortSideLayout::new(Size::new(0, 3), 256, 32, Centre::RoundedUp).is_none());
        assert!(ShortSideLayout::new(Size::new(3, 3), 256, 0, Centre::RoundedUp).is_none());
        assert!(Affine::scale_shift(0.0, 1.0, 1.0).inverse().is_none());
    }
}
