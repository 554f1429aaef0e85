//! Sinew: a lean keypoint runtime for Jetson-class boards.
//!
//! A frame goes one way through the house, and every module imports only from those above it in this list:
//!
//! | floor | module | what it holds |
//! |---|---|---|
//! | 0 | [`geometry`] | sizes, affine maps, boxes |
//! | 0 | [`pose`] | keypoints, poses, skeletons |
//! | 1 | [`decode`] | network outputs to poses; no operating system, no allocator |
#![cfg_attr(not(feature = "std"), no_std)]

pub mod geometry;
pub mod pose;
