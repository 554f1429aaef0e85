//! Network outputs to poses: no operating system, no allocator, no `unsafe`, no panic.
//!
//! Shapes are checked once, when a view is made; storage is a workspace that the caller makes at start-up.
