//! Frames per second and ages of a live run whose networks take a fixed time on a GPU that is none.
//!
//!     benches/pipeline.py
//!
//! runs this program, of this build and of an earlier one, and writes docs/performance.md. Everything is as in a live run on
//! TensorRT (cameras, warp, engines, decoding, JSON lines) but NVIDIA's libraries, which are the tests' doubles: their GPU
//! takes `--network` microseconds for a frame, of which each run of the second network takes `--second`, and hands out maps
//! with so many people. Prints one JSON object.

#[path = "now.rs"]
mod api;
mod scene;

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use api::{Bundle, JsonLines, Network, PixelFormat, Size};

const SIZE: Size = Size { width: 1280, height: 720 };
/// Frames before the measurement: engines are opened and recorded.
const WARM_UP: usize = 60;

/// What is measured.
struct Arguments {
    bundle: PathBuf,
    library: PathBuf,
    driver: PathBuf,
    people: usize,
    cameras: usize,
    /// Between two frames of a camera.
    period: Duration,
    frames: usize,
    /// Microseconds of the GPU for a frame, and for each run of the second network of them.
    network: usize,
    second: usize,
}

impl Arguments {
    fn parse() -> Result<Self, Box<dyn Error>> {
        let given: Vec<String> = std::env::args().collect();
        let text = |name: &str| {
            let at = given.iter().position(|word| word.strip_prefix("--") == Some(name));
            at.and_then(|at| given.get(at + 1)).ok_or_else(|| format!("no --{name}: run benches/pipeline.py"))
        };
        let number = |name: &str| Ok::<usize, Box<dyn Error>>(text(name)?.parse()?);
        Ok(Self {
            bundle: text("bundle")?.into(),
            library: text("library")?.into(),
            driver: text("driver")?.into(),
            people: number("people")?,
            cameras: number("cameras")?,
            period: Duration::from_micros(number("period")? as u64),
            frames: number("frames")?,
            network: number("network")?,
            second: number("second")?,
        })
    }
}

/// A camera of its own rate, whose frames are noise.
#[derive(Debug)]
pub struct Camera {
    bytes: Arc<[u8]>,
    period: Duration,
    due: Instant,
    sequence: u64,
}

impl Camera {
    /// Waits for the next frame; those for which it is too late are lost.
    fn next(&mut self) -> (&[u8], u64, Instant) {
        let now = Instant::now();
        while self.due < now {
            self.due += self.period;
            self.sequence += 1;
        }
        thread::sleep(self.due - now);
        (&self.bytes, self.sequence, Instant::now())
    }
}

/// What the sink saw after the warm-up.
#[derive(Default)]
struct Seen {
    results: usize,
    poses: usize,
    begun: Option<Instant>,
    ended: Option<Instant>,
    ages: Vec<Duration>,
}

/// Writes lines that nobody reads, and measures.
#[allow(missing_debug_implementations)]
pub struct Meter {
    lines: JsonLines<std::io::Sink>,
    seen: Arc<Mutex<Seen>>,
    frames: usize,
    stop: Arc<AtomicBool>,
}

impl Meter {
    /// A result of so many poses was written, of a frame taken at `instant`.
    fn count(&mut self, poses: usize, instant: Option<Instant>) {
        let mut seen = self.seen.lock().expect("no thread panics");
        let now = Instant::now();
        seen.results += 1;
        if seen.results <= WARM_UP {
            seen.begun = Some(now);
        } else if seen.results <= WARM_UP + self.frames {
            seen.ended = Some(now);
            seen.poses += poses;
            seen.ages.extend(instant.map(|instant| now - instant));
        }
        if seen.results >= WARM_UP + self.frames {
            self.stop.store(true, Ordering::Relaxed);
        }
    }
}

/// The plan of a network with its side-car: what the doubles read.
fn build(network: &Network, arguments: &Arguments, seconds: usize, folder: &Path) -> Result<(), Box<dyn Error>> {
    let is_second = network.signature.inputs.iter().any(|spec| spec.name == "embedding" || spec.name == "rows");
    let time = if is_second { arguments.second } else { arguments.network - seconds * arguments.second };
    let mut plan = format!("double\ntime {time}\n");
    for (mode, specs) in [("input", &network.signature.inputs), ("output", &network.signature.outputs)] {
        for spec in specs {
            let extents: Vec<String> = spec.shape.iter().map(ToString::to_string).collect();
            plan +=
                &format!("{mode} {} {} {}\n", spec.name, if api::is_index(spec) { 3 } else { 0 }, extents.join(" "));
        }
    }
    let tag = network.files.label.replace('/', "-");
    for spec in &network.signature.outputs {
        let values = scene::values(&spec.name, &spec.shape, arguments.people);
        let path = folder.join(format!("{tag}-{}-{}", spec.name, values.len()));
        fs::write(&path, values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>())?;
        plan += &format!("constant {} {}\n", spec.name, path.display());
    }
    api::write_plan(&arguments.library, &arguments.driver, folder, network, &plan)
}

fn percentile(sorted: &[Duration], share: f64) -> f64 {
    let at = (share * (sorted.len() - 1) as f64).round() as usize;
    1e3 * sorted[at].as_secs_f64()
}

/// Of this process so far, seconds.
fn processor_time() -> f64 {
    let text = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|text| text.parse::<f64>().ok()).unwrap_or_default();
    (ticks(11) + ticks(12)) / 100.0
}

/// Resident memory, megabytes.
fn memory() -> f64 {
    let text = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok()).unwrap_or_default() / 1024.0
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = match Arguments::parse() {
        Ok(arguments) => arguments,
        // As `cargo bench` and `cargo test --benches` run it.
        Err(error) => {
            println!("{error}");
            return Ok(());
        }
    };
    let folder = tempfile::tempdir()?;
    let bundle = Bundle::open(&arguments.bundle)?;
    let networks = api::networks(&bundle, SIZE)?;
    let seconds = scene::second_runs(networks.iter().map(|network| &network.signature), arguments.people);
    for network in &networks {
        build(network, &arguments, seconds, folder.path())?;
    }
    let (library, driver) = (&arguments.library, &arguments.driver);
    let mut estimators =
        api::estimators(arguments.cameras, library, driver, folder.path(), &bundle, SIZE, PixelFormat::Yuyv)?;
    let bytes: Arc<[u8]> = (0..2 * SIZE.width * SIZE.height).map(|index| (index * 31 % 251) as u8).collect();
    let stop = Arc::new(AtomicBool::new(false));
    let seen = Arc::new(Mutex::new(Seen { ages: Vec::with_capacity(arguments.frames), ..Seen::default() }));
    let lines = JsonLines::new(std::io::sink(), "nowhere", &api::schema(&bundle))?;
    let meter = Meter { lines, seen: Arc::clone(&seen), frames: arguments.frames, stop: Arc::clone(&stop) };
    let cameras = (0..arguments.cameras).map(|camera| Camera {
        bytes: Arc::clone(&bytes),
        period: arguments.period,
        due: Instant::now() + arguments.period * camera as u32 / arguments.cameras as u32,
        sequence: 0,
    });
    let began = processor_time();
    api::run(cameras.collect(), &mut estimators, meter, stop)?;
    let used = processor_time() - began;
    let mut seen = seen.lock().expect("no thread panics");
    let (Some(begun), Some(ended)) = (seen.begun, seen.ended) else { return Err("no frame was measured".into()) };
    seen.ages.sort();
    let count = seen.ages.len();
    println!(
        r#"{{"frames":{count},"ms_per_frame":{:.4},"age_p50_ms":{:.3},"age_p99_ms":{:.3},"poses":{:.2},"processor_ms":{:.3},"memory_mb":{:.1}}}"#,
        1e3 * (ended - begun).as_secs_f64() / count as f64,
        percentile(&seen.ages, 0.5),
        percentile(&seen.ages, 0.99),
        seen.poses as f64 / count as f64,
        1e3 * used / seen.results as f64,
        memory(),
    );
    Ok(())
}
