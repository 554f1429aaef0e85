//! Sinks with readers that connect, leave, sleep and misbehave.

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
use sinew::clock::Clock;
use sinew::counts::{Counts, Dropped};
use sinew::estimator::StageTimes;
use sinew::geometry::Size;
use sinew::pixels::Limits;
use sinew::pixels::file::decode;
use sinew::sink::http::{Http, Options};
use sinew::sink::{self, Sink, SinkError};
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
    assert!(numbers(&rest(last)).is_empty(), "a reader that connects at the end still gets the header");
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
    assert!(seen.len() < FRAMES as usize, "lines were dropped");
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
    assert!(path.exists(), "it was not removed");
    let sink = open(&uri("unix", &path)).unwrap();
    UnixStream::connect(&path).unwrap();
    let refused = open(&uri("unix", &path)).err().unwrap();
    assert!(matches!(refused, SinkError::SocketInUse { .. }), "{refused}");
    // Another file takes its place: that is not removed.
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

    // Another run rotates what is there with its first line, and keeps less.
    let mut sink = open(&format!("{}?rotate=4KiB&keep=2", uri("jsonl", &path))).unwrap();
    assert_eq!(read(""), files.last().cloned());
    put(sink.as_mut(), 0..1, 2);
    assert_eq!(read(".1"), files.last().cloned());
    put(sink.as_mut(), 1..FRAMES, 2);
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
    for wrong in ["0?fps=0", "0?fps=NaN", "0?speed=3"] {
        let refused = Http::open(wrong, &schema(), 1, &Options::default()).unwrap_err();
        assert!(matches!(refused, SinkError::Option { .. }), "{wrong}: {refused}");
    }
    assert!(Http::open("127.0.0.1:0?fps=5", &schema(), 1, &Options::default()).is_ok());
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

/// Ten kinds of bad clients. Each connects again and again until the end; what it gets is no matter.
fn bad_client(kind: usize, address: SocketAddr, end: &AtomicBool) {
    let request: &[&[u8]] = &[
        // Says nothing; a part of a request; one byte at a time; no HTTP; a request without an end.
        b"",
        b"GET /metrics HT",
        b"GET /metrics HTTP/1.1\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        &[b'a'; 16 << 10],
        // The stream, images, metrics and errors that are never read; one that leaves at once.
        b"GET /stream HTTP/1.1\r\n\r\n",
        b"GET /snapshot.jpg HTTP/1.1\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\n\r\n",
        b"POST /nowhere HTTP/1.1\r\nContent-Length: 1000000\r\n\r\nabc",
        b"GET /metrics HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    ];
    while !end.load(Ordering::Relaxed) {
        let Ok(mut stream) = TcpStream::connect_timeout(&address, Duration::from_secs(1)) else { continue };
        let pause = Duration::from_millis(20);
        let _ = stream.set_read_timeout(Some(pause));
        if kind == 2 {
            for byte in request[kind].iter().cycle().take(50) {
                if end.load(Ordering::Relaxed) || stream.write_all(&[*byte]).is_err() {
                    break;
                }
                thread::sleep(pause);
            }
        } else {
            let _ = stream.write_all(request[kind]);
            // Held until the server closes it, or for a second.
            for _ in 0..if kind == 9 { 0 } else { 50 } {
                let is_open = match stream.peek(&mut [0]) {
                    Ok(count) => count > 0,
                    Err(error) => error.kind() == std::io::ErrorKind::WouldBlock,
                };
                if !is_open || end.load(Ordering::Relaxed) {
                    break;
                }
                thread::sleep(pause);
            }
        }
    }
}

#[test]
fn bad_clients_keep_no_good_one_out() {
    const CLIENTS: usize = 64;
    let http = http(Options { fps: 50.0, ..Options::default() });
    let address = http.address();
    let running = Running::new(http, SMALL);
    for kind in 0..10 {
        let end = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..CLIENTS {
                scope.spawn(|| bad_client(kind, address, &end));
            }
            thread::sleep(Duration::from_millis(300));
            let mut slowest = Duration::ZERO;
            for _ in 0..8 {
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
    let times =
        StageTimes { preprocess: milliseconds(1), network: milliseconds(20), decode: milliseconds(3), level: None };
    for number in 0..10 {
        let camera = usize::from(number >= 7);
        let live = Some(sink::Live { age: Some(milliseconds(40)), camera });
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
