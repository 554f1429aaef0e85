//! The live loop, with simulated cameras, models and sinks.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use sinew::estimator::{EstimateError, Estimator, Request, StageTimes};
use sinew::geometry::Size;
use sinew::pixels::{ImageView, PixelFormat};
use sinew::pose::{Pose, Poses};
use sinew::runtime::{
    Change, Counts, Dropped, End, FrameKind, LivePipeline, Observer, Outputs, Replacement, Replacements, RunError,
    Skip, WholeImage,
};
use sinew::sink::{FrameResult, OutputSchema, Sink, SinkError};
use sinew::source::{Frame, Source, SourceError};

const SIZE: Size = Size::new(16, 8);

/// A camera of so many frames, as fast as they are taken or one at a time; each holds its number.
struct NumberedFrames {
    bytes: Vec<u8>,
    next: u64,
    frames: u64,
    period: Duration,
    /// The newest frame that it gave.
    newest: Arc<AtomicU64>,
}

impl NumberedFrames {
    fn boxed(frames: u64, period: Duration, newest: &Arc<AtomicU64>) -> Box<dyn Source> {
        Box::new(Self { bytes: vec![0; 3 * 16 * 8], next: 0, frames, period, newest: Arc::clone(newest) })
    }
}

impl Source for NumberedFrames {
    fn next_frame(&mut self) -> Result<Option<Frame<'_>>, SourceError> {
        if self.next == self.frames {
            return Ok(None);
        }
        if !self.period.is_zero() {
            std::thread::sleep(self.period);
        }
        let sequence = self.next;
        self.next += 1;
        self.bytes[..8].copy_from_slice(&sequence.to_le_bytes());
        self.newest.store(sequence, Ordering::SeqCst);
        let image = ImageView::new(PixelFormat::Rgb, SIZE, 3 * 16, &self.bytes).unwrap();
        let instant = Some(Instant::now());
        Ok(Some(Frame { image, sequence, captured: None, instant, name: Some("played") }))
    }

    fn live_counts(&self) -> Option<Counts> {
        Some(Counts::default())
    }
}

/// Returns one pose whose score is the frame's number.
struct Model {
    time: Duration,
    newest: Arc<AtomicU64>,
    /// How far behind the camera the oldest frame was when it was begun.
    behind: Arc<AtomicU64>,
}

impl Estimator for Model {
    fn estimate(&mut self, request: &Request<'_>, poses: &mut Poses) -> Result<StageTimes, EstimateError> {
        let image = request.image;
        let number = u64::from_le_bytes(image.data()[..8].try_into().unwrap());
        let behind = self.newest.load(Ordering::SeqCst).saturating_sub(number);
        self.behind.fetch_max(behind, Ordering::SeqCst);
        if !self.time.is_zero() {
            std::thread::sleep(self.time);
        }
        poses.clear();
        let _ = poses.list.push(Pose { score: number as f32, ..Pose::default() });
        Ok(StageTimes::default())
    }
}

/// Counts what it gets, which must come in order, and may wait for a gate before each.
#[derive(Default)]
struct Taking {
    taken: Arc<Mutex<Vec<u64>>>,
    gate: Option<Arc<(Mutex<bool>, Condvar)>>,
    finished: Arc<AtomicBool>,
    fails_after: Option<usize>,
    ages: Arc<Mutex<Vec<Duration>>>,
}

impl Sink for Taking {
    fn put(&mut self, result: &FrameResult<'_>) -> Result<(), SinkError> {
        if let Some(gate) = &self.gate {
            let open = gate.0.lock().unwrap();
            drop(gate.1.wait_while(open, |open| !*open).unwrap());
        }
        let sequence = result.frame.sequence;
        assert_eq!(result.poses.list[0].score, sequence as f32, "the result is that of its frame");
        let age = result.live.unwrap().age.unwrap();
        assert!(age < Duration::from_secs(60));
        self.ages.lock().unwrap().push(age);
        let mut taken = self.taken.lock().unwrap();
        assert!(taken.last().is_none_or(|&last| last < sequence));
        if self.fails_after == Some(taken.len()) {
            return Err(SinkError::Closed { target: "played".to_owned() });
        }
        taken.push(sequence);
        Ok(())
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        self.finished.store(true, Ordering::SeqCst);
        Ok(())
    }
}

#[derive(Default)]
struct Watching {
    processed: u64,
}

impl Observer for Watching {
    fn processed(&mut self, _: &Counts) {
        self.processed += 1;
    }

    fn skipped(&mut self, why: &Skip, _: &Counts) {
        panic!("{why}");
    }
}

struct Bench {
    newest: Arc<AtomicU64>,
    behind: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
}

impl Bench {
    fn new() -> Self {
        Self { newest: Arc::default(), behind: Arc::default(), stop: Arc::default() }
    }

    fn run(&self, frames: u64, period: Duration, time: Duration, sink: Taking) -> (Result<End, RunError>, Counts) {
        let mut model = Model { time, newest: Arc::clone(&self.newest), behind: Arc::clone(&self.behind) };
        let mut counts = Counts::default();
        let ended = LivePipeline {
            cameras: vec![NumberedFrames::boxed(frames, period, &self.newest)],
            estimator: &mut model,
            boxes: &mut WholeImage,
            outputs: Outputs::from(vec![Box::new(sink) as Box<dyn Sink>]),
            observer: &mut Watching::default(),
            deadline: None,
            stop: Arc::clone(&self.stop),
        }
        .run(&mut counts);
        (ended, counts)
    }
}

/// Every frame is processed, or counted as dropped.
#[track_caller]
fn assert_balanced(counts: &Counts) {
    assert_eq!(counts.frames, counts.processed + counts.dropped.total(), "{counts:?}");
}

fn resident_kilobytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[test]
fn a_hundred_thousand_frames_leave_nothing_behind() {
    const FRAMES: u64 = 100_000;
    let warm = Bench::new().run(5000, Duration::ZERO, Duration::ZERO, Taking::default()).1;
    assert_balanced(&warm);
    let (memory, open) = (resident_kilobytes(), descriptors());
    let taking = Taking { taken: Arc::new(Mutex::new(Vec::with_capacity(FRAMES as usize))), ..Taking::default() };
    let taken = Arc::clone(&taking.taken);
    let (ended, counts) = Bench::new().run(FRAMES, Duration::ZERO, Duration::ZERO, taking);
    assert!(matches!(ended, Ok(End::SourceEnded)));
    assert_eq!(counts.frames, FRAMES);
    assert_balanced(&counts);
    assert_eq!(taken.lock().unwrap().len() as u64, counts.processed);
    // The list of what was taken is a megabyte at most; other tests run beside this one.
    let grown = resident_kilobytes().saturating_sub(memory);
    assert!(grown < 1024 + 800, "{grown} kB more");
    assert!(descriptors() <= open + 8);
}

#[test]
fn a_slow_model_always_gets_the_newest_frame() {
    let bench = Bench::new();
    let (ended, counts) = bench.run(300, Duration::from_millis(2), Duration::from_millis(6), Taking::default());
    assert!(ended.is_ok());
    assert_balanced(&counts);
    assert!(counts.dropped.superseded > 50, "{counts:?}");
    // The camera may give one more between the frame being fetched and being looked at here; on a busy machine a few.
    let behind = bench.behind.load(Ordering::SeqCst);
    assert!(behind <= 10, "a frame was {behind} frames old when it was begun: frames are kept waiting");
}

/// `SINEW_AGE_SECONDS=600 cargo test --release --test live ages` lets it run for ten minutes.
#[test]
fn ages_do_not_grow_where_the_model_is_slower_than_the_camera() {
    let seconds = std::env::var("SINEW_AGE_SECONDS").map_or(4, |seconds| seconds.parse::<u64>().unwrap());
    let (period, inference) = (Duration::from_millis(10), Duration::from_millis(30));
    let taking = Taking::default();
    let ages = Arc::clone(&taking.ages);
    let (ended, counts) = Bench::new().run(seconds * 100, period, inference, taking);
    assert!(ended.is_ok());
    assert_balanced(&counts);
    assert!(counts.dropped.superseded > counts.processed, "{counts:?}");
    let ages = ages.lock().unwrap();
    let percentile = |ages: &[Duration], share: usize| {
        let mut sorted = ages.to_vec();
        sorted.sort();
        sorted[(sorted.len() * share / 100).min(sorted.len() - 1)]
    };
    let fifth = ages.len() / 5;
    let (first, last) = (percentile(&ages[..fifth], 50), percentile(&ages[ages.len() - fifth..], 50));
    let (median, most) = (percentile(&ages, 50), percentile(&ages, 100));
    println!("{} ages over {seconds} s: median {median:?}, p99 {:?}, most {most:?}", ages.len(), percentile(&ages, 99));
    // A queue would be as old as two thirds of the run by its end. Twice is for busy machines.
    assert!(
        last < 2 * (inference + period) && last < 2 * first,
        "median of the first fifth {first:?}, of the last {last:?}"
    );
}

#[test]
fn a_sink_that_blocks_stops_no_other_thread() {
    let gate = Arc::new((Mutex::new(false), Condvar::new()));
    let taking = Taking { gate: Some(Arc::clone(&gate)), ..Taking::default() };
    let bench = Bench::new();
    let start = Instant::now();
    let (ended, counts) = bench.run(200, Duration::from_millis(1), Duration::ZERO, taking);
    // All frames were processed, though no result was written; then the sink is given up.
    assert!(ended.is_ok());
    assert!(counts.dropped.output > 100, "{counts:?}");
    assert!(start.elapsed() < Duration::from_secs(30));
    *gate.0.lock().unwrap() = true;
    gate.1.notify_all();
}

#[test]
fn complete_results_are_written_when_it_stops() {
    let bench = Bench::new();
    let taking = Taking::default();
    let (taken, finished) = (Arc::clone(&taking.taken), Arc::clone(&taking.finished));
    let stop = Arc::clone(&bench.stop);
    let seen = Arc::clone(&taking.taken);
    let stopper = std::thread::spawn(move || {
        while seen.lock().unwrap().len() < 20 {
            std::thread::yield_now();
        }
        stop.store(true, Ordering::SeqCst);
    });
    let (ended, counts) = bench.run(u64::MAX, Duration::from_micros(100), Duration::ZERO, taking);
    stopper.join().unwrap();
    assert!(ended.is_ok());
    assert!(finished.load(Ordering::SeqCst));
    assert_balanced(&counts);
    assert!(counts.processed >= 20 && counts.processed == taken.lock().unwrap().len() as u64);
}

#[test]
fn a_network_that_hangs_does_not_keep_the_sinks() {
    let bench = Bench::new();
    let taking = Taking::default();
    let (stop, finished) = (Arc::clone(&bench.stop), Arc::clone(&taking.finished));
    let hang = Duration::from_secs(4);
    let stopper = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(200));
        stop.store(true, Ordering::SeqCst);
        let stopped = Instant::now();
        while !finished.load(Ordering::SeqCst) && stopped.elapsed() < 2 * hang {
            std::thread::sleep(Duration::from_millis(5));
        }
        stopped.elapsed()
    });
    let (ended, counts) = bench.run(u64::MAX, Duration::from_millis(1), hang, taking);
    let took = stopper.join().unwrap();
    assert!(ended.is_ok());
    assert!(took < hang - Duration::from_secs(1), "the sinks were finished {took:?} after the stop, with the network");
    // The result was complete when the sinks were finished.
    assert_eq!((counts.processed, counts.dropped.output), (0, 1));
    assert_balanced(&counts);
}

#[test]
fn a_reader_that_goes_is_an_end() {
    let taking = Taking { fails_after: Some(5), ..Taking::default() };
    let (ended, counts) = Bench::new().run(u64::MAX, Duration::from_micros(200), Duration::ZERO, taking);
    assert!(matches!(ended, Ok(End::ReaderClosed)), "{ended:?}");
    assert_eq!(counts.processed, 5);
    assert_balanced(&counts);
}

/// A camera that goes through something with every frame.
struct Troubled(Box<dyn Source>, u64);

impl Source for Troubled {
    fn next_frame(&mut self) -> Result<Option<Frame<'_>>, SourceError> {
        self.1 += 1;
        self.0.next_frame()
    }

    fn live_counts(&self) -> Option<Counts> {
        let dropped = Dropped { driver: 2 * self.1, ..Dropped::default() };
        Some(Counts { restarts: self.1, dropped, ..Counts::default() })
    }
}

#[test]
fn counts_are_known_while_it_runs() {
    /// Stops the work as soon as the counts say enough.
    struct Reading(Arc<AtomicBool>, Counts);
    impl Observer for Reading {
        fn processed(&mut self, counts: &Counts) {
            let grown = |new: u64, old: u64| assert!(new >= old, "{counts:?} after {:?}", self.1);
            grown(counts.frames, self.1.frames);
            grown(counts.restarts, self.1.restarts);
            self.1 = *counts;
            if counts.restarts > 20 && counts.dropped.driver > 40 && counts.frames > 20 {
                self.0.store(true, Ordering::SeqCst);
            }
        }

        fn skipped(&mut self, why: &Skip, _: &Counts) {
            panic!("{why}");
        }
    }
    let (newest, behind, stop) = (Arc::default(), Arc::default(), Arc::new(AtomicBool::new(false)));
    let camera = || -> Box<dyn Source> {
        Box::new(Troubled(NumberedFrames::boxed(20_000, Duration::from_micros(500), &newest), 0))
    };
    let estimator = &mut Model { time: Duration::ZERO, newest: Arc::clone(&newest), behind };
    let mut reading = Reading(Arc::clone(&stop), Counts::default());
    let mut counts = Counts::default();
    let cameras = vec![camera(), camera()];
    let (boxes, outputs, observer) = (&mut WholeImage, Outputs::default(), &mut reading);
    LivePipeline { cameras, estimator, boxes, outputs, observer, deadline: None, stop }.run(&mut counts).unwrap();
    assert!(reading.1.frames < 120_000 && reading.1.restarts > 20, "{:?}", reading.1);
    assert_balanced(&counts);
    assert_eq!(counts.restarts, counts.frames - counts.dropped.driver, "those of both cameras");
}

/// A camera whose next frame exists when its last one, and another of the other camera, was processed.
struct Patient {
    camera: Box<dyn Source>,
    given: u64,
    processed: Arc<AtomicU64>,
    others: Arc<AtomicU64>,
}

impl Source for Patient {
    fn next_frame(&mut self) -> Result<Option<Frame<'_>>, SourceError> {
        if self.processed.load(Ordering::SeqCst) < self.given || self.others.load(Ordering::SeqCst) < self.given {
            std::thread::yield_now();
            return Err(SourceError::NotYet);
        }
        self.given += 1;
        self.camera.next_frame()
    }

    fn live_counts(&self) -> Option<Counts> {
        Some(Counts::default())
    }
}

#[test]
fn every_camera_has_its_turn() {
    const FRAMES: u64 = 100;
    #[derive(Default, Clone)]
    struct PerCamera([Arc<AtomicU64>; 2], Arc<AtomicBool>);
    impl Observer for PerCamera {
        fn processed(&mut self, _: &Counts) {
            if self.0[1].load(Ordering::SeqCst) == FRAMES {
                self.1.store(true, Ordering::SeqCst);
            }
        }

        fn skipped(&mut self, why: &Skip, _: &Counts) {
            panic!("{why}");
        }
    }
    /// Counts frames by camera, whose number is behind the frame's.
    struct CountingModel(Model, [Arc<AtomicU64>; 2]);
    impl Estimator for CountingModel {
        fn estimate(&mut self, request: &Request<'_>, poses: &mut Poses) -> Result<StageTimes, EstimateError> {
            self.1[usize::from(request.image.data()[8])].fetch_add(1, Ordering::SeqCst);
            self.0.estimate(request, poses)
        }
    }
    let mut watching = PerCamera::default();
    let PerCamera([fast, slow], stop) = watching.clone();
    let newest = Arc::default();
    let model = Model { time: Duration::ZERO, newest: Arc::clone(&newest), behind: Arc::default() };
    let mut model = CountingModel(model, [Arc::clone(&fast), Arc::clone(&slow)]);
    // One camera always has a frame, the other waits for its turn each time.
    let (bytes, period) = (vec![1; 3 * 16 * 8], Duration::ZERO);
    let camera = Box::new(NumberedFrames { bytes, next: 0, frames: FRAMES, period, newest: Arc::clone(&newest) });
    let cameras: Vec<Box<dyn Source>> = vec![
        NumberedFrames::boxed(u64::MAX, Duration::ZERO, &newest),
        Box::new(Patient { camera, given: 0, processed: Arc::clone(&slow), others: Arc::clone(&fast) }),
    ];
    let mut counts = Counts::default();
    LivePipeline {
        cameras,
        estimator: &mut model,
        boxes: &mut WholeImage,
        outputs: Outputs::default(),
        observer: &mut watching,
        deadline: None,
        stop,
    }
    .run(&mut counts)
    .unwrap();
    assert_balanced(&counts);
    assert_eq!(slow.load(Ordering::SeqCst), FRAMES, "no frame of the slow camera was superseded");
    assert!(fast.load(Ordering::SeqCst) + 1 >= FRAMES, "the other camera is not held up either");
}

/// The same model again, once.
struct Again(Option<Model>);

impl Replacements for Again {
    fn next(&mut self, seen: &[FrameKind]) -> Option<Replacement> {
        assert_eq!(seen, [(SIZE, PixelFormat::Rgb)]);
        let estimator = Box::new(self.0.take()?);
        let model = sinew::runtime::Model { estimator, boxes: Box::new(WholeImage), deadline: None };
        Some(Replacement { model, change: Change { schema: OutputSchema::default(), tracking: None } })
    }

    fn tried(&mut self, outcome: Result<(), EstimateError>) {
        outcome.unwrap();
    }
}

/// Takes results of one model only.
struct OneModel(u64);

impl Sink for OneModel {
    fn put(&mut self, _: &FrameResult<'_>) -> Result<(), SinkError> {
        self.0 += 1;
        Ok(())
    }

    fn describe(&mut self, _: &OutputSchema) -> Result<(), SinkError> {
        assert!(self.0 > 0, "the first model had results");
        Err(SinkError::Open { target: "played".to_owned(), source: std::io::ErrorKind::PermissionDenied.into() })
    }
}

#[test]
fn an_output_that_cannot_take_another_model_ends_the_run_and_every_frame_is_counted() {
    let newest = Arc::default();
    let numbers = || Model { time: Duration::ZERO, newest: Arc::clone(&newest), behind: Arc::default() };
    let mut counts = Counts::default();
    let pipeline = LivePipeline {
        cameras: vec![NumberedFrames::boxed(200, Duration::from_millis(2), &newest)],
        estimator: &mut numbers(),
        boxes: &mut WholeImage,
        outputs: Outputs::from(vec![Box::new(OneModel(0)) as Box<dyn Sink>]),
        observer: &mut Watching::default(),
        deadline: None,
        stop: Arc::default(),
    };
    let ended = pipeline.run_replacing(&mut counts, &mut Again(Some(numbers())));
    assert!(matches!(ended, Err(RunError::Sink(_))), "{ended:?}");
    assert!(counts.processed > 0 && counts.dropped.output > 0, "{counts:?}");
    assert_eq!(counts.frames, counts.processed + counts.dropped.total(), "{counts:?}");
}
