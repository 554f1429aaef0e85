//! Pixel formats, the fused warp from an image to a network's input, and image files.

pub mod colour;
mod exif;
pub mod file;
pub mod format;
pub mod image;
pub mod jpeg;
mod planes;
mod points;
pub mod rgb;
pub mod warp;
pub mod yuyv;

pub use colour::{Colour, ColourMatrix, ColourRange};
pub use exif::Orientation;
pub use file::{DecodeError, Limits, ReadError, read_image};
pub use format::PixelFormat;
pub use image::{Image, ImageError, ImageView};
pub use jpeg::JpegDecoder;
pub use planes::copy_planes;
pub use rgb::to_rgb;
pub use warp::{Warp, WarpError};
