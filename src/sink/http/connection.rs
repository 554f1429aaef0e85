//! One client, from its request to the end of its response, without blocking.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use super::preview::Viewer;
use super::request::{self, MOST_BYTES, Page, Refusal, Request};
use super::response;
use super::shared::Shared;

/// Maximum number of clients that watch the stream.
const MOST_STREAMS: usize = 6;
/// Maximum number of clients that watch it or wait for a snapshot.
const MOST_VIEWERS: usize = MOST_STREAMS + 8;
/// Time without an image after which a stream's client is checked for having left.
const QUIET: Duration = Duration::from_secs(1);
/// How long a closed connection's remaining input is read: closing earlier could destroy the response in transit.
const DRAIN: Duration = Duration::from_millis(100);
/// Maximum number of bytes read meanwhile.
const DRAIN_BYTES: usize = 64 << 10;

/// A client.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    state: State,
    /// Bytes to send.
    output: Vec<u8>,
    /// How many of them are sent.
    sent: usize,
    accepted: Instant,
    /// When the state times out.
    until: Instant,
}

#[derive(Debug)]
enum State {
    /// The request is read.
    Asking { bytes: Vec<u8> },
    /// The client waits for the next image.
    Waiting { viewer: Viewer, head_only: bool },
    /// The response is sent.
    Replying,
    /// Images are sent one after the other.
    Streaming { viewer: Viewer, newest: Instant },
    /// The response is sent; what the client still sends is discarded.
    Leaving { discarded: usize },
}

impl Connection {
    pub fn new(stream: TcpStream, now: Instant, patience: Duration) -> Self {
        let state = State::Asking { bytes: Vec::new() };
        Self { stream, state, output: Vec::new(), sent: 0, accepted: now, until: now + patience }
    }

    /// Since when this connection has been evictable in favour of another; `None` if it is not.
    pub fn idle_since(&self) -> Option<Instant> {
        match self.state {
            State::Asking { .. } | State::Replying | State::Leaving { .. } => Some(self.accepted),
            State::Waiting { .. } | State::Streaming { .. } => None,
        }
    }

    /// Does what can be done without blocking; returns whether the connection stays open.
    pub fn step(&mut self, shared: &mut Shared) -> bool {
        let stepped = self.try_step(shared);
        if let Err(error) = &stepped {
            if error.kind() == ErrorKind::TimedOut {
                shared.metrics.client_dropped();
            }
            tracing::debug!("a client of the preview was disconnected: {error}");
        }
        stepped.unwrap_or(false)
    }

    fn try_step(&mut self, shared: &mut Shared) -> io::Result<bool> {
        loop {
            let is_late = shared.clock.now() >= self.until;
            match &mut self.state {
                State::Asking { bytes } => match read_request(&mut self.stream, bytes)? {
                    Some(asked) => self.reply(asked, shared),
                    None if is_late => self.reply(Err(Refusal::Timeout), shared),
                    None => return Ok(true),
                },
                State::Waiting { viewer, head_only } => match viewer.next() {
                    Some(jpeg) => {
                        let head_only = *head_only;
                        self.send(shared, |output| response::whole(output, "image/jpeg", &jpeg, head_only));
                    }
                    None if is_late => self.refuse(Refusal::Busy, shared),
                    None => return Ok(true),
                },
                State::Replying => {
                    if !self.flush(is_late)? {
                        return Ok(true);
                    }
                    let _ = self.stream.shutdown(Shutdown::Write);
                    self.state = State::Leaving { discarded: 0 };
                    self.until = shared.clock.now() + DRAIN;
                }
                State::Streaming { .. } => {
                    if !self.flush(is_late)? {
                        return Ok(true);
                    }
                    let State::Streaming { viewer, newest } = &mut self.state else { return Ok(false) };
                    let now = shared.clock.now();
                    let Some(jpeg) = viewer.next() else {
                        let is_quiet = now.saturating_duration_since(*newest) >= QUIET;
                        // A client that was sent everything is not late.
                        self.until = now + shared.patience;
                        return Ok(!(is_quiet && has_left(&self.stream)));
                    };
                    *newest = now;
                    (self.until, self.sent) = (now + shared.patience, 0);
                    response::part(&mut self.output, &jpeg);
                }
                State::Leaving { discarded } => {
                    let mut rest = [0; 4096];
                    match self.stream.read(&mut rest) {
                        Ok(count) if count > 0 && *discarded < DRAIN_BYTES => *discarded += count,
                        Err(error) if error.kind() == ErrorKind::Interrupted => {}
                        Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(!is_late),
                        _ => return Ok(false),
                    }
                }
            }
        }
    }

    fn reply(&mut self, asked: Result<Request, Refusal>, shared: &mut Shared) {
        let request = match asked {
            Ok(request) if shared.loopback_only && !request.host_is_loopback => Err(Refusal::Host),
            Ok(request) if request.page != Page::Metrics && !shared.preview.has_images => Err(Refusal::NoImages),
            other => other,
        };
        let Request { page, head_only, .. } = match request {
            Ok(request) => request,
            Err(refusal) => return self.refuse(refusal, shared),
        };
        match page {
            Page::Index => self.send(shared, |output| response::index(output, head_only)),
            Page::Metrics => {
                let text = shared.metrics_text();
                self.send(shared, |output| response::whole(output, response::METRICS_TYPE, &text, head_only));
            }
            Page::Snapshot => match shared.preview.watch(MOST_VIEWERS) {
                Some(viewer) => {
                    self.state = State::Waiting { viewer, head_only };
                    self.until = shared.clock.now() + shared.patience;
                }
                None => self.refuse(Refusal::Busy, shared),
            },
            Page::Stream if head_only => self.send(shared, response::stream_head),
            Page::Stream => match shared.preview.watch(MOST_STREAMS) {
                Some(viewer) => {
                    let now = shared.clock.now();
                    response::stream_start(&mut self.output);
                    self.state = State::Streaming { viewer, newest: now };
                    self.until = now + shared.patience;
                }
                None => self.refuse(Refusal::Busy, shared),
            },
        }
    }

    fn refuse(&mut self, refusal: Refusal, shared: &Shared) {
        self.send(shared, |output| response::refusal(output, refusal));
    }

    /// Sends what `write` writes, then closes.
    fn send(&mut self, shared: &Shared, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.output);
        self.sent = 0;
        self.state = State::Replying;
        self.until = shared.clock.now() + shared.patience;
    }

    /// Sends as much as the client accepts now; returns whether that is everything.
    fn flush(&mut self, is_late: bool) -> io::Result<bool> {
        while self.sent < self.output.len() {
            match self.stream.write(&self.output[self.sent..]) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock && is_late => {
                    return Err(ErrorKind::TimedOut.into());
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}

/// Reads what has arrived of a request, at most [`MOST_BYTES`]; `None` while it is incomplete.
fn read_request(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> io::Result<Option<Result<Request, Refusal>>> {
    let mut buffer = [0; 2048];
    loop {
        let room = buffer.len().min(MOST_BYTES - bytes.len());
        let count = match stream.read(&mut buffer[..room]) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error),
        };
        let is_first = bytes.is_empty();
        bytes.extend_from_slice(&buffer[..count]);
        // Between its lines a request that is sent byte by byte is not parsed each time.
        if !is_first && !buffer[..count].contains(&b'\n') && bytes.len() < MOST_BYTES {
            continue;
        }
        match request::parse(bytes) {
            Ok(None) => {}
            Ok(Some(request)) => return Ok(Some(Ok(request))),
            Err(refusal) => return Ok(Some(Err(refusal))),
        }
    }
}

/// Whether the client has visibly closed its end.
fn has_left(stream: &TcpStream) -> bool {
    match stream.peek(&mut [0]) {
        Ok(count) => count == 0,
        Err(error) => !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted),
    }
}
