//! Sinew: a lean keypoint runtime for Jetson-class boards.
//!
//! A frame goes one way through the house, and every module imports only from those above it in this list:
//!
//! | floor | module | what it holds |
//! |---|---|---|
//! | 0 | [`geometry`] | sizes, rectangles, affine maps |
//! | 0 | [`pose`] | keypoints, poses, skeletons |
//! | 0 | `npz` | arrays in NumPy's files |
//! | 0 | `clock` | the monotonic clock, which tests can move |
//! | 0 | `counts` | what a run counts |
//! | 0 | `thermal` | how hot the machine is |
//! | 1 | [`decode`] | network outputs to poses; no operating system, no allocator |
//! | 1 | [`track`] | poses to identities that last and keypoints that do not shake; no operating system, no allocator |
//! | 1 | `pixels` | pixel formats, the fused warp, image files |
//! | 2 | `source` | where frames come from |
//! | 2 | `engine` | tensors in, tensors out: the backends |
//! | 2 | `bundle` | the model folder: manifest, hashes, limits |
//! | 3 | `template` | what a user has enrolled, and its files |
//! | 4 | `estimator` | engines and decoder of one model wired together |
//! | 5 | `sink` | where poses go |
//! | 4 | `eval` | COCO OKS average precision |
//! | 6 | `runtime` | the loop from source to sink |
//! | 7 | `cli` | the commands |
#![cfg_attr(not(any(feature = "std", test)), no_std)]
// Output that cannot be written must end nothing: see cli/output.rs.
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]

// Tests may use what the crate may not.
#[cfg(all(test, not(feature = "std")))]
extern crate std;

pub mod decode;
pub mod geometry;
pub mod pose;
pub mod track;
mod vectors;

#[cfg(feature = "std")]
pub mod bundle;
#[cfg(feature = "std")]
pub mod cli;
#[cfg(feature = "std")]
pub mod clock;
#[cfg(feature = "std")]
pub mod counts;
#[cfg(feature = "std")]
pub mod engine;
#[cfg(feature = "std")]
pub mod estimator;
#[cfg(feature = "std")]
pub mod eval;
#[cfg(feature = "std")]
mod hash;
#[cfg(feature = "std")]
pub mod npz;
#[cfg(feature = "std")]
pub mod pixels;
#[cfg(feature = "std")]
pub mod runtime;
#[cfg(feature = "std")]
pub mod sink;
#[cfg(feature = "std")]
pub mod source;
#[cfg(feature = "std")]
pub mod template;
#[cfg(feature = "std")]
mod thermal;
