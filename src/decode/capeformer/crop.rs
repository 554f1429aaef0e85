//! The square of an image that the network sees.

use super::CROP;
use crate::geometry::{Affine, Rectangle, Size};

/// A square around an object, in image pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Crop {
    /// Column of the middle.
    pub x: f64,
    /// Row of the middle.
    pub y: f64,
    /// Length of a side, above 0.
    pub side: f64,
}

impl Crop {
    /// The crop around `bounds`, cut to an image of `image` pixels (CapeFormer 1): COCO's box loses a pixel on each
    /// axis, and the crop is `box_padding` times as large as its longer side.
    ///
    /// `None` if nothing of the box is left, or a number is not finite.
    pub fn around(bounds: Rectangle, image: Size, box_padding: f64) -> Option<Self> {
        let [x, y, width, height] = [bounds.x, bounds.y, bounds.width, bounds.height].map(f64::from);
        let (left, top) = (x.max(0.0), y.max(0.0));
        let right = (image.width as f64 - 1.0).min(left + (width - 1.0).max(0.0));
        let bottom = (image.height as f64 - 1.0).min(top + (height - 1.0).max(0.0));
        // Written so that a NaN fails.
        let sound = [x, y, width, height].into_iter().all(f64::is_finite) && right > left && bottom > top;
        sound.then(|| Self {
            x: f64::midpoint(left, right),
            y: f64::midpoint(top, bottom),
            side: box_padding * (right - left).max(bottom - top),
        })
    }

    /// Crop pixels to image pixels, for the warp.
    pub fn image_from_pixels(&self) -> Affine {
        let scale = self.side / CROP as f64;
        Affine::scale_shift(scale, self.x - self.side / 2.0, self.y - self.side / 2.0)
    }

    /// A point of the image in crop pixels.
    pub fn to_crop(&self, x: f64, y: f64) -> (f64, f64) {
        let (scale, half) = (CROP as f64 / self.side, CROP as f64 / 2.0);
        ((x - self.x) * scale + half, (y - self.y) * scale + half)
    }

    /// Where a place of the crop, from 0 to 1, lies in the image (CapeFormer 6).
    pub fn image_from_mask(&self, x: f32, y: f32) -> (f32, f32) {
        let along = |place: f32, middle: f64| (f64::from(place) * self.side + middle - self.side / 2.0) as f32;
        (along(x, self.x), along(y, self.y))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IMAGE: Size = Size::new(100, 80);

    fn bounds(x: f32, y: f32, width: f32, height: f32) -> Rectangle {
        Rectangle { x, y, width, height }
    }

    #[test]
    fn boxes_are_cut_to_the_image() {
        let crop = Crop::around(bounds(-5.0, 10.0, 30.0, 400.0), IMAGE, 1.25).unwrap();
        // What is left is (0, 10, 29, 69).
        assert_eq!(crop, Crop { x: 14.5, y: 44.5, side: 1.25 * 69.0 });
        for nothing in
            [(100.0, 10.0, 30.0, 40.0), (10.0, 10.0, 1.0, 40.0), (10.0, 79.0, 9.0, 9.0), (5.0, 5.0, -9.0, 9.0)]
        {
            let (x, y, width, height) = nothing;
            assert_eq!(Crop::around(bounds(x, y, width, height), IMAGE, 1.25), None);
        }
        assert_eq!(Crop::around(bounds(f32::NAN, 0.0, 9.0, 9.0), IMAGE, 1.25), None);
        assert_eq!(Crop::around(bounds(0.0, 0.0, f32::INFINITY, 9.0), IMAGE, 1.25), None);
    }

    #[test]
    fn there_and_back() {
        let crop = Crop::around(bounds(10.0, 20.0, 41.0, 31.0), IMAGE, 1.25).unwrap();
        let (x, y) = crop.to_crop(33.0, 44.0);
        let (back_x, back_y) = crop.image_from_pixels().apply(x, y);
        assert!((back_x - 33.0).abs() < 1e-9 && (back_y - 44.0).abs() < 1e-9);
        let (x, y) = crop.image_from_mask(x as f32 / 256.0, y as f32 / 256.0);
        assert!((x - 33.0).abs() < 1e-4 && (y - 44.0).abs() < 1e-4);
    }
}
