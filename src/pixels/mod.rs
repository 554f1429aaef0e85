//! Pixel formats, the fused warp from a picture to a network's input, and picture files.

pub mod format;

pub use format::{PictureView, PixelFormat};
