//! A camera as a source: recovers from whatever the device does. V4L2 devices and live child processes (RTSP and others) share it.
//!
//! | event | reaction |
//! |---|---|
//! | the driver drops frames or marks them as corrupt, or a frame cannot be decoded | dropped and counted; a warning with the first, and again after a minute without |
//! | no frame can be decoded for a second | the same, and the device is set and started again: its format may have changed |
//! | no frame for a second | one warning; the stream is started again, for as long as it takes |
//! | the device fails, is busy or was unplugged | one warning; it is opened again after 0.25 s, then less often, at most after one second |
//! | the device is plugged in again | opened at once |

use std::collections::VecDeque;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::backend::{CaptureBackend, CaptureStream, Captured, Dequeued};
use super::device::CaptureFormat;
use super::error::CameraError;
use super::four_cc::FrameEncoding;
use super::request::CaptureRequest;
use super::stream::V4l2;
use crate::counts::Counts;
use crate::pixels::{Image, ImageView, JpegDecoder, Limits, PixelFormat};
use crate::source::{Frame, Source, SourceError};

/// Time-outs and intervals of recovery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Wait for a frame before the caller gets [`SourceError::NotYet`].
    pub frame: Duration,
    /// Time without a frame before the stream is restarted.
    pub stall: Duration,
    /// The same before its first frame.
    pub start: Duration,
    /// Pause before a failed device is opened again.
    pub first: Duration,
    /// The same, at most.
    pub longest: Duration,
    /// Time without corrupt or dropped frames before the next one causes a warning again.
    pub quiet: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            frame: Duration::from_millis(100),
            stall: Duration::from_secs(1),
            start: Duration::from_secs(1),
            first: Duration::from_millis(250),
            longest: Duration::from_secs(1),
            quiet: Duration::from_secs(60),
        }
    }
}

enum State {
    Streaming {
        stream: Box<dyn CaptureStream>,
        /// When the last frame came, or the stream started.
        last_frame: Instant,
        /// Whether there was one.
        has_begun: bool,
        /// When the last frame came that could be decoded, or the stream started.
        last_decoded: Instant,
    },
    Waiting {
        until: Instant,
        /// How long to wait the next time.
        pause: Duration,
        /// Whether the device existed when it was last looked for.
        was_present: bool,
    },
}

/// A camera.
pub struct Camera {
    name: String,
    path: PathBuf,
    backend: Box<dyn CaptureBackend>,
    retry: RetryPolicy,
    state: State,
    /// The pause after the last stream that failed.
    pause: Duration,
    /// Whether the stream must be restarted before the next frame.
    must_restart: bool,
    /// The last fault, which causes one warning.
    last_fault: Option<String>,
    warnings: VecDeque<CameraError>,
    corrupt: Recurrent,
    lost: Recurrent,
    counts: Counts,
    /// Frames since the start, including dropped ones.
    sequence: u64,
    /// The driver's count of the last frame.
    last_sequence: Option<u32>,
    jpeg: JpegDecoder,
    /// A frame that had to be decoded or rearranged.
    converted: Image,
}

impl std::fmt::Debug for Camera {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Camera").field("name", &self.name).field("counts", &self.counts).finish_non_exhaustive()
    }
}

fn streaming(stream: Box<dyn CaptureStream>) -> State {
    let now = Instant::now();
    State::Streaming { stream, last_frame: now, has_begun: false, last_decoded: now }
}

/// An event that may happen with every second frame; only the first of many is warned of.
#[derive(Debug, Default)]
struct Recurrent {
    last: Option<Instant>,
}

impl Recurrent {
    /// Records an occurrence; returns whether there was none for at least `quiet`.
    fn is_news(&mut self, quiet: Duration) -> bool {
        let now = Instant::now();
        let last = self.last.replace(now);
        last.is_none_or(|last| now - last >= quiet)
    }
}

impl Camera {
    /// Opens a camera. If it is busy or fails, it is retried as after a later failure.
    ///
    /// # Errors
    /// If there is no such camera, or it cannot do what is requested.
    pub fn open(request: CaptureRequest) -> Result<Self, CameraError> {
        let path = request.path.clone();
        Self::with_backend(Box::new(V4l2 { request }), path, RetryPolicy::default())
    }

    /// A camera behind any backend; `path` is its name.
    ///
    /// # Errors
    /// Same as [`Camera::open`].
    pub fn with_backend(
        mut backend: Box<dyn CaptureBackend>,
        path: PathBuf,
        retry: RetryPolicy,
    ) -> Result<Self, CameraError> {
        let (mut warnings, mut last_fault) = (VecDeque::new(), None);
        let state = match backend.start() {
            Ok(stream) => streaming(stream),
            Err(error) if error.is_temporary() && backend.is_present() => {
                last_fault = Some(error.to_string());
                warnings.push_back(error);
                State::Waiting { until: Instant::now() + retry.first, pause: retry.first, was_present: true }
            }
            Err(error) => return Err(error),
        };
        Ok(Self {
            name: path.display().to_string(),
            path,
            backend,
            retry,
            state,
            pause: Duration::ZERO,
            must_restart: false,
            last_fault,
            warnings,
            corrupt: Recurrent::default(),
            lost: Recurrent::default(),
            counts: Counts::default(),
            sequence: 0,
            last_sequence: None,
            jpeg: JpegDecoder::default(),
            converted: Image::default(),
        })
    }

    /// The format of its frames, while it streams.
    pub fn format(&self) -> Option<CaptureFormat> {
        match &self.state {
            State::Streaming { stream, .. } => Some(stream.format()),
            State::Waiting { .. } => None,
        }
    }

    /// Waits for a frame, or for the device; `None` if there is none yet.
    fn wait_for_frame(&mut self) -> Option<Dequeued> {
        if std::mem::take(&mut self.must_restart) {
            self.restart_after(Duration::ZERO);
        }
        match &mut self.state {
            State::Streaming { stream, last_frame, has_begun, .. } => match stream.newest(self.retry.frame) {
                Ok(dequeued) => {
                    self.counts.dropped.superseded += u64::from(dequeued.superseded);
                    self.counts.dropped.corrupt += u64::from(dequeued.corrupt);
                    if dequeued.is_frame || dequeued.corrupt > 0 {
                        (*last_frame, *has_begun) = (Instant::now(), true);
                    }
                    let limit = if *has_begun { self.retry.stall } else { self.retry.start };
                    let is_stalled = last_frame.elapsed() >= limit;
                    if dequeued.corrupt > 0 {
                        warn_of_corrupt(&mut self.corrupt, &mut self.warnings, &self.path, self.retry.quiet, || {
                            "marked by the driver".to_owned()
                        });
                    }
                    if dequeued.is_frame {
                        return Some(dequeued);
                    }
                    if is_stalled {
                        self.counts.stalls += 1;
                        let (seconds, said) = (limit.as_secs_f64(), stream.said());
                        self.restart_after(Duration::ZERO);
                        self.warn_of_fault(CameraError::Stalled { path: self.path.clone(), seconds, said });
                    }
                }
                Err(error) => {
                    self.counts.failures += 1;
                    // One that starts and fails before its first frame has not worked since the last time either.
                    let pause = if *has_begun { self.retry.first } else { 2 * self.pause };
                    self.pause = pause.clamp(self.retry.first, self.retry.longest);
                    self.restart_after(self.pause);
                    self.warn_of_fault(error);
                }
            },
            State::Waiting { until, pause, was_present } => {
                let left = until.saturating_duration_since(Instant::now());
                std::thread::sleep(left.min(self.retry.frame));
                let is_present = self.backend.is_present();
                let is_back = is_present && !std::mem::replace(was_present, is_present);
                if !is_back && Instant::now() < *until {
                    return None;
                }
                match self.backend.start() {
                    Ok(stream) => {
                        self.counts.restarts += 1;
                        self.last_sequence = None;
                        self.state = streaming(stream);
                    }
                    Err(error) => {
                        *pause = (2 * *pause).clamp(self.retry.first, self.retry.longest);
                        *until = Instant::now() + *pause;
                        self.warn_of_fault(error);
                    }
                }
            }
        }
        None
    }

    /// Closes the device, to open it again after `pause`.
    fn restart_after(&mut self, pause: Duration) {
        let until = Instant::now() + pause;
        self.state = State::Waiting { until, pause, was_present: self.backend.is_present() };
    }

    /// Counts the frames that the driver dropped before this one; the frame's number.
    fn number(&mut self, dequeued: &Dequeued) -> u64 {
        let missing = self.last_sequence.map_or(0, |last| dequeued.sequence.wrapping_sub(last).wrapping_sub(1));
        // A count that goes backwards was reset.
        let missing = if missing > u32::MAX / 2 { 0 } else { missing };
        let lost = missing.saturating_sub(dequeued.superseded + dequeued.corrupt);
        self.counts.dropped.driver += u64::from(lost);
        if lost > 0 && self.lost.is_news(self.retry.quiet) {
            self.warnings.push_back(CameraError::LostByDriver { path: self.path.clone(), frames: lost });
        }
        self.last_sequence = Some(dequeued.sequence);
        let sequence = self.sequence + u64::from(missing);
        self.sequence = sequence + 1;
        sequence
    }

    /// Warns of a fault, unless it is the same as the last.
    fn warn_of_fault(&mut self, error: CameraError) {
        let text = error.to_string();
        if self.last_fault.as_ref() != Some(&text) {
            self.last_fault = Some(text);
            self.warnings.push_back(error);
        }
    }
}

/// Warns of a corrupt frame, unless there was one a short while ago.
fn warn_of_corrupt(
    corrupt: &mut Recurrent,
    warnings: &mut VecDeque<CameraError>,
    path: &std::path::Path,
    quiet: Duration,
    reason: impl FnOnce() -> String,
) {
    if corrupt.is_news(quiet) {
        warnings.push_back(CameraError::Corrupt { path: path.to_owned(), reason: reason() });
    }
}

impl Source for Camera {
    fn next_frame(&mut self) -> Result<Option<Frame<'_>>, SourceError> {
        let Some(dequeued) = self.wait_for_frame() else { return Err(SourceError::NotYet) };
        let sequence = self.number(&dequeued);
        let State::Streaming { stream, last_decoded, .. } = &mut self.state else { return Err(SourceError::NotYet) };
        let format = stream.format();
        let image = match stream.captured() {
            Captured::Bytes(bytes) => image(&format, bytes, &mut self.jpeg, &mut self.converted),
            Captured::Image(image) => Ok(image),
            Captured::Corrupt(reason) => Err(reason),
        };
        match image {
            Ok(image) => {
                *last_decoded = Instant::now();
                self.last_fault = None;
                let (captured, instant) = (Some(dequeued.captured), dequeued.instant);
                Ok(Some(Frame { image, sequence, captured, instant, name: Some(&self.name) }))
            }
            Err(reason) => {
                self.counts.dropped.corrupt += 1;
                // Not a single bad frame, but another format than negotiated.
                self.must_restart = last_decoded.elapsed() >= self.retry.stall;
                warn_of_corrupt(&mut self.corrupt, &mut self.warnings, &self.path, self.retry.quiet, || reason);
                Err(SourceError::NotYet)
            }
        }
    }

    fn next_warning(&mut self) -> Option<SourceError> {
        self.warnings.pop_front().map(SourceError::Camera)
    }

    fn live_counts(&self) -> Option<Counts> {
        Some(self.counts)
    }
}

/// The image of a frame's bytes: as they are, or decoded into `converted`.
///
/// # Errors
/// Returns why the frame is corrupt.
fn image<'a>(
    format: &CaptureFormat,
    bytes: &'a [u8],
    jpeg: &mut JpegDecoder,
    converted: &'a mut Image,
) -> Result<ImageView<'a>, String> {
    match format.four_cc.encoding() {
        FrameEncoding::Pixels(pixels) => {
            ImageView::new(pixels, format.size, format.stride, bytes).map_err(|error| error.to_string())
        }
        FrameEncoding::Bgr => {
            swap_red_and_blue(format, bytes, converted).map_err(|error| error.to_string())?;
            Ok(converted.view())
        }
        FrameEncoding::Jpeg => {
            jpeg.decode(bytes, &Limits::default(), converted).map_err(|error| error.to_string())?;
            Ok(converted.view())
        }
        FrameEncoding::Bayer | FrameEncoding::Unknown => Err(format!("its format is {}", format.four_cc)),
    }
}

/// Writes blue, green, red as red, green, blue, rows without gaps.
fn swap_red_and_blue(format: &CaptureFormat, bytes: &[u8], rgb: &mut Image) -> Result<(), crate::pixels::ImageError> {
    let view = ImageView::new(PixelFormat::Rgb, format.size, format.stride, bytes)?;
    let target = rgb.reset(PixelFormat::Rgb, format.size)?;
    for (target, source) in target.chunks_exact_mut(3 * format.size.width).zip(view.data().chunks(format.stride)) {
        for (target, source) in target.chunks_exact_mut(3).zip(source.chunks_exact(3)) {
            target.copy_from_slice(&[source[2], source[1], source[0]]);
        }
    }
    Ok(())
}
