//! Sizes, boxes and affine maps between pictures and networks.
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

    /// Number of pixels, or `None` where it overflows.
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
    /// The rectangle around all of a picture.
    pub const fn of(picture: Size) -> Self {
        Self { x: 0.0, y: 0.0, width: picture.width as f32, height: picture.height as f32 }
    }
}

/// A 2-D affine map, `x' = xx x + xy y + x0`, `y' = yx x + yy y + y0`.
///
/// Kept in `f64`: a map from a large picture to a small network loses a hundredth of a pixel in `f32`.
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
    /// The map that moves nothing.
    pub const IDENTITY: Self = Self { xx: 1.0, xy: 0.0, x0: 0.0, yx: 0.0, yy: 1.0, y0: 0.0 };

    /// A map without rotation: one `scale` for both axes, then a shift by `(x0, y0)`.
    pub const fn scale_shift(scale: f64, x0: f64, y0: f64) -> Self {
        Self { xx: scale, xy: 0.0, x0, yx: 0.0, yy: scale, y0 }
    }

    /// The image of the point `(x, y)`.
    pub fn apply(&self, x: f64, y: f64) -> (f64, f64) {
        (self.xx * x + self.xy * y + self.x0, self.yx * x + self.yy * y + self.y0)
    }

    /// The inverse map, or `None` where the map is singular or not finite.
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

/// Which whole pixel of a picture lands in the middle of the network's input, where half a side is not whole.
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

/// How a whole picture is laid into a network's input: one isotropic scale, short side fixed,
/// long side rounded up to a multiple, the rest black.
///
/// This is the bottom-up rule of the reference implementations (LOGO-CAP spec, section 1.1).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ShortSideLayout {
    /// The network's input size.
    pub network: Size,
    /// Picture pixels to network pixels.
    pub picture_to_network: Affine,
    /// Network pixels to picture pixels.
    pub network_to_picture: Affine,
}

impl ShortSideLayout {
    /// Lays a picture of size `picture` into a network whose short side is `short_side` rounded up to `multiple`.
    ///
    /// `None` where the picture is empty or `short_side` or `multiple` is 0.
    pub fn new(picture: Size, short_side: usize, multiple: usize, centre: Centre) -> Option<Self> {
        if picture.width == 0 || picture.height == 0 || short_side == 0 || multiple == 0 {
            return None;
        }
        let short = short_side.checked_next_multiple_of(multiple)?;
        let picture_short = picture.width.min(picture.height);
        let picture_long = picture.width.max(picture.height);
        // The reference computes floor((m / short * long + multiple - 1) / multiple) * multiple in floating point.
        let exact = short as f64 / picture_short as f64 * picture_long as f64;
        let long = libm::floor((exact + (multiple - 1) as f64) / multiple as f64) as usize * multiple;
        let network = if picture.width < picture.height { Size::new(short, long) } else { Size::new(long, short) };
        Self::around(picture, network, short as f64 / picture_short as f64, centre)
    }

    /// Lays a picture into a network of a given size, as [`ShortSideLayout::new`] would have chosen it:
    /// the scale that fits the picture's short side to the network's.
    pub fn with_network(picture: Size, network: Size, centre: Centre) -> Option<Self> {
        if picture.width == 0 || picture.height == 0 || network.width == 0 || network.height == 0 {
            return None;
        }
        let scale = if picture.width < picture.height {
            network.width as f64 / picture.width as f64
        } else {
            network.height as f64 / picture.height as f64
        };
        Self::around(picture, network, scale, centre)
    }

    fn around(picture: Size, network: Size, scale: f64, centre: Centre) -> Option<Self> {
        let (centre_x, centre_y) = (centre.of(picture.width), centre.of(picture.height));
        let picture_to_network = Affine::scale_shift(
            scale,
            network.width as f64 / 2.0 - scale * centre_x,
            network.height as f64 / 2.0 - scale * centre_y,
        );
        let network_to_picture = picture_to_network.inverse()?;
        Some(Self { network, picture_to_network, network_to_picture })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reference_sizes() {
        // LOGO-CAP spec, section 1.1.
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
        // Two network pixels per picture pixel, and 4 columns wide: the middle lands on 4.
        let x = |width, centre| {
            let layout = ShortSideLayout::with_network(Size::new(width, 4), Size::new(8, 8), centre).unwrap();
            layout.network_to_picture.apply(4.0, 4.0).0
        };
        assert_eq!([5, 6, 7].map(|width| x(width, Centre::RoundedUp)), [3.0, 3.0, 4.0]);
        assert_eq!([5, 6, 7].map(|width| x(width, Centre::RoundedToEven)), [2.0, 3.0, 4.0]);
    }

    #[test]
    fn inverse_undoes() {
        let layout = ShortSideLayout::new(Size::new(641, 479), 256, 32, Centre::RoundedUp).unwrap();
        let (x, y) = layout.picture_to_network.apply(123.0, 45.0);
        let (back_x, back_y) = layout.network_to_picture.apply(x, y);
        assert!((back_x - 123.0).abs() < 1e-9 && (back_y - 45.0).abs() < 1e-9);
    }

    #[test]
    fn empty_is_refused() {
        assert!(ShortSideLayout::new(Size::new(0, 3), 256, 32, Centre::RoundedUp).is_none());
        assert!(ShortSideLayout::new(Size::new(3, 3), 256, 0, Centre::RoundedUp).is_none());
        assert!(Affine::scale_shift(0.0, 1.0, 1.0).inverse().is_none());
    }
}
