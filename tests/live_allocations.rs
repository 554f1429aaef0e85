//! Nothing is allocated, in any thread, from a camera's buffer to a line of JSON: the camera, the slots that circulate, the warp, LOGO-CAP's
//! post-processing and the sink, joined by the real loop. The networks are not part of it: tract allocates. On TensorRT's doubles they are,
//! in two lanes.
//!
//! The camera is simulated; `SINEW_CAMERA=/dev/video0` takes a real one, and its driver's calls with it (`make test-cameras`).
//! A program of its own, without the test harness, whose thread would be counted too.

mod common;
mod counting;
mod engine_support;
mod full_frame;
#[cfg(feature = "tensorrt")]
mod tensorrt_support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use counting::everywhere;
use full_frame::{KEYPOINTS, Outputs, PEOPLE, decode, outputs, schema};
use sinew::decode::logocap::{Config, Decoder, Refinement, Workspace};
use sinew::estimator::{EstimateError, Estimator, Request, StageTimes};
use sinew::geometry::{Centre, ShortSideLayout, Size};
use sinew::pixels::Warp;
use sinew::pose::Poses;
use sinew::runtime::{self, Counts, LivePipeline, Observer, Skip, WholeImage};
use sinew::sink::Sink;
use sinew::sink::jsonl::JsonLines;
use sinew::source::child::{self, Program};
use sinew::source::v4l2::{
    Camera, CameraError, CaptureBackend, CaptureFormat, CaptureRequest, CaptureStream, Captured, Dequeued, FourCc,
    RetryPolicy,
};
use sinew::source::{self, Source, SourceError};

const FRAMES: u64 = 1000;
/// What is made once is made by then.
const WARM: u64 = 50;

/// A camera that always has a frame.
#[derive(Clone)]
struct EndlessCamera {
    format: CaptureFormat,
    bytes: Vec<u8>,
    sequence: u32,
}

impl CaptureBackend for EndlessCamera {
    fn start(&mut self) -> Result<Box<dyn CaptureStream>, CameraError> {
        Ok(Box::new(self.clone()))
    }

    fn is_present(&self) -> bool {
        true
    }
}

impl CaptureStream for EndlessCamera {
    fn format(&self) -> CaptureFormat {
        self.format
    }

    fn newest(&mut self, _: Duration) -> Result<Dequeued, CameraError> {
        std::thread::sleep(Duration::from_millis(1));
        self.sequence += 1;
        let captured = Duration::from_millis(u64::from(self.sequence));
        let instant = Some(Instant::now());
        Ok(Dequeued { is_frame: true, sequence: self.sequence, captured, instant, superseded: 0, corrupt: 0 })
    }

    fn captured(&mut self) -> Captured<'_> {
        Captured::Bytes(&self.bytes)
    }
}

fn played(format: &[u8; 4], stride: usize, bytes: Vec<u8>, size: Size) -> Box<dyn Source> {
    let format = CaptureFormat { four_cc: FourCc::new(*format), size, stride, rate: None };
    let device = Box::new(EndlessCamera { format, bytes, sequence: 0 });
    Box::new(Camera::with_backend(device, "/dev/played".into(), RetryPolicy::default()).unwrap())
}

/// Everything of LOGO-CAP but its networks, whose results are always the same.
struct Model {
    decoder: Decoder,
    outputs: Outputs,
    workspace: Box<Workspace>,
    grid: Vec<f32>,
    network: Vec<f32>,
    /// Made for the first frame.
    warp: Option<(Warp, ShortSideLayout)>,
}

impl Model {
    fn new() -> Self {
        let decoder = Decoder::new(&Config::reference(&[0.05; KEYPOINTS]).unwrap()).unwrap();
        let (outputs, grid) = (outputs(&decoder), vec![0.0; decoder.grid_len(PEOPLE)]);
        let workspace = Box::new(Workspace::new());
        Self { decoder, outputs, workspace, grid, network: Vec::new(), warp: None }
    }
}

impl Estimator for Model {
    fn estimate(&mut self, request: &Request<'_>, poses: &mut Poses) -> Result<StageTimes, EstimateError> {
        let image = request.image;
        let (warp, layout) = self.warp.get_or_insert_with(|| {
            let layout = ShortSideLayout::new(image.size(), 256, 32, Centre::RoundedUp).unwrap();
            let map = &layout.image_from_network;
            let (mean, spread) = ([0.45; 3], [0.22; 3]);
            (Warp::new(image.format(), image.size(), map, layout.network, mean, spread).unwrap(), layout)
        });
        self.network.resize(warp.output_len(), 0.0);
        warp.run(image, &mut self.network).unwrap();
        let inputs = self.outputs.inputs(&self.decoder);
        decode(&self.decoder, Refinement::Full, &inputs, &self.outputs.kam, &mut self.grid, &mut self.workspace);
        self.decoder.finish(&layout.image_from_network, &mut self.workspace, poses);
        assert!(poses.list.len() >= 10, "only {} poses: the frames are not full", poses.list.len());
        Ok(StageTimes::default())
    }
}

/// Counts over so many frames in a row, and ends it then.
struct Counting {
    stop: Arc<AtomicBool>,
    processed: u64,
    before: u64,
    allocations: Option<u64>,
}

impl Observer for Counting {
    fn processed(&mut self, _: &Counts) {
        self.processed += 1;
        if self.processed == WARM {
            self.before = everywhere();
        }
        if self.processed == WARM + FRAMES {
            self.allocations = Some(everywhere() - self.before);
            self.stop.store(true, Ordering::Relaxed);
        }
    }

    /// A fault may allocate what it says.
    fn skipped(&mut self, why: &Skip, _: &Counts) {
        println!("counting begins again: {why}");
        self.processed = 0;
    }

    /// A warning may allocate its text.
    fn warned(&mut self, warning: &SourceError, _: &Counts) {
        println!("counting begins again: {warning}");
        self.processed = 0;
    }
}

/// Allocations over the frames of one camera.
fn allocations(camera: Box<dyn Source>) -> u64 {
    allocations_of(camera, &mut Model::new())
}

fn allocations_of(camera: Box<dyn Source>, estimator: &mut dyn Estimator) -> u64 {
    let stop = Arc::new(AtomicBool::new(false));
    let mut counting = Counting { stop: Arc::clone(&stop), processed: 0, before: 0, allocations: None };
    LivePipeline {
        cameras: vec![camera],
        estimator,
        boxes: &mut WholeImage,
        outputs: runtime::Outputs::from(vec![
            Box::new(JsonLines::new(std::io::sink(), "nowhere", &schema()).unwrap()) as Box<dyn Sink>
        ]),
        observer: &mut counting,
        deadline: None,
        stop,
    }
    .run(&mut Counts::default())
    .unwrap();
    counting.allocations.unwrap()
}

/// The networks too, in two lanes, on a GPU that is none and takes its time.
#[cfg(feature = "tensorrt")]
fn in_two_lanes(camera: Box<dyn Source>, size: Size) {
    use sinew::estimator::{self, Options};
    use tensorrt_support::{Doubles, VERSIONS, can_compile, plan_of};
    if !can_compile() {
        return;
    }
    let doubles = Doubles::new(VERSIONS[1], &["INTEGRATED=1"]);
    let bundle = sinew::bundle::Bundle::open(engine_support::graphs().join("spots")).unwrap();
    for network in estimator::networks(&bundle, size, None).unwrap() {
        let time = if network.signature.inputs.len() > 1 { 50 } else { 1500 };
        doubles.build(&network.files, &network.signature, &format!("{}time {time}\n", plan_of(&network.signature)));
    }
    let options = Options { score_threshold: Some(-1e30), ..Options::default() };
    let format = sinew::pixels::PixelFormat::Yuyv;
    let mut estimator = estimator::open_in(doubles.environment(), &bundle, &options, size, format).unwrap();
    let one = doubles.live().0;
    assert!(estimator.twin().unwrap().is_some(), "there is no second lane");
    let count = allocations_of(camera, estimator.as_mut());
    println!("YUYV in two lanes on TensorRT's doubles: {count} allocations in {FRAMES} frames");
    assert_eq!(count, 0);
    assert_eq!(doubles.live().0, one, "the second lane's engines were given back");
}

/// Raw frames that other programs write: live ones and a file's. What comes after a source is the same for all, and measured above.
fn children(size: Size) {
    let Size { width, height } = size;
    match child::try_out(Program::GStreamer) {
        Err(why) => common::skip(&why),
        Ok(()) => {
            // No multiple of 8, so that the planes of I420 have to be rearranged.
            for (format, width) in [("NV12", width), ("I420", width - 2), ("YUY2", width)] {
                let uri = format!("gst:videotestsrc ! video/x-raw,format={format},width={width},height={height}");
                let count = source_allocations(source::open(&uri).unwrap());
                println!("GStreamer, {format}: {count} allocations in {FRAMES} frames");
                assert_eq!(count, 0);
            }
        }
    }
    if let Err(why) = child::try_out(Program::Ffmpeg) {
        return common::skip(&why);
    }
    let file = tempfile::Builder::new().suffix(".avi").tempfile().unwrap();
    let frames = (WARM + FRAMES).to_string();
    let made = std::process::Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-y", "-f", "lavfi", "-i", "testsrc=size=320x240", "-frames:v", &frames])
        .args(["-c:v", "mpeg4"])
        .arg(file.path())
        .status();
    assert!(made.unwrap().success());
    let count = source_allocations(source::open(file.path().to_str().unwrap()).unwrap());
    println!("ffmpeg: {count} allocations in {FRAMES} frames");
    assert_eq!(count, 0);
}

/// Allocations while so many frames are read in a row.
fn source_allocations(mut source: Box<dyn Source>) -> u64 {
    let (mut seen, mut before) = (0, 0);
    while seen < WARM + FRAMES {
        match source.next_frame() {
            Ok(Some(_)) => seen += 1,
            Ok(None) => panic!("only {seen} frames"),
            Err(SourceError::NotYet) => continue,
            Err(error) => panic!("{error}"),
        }
        while let Some(warning) = source.next_warning() {
            println!("counting begins again: {warning}");
            seen = 0;
        }
        if seen == WARM {
            before = everywhere();
        }
    }
    everywhere() - before
}

fn main() {
    let size = Size::new(640, 480);
    if std::env::var_os("SINEW_CHILDREN_ONLY").is_some() {
        return children(size);
    }
    if let Ok(uri) = std::env::var("SINEW_CAMERA") {
        let count = allocations(Box::new(Camera::open(CaptureRequest::parse(&uri).unwrap()).unwrap()));
        println!("{uri}: {count} allocations in {FRAMES} frames");
        assert_eq!(count, 0);
        return;
    }
    let pixels = size.width * size.height;
    for (format, stride, bytes) in [
        (b"YUYV", 2 * size.width, 2 * pixels),
        (b"NV12", size.width, pixels * 3 / 2),
        (b"GREY", size.width, pixels),
        (b"BGR3", 3 * size.width, 3 * pixels),
    ] {
        let bytes = (0..bytes).map(|index| (index * 31 % 251) as u8).collect();
        let count = allocations(played(format, stride, bytes, size));
        println!("{}: {count} allocations in {FRAMES} frames", FourCc::new(*format));
        assert_eq!(count, 0);
    }
    #[cfg(feature = "tensorrt")]
    in_two_lanes(
        played(b"YUYV", 2 * size.width, (0..2 * pixels).map(|index| (index * 31 % 251) as u8).collect(), size),
        size,
    );
    children(size);
    let root = env!("CARGO_MANIFEST_DIR");
    let jpeg = std::fs::read(format!("{root}/tests/data/people/000.jpg")).unwrap();
    let count = allocations(played(b"MJPG", 0, jpeg, Size::new(256, 256)));
    println!("MJPG: {count} allocations in {FRAMES} frames");
    assert_eq!(count, 0);
}
