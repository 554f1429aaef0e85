//! 64 bad clients of each kind at the preview of a running program: others are served, and the frame rate stays. Takes minutes
//! and a machine without other work: `make check-clients`.

#[path = "common/bad_clients.rs"]
mod bad_clients;
mod cli_support;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use bad_clients::{KINDS, bad_client};
use cli_support::{sinew, spots};

const CLIENTS: usize = 64;
/// Of the video, a second.
const RATE: f64 = 25.0;
/// Frames over which the rate is measured.
const FRAMES: usize = 250;
/// Good clients of a kind's turn.
const GOOD: usize = 32;

/// The program, with the lines that it writes.
struct Run {
    child: Child,
    address: SocketAddr,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Run {
    fn new() -> Self {
        let model = spots();
        let arguments = [
            "run",
            "--model",
            &model,
            "--backend",
            "tract",
            "--threads",
            "1",
            "--source",
            "-",
            "--preview",
            "127.0.0.1:0",
        ];
        let mut child =
            sinew(&arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        thread::spawn(move || {
            let frame = [&b"FRAME\n"[..], &[128; 160 * 120]].concat();
            input.write_all(b"YUV4MPEG2 W160 H120 F25:1 Cmono\n").unwrap();
            let start = Instant::now();
            // Until the program has ended.
            for number in 1_u32.. {
                if input.write_all(&frame).and_then(|()| input.flush()).is_err() {
                    return;
                }
                let next = start + Duration::from_secs_f64(f64::from(number) / RATE);
                thread::sleep(next.saturating_duration_since(Instant::now()));
            }
        });
        let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = said.find_map(|line| {
            let line = line.unwrap();
            line.split_once("http://")?.1.trim_end_matches('/').parse().ok()
        });
        // Read on, so that messages never block the program.
        thread::spawn(move || said.for_each(drop));
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, address: address.expect("an address"), lines }
    }

    /// Frames a second.
    fn rate(&mut self) -> f64 {
        let mut start = None;
        for _ in 0..=FRAMES {
            self.lines.next().expect("the program has ended").unwrap();
            start.get_or_insert_with(Instant::now);
        }
        FRAMES as f64 / start.unwrap().elapsed().as_secs_f64()
    }
}

fn metrics(address: SocketAddr) -> Duration {
    let start = Instant::now();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert!(text.starts_with("HTTP/1.1 200 ") && text.contains("sinew_frames_total"), "{text}");
    start.elapsed()
}

#[test]
#[ignore = "takes minutes and a machine without other work: make check-clients"]
fn the_frame_rate_stays_and_good_clients_are_served() {
    let mut run = Run::new();
    let address = run.address;
    // The networks are opened, and lines that have waited are read.
    run.rate();
    let mut slow = Vec::new();
    for kind in 0..KINDS {
        // Before each kind again: a machine that has other work does not always have the same.
        let alone = run.rate();
        let end = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..CLIENTS {
                scope.spawn(|| bad_client(kind, address, &end));
            }
            let good = scope.spawn(|| {
                thread::sleep(Duration::from_millis(500));
                let times = (0..GOOD).map(|_| {
                    thread::sleep(Duration::from_millis(100));
                    metrics(address)
                });
                times.collect::<Vec<_>>()
            });
            let rate = run.rate();
            let times = good.join().unwrap();
            end.store(true, Ordering::Relaxed);
            let within = times.iter().filter(|time| **time < Duration::from_secs(1)).count();
            let slowest = times.iter().max().unwrap();
            println!(
                "kind {kind}: {rate:.3} frames a second, {alone:.3} without, {within} of {GOOD} within a second, the slowest \
                 {slowest:?}"
            );
            if within < GOOD || (rate / alone - 1.0).abs() > 0.01 {
                slow.push(kind);
            }
        });
    }
    run.child.kill().unwrap();
    run.child.wait().unwrap();
    assert!(slow.is_empty(), "kinds {slow:?}");
}
