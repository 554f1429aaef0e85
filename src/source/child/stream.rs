//! A child process whose frames are read, as a device that streams.

use std::time::{Duration, Instant};

use super::frames::{Frames, Progress};
use super::header::StreamFormat;
use super::process::{Output, Process};
use super::programs::{Program, Start};
use super::request::{ChildInput, ChildRequest};
use crate::geometry::Size;
use crate::pixels::{ImageView, PixelFormat};
use crate::source::v4l2::{
    CameraError, CaptureBackend, CaptureFormat, CaptureStream, Captured, Dequeued, FourCc, monotonic,
};

/// Delay of a live stream after which it is restarted, to catch up.
const MOST_LATE: Duration = Duration::from_secs(2);
/// Maximum drift between a camera's clock and this machine's.
const DRIFT: f64 = 1e-3;

/// How long a program may take to make one frame.
const TRIAL: Duration = Duration::from_secs(10);

/// Output of a child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// A frame, with its time on the stream's clock.
    Frame(Option<Duration>),
    /// None in time.
    Nothing,
    /// It has ended, after its last frame.
    End,
}

/// A running child and its frames.
#[derive(Debug)]
pub(super) struct ChildFrames {
    process: Process,
    frames: Frames,
    program: Program,
    secrets: Vec<String>,
}

impl ChildFrames {
    /// Starts the program for `request`.
    ///
    /// # Errors
    /// Names what is missing.
    pub fn start(request: &ChildRequest) -> Result<Self, String> {
        let start = Start::of(request)?;
        let program = start.program;
        let process = Process::start(start.command(), start.input.as_deref().map(str::as_bytes))
            .map_err(|error| program.not_started(program.command(), &error))?;
        Ok(Self { process, frames: Frames::new(start.protocol), program, secrets: request.secrets.clone() })
    }

    /// Tests a program by reading one frame that it makes.
    ///
    /// # Errors
    /// Describes what does not work.
    pub fn one_from(program: Program) -> Result<(), String> {
        let start = Start::trial(program)?;
        let process = Process::start(start.command(), start.input.as_deref().map(str::as_bytes))
            .map_err(|error| program.not_started(program.command(), &error))?;
        let mut child = Self { process, frames: Frames::new(start.protocol), program, secrets: Vec::new() };
        match child.next(TRIAL)? {
            Found::Frame(_) => child.image().map(drop),
            Found::Nothing => Err(format!("{} gives no frame within {} s", program.command(), TRIAL.as_secs())),
            Found::End => Err(child.end().map_or_else(|reason| reason, |said| format!("it gives no frame: {said}"))),
        }
    }

    /// Waits for the next frame.
    ///
    /// # Errors
    /// Describes what is wrong with the child or its output.
    pub fn next(&mut self, timeout: Duration) -> Result<Found, String> {
        let until = Instant::now() + timeout;
        // Bytes behind the last frame may be one already.
        let mut progress = self.frames.advance(0)?;
        loop {
            if let Progress::Frame(time) = progress {
                return Ok(Found::Frame(time));
            }
            let left = until.saturating_duration_since(Instant::now());
            match self.process.read(self.frames.space(), left) {
                Ok(Output::Bytes(count)) => progress = self.frames.advance(count)?,
                Ok(Output::Nothing) => return Ok(Found::Nothing),
                Ok(Output::End) => return Ok(Found::End),
                Err(error) => return Err(format!("{}'s output cannot be read: {error}", self.program.command())),
            }
        }
    }

    /// The frame that was found last.
    ///
    /// # Errors
    /// If there is none.
    pub fn image(&mut self) -> Result<ImageView<'_>, String> {
        self.frames.image()
    }

    /// The format of its frames.
    pub fn format(&self) -> Option<StreamFormat> {
        self.frames.format()
    }

    /// The child's output on standard error.
    pub fn said(&self) -> String {
        self.process.said().quote(&self.secrets)
    }

    /// Describes how the child has ended; `Ok` if only its output may indicate a problem.
    pub fn end(&mut self) -> Result<String, String> {
        let is_whole = self.frames.is_between_frames();
        let command = self.program.command();
        let (status, said) = self.process.ended();
        let said = said.quote(&self.secrets);
        let words = if said.is_empty() { "it said nothing".to_owned() } else { format!("it said: {said}") };
        match status {
            Some(status) if status.success() && is_whole => Ok(said),
            Some(status) if status.success() => Err(format!("{command} ended within a frame; {words}")),
            Some(status) => Err(format!("{command} ended with {status}; {words}")),
            None => Err(format!("{command} closed its output but does not end; {words}")),
        }
    }
}

/// Starts and restarts a live child.
#[derive(Debug)]
pub(super) struct ChildBackend {
    pub request: ChildRequest,
}

impl CaptureBackend for ChildBackend {
    fn start(&mut self) -> Result<Box<dyn CaptureStream>, CameraError> {
        let child = ChildFrames::start(&self.request)
            .map_err(|reason| CameraError::Unsupported { path: self.request.name.clone().into(), reason })?;
        // Only these protocols are known to carry a clock's times.
        let has_clock = match &self.request.input {
            ChildInput::Address { address, .. } => {
                ["rtsp", "rtmp", "srt"].iter().any(|scheme| address.starts_with(scheme))
            }
            ChildInput::Csi { .. } => true,
            ChildInput::File(_) | ChildInput::Pipeline(_) => false,
        };
        let pace = has_clock.then(Pace::default);
        Ok(Box::new(LiveChild { child, name: self.request.name.clone(), pace, sequence: 0 }))
    }

    fn is_present(&self) -> bool {
        true
    }
}

/// How a stream's clock relates to this program's.
#[derive(Debug, Default)]
struct Pace {
    /// The least delayed frame: when it arrived, and its time.
    least: Option<(Instant, Duration)>,
}

impl Pace {
    /// Delay of a frame relative to the least delayed one, allowing for drift.
    fn late(&mut self, came: Instant, time: Duration) -> Duration {
        let Some((first, first_time)) = self.least else {
            self.least = Some((came, time));
            return Duration::ZERO;
        };
        let real = came.saturating_duration_since(first).as_secs_f64();
        let late = real - (time.as_secs_f64() - first_time.as_secs_f64()) - real * DRIFT;
        if late <= 0.0 {
            self.least = Some((came, time));
        }
        Duration::try_from_secs_f64(late).unwrap_or_default()
    }
}

/// A live child.
#[derive(Debug)]
struct LiveChild {
    child: ChildFrames,
    name: String,
    pace: Option<Pace>,
    sequence: u32,
}

impl LiveChild {
    fn fault(&self, reason: String) -> CameraError {
        CameraError::Child { name: self.name.clone(), reason }
    }
}

impl CaptureStream for LiveChild {
    fn format(&self) -> CaptureFormat {
        let format = self.child.format();
        let (pixels, size) = format.map_or((PixelFormat::Grey, Size::new(1, 1)), |format| (format.pixels, format.size));
        CaptureFormat { four_cc: FourCc::of(pixels), size, stride: 0, rate: None }
    }

    fn newest(&mut self, timeout: Duration) -> Result<Dequeued, CameraError> {
        match self.child.next(timeout).map_err(|reason| self.fault(reason))? {
            Found::Frame(time) => {
                let now = Instant::now();
                let late = match (&mut self.pace, time) {
                    (Some(pace), Some(time)) => pace.late(now, time),
                    _ => Duration::ZERO,
                };
                if late > MOST_LATE {
                    let reason =
                        format!("its frames are {:.1} s late: decoding them is too slow here", late.as_secs_f64());
                    return Err(self.fault(reason));
                }
                let instant = now.checked_sub(late);
                let captured = monotonic().saturating_sub(late);
                let sequence = self.sequence;
                self.sequence = self.sequence.wrapping_add(1);
                Ok(Dequeued { is_frame: true, sequence, captured, instant, ..Dequeued::default() })
            }
            Found::Nothing => Ok(Dequeued::default()),
            Found::End => {
                let reason = match self.child.end() {
                    Ok(said) if said.is_empty() => "the stream has ended without a message".to_owned(),
                    Ok(said) => format!("the stream has ended: {said}"),
                    Err(reason) => reason,
                };
                Err(self.fault(reason))
            }
        }
    }

    fn captured(&mut self) -> Captured<'_> {
        match self.child.image() {
            Ok(image) => Captured::Image(image),
            Err(reason) => Captured::Corrupt(reason),
        }
    }

    fn said(&self) -> String {
        self.child.said()
    }
}
