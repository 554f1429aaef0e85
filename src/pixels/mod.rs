//! Pixel formats, the fused warp from an image to a network's input, and image files.

#[doc(hidden)]
pub mod colour;
mod error;
mod exif;
#[doc(hidden)]
pub mod file;
#[doc(hidden)]
pub mod format;
#[doc(hidden)]
pub mod image;
#[doc(hidden)]
pub mod jpeg;
mod planes;
mod points;
#[doc(hidden)]
pub mod rgb;
#[doc(hidden)]
pub mod warp;
#[doc(hidden)]
pub mod yuyv;

pub use colour::{Colour, ColourMatrix, ColourRange};
pub use error::{DecodeError, Limits, ReadError};
#[doc(hidden)]
pub use exif::Orientation;
pub use file::read_image;
pub use format::PixelFormat;
pub use image::{Image, ImageError, ImageView};
#[doc(hidden)]
pub use jpeg::JpegDecoder;
#[doc(hidden)]
pub use planes::copy_planes;
#[doc(hidden)]
pub use rgb::to_rgb;
#[doc(hidden)]
pub use warp::{Warp, WarpError};
