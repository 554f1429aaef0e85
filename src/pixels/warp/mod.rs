//! From an image to a network's input in one pass: colours, geometry and normalisation together.
//!
//! The result is that of OpenCV's `warpAffine` for the image in RGB, bilinear, with a constant black border, scaled
//! to 0..1 and normalised: every network pixel `(x, y)` is looked up at `image_from_network(x, y)`, a sample outside the
//! image counts as RGB 0, and a network pixel within one pixel of the image's edge is a blend with that black.
//!
//! Luma and chroma are interpolated before they become colours: there are fewer network pixels than image pixels, and a
//! blend of colours is the colour of the blend, except next to values outside 0 to 255, which are clamped
//! once instead of for every image pixel. Pixels that share a chroma value use it unchanged, as in OpenCV's
//! `cvtColor`.
//!
//! Positions are computed in `f64`, weights in 16 bits. The result stays within a quarter of a grey level of the
//! exact one.

mod channels;
mod general;
mod rows;
mod separable;

use general::General;
use separable::Separable;

use super::{ImageView, PixelFormat};
use crate::geometry::{Affine, Size};

/// Largest side of an image or a network input.
const LONGEST_SIDE: usize = 1 << 24;

/// A map from images of one size and format to the input of a network, with everything precomputed that does not depend on the
/// pixels.
#[derive(Debug, Clone)]
pub struct Warp {
    format: PixelFormat,
    image: Size,
    network: Size,
    normalisation: Normalisation,
    path: Path,
}

/// The two ways to traverse the image.
#[derive(Debug, Clone)]
enum Path {
    Separable(Box<Separable>),
    General(General),
}

impl Warp {
    /// Prepares the map of images of `image` pixels in `format` to a network's input of `network` pixels.
    ///
    /// `image_from_network` takes network pixels to image pixels. `mean` and `std` (red, green, blue) are those of
    /// values scaled to 0..1: the output is `(value / 255 - mean) / std`.
    ///
    /// # Errors
    /// If a size is empty or absurdly large, the map is singular or not finite, or a `mean` or `std` cannot be
    /// used.
    pub fn new(
        format: PixelFormat,
        image: Size,
        image_from_network: &Affine,
        network: Size,
        mean: [f32; 3],
        std: [f32; 3],
    ) -> Result<Self, WarpError> {
        check(image, network, image_from_network)?;
        let normalisation = Normalisation::new(mean, std)?;
        let path = match Separable::new(format, image, image_from_network, network) {
            Some(separable) => Path::Separable(Box::new(separable)),
            None => Path::General(General::new(image_from_network)),
        };
        Ok(Self { format, image, network, normalisation, path })
    }

    /// Prepares another map to the same network, for images of another size or format if need be; the same one is kept.
    ///
    /// The tables are refilled in place: nothing is allocated after the first map of an image's size and format, unless the
    /// map turns. After an error the warp is unchanged.
    ///
    /// # Errors
    /// Same as [`Warp::new`].
    pub fn aim(&mut self, format: PixelFormat, image: Size, image_from_network: &Affine) -> Result<(), WarpError> {
        check(image, self.network, image_from_network)?;
        match &mut self.path {
            Path::Separable(separable) if Separable::takes(image_from_network) => {
                let same_images = (self.format, self.image) == (format, image);
                if !(same_images && separable.is_for(image_from_network)) {
                    separable.fill(format, image, image_from_network, self.network);
                }
            }
            path => {
                *path = match Separable::new(format, image, image_from_network, self.network) {
                    Some(separable) => Path::Separable(Box::new(separable)),
                    None => Path::General(General::new(image_from_network)),
                };
            }
        }
        (self.format, self.image) = (format, image);
        Ok(())
    }

    /// The network's input size.
    pub fn network(&self) -> Size {
        self.network
    }

    /// Number of values that [`Warp::run`] writes: 3 planes of the network's size.
    pub fn output_len(&self) -> usize {
        3 * self.network.width * self.network.height
    }

    /// Writes `image` as `[3, height, width]` (red, green, blue) into `output`, without allocating.
    ///
    /// # Errors
    /// If the image does not have the size or format that the map was made for, or the length of `output` is not
    /// [`Warp::output_len`].
    pub fn run(&mut self, image: ImageView<'_>, output: &mut [f32]) -> Result<(), WarpError> {
        if image.format() != self.format || image.size() != self.image {
            return Err(WarpError::Image {
                expected: self.image,
                expected_format: self.format,
                found: image.size(),
                found_format: image.format(),
            });
        }
        if output.len() != self.output_len() {
            return Err(WarpError::Output { network: self.network, expected: self.output_len(), found: output.len() });
        }
        match &mut self.path {
            Path::Separable(separable) => separable.run(image, self.network, &self.normalisation, output),
            Path::General(general) => general.run(image, self.network, &self.normalisation, output),
        }
        Ok(())
    }
}

/// Checks that a map of images of this size to a network of that size can be prepared.
fn check(image: Size, network: Size, image_from_network: &Affine) -> Result<(), WarpError> {
    for (what, size) in [("image", image), ("network", network)] {
        let sides = 1..=LONGEST_SIDE;
        if !sides.contains(&size.width) || !sides.contains(&size.height) {
            return Err(WarpError::Size { what, size });
        }
    }
    if image_from_network.inverse().is_none() {
        return Err(WarpError::Map { map: *image_from_network });
    }
    Ok(())
}

/// `(value / 255 - mean) / std` as `scale value + offset`, per channel.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Normalisation {
    scale: [f32; 3],
    offset: [f32; 3],
}

impl Normalisation {
    fn new(mean: [f32; 3], std: [f32; 3]) -> Result<Self, WarpError> {
        let scale = std.map(|std| (1.0 / (255.0 * f64::from(std))) as f32);
        let offset: [f32; 3] = core::array::from_fn(|c| (-f64::from(mean[c]) / f64::from(std[c])) as f32);
        let usable = scale.iter().chain(&offset).all(|value| value.is_finite()) && std.iter().all(|&std| std > 0.0);
        if usable { Ok(Self { scale, offset }) } else { Err(WarpError::Normalisation { mean, std }) }
    }
}

/// Why an image cannot be warped.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum WarpError {
    /// A side is 0 or absurdly large.
    #[error("a {what} of {size} cannot be warped: each side must be from 1 to {LONGEST_SIDE} pixels")]
    Size {
        /// Which of the two.
        what: &'static str,
        /// Its size.
        size: Size,
    },
    /// The map has no inverse, or is not finite.
    #[error("the map {map:?} from the network to the image is singular or not finite: check its scale")]
    Map {
        /// The map.
        map: Affine,
    },
    /// The normalisation divides by 0, or is not finite.
    #[error("the normalisation with mean {mean:?} and std {std:?} cannot be used: give finite values, std above 0")]
    Normalisation {
        /// The mean per channel.
        mean: [f32; 3],
        /// The standard deviation per channel.
        std: [f32; 3],
    },
    /// The image is not the kind that the map was made for.
    #[error(
        "the image is {found_format} of {found}, but the map was made for {expected_format} of {expected}: \
         make one for this image"
    )]
    Image {
        /// The size that the map was made for.
        expected: Size,
        /// The format that the map was made for.
        expected_format: PixelFormat,
        /// The image's size.
        found: Size,
        /// The image's format.
        found_format: PixelFormat,
    },
    /// The output has the wrong length.
    #[error("the output has {found} values, but an input [3, {}, {}] takes {expected}", network.height, network.width)]
    Output {
        /// The network's size.
        network: Size,
        /// Values that it takes.
        expected: usize,
        /// Values that there are.
        found: usize,
    },
}
