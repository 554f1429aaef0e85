//! Lanes: frames that follow each other are warped and decoded while the network of another runs. With a stand-in model,
//! and on the doubles of TensorRT and of the CUDA driver, whose GPU takes its time and computes what it does at the end of it.

mod common;
mod engine_support;
mod tensorrt_support;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use engine_support::graphs;
use proptest::prelude::*;
use sinew::bundle::Bundle;
use sinew::engine::{EngineError, Turn, Usual};
use sinew::estimator::{self, EstimateError, Estimator, Options, Request, StageTimes, Twin};
use sinew::geometry::Size;
use sinew::pixels::{ImageView, PixelFormat};
use sinew::pose::{Pose, Poses};
use sinew::runtime::{Counts, End, LivePipeline, Observer, Outputs, RunError, Skip, WholeImage};
use sinew::sink::{FrameResult, Sink, SinkError};
use sinew::source::{Frame, Source, SourceError};
use tensorrt_support::{Doubles, VERSIONS, can_compile, plan_of};

const MICROSECOND: Duration = Duration::from_micros(1);
/// No run here takes longer, however busy the machine is.
const BOUND: Duration = Duration::from_secs(60);

/// A camera of noise, of another image for each frame.
struct Noise {
    camera: usize,
    size: Size,
    bytes: Vec<u8>,
    next: u64,
    frames: u64,
    period: Duration,
    fails: bool,
}

impl Noise {
    fn new(camera: usize, size: Size, frames: u64, period: Duration) -> Self {
        Self { camera, size, bytes: vec![0; 3 * size.width * size.height], next: 0, frames, period, fails: false }
    }

    /// The image of a frame.
    fn fill(bytes: &mut [u8], camera: usize, sequence: u64) {
        let mut state = (sequence as u32).wrapping_mul(2_654_435_761).wrapping_add(camera as u32 + 1);
        for byte in bytes.iter_mut() {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *byte = (state >> 24) as u8;
        }
        bytes[..8].copy_from_slice(&sequence.to_le_bytes());
    }

    fn view<'a>(size: Size, bytes: &'a [u8]) -> ImageView<'a> {
        ImageView::new(PixelFormat::Rgb, size, 3 * size.width, bytes).unwrap()
    }
}

impl Source for Noise {
    fn next_frame(&mut self) -> Result<Option<Frame<'_>>, SourceError> {
        if self.next == self.frames {
            let failure = SourceError::Open { path: "/dev/played".into(), source: std::io::ErrorKind::NotFound.into() };
            return if self.fails { Err(failure) } else { Ok(None) };
        }
        thread::sleep(self.period);
        let sequence = self.next;
        self.next += 1;
        Self::fill(&mut self.bytes, self.camera, sequence);
        let image = Self::view(self.size, &self.bytes);
        Ok(Some(Frame { image, sequence, captured: None, instant: Some(Instant::now()), name: Some("played") }))
    }

    fn live_counts(&self) -> Option<Counts> {
        Some(Counts::default())
    }
}

/// What a sink was given, by camera.
type Taken = HashMap<usize, Vec<(u64, Poses)>>;

/// Keeps every result; each camera's must come in order.
#[derive(Default)]
struct Keeping {
    taken: Arc<Mutex<Taken>>,
    closes_after: Option<usize>,
}

impl Sink for Keeping {
    fn put(&mut self, result: &FrameResult<'_>) -> Result<(), SinkError> {
        let mut taken = self.taken.lock().unwrap();
        if self.closes_after.is_some_and(|most| taken.values().map(Vec::len).sum::<usize>() == most) {
            return Err(SinkError::Closed { target: "played".to_owned() });
        }
        let camera = taken.entry(result.live.unwrap().camera).or_default();
        assert!(camera.last().is_none_or(|(last, _)| *last < result.frame.sequence), "results are out of order");
        camera.push((result.frame.sequence, result.poses.clone()));
        Ok(())
    }
}

#[derive(Default)]
struct Watching {
    processed: u64,
    skipped: u64,
    /// When it was told last that the run works, and the longest time without.
    told: Option<Instant>,
    silence: Duration,
}

impl Watching {
    fn note(&mut self) {
        let now = Instant::now();
        self.silence = self.silence.max(self.told.map_or(Duration::ZERO, |told| now - told));
        self.told = Some(now);
    }
}

impl Observer for Watching {
    fn processed(&mut self, _: &Counts) {
        self.processed += 1;
        self.note();
    }

    fn alive(&mut self, _: &Counts) {
        self.note();
    }

    fn skipped(&mut self, _: &Skip, _: &Counts) {
        self.skipped += 1;
    }
}

/// A run that is over.
struct Run {
    end: Result<End, RunError>,
    counts: Counts,
    taken: Taken,
    watching: Watching,
}

/// Runs it, within bounds, and checks that every frame is processed or counted as dropped.
#[track_caller]
fn run(cameras: Vec<Noise>, estimator: &mut dyn Estimator, sink: Keeping, stop: Arc<AtomicBool>) -> Run {
    let (mut counts, mut watching, begun) = (Counts::default(), Watching::default(), Instant::now());
    let taken = Arc::clone(&sink.taken);
    let end = LivePipeline {
        cameras: cameras.into_iter().map(|camera| Box::new(camera) as Box<dyn Source>).collect(),
        estimator,
        boxes: &mut WholeImage,
        outputs: Outputs::from(vec![Box::new(sink) as Box<dyn Sink>]),
        observer: &mut watching,
        deadline: None,
        stop,
    }
    .run(&mut counts);
    assert!(begun.elapsed() < BOUND, "{:?}", begun.elapsed());
    assert_eq!(counts.frames, counts.processed + counts.dropped.total(), "{counts:?}");
    let taken = std::mem::take(&mut *taken.lock().unwrap());
    assert_eq!(counts.processed, taken.values().map(|results| results.len() as u64).sum::<u64>());
    Run { end, counts, taken, watching }
}

/// How long the stages of a stand-in model take, microseconds.
#[derive(Debug, Clone, Copy)]
struct Paces {
    warp: u32,
    network: u32,
    decode: u32,
}

const USUAL: Paces = Paces { warp: 200, network: 1500, decode: 600 };

/// A model whose result is the frame's number. Its device, which both lanes share, runs one network at a time.
struct Model {
    paces: Paces,
    device: Arc<Mutex<()>>,
    turn: Turn,
    usual: Usual,
    lane: usize,
    /// Frames of each lane.
    processed: Arc<[AtomicU64; 2]>,
    /// In which lane a frame fails, after so many: for good, or because it does not fit.
    fails: Option<(usize, u64, bool)>,
    /// In which lane a frame takes this long, after so many.
    hangs: Option<(usize, u64, Duration)>,
}

impl Model {
    fn new(paces: Paces) -> Self {
        let (device, turn, processed) = Default::default();
        Self { paces, device, turn, usual: Usual::default(), lane: 0, processed, fails: None, hangs: None }
    }

    fn frames(&self) -> [u64; 2] {
        [0, 1].map(|lane| self.processed[lane].load(Ordering::SeqCst))
    }
}

impl Estimator for Model {
    fn estimate(&mut self, request: &Request<'_>, poses: &mut Poses) -> Result<StageTimes, EstimateError> {
        let number = u64::from_le_bytes(request.image.data()[..8].try_into().unwrap());
        thread::sleep(self.paces.warp * MICROSECOND);
        let done = self.processed[self.lane].fetch_add(1, Ordering::SeqCst);
        if let Some((lane, after, time)) = self.hangs
            && (lane, after) == (self.lane, done)
        {
            thread::sleep(time);
        }
        match self.fails {
            Some((lane, after, true)) if lane == self.lane && done >= after => {
                let reason = "the network failed".to_owned();
                return Err(EngineError::Run { path: "x.engine".into(), reason }.into());
            }
            Some((lane, after, false)) if lane == self.lane && done == after => {
                return Err(EstimateError::Image { image: request.image.size(), reason: "too large".to_owned() });
            }
            _ => {}
        }
        self.turn.run(&mut self.usual, || {
            let _device = self.device.lock().unwrap();
            thread::sleep(self.paces.network * MICROSECOND);
        });
        thread::sleep(self.paces.decode * MICROSECOND);
        poses.clear();
        let _ = poses.list.push(Pose { score: number as f32, ..Pose::default() });
        Ok(StageTimes::default())
    }

    fn twin(&self) -> Result<Option<Twin>, EstimateError> {
        let estimator = Box::new(Self {
            device: Arc::clone(&self.device),
            turn: self.turn.clone(),
            processed: Arc::clone(&self.processed),
            lane: 1,
            ..*self
        });
        Ok(Some(Twin { estimator, turn: self.turn.clone() }))
    }
}

fn cameras(count: usize, frames: u64, period: u32) -> Vec<Noise> {
    (0..count).map(|camera| Noise::new(camera, Size::new(16, 8), frames, period * MICROSECOND)).collect()
}

/// The results are those of their frames.
fn check_numbers(taken: &Taken) {
    for (sequence, poses) in taken.values().flatten() {
        assert_eq!(poses.list[0].score, *sequence as f32);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_takes_how_long_results_come_in_order(
        warp in 0u32..1500, network in 0u32..1500, decode in 0u32..4000, period in 50u32..3000, count in 1usize..4,
    ) {
        let mut model = Model::new(Paces { warp, network, decode });
        let Run { end, counts, taken, watching } = run(cameras(count, 60, period), &mut model, Keeping::default(), Arc::default());
        prop_assert!(matches!(end, Ok(End::SourceEnded)));
        check_numbers(&taken);
        prop_assert_eq!(watching.processed, counts.processed + counts.dropped.output);
        prop_assert!(counts.frames == 60 * count as u64);
    }
}

#[test]
fn both_lanes_work_and_the_device_is_kept_busy() {
    let mut model = Model::new(Paces { warp: 2000, network: 10_000, decode: 6000 });
    let begun = Instant::now();
    let Run { end, counts, taken, .. } = run(cameras(1, 400, 1000), &mut model, Keeping::default(), Arc::default());
    let took = begun.elapsed();
    assert!(matches!(end, Ok(End::SourceEnded)));
    check_numbers(&taken);
    let [one, other] = model.frames();
    assert!(one > 5 && other > 5, "{one} and {other} frames");
    // In turns a frame takes 18 ms; here 10, and a busy machine needs some more.
    let each = took / counts.processed as u32;
    assert!(each < Duration::from_millis(16), "{each:?} a frame: the lanes wait for each other");
}

#[test]
fn a_stop_loses_no_result() {
    for after in [0, 1, 5, 40] {
        let (mut model, stop) = (Model::new(USUAL), Arc::new(AtomicBool::new(false)));
        let (frames, stopping) = (Arc::clone(&model.processed), Arc::clone(&stop));
        let stopper = thread::spawn(move || {
            while frames.iter().map(|count| count.load(Ordering::SeqCst)).sum::<u64>() < after {
                thread::yield_now();
            }
            stopping.store(true, Ordering::SeqCst);
        });
        let Run { end, taken, .. } = run(cameras(2, u64::MAX, 500), &mut model, Keeping::default(), stop);
        stopper.join().unwrap();
        assert!(end.is_ok(), "{end:?}");
        check_numbers(&taken);
    }
}

#[test]
fn a_camera_that_fails_ends_the_run() {
    let mut model = Model::new(USUAL);
    let mut cameras = cameras(2, 50, 700);
    cameras[1].fails = true;
    cameras[0].frames = u64::MAX;
    let Run { end, taken, .. } = run(cameras, &mut model, Keeping::default(), Arc::default());
    assert!(matches!(end, Err(RunError::Source(_))), "{end:?}");
    check_numbers(&taken);
}

#[test]
fn an_engine_that_fails_in_either_lane_ends_the_run() {
    for lane in [0, 1] {
        let mut model = Model { fails: Some((lane, 15, true)), ..Model::new(USUAL) };
        let Run { end, counts, taken, .. } =
            run(cameras(2, u64::MAX, 700), &mut model, Keeping::default(), Arc::default());
        let message = end.unwrap_err().to_string();
        assert!(message.contains("played: frame"), "{message}");
        assert!(counts.processed >= 15 && model.frames()[1] > 0, "{counts:?}");
        check_numbers(&taken);
    }
}

#[test]
fn a_frame_that_does_not_fit_is_skipped_in_either_lane() {
    for lane in [0, 1] {
        let mut model = Model { fails: Some((lane, 10, false)), ..Model::new(USUAL) };
        let Run { end, counts, watching, .. } =
            run(cameras(1, 100, 1000), &mut model, Keeping::default(), Arc::default());
        assert!(matches!(end, Ok(End::SourceEnded)), "{end:?}");
        assert_eq!((counts.dropped.unsupported_size, watching.skipped), (1, 1));
    }
}

/// What feeds a watchdog stops with either lane, before its network as well.
#[test]
fn a_lane_that_hangs_is_noticed() {
    let hang = Duration::from_secs(2);
    for lane in [0, 1] {
        let mut model = Model { hangs: Some((lane, 10, hang)), ..Model::new(USUAL) };
        let Run { end, watching, .. } = run(cameras(1, 2000, 1000), &mut model, Keeping::default(), Arc::default());
        assert!(matches!(end, Ok(End::SourceEnded)), "{end:?}");
        assert!(
            watching.silence > hang * 3 / 4,
            "lane {lane} hung, and the longest silence was {:?}",
            watching.silence
        );
    }
}

/// Cameras without a frame are no fault, whichever lane waits for one.
#[test]
fn idle_cameras_are_no_silence() {
    let Run { watching, .. } =
        run(cameras(1, 5, 1_000_000), &mut Model::new(USUAL), Keeping::default(), Arc::default());
    assert!(watching.silence < Duration::from_millis(800), "{:?}", watching.silence);
}

#[test]
fn a_reader_that_goes_ends_the_run() {
    let sink = Keeping { closes_after: Some(20), ..Keeping::default() };
    let Run { end, counts, .. } = run(cameras(1, u64::MAX, 700), &mut Model::new(USUAL), sink, Arc::default());
    assert!(matches!(end, Ok(End::ReaderClosed)), "{end:?}");
    assert_eq!(counts.processed, 20);
}

/// Keeps results, and asks how many objects of the library are alive.
struct Asking(Keeping, Arc<Doubles>, Arc<AtomicI32>);

impl Sink for Asking {
    fn put(&mut self, result: &FrameResult<'_>) -> Result<(), SinkError> {
        self.2.fetch_max(self.1.live().0, Ordering::SeqCst);
        self.0.put(result)
    }
}

/// Frames of three cameras of two sizes, in two lanes on TensorRT's doubles: the results are those of one frame at a time.
fn as_in_turns(name: &str, no_pipeline: bool) {
    // The third version wants graphs of 16-bit types, which these bundles have not.
    for (version, gpu) in VERSIONS.into_iter().zip(["INTEGRATED=1", "INTEGRATED=0"]) {
        let doubles = Arc::new(Doubles::new(version, &[gpu]));
        let bundle = Bundle::open(graphs().join(name)).unwrap();
        let sizes = [Size::new(64, 64), Size::new(128, 64), Size::new(64, 64)];
        for network in sizes.iter().flat_map(|&size| estimator::networks(&bundle, size, None).unwrap()) {
            let is_second = network.signature.inputs.len() > 1;
            let time = if is_second { 20 } else { 1500 };
            doubles.build(&network.files, &network.signature, &format!("{}time {time}\n", plan_of(&network.signature)));
        }
        let options = Options { score_threshold: Some(-1e30), sources: 3, no_pipeline, ..Options::default() };
        let open = || estimator::open_in(doubles.environment(), &bundle, &options, sizes[0], PixelFormat::Rgb).unwrap();
        let mut estimator = open();
        let (alone, most) = (doubles.live().0, Arc::new(AtomicI32::new(0)));
        let taken = Arc::default();
        let keeping = Keeping { taken: Arc::clone(&taken), closes_after: None };
        let mut counts = Counts::default();
        let period = 10_000 * MICROSECOND;
        let cameras = (0..3).map(|camera| Box::new(Noise::new(camera, sizes[camera], 60, period)) as Box<dyn Source>);
        LivePipeline {
            cameras: cameras.collect(),
            estimator: estimator.as_mut(),
            boxes: &mut WholeImage,
            outputs: Outputs::from(vec![
                Box::new(Asking(keeping, Arc::clone(&doubles), Arc::clone(&most))) as Box<dyn Sink>
            ]),
            observer: &mut Watching::default(),
            deadline: None,
            stop: Arc::default(),
        }
        .run(&mut counts)
        .unwrap();
        drop(estimator);
        assert_eq!(doubles.live(), (0, 0), "everything was given back");
        assert_eq!(counts.frames, counts.processed + counts.dropped.total());
        // Engines of the second size are opened during the run, by each lane.
        let sets = f64::from(most.load(Ordering::SeqCst)) / f64::from(alone);
        assert_eq!(sets > 2.0, !no_pipeline, "{sets} times the objects of one set of engines");

        let taken: Taken = std::mem::take(&mut *taken.lock().unwrap());
        assert!(taken.len() == 3 && taken.values().all(|results| results.len() > 3), "{counts:?}");
        let (mut reference, mut poses, mut found) = (open(), Poses::default(), 0);
        for (camera, results) in taken {
            let mut bytes = vec![0; 3 * sizes[camera].width * sizes[camera].height];
            for (sequence, result) in results {
                Noise::fill(&mut bytes, camera, sequence);
                reference.estimate(&Request::new(Noise::view(sizes[camera], &bytes)), &mut poses).unwrap();
                found += poses.list.len();
                // Debug output tells numbers apart that are equal, such as zeros, and calls NaN equal to itself.
                assert_eq!(format!("{poses:?}"), format!("{result:?}"), "{name}: camera {camera}, frame {sequence}");
            }
        }
        assert!(found > 0, "{name}: no pose in any frame");
    }
}

#[test]
fn logocap_in_two_lanes_finds_what_it_finds_in_turns() {
    if can_compile() {
        as_in_turns("spots", false);
    }
}

#[test]
fn centergroup_in_two_lanes_finds_what_it_finds_in_turns() {
    if can_compile() {
        as_in_turns("nearest", false);
    }
}

#[test]
fn without_a_pipeline_one_set_of_engines_is_opened() {
    if can_compile() {
        as_in_turns("spots", true);
    }
}
