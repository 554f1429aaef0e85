//! Sinks with readers that come, go, sleep and misbehave.

mod counting;
mod sinks_support;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use counting::allocations;
use serde_json::Value;
use sinew::estimator::StageTimes;
use sinew::geometry::Size;
use sinew::pixels::Limits;
use sinew::pixels::file::decode;
use sinew::sink::http::metrics::Totals;
use sinew::sink::http::{Http, Options};
use sinew::sink::{self, Sink, SinkError};
use sinew::source::LiveCounts;
use sinks_support::{Shown, grey, noise, poses, schema};

const SMALL: Size = Size::new(16, 8);

fn open(uri: &str) -> Result<Box<dyn Sink>, SinkError> {
    sink::open(uri, &schema(), &sink::Options::default())
}

fn uri(kind: &str, path: &Path) -> String {
    format!("{kind}:{}", path.display())
}

/// Puts frames with these numbers and so many poses.
fn put(sink: &mut dyn Sink, numbers: std::ops::Range<u64>, people: usize) {
    let image = grey(SMALL, 0);
    for number in numbers {
        Shown { image: &image, poses: &poses(people), ..Shown::default() }.put(sink, number);
    }
}

/// The numbers of the frames in these lines, all of which must be whole; a header comes first.
#[track_caller]
fn numbers(text: &str) -> Vec<u64> {
    assert!(text.ends_with('\n'), "half a line at the end");
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0]["bundle"], "played");
    lines[1..].iter().map(|line| line["sequence"].as_u64().unwrap()).collect()
}

fn rest(mut stream: impl std::io::Read) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn readers_get_the_same_lines_from_when_they_come() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("poses");
    let mut sink = open(&uri("unix", &path)).unwrap();
    put(sink.as_mut(), 0..2, 1);
    let early = [UnixStream::connect(&path).unwrap(), UnixStream::connect(&path).unwrap()];
    put(sink.as_mut(), 2..6, 1);
    let late = UnixStream::connect(&path).unwrap();
    put(sink.as_mut(), 6..9, 1);
    let last = UnixStream::connect(&path).unwrap();
    sink.finish().unwrap();
    drop(sink);
    assert!(!path.exists(), "the socket is removed");
    let [first, second] = early.map(rest);
    assert_eq!(first, second);
    assert_eq!(numbers(&first), [2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(numbers(&rest(late)), [6, 7, 8]);
    assert!(numbers(&rest(last)).is_empty(), "who comes at the end still gets the header");
}

#[test]
fn a_reader_that_sleeps_loses_whole_lines_and_others_none() {
    const FRAMES: u64 = 150;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("poses");
    let mut sink = open(&uri("unix", &path)).unwrap();
    let sleeping = UnixStream::connect(&path).unwrap();
    let mut awake = BufReader::new(UnixStream::connect(&path).unwrap());
    let mut read = String::new();
    // Thirty poses are a line of 10 kB or more: together more than any buffer holds.
    for number in 0..FRAMES {
        put(sink.as_mut(), number..number + 1, 30);
        for _ in 0..if number == 0 { 2 } else { 1 } {
            awake.read_line(&mut read).unwrap();
        }
    }
    assert!(read.len() > 1 << 20, "{} bytes", read.len());
    assert_eq!(numbers(&read), (0..FRAMES).collect::<Vec<_>>());
    // It wakes up.
    let woken = thread::spawn(move || rest(sleeping));
    for number in FRAMES..FRAMES + 20 {
        thread::sleep(Duration::from_millis(10));
        put(sink.as_mut(), number..number + 1, 1);
    }
    drop(sink);
    let seen = numbers(&woken.join().unwrap());
    assert!(seen.is_sorted_by(|a, b| a < b));
    assert!(seen.len() < FRAMES as usize, "lines were left out");
    assert_eq!(seen[..5], [0, 1, 2, 3, 4], "what fitted was kept");
    assert_eq!(seen.last(), Some(&(FRAMES + 19)), "it goes on when the reader has woken up");
}

#[test]
fn a_reader_that_dies_ends_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("poses");
    let mut sink = open(&uri("unix", &path)).unwrap();
    let dying = UnixStream::connect(&path).unwrap();
    let other = UnixStream::connect(&path).unwrap();
    put(sink.as_mut(), 0..3, 1);
    drop(dying);
    put(sink.as_mut(), 3..9, 1);
    sink.finish().unwrap();
    drop(sink);
    assert_eq!(numbers(&rest(other)), (0..9).collect::<Vec<_>>());
}

#[test]
fn so_many_readers_and_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("poses");
    let mut sink = open(&uri("unix", &path)).unwrap();
    let readers: Vec<_> = (0..20).map(|_| UnixStream::connect(&path).unwrap()).collect();
    put(sink.as_mut(), 0..3, 1);
    drop(sink);
    let texts: Vec<_> = readers.into_iter().map(rest).collect();
    assert!(texts[..16].iter().all(|text| numbers(text) == [0, 1, 2]));
    assert!(texts[16..].iter().all(String::is_empty));
}

#[test]
fn only_a_dead_socket_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("poses");
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists(), "nobody has removed it");
    let sink = open(&uri("unix", &path)).unwrap();
    UnixStream::connect(&path).unwrap();
    let refused = open(&uri("unix", &path)).err().unwrap();
    assert!(matches!(refused, SinkError::SocketInUse { .. }), "{refused}");
    // Somebody else takes its place: that is not removed.
    fs::remove_file(&path).unwrap();
    fs::write(&path, "mine").unwrap();
    drop(sink);
    assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
    let refused = open(&uri("unix", &path)).err().unwrap();
    assert!(matches!(refused, SinkError::NoSocket { .. }), "{refused}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
    assert!(matches!(open("unix:/no/such/folder/x").err().unwrap(), SinkError::Open { .. }));
}

#[test]
fn lines_for_readers_and_files_allocate_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("poses");
    let mut sink = open(&uri("unix", &path)).unwrap();
    let _sleeping = UnixStream::connect(&path).unwrap();
    let awake = UnixStream::connect(&path).unwrap();
    let reading = thread::spawn(move || rest(awake));
    let (image, poses) = (grey(SMALL, 0), poses(30));
    let shown = Shown { image: &image, poses: &poses, ..Shown::default() };
    (0..50).for_each(|number| shown.put(sink.as_mut(), number));
    assert_eq!(allocations(|| (50..150).for_each(|number| shown.put(sink.as_mut(), number))), 0);
    drop(sink);
    assert!(!reading.join().unwrap().is_empty());

    let mut sink = open(&uri("jsonl", &folder.path().join("poses.jsonl"))).unwrap();
    (0..3).for_each(|number| shown.put(sink.as_mut(), number));
    assert_eq!(allocations(|| (3..150).for_each(|number| shown.put(sink.as_mut(), number))), 0);
}

#[test]
fn files_rotate_between_lines() {
    const FRAMES: u64 = 200;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("poses.jsonl");
    let read = |suffix: &str| fs::read_to_string(format!("{}{suffix}", path.display())).ok();
    let mut sink = open(&format!("{}?rotate=4KiB&keep=100", uri("jsonl", &path))).unwrap();
    put(sink.as_mut(), 0..FRAMES, 2);
    sink.finish().unwrap();
    drop(sink);
    let mut files: Vec<String> = (1..).map_while(|number| read(&format!(".{number}"))).collect();
    files.reverse();
    files.push(read("").unwrap());
    assert!(files.len() > 10, "{} files", files.len());
    assert!(files.iter().all(|file| file.len() <= 4096));
    assert!(files[..files.len() - 1].iter().all(|file| file.len() > 4096 / 2), "files are filled");
    let all: Vec<u64> = files.iter().flat_map(|file| numbers(file)).collect();
    assert_eq!(all, (0..FRAMES).collect::<Vec<_>>());

    // Another run puts aside what is there, and keeps less.
    let mut sink = open(&format!("{}?rotate=4KiB&keep=2", uri("jsonl", &path))).unwrap();
    assert_eq!(read(".1"), files.last().cloned());
    put(sink.as_mut(), 0..FRAMES, 2);
    drop(sink);
    let kept: Vec<u64> = [".2", ".1", ""].iter().flat_map(|suffix| numbers(&read(suffix).unwrap())).collect();
    assert_eq!(kept, (FRAMES - kept.len() as u64..FRAMES).collect::<Vec<_>>());
    assert_eq!(read(".3").as_ref(), files.get(files.len() - 4), "files beyond the number are left alone");
}

#[test]
fn without_rotation_a_file_is_written_anew() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("poses.jsonl");
    for frames in [5, 3] {
        let mut sink = open(&uri("jsonl", &path)).unwrap();
        put(sink.as_mut(), 0..frames, 1);
        drop(sink);
        assert_eq!(numbers(&fs::read_to_string(&path).unwrap()), (0..frames).collect::<Vec<_>>());
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    for wrong in ["rotate=x", "keep=2", "rotate=1MiB&keep=0", "size=3"] {
        let refused = open(&format!("{}?{wrong}", uri("jsonl", &path))).err().unwrap();
        assert!(matches!(refused, SinkError::Option { .. }), "{refused}");
    }
    assert!(matches!(open("jsonl:-?rotate=1MiB").err().unwrap(), SinkError::Option { .. }));
    assert!(matches!(open("jsonl:/dev/null?rotate=1MiB").err().unwrap(), SinkError::Option { .. }));
}

fn http(options: Options) -> Http {
    Http::open("0", &schema(), 2, &options).unwrap()
}

fn patient() -> Http {
    http(Options { fps: 100.0, patience: Duration::from_secs(20), ..Options::default() })
}

/// Connected, with a request sent.
fn ask(address: SocketAddr, request: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    stream
}

/// The status and the body of an answer.
fn processed(mut stream: TcpStream) -> (u32, Vec<u8>) {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    let end = bytes.windows(4).position(|end| end == b"\r\n\r\n").expect("a head") + 4;
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap().parse::<usize>();
    assert_eq!(length, Ok(bytes.len() - end));
    (head.split(' ').nth(1).unwrap().parse().unwrap(), bytes[end..].to_vec())
}

fn get(address: SocketAddr, path: &str) -> (u32, Vec<u8>) {
    processed(ask(address, &format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")))
}

/// One of the numbers.
#[track_caller]
fn metric(address: SocketAddr, name: &str) -> f64 {
    let (status, body) = get(address, "/metrics");
    assert_eq!(status, 200);
    let text = String::from_utf8(body).unwrap();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').unwrap();
        assert!(name.starts_with("pose_") && value.parse::<f64>().is_ok(), "{line}");
    }
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
}

/// The next image of a stream, decoded: its size and its first pixel.
fn next_image(stream: &mut impl std::io::BufRead) -> (Size, u8) {
    let mut length = 0;
    loop {
        let mut line = String::new();
        assert!(stream.read_line(&mut line).unwrap() > 0, "the stream has ended");
        if let Some(text) = line.strip_prefix("Content-Length: ") {
            length = text.trim().parse().unwrap();
        }
        if line == "\r\n" && length > 0 {
            break;
        }
    }
    let mut jpeg = vec![0; length];
    stream.read_exact(&mut jpeg).unwrap();
    pixel(&jpeg)
}

fn pixel(jpeg: &[u8]) -> (Size, u8) {
    let image = decode(jpeg, &Limits::default()).unwrap();
    (image.size(), image.view().data()[0])
}

/// A sink that gets frames, each a little brighter, from a thread of its own until this is dropped.
struct Running {
    stop: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<Http>>,
}

impl Running {
    fn new(mut http: Http, size: Size) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            for number in 0.. {
                if stopped.load(Ordering::Relaxed) {
                    break;
                }
                let image = grey(size, (number % 128 * 2) as u8);
                Shown { image: &image, poses: &poses(0), ..Shown::default() }.put(&mut http, number);
                thread::sleep(Duration::from_millis(5));
            }
            http
        });
        Self { stop, thread: Some(thread) }
    }

    fn stop(mut self) -> Http {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap()
    }
}

#[test]
fn bad_requests_are_told_so() {
    let http = patient();
    let address = http.address();
    assert!(address.ip().is_loopback(), "a port alone is for this machine only");
    assert_eq!(get(address, "/nowhere").0, 404);
    assert_eq!(processed(ask(address, "POST /metrics HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc")).0, 405);
    assert_eq!(processed(ask(address, "what is this\r\n\r\n")).0, 400);
    assert_eq!(processed(ask(address, &format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(9000)))).0, 431);
    let (status, page) = get(address, "/");
    assert!(status == 200 && String::from_utf8(page).unwrap().contains("/stream"));
    // Somebody who comes and goes without a word.
    drop(TcpStream::connect(address).unwrap());
    assert_eq!(get(address, "/metrics?x").0, 200);
}

#[test]
fn who_says_nothing_is_sent_away() {
    let http = http(Options { patience: Duration::from_millis(200), ..Options::default() });
    assert_eq!(processed(ask(http.address(), "GET / HTTP/1.1\r\nHo")).0, 408);
    assert_eq!(get(http.address(), "/snapshot.jpg").0, 503, "there is no frame");
}

#[test]
fn addresses_that_are_none() {
    let taken = patient();
    let address = taken.address().to_string();
    for wrong in [address.as_str(), "nonsense", "127.0.0.1", "70000", "192.0.2.1:8080"] {
        let refused = Http::open(wrong, &schema(), 1, &Options::default()).unwrap_err();
        assert!(matches!(refused, SinkError::Listen { .. }), "{wrong}: {refused}");
    }
    for wrong in ["0?fps=0", "0?fps=NaN", "0?speed=3"] {
        let refused = Http::open(wrong, &schema(), 1, &Options::default()).unwrap_err();
        assert!(matches!(refused, SinkError::Option { .. }), "{wrong}: {refused}");
    }
    assert!(Http::open("127.0.0.1:0?fps=5", &schema(), 1, &Options::default()).is_ok());
}

#[test]
fn eight_clients_and_no_more() {
    let http = patient();
    let idle: Vec<_> = (0..8).map(|_| ask(http.address(), "GET")).collect();
    assert_eq!(get(http.address(), "/metrics").0, 503);
    drop(idle);
    let until = Instant::now() + Duration::from_secs(20);
    while get(http.address(), "/metrics").0 != 200 {
        assert!(Instant::now() < until, "places are given back");
    }
}

#[test]
fn the_image_moves() {
    let http = patient();
    let address = http.address();
    let running = Running::new(http, Size::new(1280, 722));
    let mut stream = BufReader::new(ask(address, "GET /stream HTTP/1.1\r\n\r\n"));
    let images: Vec<_> = (0..4).map(|_| next_image(&mut stream)).collect();
    assert!(images.iter().all(|&(size, _)| size == Size::new(640, 361)), "{images:?}");
    assert!(images.iter().any(|image| image.1 != images[0].1), "always the same: {images:?}");
    let (status, snapshot) = get(address, "/snapshot.jpg");
    assert_eq!((status, pixel(&snapshot).0), (200, Size::new(640, 361)));
    assert_eq!(metric(address, "pose_preview_watchers"), 1.0);
    running.stop();
}

#[test]
fn poses_are_drawn() {
    let mut http = patient();
    let address = http.address();
    let asked = ask(address, "GET /snapshot.jpg HTTP/1.1\r\n\r\n");
    let until = Instant::now() + Duration::from_secs(20);
    let image = grey(Size::new(64, 64), 100);
    while metric(address, "sinew_preview_images_total") == 0.0 {
        assert!(Instant::now() < until);
        Shown { image: &image, poses: &poses(1), ..Shown::default() }.put(&mut http, 0);
    }
    let drawn = decode(&processed(asked).1, &Limits::default()).unwrap();
    let bytes = drawn.view().data();
    let (darkest, brightest) = (bytes.iter().min().unwrap(), bytes.iter().max().unwrap());
    assert!(*brightest > 200 && *darkest < 60, "{darkest} to {brightest}");
}

#[test]
fn nothing_is_encoded_while_nobody_watches() {
    let mut http = patient();
    let address = http.address();
    put(&mut http, 0..50, 1);
    assert_eq!(metric(address, "sinew_preview_images_total"), 0.0);
    assert_eq!(metric(address, "pose_frames_total{camera=\"0\"}"), 50.0);
    // It was watched, and is no more.
    let running = Running::new(http, SMALL);
    let mut stream = BufReader::new(ask(address, "GET /stream HTTP/1.1\r\n\r\n"));
    next_image(&mut stream);
    drop(stream);
    let until = Instant::now() + Duration::from_secs(20);
    while metric(address, "pose_preview_watchers") > 0.0 {
        assert!(Instant::now() < until);
    }
    // One may be on its way.
    thread::sleep(Duration::from_millis(100));
    let encoded = metric(address, "sinew_preview_images_total");
    assert!(encoded >= 1.0);
    thread::sleep(Duration::from_millis(100));
    assert_eq!(metric(address, "sinew_preview_images_total"), encoded);
    running.stop();
}

#[test]
fn so_many_images_a_second() {
    let http = http(Options { fps: 5.0, ..Options::default() });
    let address = http.address();
    let running = Running::new(http, SMALL);
    let mut stream = BufReader::new(ask(address, "GET /stream HTTP/1.1\r\n\r\n"));
    next_image(&mut stream);
    let start = Instant::now();
    for _ in 0..3 {
        next_image(&mut stream);
    }
    assert!(start.elapsed() > Duration::from_millis(500), "{:?}", start.elapsed());
    running.stop();
}

#[test]
fn who_never_reads_is_dropped() {
    let mut http = http(Options { fps: 100.0, patience: Duration::from_millis(300), ..Options::default() });
    let address = http.address();
    let _stuck = ask(address, "GET /stream HTTP/1.1\r\n\r\n");
    let until = Instant::now() + Duration::from_secs(60);
    while metric(address, "pose_preview_watchers") == 0.0 {
        assert!(Instant::now() < until);
    }
    let mut slowest = Duration::ZERO;
    let mut number = 0;
    while metric(address, "pose_preview_watchers") > 0.0 {
        assert!(Instant::now() < until, "it is still served");
        let image = noise(Size::new(640, 480), number);
        let start = Instant::now();
        Shown { image: &image, poses: &poses(0), ..Shown::default() }.put(&mut http, number);
        slowest = slowest.max(start.elapsed());
        number += 1;
        thread::sleep(Duration::from_millis(5));
    }
    assert!(slowest < Duration::from_millis(300), "no frame waits for a client: {slowest:?}");
    assert!(metric(address, "sinew_preview_images_total") > 3.0);
}

#[test]
fn the_end_waits_for_nobody() {
    let http = patient();
    let address = http.address();
    let running = Running::new(http, SMALL);
    let mut stream = BufReader::new(ask(address, "GET /stream HTTP/1.1\r\n\r\n"));
    next_image(&mut stream);
    let _silent = TcpStream::connect(address).unwrap();
    let _half = ask(address, "GET / HT");
    let mut http = running.stop();
    let waiting = ask(address, "GET /snapshot.jpg HTTP/1.1\r\n\r\n");
    thread::sleep(Duration::from_millis(100));
    let start = Instant::now();
    http.finish().unwrap();
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    assert!(TcpStream::connect(address).is_err(), "nobody listens");
    // The clients see that it is over.
    let _ = std::io::copy(&mut stream, &mut std::io::sink());
    let _ = std::io::copy(&mut BufReader::new(waiting), &mut std::io::sink());
    put(&mut http, 0..1, 1);
    http.finish().unwrap();
}

#[test]
fn the_numbers_are_right() {
    let mut http = patient();
    let address = http.address();
    let image = grey(SMALL, 0);
    let milliseconds = Duration::from_millis;
    let times =
        StageTimes { preprocess: milliseconds(1), network: milliseconds(20), decode: milliseconds(3), level: None };
    for number in 0..10 {
        let camera = usize::from(number >= 7);
        let live = Some(sink::Live { age: Some(milliseconds(40)), camera });
        let poses = poses(camera + 1);
        Shown { image: &image, poses: &poses, times, live }.put(&mut http, number);
    }
    let live = LiveCounts { superseded: 1, lost_by_driver: 2, corrupt: 3, stalls: 4, failures: 5, restarts: 6 };
    http.metrics().set_totals(&Totals {
        superseded: 7,
        dropped_by_output: 8,
        unreadable: 0,
        unsupported_size: 9,
        live,
    });
    for (name, expected) in [
        ("pose_engine_info{model=\"logocap\",bundle=\"played\"}", 1.0),
        ("pose_frames_total{camera=\"0\"}", 7.0),
        ("pose_frames_total{camera=\"1\"}", 3.0),
        ("pose_people{camera=\"0\"}", 1.0),
        ("pose_people{camera=\"1\"}", 2.0),
        ("pose_frames_dropped_total", 30.0),
        ("pose_frames_passed_over_total", 8.0),
        ("pose_frames_too_slow_total", 8.0),
        ("pose_frames_lost_total", 2.0),
        ("pose_frames_damaged_total", 3.0),
        ("pose_frames_unfit_total", 9.0),
        ("pose_camera_reconnects_total", 6.0),
        ("pose_poses_dropped_total", 20.0),
        ("pose_stage_seconds_bucket{stage=\"infer\",le=\"0.01\"}", 0.0),
        ("pose_stage_seconds_bucket{stage=\"infer\",le=\"0.025\"}", 10.0),
        ("pose_stage_seconds_count{stage=\"preprocess\"}", 10.0),
        ("pose_stage_seconds_sum{stage=\"postprocess\"}", 0.03),
        ("pose_frame_age_seconds_bucket{le=\"0.05\"}", 10.0),
        ("pose_frame_age_seconds_count", 10.0),
        ("pose_frame_age_seconds_sum", 0.4),
    ] {
        let found = metric(address, name);
        assert!((found - expected).abs() < 1e-9, "{name}: {found}, not {expected}");
    }
}
