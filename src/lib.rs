//! Sinew estimates poses in images and video: four keypoint models, their networks on TensorRT or on the CPU.
//!
//! A bundle is a folder with a model's networks and parameters; an estimator runs it on images:
//!
//! ```no_run
//! use sinew::bundle::Bundle;
//! use sinew::engine::Backend;
//! use sinew::estimator::{self, Options, Request};
//! use sinew::pixels::{Limits, read_image};
//! use sinew::pose::Poses;
//!
//! let bundle = Bundle::open("logocap-movenet")?;
//! let image = read_image("photo.jpg".as_ref(), &Limits::default())?;
//! let options = Options::default();
//! let mut estimator = estimator::open(&bundle, Backend::Auto, &options, image.size(), image.format())?;
//! let mut poses = Poses::default();
//! estimator.estimate(&Request::new(image.view()), &mut poses)?;
//! for pose in &poses.list {
//!     println!("{:.2}: nose at ({:.0}, {:.0})", pose.score, pose.keypoints[0].x, pose.keypoints[0].y);
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The interface
//!
//! | to | use |
//! |---|---|
//! | open a model | [`bundle::Bundle`], [`bundle::list`], [`engine::Backend`], [`engine::Precision`] |
//! | estimate poses | [`estimator::open`], [`estimator::Options`], [`estimator::Estimator`], [`estimator::Request`], [`estimator::StageTimes`] |
//! | pass images | [`pixels::read_image`], [`pixels::Image`], [`pixels::ImageView`], [`pixels::PixelFormat`], [`geometry::Size`] |
//! | read cameras and videos | [`source::open`], [`source::Source`], [`source::Frame`] |
//! | read results | [`pose::Poses`], [`pose::Pose`], [`pose::Keypoint`], [`pose::Skeleton`] |
//! | follow people | [`track::Tracker`], [`track::TrackOptions`] |
//! | enrol objects | [`estimator::enrol`], [`template::Template`] |
//! | decode outputs of networks that you run yourself | [`decode`] |
//!
//! Everything else is a part of these or an error of theirs. `runtime` and `sink`, the loop of the program and its outputs, are
//! not documented and may change.
//!
//! # Layers
//!
//! A frame flows one way: source, pixels, engine, decode, track, sink. The list below is the order of imports instead: a module
//! imports only modules listed before it.
//!
//! 1. [`geometry`]: sizes, rectangles, affine maps.
//! 2. [`pose`]: keypoints, poses, skeletons.
//! 3. `vectors`: which vector instructions the processor has.
//! 4. `hash`: SHA-256.
//! 5. `read`: files of bounded size.
//! 6. `write`: locked files, replaced only once new content exists.
//! 7. `npz`: arrays in NumPy's files.
//! 8. `thermal`: temperatures and throttling of the machine.
//! 9. `clock`: the monotonic clock, which tests can move.
//! 10. `counts`: what a run counts.
//! 11. [`decode`]: network outputs to poses; no operating system, no allocator.
//! 12. [`track`]: assigns persistent identities and smooths keypoints; no operating system, no allocator.
//! 13. `coco`: annotation files in COCO's format.
//! 14. `pixels`: pixel formats, image files, the warp from image to network input.
//! 15. `engine`: tensors in, tensors out; the backends.
//! 16. `bundle`: the model folder: manifest, hashes, limits.
//! 17. `source`: where frames come from: cameras, videos, image files.
//! 18. `template`: enrolled objects and their files.
//! 19. `estimator`: combines one model's engines and decoder.
//! 20. `eval`: accuracy: OKS, PCK, identities.
//! 21. `sink`: where results go.
//! 22. `runtime`: the loop from source to sink.
//! 23. `cli`: the commands of the program.
//!
//! # Features
//!
//! Without any, [`geometry`], [`pose`], [`decode`] and [`track`] build without an operating system or an allocator. `std`
//! adds the modules up to `eval` except `thermal`, without a backend; `tract`, `onnxruntime` and `tensorrt` are the backends,
//! `camera` reads V4L2 cameras, `sinks` adds `thermal`, `sink` and `runtime`, `mqtt` and `mqtt-tls` the sink for brokers, and
//! `cli` the program.
#![cfg_attr(not(any(feature = "std", test)), no_std)]
// A failed write must not abort the program: see cli/output.rs.
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]

// Tests may use what the crate may not.
#[cfg(all(test, not(feature = "std")))]
extern crate std;

pub mod decode;
pub mod geometry;
pub mod pose;
pub mod track;
mod vectors;

// Hidden modules and items are public for the program, its tests and its fuzzing; they may change with every release.
#[cfg(feature = "std")]
pub mod bundle;
#[cfg(feature = "cli")]
mod cli;
#[cfg(feature = "std")]
#[doc(hidden)]
pub mod clock;
#[cfg(feature = "std")]
#[doc(hidden)]
pub mod coco;
#[cfg(feature = "std")]
#[doc(hidden)]
pub mod counts;
#[cfg(feature = "std")]
pub mod engine;
#[cfg(feature = "std")]
pub mod estimator;
#[cfg(feature = "std")]
#[doc(hidden)]
pub mod eval;
#[cfg(feature = "std")]
mod hash;
#[cfg(feature = "std")]
#[doc(hidden)]
pub mod npz;
#[cfg(feature = "std")]
pub mod pixels;
#[cfg(feature = "std")]
mod read;
#[cfg(feature = "sinks")]
#[doc(hidden)]
pub mod runtime;
#[cfg(feature = "sinks")]
#[doc(hidden)]
pub mod sink;
#[cfg(feature = "std")]
pub mod source;
#[cfg(feature = "std")]
pub mod template;
#[cfg(feature = "sinks")]
mod thermal;
#[cfg(feature = "std")]
mod write;

// For the program and for fuzzing, not part of the public API.
#[cfg(feature = "cli")]
#[doc(hidden)]
pub use cli::{canonical_configuration, main};
