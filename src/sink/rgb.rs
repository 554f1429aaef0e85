//! A frame in RGB, converted once for all sinks that draw.

use std::cell::{Cell, OnceCell};

use crate::pixels::ImageView;
use crate::pixels::rgb::to_rgb;

/// The conversion of one frame, made when the first sink asks for it. Cleared between frames, it keeps its memory.
#[derive(Default)]
pub struct RgbCache {
    converted: OnceCell<Vec<u8>>,
    spare: Cell<Vec<u8>>,
}

impl std::fmt::Debug for RgbCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RgbCache").field("converted", &self.converted.get().is_some()).finish_non_exhaustive()
    }
}

impl RgbCache {
    /// `image` as RGB, 3 bytes a pixel, rows without gaps. All calls between two [`RgbCache::clear`] must be for the same
    /// image.
    pub fn get(&self, image: ImageView<'_>) -> &[u8] {
        self.converted.get_or_init(|| {
            let mut pixels = self.spare.take();
            to_rgb(image, &mut pixels);
            pixels
        })
    }

    /// The same, if a sink has asked for it already.
    pub fn converted(&self) -> Option<&[u8]> {
        self.converted.get().map(Vec::as_slice)
    }

    /// Clears the frame.
    pub fn clear(&mut self) {
        if let Some(pixels) = self.converted.take() {
            self.spare.set(pixels);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Size;
    use crate::pixels::PixelFormat;

    #[test]
    fn one_conversion_per_frame_and_no_new_memory() {
        let view = |pixel: &'static [u8]| ImageView::new(PixelFormat::Grey, Size::new(1, 1), 1, pixel).unwrap();
        let mut cache = RgbCache::default();
        assert_eq!(cache.converted(), None);
        let first = cache.get(view(&[7])).as_ptr();
        assert_eq!(cache.get(view(&[9])), [7; 3], "the frame's first conversion stays");
        cache.clear();
        assert_eq!(cache.converted(), None);
        assert_eq!(cache.get(view(&[9])), [9; 3]);
        assert_eq!(cache.get(view(&[9])).as_ptr(), first);
    }
}
