//! Sources read through other programs: ffmpeg for files and URLs, GStreamer for pipelines and CSI sensors.
//!
//! They are child processes rather than linked: the program stays one file for every board, and a decoder that crashes or hangs
//! is contained. A child writes raw frames to a pipe, in a form that says their size, layout and time (`nut`, `gdp`).
//!
//! Lowest first: `request` parses URIs, `header` describes frames, `nut` and `gdp` parse streams, `frames` assembles frames,
//! `process` is any child, `programs` knows the command lines, `stream` is a child with frames. A live one is kept going by
//! [`Camera`](super::v4l2::Camera), as a camera is; one that ends is a [`Video`].

mod frames;
mod gdp;
mod header;
mod last_lines;
mod nut;
mod process;
mod programs;
mod request;
mod stream;
mod sys;
mod video;

use std::time::Duration;

pub use frames::{Frames, Progress, Protocol};
pub use gdp::Gdp;
pub use header::{FrameHeader, Next, StreamFormat};
pub use nut::Nut;
pub use programs::{Program, Version, has_element};
pub use request::{ChildInput, ChildRequest, files_of, has_password, is_child, masked, shown};
pub use video::Video;

use self::stream::ChildBackend;
use super::v4l2::{Camera, RetryPolicy};
use super::{Source, SourceError};

/// How long a live source may take for its first frame: it connects, and waits for a frame that can be decoded by itself.
const START: Duration = Duration::from_secs(10);

/// Tests a program by reading one frame that it makes.
///
/// # Errors
/// Describes what does not work.
pub fn try_out(program: Program) -> Result<(), String> {
    stream::ChildFrames::one_from(program)
}

/// Opens the source.
///
/// # Errors
/// If a program is missing. A camera that does not respond is waited for.
pub fn open(request: ChildRequest) -> Result<Box<dyn Source>, SourceError> {
    if !request.live {
        return Ok(Box::new(Video::open(request)?));
    }
    let usual = RetryPolicy::default();
    let retry =
        RetryPolicy { stall: request.stall.unwrap_or(usual.stall), start: request.start.unwrap_or(START), ..usual };
    let name = request.name.clone();
    let camera = Camera::with_backend(Box::new(ChildBackend { request }), name.into(), retry);
    Ok(Box::new(camera.map_err(SourceError::Camera)?))
}
