//! A camera keeps going whatever its device does: a scripted device in place of a real one.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sinew::geometry::Size;
use sinew::pixels::PixelFormat;
use sinew::source::v4l2::{
    Camera, CameraError, CaptureBackend, CaptureFormat, CaptureStream, Captured, Dequeued, FourCc, RetryPolicy,
};
use sinew::source::{Source, SourceError};

const SIZE: Size = Size::new(4, 2);
const RETRY: RetryPolicy = RetryPolicy {
    frame: Duration::from_millis(1),
    stall: Duration::from_millis(30),
    start: Duration::from_millis(30),
    first: Duration::from_millis(20),
    longest: Duration::from_millis(40),
    quiet: Duration::from_secs(60),
};

/// What the device does next.
#[derive(Clone)]
enum Step {
    /// A frame with this count of the driver's, after so many older and so many corrupt ones.
    Frame { sequence: u32, superseded: u32, corrupt: u32 },
    /// A frame with a byte less than its format needs.
    Cut { sequence: u32 },
    /// Frames that are all marked as corrupt.
    Corrupt,
    /// Nothing, so often as it is asked for.
    Nothing(u32),
    /// The device fails with this error of the system.
    Fail(i32),
}

fn frame(sequence: u32) -> Step {
    Step::Frame { sequence, superseded: 0, corrupt: 0 }
}

/// What happens, start by start: the error that a start fails with, or the steps of the stream.
#[derive(Default)]
struct Script {
    starts: VecDeque<Result<Vec<Step>, i32>>,
    is_present: bool,
    started: usize,
}

struct ScriptedCamera {
    script: Arc<Mutex<Script>>,
    format: CaptureFormat,
}

fn failed(errno: i32) -> CameraError {
    CameraError::Call {
        path: PathBuf::from("/dev/played"),
        what: "playing",
        source: io::Error::from_raw_os_error(errno),
    }
}

impl CaptureBackend for ScriptedCamera {
    fn start(&mut self) -> Result<Box<dyn CaptureStream>, CameraError> {
        let mut script = self.script.lock().unwrap();
        script.started += 1;
        let steps = script.starts.pop_front().unwrap_or(Err(19)).map_err(failed)?;
        Ok(Box::new(Stream { steps: steps.into(), format: self.format, bytes: Vec::new() }))
    }

    fn is_present(&self) -> bool {
        self.script.lock().unwrap().is_present
    }
}

struct Stream {
    steps: VecDeque<Step>,
    format: CaptureFormat,
    bytes: Vec<u8>,
}

impl CaptureStream for Stream {
    fn format(&self) -> CaptureFormat {
        self.format
    }

    fn newest(&mut self, timeout: Duration) -> Result<Dequeued, CameraError> {
        let nothing = Dequeued::default();
        let (sequence, length, superseded, corrupt) = match self.steps.front_mut() {
            None => {
                std::thread::sleep(timeout);
                return Ok(nothing);
            }
            Some(Step::Nothing(times)) => {
                *times -= 1;
                if *times == 0 {
                    self.steps.pop_front();
                }
                std::thread::sleep(timeout);
                return Ok(nothing);
            }
            Some(Step::Corrupt) => {
                self.steps.pop_front();
                return Ok(Dequeued { corrupt: 2, ..nothing });
            }
            Some(Step::Fail(errno)) => return Err(failed(*errno)),
            Some(Step::Frame { sequence, superseded, corrupt }) => (*sequence, 16, *superseded, *corrupt),
            Some(Step::Cut { sequence }) => (*sequence, 15, 0, 0),
        };
        self.steps.pop_front();
        self.bytes = vec![sequence as u8; length];
        let captured = Duration::from_millis(u64::from(sequence));
        Ok(Dequeued { is_frame: true, sequence, captured, instant: Some(Instant::now()), superseded, corrupt })
    }

    fn captured(&mut self) -> Captured<'_> {
        Captured::Bytes(&self.bytes)
    }
}

fn open(starts: Vec<Result<Vec<Step>, i32>>) -> (Result<Camera, CameraError>, Arc<Mutex<Script>>) {
    let script = Arc::new(Mutex::new(Script { starts: starts.into(), is_present: true, started: 0 }));
    let format = CaptureFormat { four_cc: FourCc::new(*b"YUYV"), size: SIZE, stride: 8, rate: Some(30.0) };
    let driver = ScriptedCamera { script: Arc::clone(&script), format };
    (Camera::with_backend(Box::new(driver), "/dev/played".into(), RETRY), script)
}

/// The next frame's number and first byte, and the warnings until then.
fn next(camera: &mut Camera) -> (u64, u8, Vec<String>) {
    let mut said = Vec::new();
    let until = Instant::now() + Duration::from_secs(20);
    while Instant::now() < until {
        let frame = match camera.next_frame() {
            Ok(Some(frame)) => {
                assert_eq!((frame.image.format(), frame.image.size()), (PixelFormat::Yuyv, SIZE));
                Some((frame.sequence, frame.image.data()[0]))
            }
            Ok(None) => panic!("a camera does not end"),
            Err(SourceError::NotYet) => None,
            Err(error) => panic!("a warning is no error: {error}"),
        };
        while let Some(warning) = camera.next_warning() {
            said.push(warning.to_string());
        }
        if let Some((sequence, byte)) = frame {
            return (sequence, byte, said);
        }
    }
    panic!("no frame; said: {said:?}");
}

#[test]
fn frames_that_are_missing_are_counted() {
    let steps = vec![
        frame(7),
        Step::Frame { sequence: 10, superseded: 1, corrupt: 1 },
        Step::Corrupt,
        Step::Frame { sequence: 15, superseded: 0, corrupt: 0 },
        frame(16),
    ];
    let (camera, _) = open(vec![Ok(steps)]);
    let mut camera = camera.unwrap();
    let found: Vec<_> = (0..4).map(|_| next(&mut camera)).map(|(sequence, byte, _)| (sequence, byte)).collect();
    // The count begins at 0, and its gaps are those of the driver.
    assert_eq!(found, [(0, 7), (3, 10), (8, 15), (9, 16)]);
    let live = camera.live_counts().unwrap();
    assert_eq!((live.dropped.superseded, live.dropped.corrupt), (1, 3));
    // 8 and 9 were superseded or corrupt; of 11 to 14 two were marked as corrupt, before the frame.
    assert_eq!(live.dropped.driver, 4);
}

#[test]
fn a_stall_is_said_once_and_ends() {
    let (camera, script) = open(vec![
        Ok(vec![frame(0), Step::Nothing(1000)]),
        Ok(vec![Step::Nothing(1000)]),
        Ok(vec![Step::Nothing(2), frame(0), frame(1)]),
    ]);
    let mut camera = camera.unwrap();
    assert_eq!(next(&mut camera).0, 0);
    let (sequence, _, said) = next(&mut camera);
    assert_eq!((sequence, said.len()), (1, 1), "{said:?}");
    assert!(said[0].contains("/dev/played") && said[0].contains("no frame"), "{said:?}");
    let live = camera.live_counts().unwrap();
    assert_eq!((live.stalls, live.restarts, script.lock().unwrap().started), (2, 2, 3));
}

#[test]
fn a_failing_stream_is_started_again() {
    let (camera, _) =
        open(vec![Ok(vec![frame(0), Step::Fail(5)]), Err(22), Err(22), Err(16), Ok(vec![frame(0), frame(1)])]);
    let mut camera = camera.unwrap();
    next(&mut camera);
    let (sequence, _, said) = next(&mut camera);
    assert_eq!(sequence, 1);
    // Each cause once.
    assert_eq!(said.len(), 3, "{said:?}");
    for (text, needle) in said.iter().zip(["os error 5", "os error 22", "another program uses it"]) {
        assert!(text.contains(needle), "{text}");
    }
    assert_eq!(camera.live_counts().unwrap().failures, 1);
    // What is said again after it went well is news.
    assert_eq!(next(&mut camera).2.len(), 0);
}

#[test]
fn a_device_that_comes_back_is_opened_at_once() {
    let (camera, script) = open(vec![Ok(vec![frame(0), Step::Fail(19)]), Err(19), Err(19), Ok(vec![frame(0)])]);
    let mut camera = camera.unwrap();
    next(&mut camera);
    script.lock().unwrap().is_present = false;
    // While it is away it is looked for.
    let until = Instant::now() + Duration::from_secs(20);
    while script.lock().unwrap().started < 3 && Instant::now() < until {
        let _ = camera.next_frame();
    }
    script.lock().unwrap().is_present = true;
    assert_eq!(next(&mut camera).0, 1);
}

#[test]
fn a_camera_that_is_busy_at_the_start_is_waited_for() {
    let (camera, _) = open(vec![Err(16), Err(16), Ok(vec![frame(3)])]);
    let mut camera = camera.unwrap();
    let (sequence, byte, said) = next(&mut camera);
    assert_eq!((sequence, byte, said.len()), (0, 3, 1), "{said:?}");
    assert!(said[0].contains("another program uses it"), "{said:?}");
}

#[test]
fn what_waiting_does_not_help_is_an_error_at_the_start() {
    for (errno, needle) in [(2, "sinew cameras"), (13, "group `video`")] {
        let error = open(vec![Err(errno)]).0.err().unwrap().to_string();
        assert!(error.contains(needle), "{error}");
    }
}

#[test]
fn a_frame_of_the_wrong_size_costs_only_itself() {
    let (camera, _) = open(vec![Ok(vec![frame(0), Step::Cut { sequence: 1 }, Step::Cut { sequence: 2 }, frame(3)])]);
    let mut camera = camera.unwrap();
    next(&mut camera);
    let (sequence, byte, said) = next(&mut camera);
    assert_eq!((sequence, byte), (3, 3));
    assert_eq!(said.len(), 1, "two corrupt frames in a row are one warning: {said:?}");
    assert!(said[0].contains("16 bytes, but there are 15"), "{said:?}");
    assert_eq!(camera.live_counts().unwrap().dropped.corrupt, 2);
}

#[test]
fn corrupt_frames_again_and_again_are_one_warning() {
    let mut steps = Vec::new();
    for sequence in 0..20 {
        let cut = Step::Cut { sequence: 3 * sequence + 1 };
        steps.extend([frame(3 * sequence), if sequence % 2 == 0 { cut } else { Step::Corrupt }]);
    }
    // Both at once.
    steps.insert(1, Step::Frame { sequence: 10, superseded: 0, corrupt: 1 });
    steps.push(frame(100));
    let (camera, script) = open(vec![Ok(steps)]);
    let mut camera = camera.unwrap();
    let said: Vec<_> = (0..22).flat_map(|_| next(&mut camera).2).collect();
    let corrupt = said.iter().filter(|text| text.contains("corrupt")).count();
    let lost = said.iter().filter(|text| text.contains("the driver dropped")).count();
    assert_eq!((corrupt, lost, said.len()), (1, 1, 2), "{said:?}");
    assert_eq!(camera.live_counts().unwrap().dropped.corrupt, 10 + 20 + 1);
    assert_eq!(script.lock().unwrap().started, 1);
}

#[test]
fn a_format_that_has_changed_is_set_again() {
    let cut = |sequence| Step::Cut { sequence };
    // Cut frames for longer than a stall, and whole ones only after another start.
    let mut steps = vec![frame(0)];
    (1..50).for_each(|sequence| steps.extend([cut(sequence), Step::Nothing(2)]));
    let (camera, script) = open(vec![Ok(steps), Ok(vec![frame(0)])]);
    let mut camera = camera.unwrap();
    next(&mut camera);
    let (_, byte, said) = next(&mut camera);
    assert_eq!((byte, said.len()), (0, 1), "{said:?}");
    assert_eq!(script.lock().unwrap().started, 2);
    let live = camera.live_counts().unwrap();
    assert_eq!((live.restarts, live.stalls, live.failures), (1, 0, 0));
}

#[test]
fn a_frame_comes_with_the_warning_before_it() {
    // Gaps in the driver's count: the frame after the gap is not held back by the warning.
    let (camera, _) = open(vec![Ok(vec![frame(0), frame(5), frame(6)])]);
    let mut camera = camera.unwrap();
    assert_eq!(next(&mut camera), (0, 0, Vec::new()));
    assert_eq!(camera.next_frame().unwrap().unwrap().sequence, 5);
    let warning = camera.next_warning().unwrap().to_string();
    assert!(warning.contains("dropped 4 frames"), "{warning}");
    assert!(camera.next_warning().is_none());
    assert_eq!(camera.next_frame().unwrap().unwrap().sequence, 6);
}
