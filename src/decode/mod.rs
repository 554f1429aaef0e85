//! Network outputs to poses: no operating system, no allocator, no `unsafe`, no panic.
//!
//! Shapes are checked once, when a view ([`Maps`]) or a decoder is made; after that, indices are in range by
//! construction. Storage is a workspace that the caller makes at start-up. Capacities are constants; a bundle's limits
//! are checked against them when it is loaded, and whatever does not fit is counted, never dropped in silence.

pub mod heatmap;
pub mod logocap;
pub mod maps;
pub mod nms;

pub use maps::{Maps, ShapeError};
