//! The server's only thread: it polls every connection in turn and never waits for one.
//!
//! A fixed number of connections is open at a time. When all are taken, a connection that has not sent its request yet, or
//! does not read its response, is closed in favour of the next one: idle and slow clients cannot keep others out. Connections
//! that are neither evictable nor accepted yet wait in the kernel's queue.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::connection::Connection;
use super::metrics::Metrics;
use super::preview::Preview;
use super::shared::Shared;
use crate::clock::Clock;
use crate::sink::SinkError;

/// Maximum number of open connections. Viewers and clients that wait for a snapshot take fewer than half of them.
const MOST_CONNECTIONS: usize = 32;
/// How often in a row clients are accepted and served, so that those who leave at once do not fill the kernel's queue.
const MOST_TURNS: usize = 8;
/// Time for which no connection is closed in favour of another: enough for a request that is sent at once.
const GRACE: Duration = Duration::from_millis(50);
/// Poll interval while no client is connected.
const IDLE_INTERVAL: Duration = Duration::from_millis(25);
/// Poll interval while some are.
const BUSY_INTERVAL: Duration = Duration::from_millis(5);
/// Poll interval while more wait than could be accepted.
const FLOOD_INTERVAL: Duration = Duration::from_millis(1);
/// The thread. The default is one that has ended.
#[derive(Debug, Default)]
pub(super) struct Server {
    running: Option<(JoinHandle<()>, Arc<AtomicBool>)>,
}

impl Server {
    /// Serves the clients of `listener`.
    ///
    /// # Errors
    /// If the listener cannot be polled, or the system provides no thread.
    pub fn start(
        listener: TcpListener,
        preview: Arc<Preview>,
        metrics: Arc<Metrics>,
        clock: Clock,
        patience: Duration,
    ) -> Result<Self, SinkError> {
        let listen_error = |source| SinkError::Listen { address: "the preview's address".to_owned(), source };
        listener.set_nonblocking(true).map_err(listen_error)?;
        let loopback_only = listener.local_addr().map_err(listen_error)?.ip().to_canonical().is_loopback();
        let shared = Shared::new(preview, metrics, clock, patience, loopback_only);
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::Builder::new()
            .name("http".to_owned())
            .spawn(move || serve(&listener, shared, &stopped))
            .map_err(SinkError::Thread)?;
        Ok(Self { running: Some((thread, stop)) })
    }

    /// Stops listening and closes all connections.
    pub fn end(&mut self) {
        let Some((thread, stop)) = self.running.take() else { return };
        stop.store(true, Ordering::Relaxed);
        let _ = thread.join();
    }
}

fn serve(listener: &TcpListener, mut shared: Shared, stop: &AtomicBool) {
    let mut connections: Vec<Connection> = Vec::with_capacity(MOST_CONNECTIONS);
    while !stop.load(Ordering::Relaxed) {
        shared.next_round();
        let mut more = true;
        for _ in 0..MOST_TURNS {
            more = accept(listener, &mut connections, &shared);
            // Responses that fit into the socket's buffer are complete after one step.
            connections.retain_mut(|connection| connection.step(&mut shared));
            // Where all places are held, waiting is all that helps.
            more &= connections.len() < MOST_CONNECTIONS;
            if !more {
                break;
            }
        }
        thread::sleep(match connections.is_empty() {
            _ if more => FLOOD_INTERVAL,
            true => IDLE_INTERVAL,
            false => BUSY_INTERVAL,
        });
    }
}

/// Accepts waiting clients while there is room; returns whether more may be waiting.
fn accept(listener: &TcpListener, connections: &mut Vec<Connection>, shared: &Shared) -> bool {
    for _ in 0..MOST_CONNECTIONS {
        let now = shared.clock.now();
        let is_full = connections.len() >= MOST_CONNECTIONS;
        let evicted = if is_full { evictable(connections, now) } else { None };
        if is_full && evicted.is_none() {
            return true;
        }
        let stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            // No client waits, or there are no more descriptors: try again later.
            Err(_) => return false,
        };
        if let Some(index) = evicted {
            connections.swap_remove(index);
        }
        // An image is worth sending at once.
        if stream.set_nonblocking(true).and_then(|()| stream.set_nodelay(true)).is_ok() {
            connections.push(Connection::new(stream, now, shared.patience));
        }
    }
    true
}

/// The connection to close in favour of another: the oldest evictable one.
fn evictable(connections: &[Connection], now: Instant) -> Option<usize> {
    let ages = connections.iter().enumerate().filter_map(|(index, connection)| Some((index, connection.idle_since()?)));
    let (index, since) = ages.min_by_key(|&(_, since)| since)?;
    (now.saturating_duration_since(since) >= GRACE).then_some(index)
}
