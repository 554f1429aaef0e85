//! Poses in a browser, and metrics: a small HTTP server for whoever looks after a box without a display.
//!
//! | path | what is there |
//! |---|---|
//! | `/` | a page with the moving image |
//! | `/stream` | the moving image, as JPEGs one after the other |
//! | `/snapshot.jpg` | the next image |
//! | `/metrics` | numbers in Prometheus' text format |
//!
//! Nothing is copied, drawn or encoded while nobody watches. The thread of the sinks only copies a frame, at most so
//! many times a second; a thread of its own draws and encodes it, once for all watchers. Nobody waits for a client.

mod clients;
mod listener;
pub mod metrics;
mod preview;
mod reply;
pub mod request;

use std::net::{Ipv4Addr, SocketAddr, TcpListener, ToSocketAddrs};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use self::listener::Server;
use self::metrics::Metrics;
use self::preview::Preview;
use super::paint::Painter;
use super::uri::Parts;
use super::{FrameResult, OutputSchema, Sink, SinkError};

/// How the server is set up.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Options {
    /// Keypoints that score below are not drawn.
    pub keypoint_threshold: f32,
    /// Most images a second.
    pub fps: f64,
    /// How long a client may take to send its request, and to take an image.
    pub patience: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self { keypoint_threshold: 0.0, fps: 10.0, patience: Duration::from_secs(2) }
    }
}

/// The server, as a sink.
#[derive(Debug)]
pub struct Http {
    address: SocketAddr,
    metrics: Arc<Metrics>,
    preview: Arc<Preview>,
    server: Server,
    encoder: Option<thread::JoinHandle<()>>,
    /// Least time between two images.
    interval: Duration,
    /// When the next image may be taken.
    next: Instant,
}

impl Http {
    /// Listens on `address`: `HOST:PORT`, or only a port of this machine's own loopback; `?fps=N` behind it wins over
    /// `options`. Frames come from so many `cameras`, at least one.
    ///
    /// # Errors
    /// Where the address is none or is taken, an option is wrong, or the system gives no thread.
    pub fn open(address: &str, schema: &OutputSchema, cameras: usize, options: &Options) -> Result<Self, SinkError> {
        let parts = Parts::of(address);
        let fps = fps(parts, options.fps)?;
        let listen = || {
            let addresses = match parts.path.parse() {
                Ok(port) => vec![SocketAddr::from((Ipv4Addr::LOCALHOST, port))],
                Err(_) => parts.path.to_socket_addrs()?.collect(),
            };
            let listener = TcpListener::bind(&addresses[..])?;
            Ok((listener.local_addr()?, listener))
        };
        let (address, listener) =
            listen().map_err(|source| SinkError::Listen { address: parts.path.to_owned(), source })?;

        let metrics = Arc::new(Metrics::new(schema, cameras));
        let preview = Arc::new(Preview::new(Painter::new(schema, options.keypoint_threshold)));
        let (encoding, counting) = (Arc::clone(&preview), Arc::clone(&metrics));
        let encoder = thread::Builder::new()
            .name("preview".to_owned())
            .spawn(move || encoding.encode_all(&counting))
            .map_err(SinkError::Thread)?;
        let server = Server::start(listener, Arc::clone(&preview), Arc::clone(&metrics), options.patience);
        let mut this = Self {
            address,
            metrics,
            preview,
            server: Server::default(),
            encoder: Some(encoder),
            interval: Duration::from_secs_f64(1.0 / fps),
            next: Instant::now(),
        };
        // Where it has no thread, dropping `this` ends the encoder.
        this.server = server?;
        Ok(this)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its numbers, for whoever knows more of them.
    pub fn metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.metrics)
    }

    /// Ends both threads and lets all clients go, within half a second.
    fn end(&mut self) {
        self.preview.end();
        self.server.end();
        if let Some(encoder) = self.encoder.take() {
            let _ = encoder.join();
        }
    }
}

impl Sink for Http {
    fn put(&mut self, result: &FrameResult<'_>) -> Result<(), SinkError> {
        self.metrics.processed(result);
        if !self.preview.is_watched() {
            return Ok(());
        }
        let now = Instant::now();
        if now >= self.next {
            // From when it was due, not from when it came: else a camera of 30 frames a second would give 7.5, not 10.
            self.next = (self.next + self.interval).max(now);
            self.preview.offer(result);
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        self.end();
        Ok(())
    }
}

impl Drop for Http {
    fn drop(&mut self) {
        self.end();
    }
}

/// Most images a second, as the options say.
fn fps(parts: Parts<'_>, default: f64) -> Result<f64, SinkError> {
    let mut fps = default;
    for (key, value) in parts.options() {
        if key != "fps" {
            return Err(parts.wrong(format!("there is no option `{key}`: use fps")));
        }
        let given = value.parse().ok().filter(|fps| (0.1..=100.0).contains(fps));
        fps = given.ok_or_else(|| parts.wrong("fps takes a number from 0.1 to 100"))?;
    }
    Ok(fps)
}
