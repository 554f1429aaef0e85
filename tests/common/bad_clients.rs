//! Clients of a server that do everything wrong.

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// Kinds of bad clients.
pub const KINDS: usize = 10;

/// A client of one of ten bad kinds. It connects again and again until the end; what it gets is no matter.
pub fn bad_client(kind: usize, address: SocketAddr, end: &AtomicBool) {
    let request: [&[u8]; KINDS] = [
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
