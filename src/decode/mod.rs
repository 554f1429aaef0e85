//! Network outputs to poses: no operating system, no allocator, no `unsafe`, no panic.
//!
//! Shapes are checked once, when a view is made; storage is a workspace that the caller allocates at start-up.
//!
//! | module | what it holds |
//! |---|---|
//! | [`maps`] | views of network outputs, and what is wrong with their shapes |
//! | [`heatmap`] | upsampling, sampling and peaks, straight from low resolution |
//! | [`nms`] | one pose of every cluster of nearly equal ones |
//! | [`logocap`] | LOGO-CAP: centres, initial poses, local-global refinement |
//! | [`centergroup`] | CenterGroup: peaks, tokens, people gathered by attention |
//! | [`capeformer`] | CapeFormer: crops, features of enrolled keypoints, proposals |
//! | [`lofr`] | LOFR: crops, the maximum of every response map |
//! | [`score`] | a model's own scores to probabilities |

pub mod capeformer;
pub mod centergroup;
mod config;
#[doc(hidden)]
pub mod heatmap;
pub mod lofr;
pub mod logocap;
pub mod maps;
#[doc(hidden)]
pub mod nms;
mod peaks;
mod scan;
#[doc(hidden)]
pub mod score;
mod sines;

use fearless_simd::f32x8 as Eight;
use fearless_simd::prelude::*;

pub use config::ConfigError;
pub use maps::{Map, Maps, ShapeError};

/// The larger of two numbers. Unlike `f32::max` it is one instruction; the result for a NaN is unspecified.
#[inline(always)]
fn larger(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

/// The smaller of two numbers; the result for a NaN is unspecified.
#[inline(always)]
fn smaller(a: f32, b: f32) -> f32 {
    if a < b { a } else { b }
}

/// The largest of all numbers, eight at a time; the result for a NaN is unspecified.
#[inline(always)]
fn maximum(rows: &[[f32; 8]]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; 8];
    for row in rows {
        for (lane, &value) in lanes.iter_mut().zip(row) {
            *lane = larger(value, *lane);
        }
    }
    let halves: [f32; 4] = core::array::from_fn(|lane| larger(lanes[lane], lanes[lane + 4]));
    larger(larger(halves[0], halves[1]), larger(halves[2], halves[3]))
}

/// `COUNT` items from `first` on; there must be as many.
#[inline(always)]
fn run<T, const COUNT: usize>(items: &[T], first: usize) -> &[T; COUNT] {
    items[first..].first_chunk().expect("as many items as are asked for")
}

/// Eight numbers from `first` on, in vectors of the processor's width; there must be as many.
#[inline(always)]
fn load<S: Simd>(simd: S, numbers: &[f32], first: usize) -> Eight<S> {
    Eight::load_array_ref(simd, run(numbers, first))
}

/// `1 / (1 + e^-x)`.
fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + libm::expf(-x))
}

/// The square root, rounded correctly either way.
#[inline(always)]
fn square_root(value: f32) -> f32 {
    #[cfg(any(feature = "std", test))]
    return value.sqrt();
    #[cfg(not(any(feature = "std", test)))]
    return libm::sqrtf(value);
}
