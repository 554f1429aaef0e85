//! The preview's HTTP server with clients that connect, leave, sleep and misbehave.

#[path = "common/bad_clients.rs"]
mod bad_clients;
mod sinks_support;

use std::io::{BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use bad_clients::{KINDS, bad_client};
use sinew::clock::Clock;
use sinew::counts::{Counts, Dropped};
use sinew::estimator::StageTimes;
use sinew::geometry::Size;
use sinew::pixels::Limits;
use sinew::pixels::file::decode;
use sinew::sink::http::{Http, Options};
use sinew::sink::{Live, Sink, SinkError};
use sinks_support::{Shown, grey, noise, poses, put, schema};

const SMALL: Size = Size::new(16, 8);

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

/// The status and the body of a response.
fn response(mut stream: TcpStream) -> (u32, Vec<u8>) {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    let end = bytes.windows(4).position(|end| end == b"\r\n\r\n").expect("a head") + 4;
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap().parse::<usize>();
    assert_eq!(length, Ok(bytes.len() - end));
    (head.split(' ').nth(1).unwrap().parse().unwrap(), bytes[end..].to_vec())
}

fn get(address: SocketAddr, path: &str) -> (u32, Vec<u8>) {
    response(ask(address, &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")))
}

/// One of the numbers.
#[track_caller]
fn metric(address: SocketAddr, name: &str) -> f64 {
    let (status, body) = get(address, "/metrics");
    assert_eq!(status, 200);
    let text = String::from_utf8(body).unwrap();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').unwrap();
        assert!(name.starts_with("sinew_") && value.parse::<f64>().is_ok(), "{line}");
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
    assert_eq!(response(ask(address, "POST /metrics HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc")).0, 405);
    assert_eq!(response(ask(address, "what is this\r\n\r\n")).0, 400);
    assert_eq!(response(ask(address, &format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(9000)))).0, 431);
    let (status, page) = get(address, "/");
    assert!(status == 200 && String::from_utf8(page).unwrap().contains("/stream"));
    // A client that connects and disconnects.
    drop(TcpStream::connect(address).unwrap());
    assert_eq!(get(address, "/metrics?x").0, 200);
}

#[test]
fn silent_clients_are_disconnected() {
    let clock = Clock::default();
    let http = http(Options { patience: Duration::from_secs(3600), clock: clock.clone(), ..Options::default() });
    let silent =
        [ask(http.address(), "GET / HTTP/1.1\r\nHo"), ask(http.address(), "GET /snapshot.jpg HTTP/1.1\r\n\r\n")];
    // Once another client was served, these two are known.
    assert_eq!(get(http.address(), "/").0, 200);
    clock.advance(Duration::from_secs(3600));
    assert_eq!(silent.map(|client| response(client).0), [408, 503], "no request, and no frame");
}

#[test]
fn invalid_addresses() {
    let taken = patient();
    let address = taken.address().to_string();
    for wrong in [address.as_str(), "nonsense", "127.0.0.1", "70000", "192.0.2.1:8080"] {
        let refused = Http::open(wrong, &schema(), 1, &Options::default()).unwrap_err();
        assert!(matches!(refused, SinkError::Listen { .. }), "{wrong}: {refused}");
    }
    for wrong in ["0?fps=0.01", "0?fps=-1", "0?fps=NaN", "0?speed=3"] {
        let refused = Http::open(wrong, &schema(), 1, &Options::default()).unwrap_err();
        assert!(matches!(refused, SinkError::Option { .. }), "{wrong}: {refused}");
    }
    assert!(Http::open("127.0.0.1:0?fps=5", &schema(), 1, &Options::default()).is_ok());
}

#[test]
fn without_images_there_are_metrics() {
    let mut http = Http::open("0?fps=0", &schema(), 1, &Options::default()).unwrap();
    assert!(!http.has_images());
    put(&mut http, 0..3, 1);
    for page in ["/", "/stream", "/snapshot.jpg"] {
        let (status, body) = get(http.address(), page);
        assert_eq!(status, 404, "{page}");
        assert!(String::from_utf8(body).unwrap().contains("only /metrics"), "{page}");
    }
    assert_eq!(metric(http.address(), "sinew_frames_total{camera=\"0\"}"), 3.0);
    assert_eq!(metric(http.address(), "sinew_preview_images_total"), 0.0);
}

#[test]
fn six_viewers_and_no_more() {
    let http = patient();
    let address = http.address();
    let viewers: Vec<_> = (0..6).map(|_| ask(address, "GET /stream HTTP/1.1\r\n\r\n")).collect();
    let until = Instant::now() + Duration::from_secs(20);
    while metric(address, "sinew_preview_viewers") < 6.0 {
        assert!(Instant::now() < until);
    }
    assert_eq!(get(address, "/stream").0, 503);
    drop(viewers);
    let running = Running::new(http, SMALL);
    while metric(address, "sinew_preview_viewers") > 0.0 {
        assert!(Instant::now() < until, "places are given back");
    }
    running.stop();
}

#[test]
fn loopback_names_only_on_the_loopback_interface() {
    let http = patient();
    let status =
        |host: &str| response(ask(http.address(), &format!("GET /metrics HTTP/1.1\r\nHost: {host}\r\n\r\n"))).0;
    for host in ["localhost", "127.0.0.1:8080", "[::1]:1", "preview.localhost"] {
        assert_eq!(status(host), 200, "{host}");
    }
    for host in ["evil.example", "192.168.0.7:8080", "localhost.evil.example"] {
        assert_eq!(status(host), 403, "{host}");
    }
    let anywhere = Http::open("0.0.0.0:0", &schema(), 1, &Options::default()).unwrap();
    let address = SocketAddr::from(([127, 0, 0, 1], anywhere.address().port()));
    assert_eq!(response(ask(address, "GET /metrics HTTP/1.1\r\nHost: board.example\r\n\r\n")).0, 200);
}

#[test]
fn a_head_has_no_body() {
    let http = patient();
    for (path, status) in [("/", 200), ("/metrics", 200), ("/stream", 200)] {
        let mut stream = ask(http.address(), &format!("HEAD {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        assert!(text.starts_with(&format!("HTTP/1.1 {status} ")) && text.ends_with("\r\n\r\n"), "{path}: {text}");
    }
}

#[test]
fn bad_clients_keep_no_good_one_out() {
    const CLIENTS: usize = 64;
    let http = http(Options { fps: 50.0, ..Options::default() });
    let address = http.address();
    let running = Running::new(http, SMALL);
    for kind in 0..KINDS {
        let end = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..CLIENTS {
                scope.spawn(|| bad_client(kind, address, &end));
            }
            thread::sleep(Duration::from_millis(300));
            let mut slowest = Duration::ZERO;
            for _ in 0..32 {
                let start = Instant::now();
                assert_eq!(get(address, "/metrics").0, 200, "kind {kind}");
                slowest = slowest.max(start.elapsed());
            }
            end.store(true, Ordering::Relaxed);
            println!("kind {kind}: the slowest good client took {slowest:?}");
            assert!(slowest < Duration::from_secs(1), "kind {kind}: {slowest:?}");
        });
    }
    running.stop();
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
    assert_eq!(metric(address, "sinew_preview_viewers"), 1.0);
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
    let drawn = decode(&response(asked).1, &Limits::default()).unwrap();
    let bytes = drawn.view().data();
    let (darkest, brightest) = (bytes.iter().min().unwrap(), bytes.iter().max().unwrap());
    assert!(*brightest > 200 && *darkest < 60, "{darkest} to {brightest}");
}

#[test]
fn nothing_is_encoded_without_a_viewer() {
    let mut http = patient();
    let address = http.address();
    put(&mut http, 0..50, 1);
    assert_eq!(metric(address, "sinew_preview_images_total"), 0.0);
    assert_eq!(metric(address, "sinew_frames_total{camera=\"0\"}"), 50.0);
    // It was watched, and is no more.
    let running = Running::new(http, SMALL);
    let mut stream = BufReader::new(ask(address, "GET /stream HTTP/1.1\r\n\r\n"));
    next_image(&mut stream);
    drop(stream);
    let until = Instant::now() + Duration::from_secs(20);
    while metric(address, "sinew_preview_viewers") > 0.0 {
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
fn a_client_that_never_reads_is_disconnected() {
    let mut http = http(Options { fps: 100.0, patience: Duration::from_millis(300), ..Options::default() });
    let address = http.address();
    let _stuck = ask(address, "GET /stream HTTP/1.1\r\n\r\n");
    let until = Instant::now() + Duration::from_secs(60);
    while metric(address, "sinew_preview_viewers") == 0.0 {
        assert!(Instant::now() < until);
    }
    let mut slowest = Duration::ZERO;
    let mut number = 0;
    while metric(address, "sinew_preview_viewers") > 0.0 {
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
fn the_end_waits_for_no_client() {
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
    assert!(TcpStream::connect(address).is_err(), "the port is closed");
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
    let times = StageTimes {
        preprocess: milliseconds(1),
        network: milliseconds(20),
        decode: milliseconds(3),
        ..StageTimes::default()
    };
    for number in 0..10 {
        let camera = usize::from(number >= 7);
        let live = Some(Live { age: Some(milliseconds(40)), camera, ..Live::default() });
        let poses = poses(camera + 1);
        Shown { image: &image, poses: &poses, times, live }.put(&mut http, number);
    }
    let dropped = Dropped { superseded: 7, output: 8, driver: 2, corrupt: 3, unreadable: 0, unsupported_size: 9 };
    http.metrics().set_counts(&Counts { dropped, stalls: 4, failures: 5, restarts: 6, ..Counts::default() });
    for (name, expected) in [
        ("sinew_model_info{model=\"logocap\",bundle=\"played\"}", 1.0),
        ("sinew_frames_total{camera=\"0\"}", 7.0),
        ("sinew_frames_total{camera=\"1\"}", 3.0),
        ("sinew_poses{camera=\"0\"}", 1.0),
        ("sinew_poses{camera=\"1\"}", 2.0),
        ("sinew_frames_dropped_total{reason=\"superseded\"}", 7.0),
        ("sinew_frames_dropped_total{reason=\"output\"}", 8.0),
        ("sinew_frames_dropped_total{reason=\"driver\"}", 2.0),
        ("sinew_frames_dropped_total{reason=\"corrupt\"}", 3.0),
        ("sinew_frames_dropped_total{reason=\"unreadable\"}", 0.0),
        ("sinew_frames_dropped_total{reason=\"unsupported_size\"}", 9.0),
        ("sinew_camera_stalls_total", 4.0),
        ("sinew_camera_failures_total", 5.0),
        ("sinew_camera_restarts_total", 6.0),
        ("sinew_poses_dropped_total", 20.0),
        ("sinew_stage_seconds_bucket{stage=\"network\",le=\"0.01\"}", 0.0),
        ("sinew_stage_seconds_bucket{stage=\"network\",le=\"0.025\"}", 10.0),
        ("sinew_stage_seconds_count{stage=\"preprocess\"}", 10.0),
        ("sinew_stage_seconds_sum{stage=\"decode\"}", 0.03),
        ("sinew_frame_age_seconds_bucket{le=\"0.05\"}", 10.0),
        ("sinew_frame_age_seconds_count", 10.0),
        ("sinew_frame_age_seconds_sum", 0.4),
    ] {
        let found = metric(address, name);
        assert!((found - expected).abs() < 1e-9, "{name}: {found}, not {expected}");
    }
}
