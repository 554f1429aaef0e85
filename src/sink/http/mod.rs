//! Poses in a browser, and metrics: a small HTTP server for machines without a display.
//!
//! | path | response |
//! |---|---|
//! | `/` | a page that shows the stream |
//! | `/stream` | the moving image, as JPEGs one after the other |
//! | `/snapshot.jpg` | the next image |
//! | `/metrics` | metrics in Prometheus' text format |
//!
//! ```text
//! thread of the sinks          thread "preview"             thread "http"
//! put() -- copy of a frame --> scale, draw, encode -- JPEG --> every viewer
//!   \--------------- counters, atomics ----------------------> /metrics
//! ```
//!
//! Nothing is copied, drawn or encoded while no client watches. The thread of the sinks only copies a frame, at most `fps`
//! times a second, and never waits for a client; one image is encoded once, however many watch.

mod connection;
pub mod metrics;
mod preview;
pub mod request;
mod response;
mod server;
mod shared;
mod sys;

use std::net::{Ipv4Addr, SocketAddr, TcpListener, ToSocketAddrs};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use self::metrics::Metrics;
use self::preview::Preview;
use self::server::Server;
use super::paint::Painter;
use super::uri::Parts;
use super::{FrameResult, OutputSchema, Sink, SinkError};
use crate::clock::Clock;

/// How the server is set up.
#[derive(Debug, Clone)]
pub struct Options {
    /// Keypoints that score below are not drawn.
    pub keypoint_threshold: f32,
    /// Maximum number of images a second.
    pub fps: f64,
    /// Time-out for a client to send its request, and to read its response or one image.
    pub patience: Duration,
    /// The clock for these times.
    pub clock: Clock,
}

impl Default for Options {
    fn default() -> Self {
        Self { keypoint_threshold: 0.0, fps: 10.0, patience: Duration::from_secs(2), clock: Clock::default() }
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
    clock: Clock,
    /// Minimum time between two images.
    interval: Duration,
    /// When the next image may be taken.
    next: Instant,
}

impl Http {
    /// Listens on `address`: `HOST:PORT`, or a port alone for the loopback interface; `?fps=N` behind it takes precedence over
    /// `options`. Frames come from `cameras` cameras, at least one.
    ///
    /// # Errors
    /// If the address cannot be listened on, an option is wrong, or the system provides no thread.
    pub fn open(address: &str, schema: &OutputSchema, cameras: usize, options: &Options) -> Result<Self, SinkError> {
        let parts = Parts::of(address);
        let fps = fps(parts, options.fps)?;
        let listen = || {
            let addresses = match parts.path.parse() {
                Ok(port) => vec![SocketAddr::from((Ipv4Addr::LOCALHOST, port))],
                Err(_) => parts.path.to_socket_addrs()?.collect(),
            };
            let listener = TcpListener::bind(&addresses[..])?;
            sys::lengthen_queue(&listener)?;
            Ok((listener.local_addr()?, listener))
        };
        let (address, listener) =
            listen().map_err(|source| SinkError::Listen { address: parts.path.to_owned(), source })?;

        let metrics = Arc::new(Metrics::new(schema, cameras));
        let preview = Arc::new(Preview::new(Painter::new(schema, options.keypoint_threshold), fps > 0.0));
        let (encoding, counting) = (Arc::clone(&preview), Arc::clone(&metrics));
        let encoder = thread::Builder::new()
            .name("preview".to_owned())
            .spawn(move || encoding.encode_all(&counting))
            .map_err(SinkError::Thread)?;
        let clock = options.clock.clone();
        let mut this = Self {
            address,
            metrics: Arc::clone(&metrics),
            preview: Arc::clone(&preview),
            server: Server::default(),
            encoder: Some(encoder),
            // With 0 there is no next image.
            interval: Duration::from_secs_f64(1.0 / fps.max(0.1)),
            next: clock.now(),
            clock: clock.clone(),
        };
        // If this fails, dropping `this` ends the encoder.
        this.server = Server::start(listener, preview, metrics, clock, options.patience)?;
        Ok(this)
    }

    /// The address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether it shows images; else only metrics.
    pub fn has_images(&self) -> bool {
        self.preview.has_images
    }

    /// Its metrics, for others to update.
    pub fn metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.metrics)
    }

    /// Ends both threads and closes all connections.
    fn end(&mut self) {
        self.preview.end();
        self.server.end();
        if let Some(encoder) = self.encoder.take() {
            let _ = encoder.join();
        }
    }
}

impl Sink for Http {
    fn describe(&mut self, schema: &OutputSchema) -> Result<(), SinkError> {
        self.metrics.describe(schema);
        self.preview.describe(schema);
        Ok(())
    }

    fn put(&mut self, result: &FrameResult<'_>) -> Result<(), SinkError> {
        self.metrics.processed(result);
        if self.preview.viewers() == 0 {
            return Ok(());
        }
        let now = self.clock.now();
        if now >= self.next {
            // Counted from when it was due, not from when it arrived: else 30 frames a second would give 7.5 images, not 10.
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

/// Maximum number of images a second, as the options say; 0 means only metrics.
fn fps(parts: Parts<'_>, default: f64) -> Result<f64, SinkError> {
    let mut fps = default;
    for (key, value) in parts.options() {
        if key != "fps" {
            return Err(parts.wrong(format!("there is no option `{key}`: use fps")));
        }
        let given = value.parse().ok().filter(|&fps| fps == 0.0 || (0.1..=100.0).contains(&fps));
        fps =
            given.ok_or_else(|| parts.wrong("fps takes a number from 0.1 to 100, or 0 for metrics without images"))?;
    }
    Ok(fps)
}
