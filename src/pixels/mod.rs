//! Pixel formats, the fused warp from an image to a network's input, and image files.

pub mod colour;
pub mod file;
pub mod format;
pub mod image;
mod planes;
mod points;
pub mod rgb;
pub mod warp;
pub mod yuyv;

pub use colour::{Colour, ColourMatrix, ColourRange};
pub use file::{Limits, ReadError, read_image};
pub use format::PixelFormat;
pub use image::{Image, ImageBuffer, ImageError, ImageView};
pub use planes::copy_planes;
pub use rgb::to_rgb;
pub use warp::{Warp, WarpError};
