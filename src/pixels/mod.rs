//! Pixel formats, the fused warp from a picture to a network's input, and picture files.

pub mod colour;
pub mod file;
pub mod format;
pub mod picture;
mod planes;
mod points;
pub mod rgb;
pub mod warp;
pub mod yuyv;

pub use colour::{Colour, ColourMatrix, ColourRange};
pub use file::{Limits, ReadError, read_picture};
pub use format::PixelFormat;
pub use picture::{Picture, PictureCopy, PictureError, PictureView};
pub use planes::copy_planes;
pub use rgb::to_rgb;
pub use warp::{Warp, WarpError};
