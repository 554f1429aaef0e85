//! The rectangle of an image that the network sees: a person's box, with some room, in the network's aspect.

use crate::geometry::{Affine, Rectangle, Size};

/// Largest extent of a box, and of its distance from the image's corner, in pixels: the largest side of an image.
const FARTHEST: f64 = (1 << 24) as f64;

/// A rectangle around a person, in image pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Crop {
    /// Column of the middle.
    pub x: f64,
    /// Row of the middle.
    pub y: f64,
    /// Extent to the right, above 0.
    pub width: f64,
    /// Extent downwards, above 0.
    pub height: f64,
}

impl Crop {
    /// `box_padding` times `bounds`, made wider or higher until it has the aspect of `network`.
    ///
    /// `None` if the box is empty, lies outside the image, is absurdly large, or a number is not finite.
    pub fn around(bounds: Rectangle, image: Size, network: Size, box_padding: f64) -> Option<Self> {
        let [x, y, width, height] = [bounds.x, bounds.y, bounds.width, bounds.height].map(f64::from);
        let touches = x < image.width as f64 && y < image.height as f64 && x + width > 0.0 && y + height > 0.0;
        // Written so that a NaN fails.
        let near = [x, y, width, height].into_iter().all(|value| value.abs() <= FARTHEST);
        let sound = width > 0.0 && height > 0.0 && touches && near;
        let aspect = network.width as f64 / network.height as f64;
        let (wide, high) = (width.max(height * aspect), height.max(width / aspect));
        (sound && aspect.is_finite() && aspect > 0.0).then(|| Self {
            x: x + width / 2.0,
            y: y + height / 2.0,
            width: box_padding * wide,
            height: box_padding * high,
        })
    }

    /// Pixels of a network's input to image pixels, for the warp.
    pub fn image_from_pixels(&self, network: Size) -> Affine {
        // The aspect is the network's, so both axes have one scale.
        let scale = self.width / network.width as f64;
        Affine::scale_shift(scale, self.x - self.width / 2.0, self.y - self.height / 2.0)
    }

    /// Where a place of the crop, from 0 to 1, lies in the image.
    pub fn image_from_mask(&self, x: f64, y: f64) -> (f32, f32) {
        let along = |place: f64, length: f64, middle: f64| (place * length + middle - length / 2.0) as f32;
        (along(x, self.width, self.x), along(y, self.height, self.y))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IMAGE: Size = Size::new(640, 480);
    const NETWORK: Size = Size::new(96, 128);

    fn around(x: f32, y: f32, width: f32, height: f32) -> Option<Crop> {
        Crop::around(Rectangle { x, y, width, height }, IMAGE, NETWORK, 1.25)
    }

    #[test]
    fn the_aspect_is_the_networks() {
        let tall = around(100.0, 50.0, 30.0, 200.0).unwrap();
        assert_eq!(tall, Crop { x: 115.0, y: 150.0, width: 187.5, height: 250.0 });
        let wide = around(100.0, 50.0, 300.0, 40.0).unwrap();
        assert_eq!((wide.width, wide.height), (375.0, 500.0));
    }

    #[test]
    fn what_is_no_box_has_no_crop() {
        for (x, y, width, height) in [
            (0.0, 0.0, 0.0, 9.0),
            (0.0, 0.0, 9.0, -1.0),
            (640.0, 0.0, 9.0, 9.0),
            (-20.0, 0.0, 9.0, 9.0),
            (0.0, 481.0, 9.0, 9.0),
            (f32::NAN, 0.0, 9.0, 9.0),
            (0.0, 0.0, f32::INFINITY, 9.0),
            // Found by fuzzing: its keypoints would be beyond every number.
            (0.0, 0.0, 3e38, 9.0),
            (-3e38, 0.0, 3.1e38, 9.0),
        ] {
            assert_eq!(around(x, y, width, height), None, "{x} {y} {width} {height}");
        }
        assert!(around(-5.0, -5.0, 9.0, 9.0).is_some(), "half outside is inside");
    }

    #[test]
    fn there_and_back() {
        let crop = around(100.0, 50.0, 30.0, 200.0).unwrap();
        let (x, y) = crop.image_from_pixels(NETWORK).apply(24.0, 96.0);
        assert_eq!(crop.image_from_mask(0.25, 0.75), (x as f32, y as f32));
    }
}
