//! A camera as a source: it goes on whatever the device does.
//!
//! | what happens | what is done |
//! |---|---|
//! | frames are lost, marked as damaged, or no images | skipped and counted; said once, and again after a minute without |
//! | frames are no images for a second | the same, and the device is set and started again: it may have another layout by now |
//! | no frame for a second | said once, and the stream is started again, for as long as it takes |
//! | the device fails, is busy or has gone | said once; it is opened again after 0.25 s, then later and later, at most after one second |
//! | the device is there again | opened at once |

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::device::{CaptureFormat, Device};
use super::stream::Stream;
use super::{CameraError, CaptureRequest, FrameEncoding, mjpeg};
use crate::pixels::{Image, ImageView, Limits, PixelFormat};
use crate::source::{Frame, LiveCounts, Source, SourceError};

/// How long a camera is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// For a frame, before whoever asked is answered that there is none yet.
    pub frame: Duration,
    /// Without a frame, before the stream is started again.
    pub stall: Duration,
    /// Before a device that failed is opened again.
    pub first: Duration,
    /// The same, at most.
    pub longest: Duration,
    /// Without damaged or lost frames, before they are news again.
    pub quiet: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            frame: Duration::from_millis(100),
            stall: Duration::from_secs(1),
            first: Duration::from_millis(250),
            longest: Duration::from_secs(1),
            quiet: Duration::from_secs(60),
        }
    }
}

/// What came of waiting for a frame.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Dequeued {
    /// Whether there is one; [`Frames::bytes`] holds it.
    pub is_frame: bool,
    /// The driver's count.
    pub sequence: u32,
    /// When it was captured, on the driver's clock.
    pub captured: Duration,
    /// The same moment, for ages.
    pub instant: Option<Instant>,
    /// Older frames that were passed over.
    pub superseded: u32,
    /// Frames that the driver marked as damaged.
    pub corrupt: u32,
}

/// A device that streams.
pub trait CaptureStream: Send {
    /// What it was set to.
    fn setting(&self) -> CaptureFormat;

    /// Waits for a frame and takes the newest; the one that was taken before goes back.
    ///
    /// # Errors
    /// Where the device fails.
    fn newest(&mut self, timeout: Duration) -> Result<Dequeued, CameraError>;

    /// The frame that was taken last.
    fn bytes(&self) -> &[u8];
}

/// What gives streaming devices, again and again.
pub trait CaptureBackend: Send {
    /// Opens the device and starts it.
    ///
    /// # Errors
    /// Where that fails.
    fn start(&mut self) -> Result<Box<dyn CaptureStream>, CameraError>;

    /// Whether the device is there, as far as can be said without opening it.
    fn is_there(&self) -> bool;
}

/// Linux's own.
#[derive(Debug)]
pub(super) struct V4l2 {
    pub(super) wanted: CaptureRequest,
}

impl CaptureBackend for V4l2 {
    fn start(&mut self) -> Result<Box<dyn CaptureStream>, CameraError> {
        let device = Device::open(&self.wanted.path)?;
        Ok(Box::new(Stream::start(device, &self.wanted)?))
    }

    fn is_there(&self) -> bool {
        self.wanted.path.exists()
    }
}

enum State {
    Streaming {
        frames: Box<dyn CaptureStream>,
        /// The last frame, or the start.
        since: Instant,
        /// The last that was an image, or the start.
        sound: Instant,
    },
    Waiting {
        until: Instant,
        /// How long to wait the next time.
        pause: Duration,
        /// Whether the device was there when it was looked for last.
        was_there: bool,
    },
}

/// A camera.
pub struct Camera {
    name: String,
    path: PathBuf,
    driver: Box<dyn CaptureBackend>,
    patience: RetryPolicy,
    state: State,
    /// What was said last, so that it is said once.
    said: Option<String>,
    /// What is to be said before the next frame; nothing else is allocated once frames come.
    remarks: Vec<CameraError>,
    damages: Recurrent,
    losses: Recurrent,
    counts: LiveCounts,
    /// Frames since the beginning, the lost ones too.
    sequence: u64,
    /// The driver's count of the last frame.
    last: Option<u32>,
    converted: Option<Image>,
    swapped: Vec<u8>,
}

impl std::fmt::Debug for Camera {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Camera").field("name", &self.name).field("counts", &self.counts).finish_non_exhaustive()
    }
}

fn streaming(frames: Box<dyn CaptureStream>) -> State {
    let now = Instant::now();
    State::Streaming { frames, since: now, sound: now }
}

/// What may happen with every second frame, and is said with the first of many only.
#[derive(Debug, Default)]
struct Recurrent {
    last: Option<Instant>,
}

impl Recurrent {
    /// Happens once more; whether it has not for at least `quiet`.
    fn is_news(&mut self, quiet: Duration) -> bool {
        let now = Instant::now();
        let last = self.last.replace(now);
        last.is_none_or(|last| now - last >= quiet)
    }
}

/// What came of one step.
enum Step {
    Frame(Dequeued),
    NotYet,
    Fault(CameraError),
}

impl Camera {
    /// Opens a camera. One that is busy or fails is waited for like one that fails later.
    ///
    /// # Errors
    /// Where there is none, or it cannot give what is wanted.
    pub fn open(wanted: CaptureRequest) -> Result<Self, CameraError> {
        let path = wanted.path.clone();
        Self::of(Box::new(V4l2 { wanted }), path, RetryPolicy::default())
    }

    /// A camera behind any driver; `path` is what to call it.
    ///
    /// # Errors
    /// As [`Camera::open`].
    pub fn of(mut driver: Box<dyn CaptureBackend>, path: PathBuf, patience: RetryPolicy) -> Result<Self, CameraError> {
        let (state, said) = match driver.start() {
            Ok(frames) => (streaming(frames), None),
            Err(error) if error.passes() && driver.is_there() => {
                tracing::warn!("{error}; waiting for it");
                let until = Instant::now() + patience.first;
                (State::Waiting { until, pause: patience.first, was_there: true }, Some(error.to_string()))
            }
            Err(error) => return Err(error),
        };
        Ok(Self {
            name: path.display().to_string(),
            path,
            driver,
            patience,
            state,
            said,
            remarks: Vec::new(),
            damages: Recurrent::default(),
            losses: Recurrent::default(),
            counts: LiveCounts::default(),
            sequence: 0,
            last: None,
            converted: None,
            swapped: Vec::new(),
        })
    }

    /// What it was set to, while it streams.
    pub fn setting(&self) -> Option<CaptureFormat> {
        match &self.state {
            State::Streaming { frames, .. } => Some(frames.setting()),
            State::Waiting { .. } => None,
        }
    }

    fn step(&mut self) -> Step {
        match &mut self.state {
            State::Streaming { frames, since, .. } => match frames.newest(self.patience.frame) {
                Ok(taken) => {
                    self.counts.superseded += u64::from(taken.superseded);
                    self.counts.corrupt += u64::from(taken.corrupt);
                    if taken.is_frame || taken.corrupt > 0 {
                        // It is alive.
                        *since = Instant::now();
                    }
                    let is_stalled = since.elapsed() >= self.patience.stall;
                    if taken.corrupt > 0 {
                        self.damage("the driver has marked it so".to_owned());
                    }
                    if taken.is_frame {
                        return Step::Frame(taken);
                    }
                    if !is_stalled {
                        return Step::NotYet;
                    }
                    self.counts.stalls += 1;
                    let seconds = self.patience.stall.as_secs_f64();
                    self.wait(Duration::ZERO);
                    Step::Fault(CameraError::Stalled { path: self.path.clone(), seconds })
                }
                Err(error) => {
                    self.counts.failures += 1;
                    self.wait(self.patience.first);
                    Step::Fault(error)
                }
            },
            State::Waiting { until, pause, was_there } => {
                let left = until.saturating_duration_since(Instant::now());
                std::thread::sleep(left.min(self.patience.frame));
                let is_there = self.driver.is_there();
                let is_back = is_there && !std::mem::replace(was_there, is_there);
                if !is_back && Instant::now() < *until {
                    return Step::NotYet;
                }
                match self.driver.start() {
                    Ok(frames) => {
                        self.counts.restarts += 1;
                        self.last = None;
                        self.state = streaming(frames);
                        Step::NotYet
                    }
                    Err(error) => {
                        *pause = (2 * *pause).clamp(self.patience.first, self.patience.longest);
                        *until = Instant::now() + *pause;
                        Step::Fault(error)
                    }
                }
            }
        }
    }

    /// Closes the device, and opens it again after `pause`.
    fn wait(&mut self, pause: Duration) {
        let until = Instant::now() + pause;
        self.state = State::Waiting { until, pause, was_there: self.driver.is_there() };
    }

    /// Counts a frame that was taken; what to call it.
    fn number(&mut self, taken: &Dequeued) -> u64 {
        let lost = self.last.map_or(0, |last| taken.sequence.wrapping_sub(last).wrapping_sub(1));
        // A count that goes backwards has begun again.
        let lost = if lost > u32::MAX / 2 { 0 } else { lost };
        let lost_by_driver = lost.saturating_sub(taken.superseded + taken.corrupt);
        self.counts.lost_by_driver += u64::from(lost_by_driver);
        if lost_by_driver > 0 && self.losses.is_news(self.patience.quiet) {
            self.remarks.push(CameraError::Lost { path: self.path.clone(), frames: lost_by_driver });
        }
        self.last = Some(taken.sequence);
        let sequence = self.sequence + u64::from(lost);
        self.sequence = sequence + 1;
        sequence
    }

    /// A frame is left out; it is said if that is news.
    fn damage(&mut self, reason: String) {
        if self.damages.is_news(self.patience.quiet) {
            self.remarks.push(CameraError::Damaged { path: self.path.clone(), reason });
        }
    }

    /// Says what is wrong, if it was not said before.
    fn fault(&mut self, error: CameraError) -> SourceError {
        let text = error.to_string();
        if self.said.as_ref() == Some(&text) {
            return SourceError::NotYet;
        }
        self.said = Some(text);
        SourceError::Camera(error)
    }
}

impl Source for Camera {
    fn next_frame(&mut self) -> Result<Option<Frame<'_>>, SourceError> {
        if let Some(remark) = self.remarks.pop() {
            return Err(SourceError::Camera(remark));
        }
        let taken = match self.step() {
            Step::Frame(taken) => taken,
            Step::NotYet => return Err(SourceError::NotYet),
            Step::Fault(error) => return Err(self.fault(error)),
        };
        let sequence = self.number(&taken);
        let State::Streaming { frames, sound, .. } = &self.state else { return Err(SourceError::NotYet) };
        let (setting, bytes, sound) = (frames.setting(), frames.bytes(), *sound);
        let problem = match setting.format.usage() {
            FrameEncoding::Pixels(format) => {
                ImageView::new(format, setting.size, setting.stride, bytes).err().map(|error| error.to_string())
            }
            FrameEncoding::Bgr => swap(&setting, bytes, &mut self.swapped).err(),
            FrameEncoding::Jpeg => match mjpeg::decode(bytes, &Limits::default()) {
                Ok(image) => {
                    self.converted = Some(image);
                    None
                }
                Err(error) => Some(error.to_string()),
            },
            FrameEncoding::Bayer | FrameEncoding::Unknown => Some(format!("its layout is {}", setting.format)),
        };
        if let Some(reason) = problem {
            self.counts.corrupt += 1;
            if sound.elapsed() >= self.patience.stall {
                // Not one frame among many, but another layout than was agreed upon.
                self.wait(Duration::ZERO);
            }
            self.damage(reason);
            return Err(self.remarks.pop().map_or(SourceError::NotYet, SourceError::Camera));
        }
        self.said = None;
        let State::Streaming { frames, sound, .. } = &mut self.state else { return Err(SourceError::NotYet) };
        *sound = Instant::now();
        let view = match (setting.format.usage(), &self.converted) {
            (FrameEncoding::Pixels(format), _) => ImageView::new(format, setting.size, setting.stride, frames.bytes()),
            (FrameEncoding::Jpeg, Some(image)) => Ok(image.view()),
            _ => ImageView::new(PixelFormat::Rgb, setting.size, 3 * setting.size.width, &self.swapped),
        };
        let image = view.map_err(|error| {
            SourceError::Camera(CameraError::Damaged { path: self.path.clone(), reason: error.to_string() })
        })?;
        let (captured, instant) = (Some(taken.captured), taken.instant);
        Ok(Some(Frame { image, sequence, captured, instant, name: Some(&self.name) }))
    }

    fn live(&self) -> Option<LiveCounts> {
        Some(self.counts)
    }
}

/// Blue, green, red to red, green, blue, rows without gaps.
fn swap(setting: &CaptureFormat, bytes: &[u8], rgb: &mut Vec<u8>) -> Result<(), String> {
    let view =
        ImageView::new(PixelFormat::Rgb, setting.size, setting.stride, bytes).map_err(|error| error.to_string())?;
    let row = 3 * setting.size.width;
    rgb.resize(row * setting.size.height, 0);
    for (target, source) in rgb.chunks_exact_mut(row).zip(view.data().chunks(setting.stride)) {
        for (target, source) in target.chunks_exact_mut(3).zip(source.chunks_exact(3)) {
            target.copy_from_slice(&[source[2], source[1], source[0]]);
        }
    }
    Ok(())
}
