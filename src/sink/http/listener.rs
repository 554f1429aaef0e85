//! Lets clients in, and gives each a thread.

use std::io::ErrorKind;
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::clients::{Client, Clients};
use super::metrics::Metrics;
use super::preview::Preview;
use super::reply;
use super::request::{self, Refusal};
use crate::sink::SinkError;

/// Clients that are answered at a time.
const MOST_CLIENTS: usize = 8;
/// Places of those that are told that there are too many; whoever comes after them is told nothing.
const MOST_REFUSED: usize = 8;
/// How often somebody is looked for at the door.
const TICK: Duration = Duration::from_millis(25);
/// How long the end waits for clients to leave.
const PARTING: Duration = Duration::from_millis(300);

/// The thread that listens, and those of its clients. The default is one that has ended.
#[derive(Debug, Default)]
pub(super) struct Server {
    running: Option<(JoinHandle<()>, Arc<Shared>)>,
}

#[derive(Debug)]
struct Shared {
    preview: Arc<Preview>,
    metrics: Arc<Metrics>,
    clients: Arc<Clients>,
    patience: Duration,
    stop: AtomicBool,
}

impl Server {
    /// Answers whoever connects to `listener`.
    ///
    /// # Errors
    /// Where the system gives no thread.
    pub fn start(
        listener: TcpListener,
        preview: Arc<Preview>,
        metrics: Arc<Metrics>,
        patience: Duration,
    ) -> Result<Self, SinkError> {
        let clients = Arc::new(Clients::new(MOST_CLIENTS + MOST_REFUSED));
        let shared = Arc::new(Shared { preview, metrics, clients, patience, stop: AtomicBool::new(false) });
        // Looked at now and then, not waited for: nothing else ends such a wait in time.
        listener.set_nonblocking(true).map_err(SinkError::Thread)?;
        let listening = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("http".to_owned())
            .spawn(move || listening.listen(&listener))
            .map_err(SinkError::Thread)?;
        Ok(Self { running: Some((thread, shared)) })
    }

    /// Closes the door and sends everybody away.
    pub fn end(&mut self) {
        let Some((thread, shared)) = self.running.take() else { return };
        shared.stop.store(true, Ordering::Relaxed);
        let _ = thread.join();
        shared.clients.dismiss(PARTING);
    }
}

impl Shared {
    fn listen(self: &Arc<Self>, listener: &TcpListener) {
        while !self.stop.load(Ordering::Relaxed) {
            match listener.accept() {
                Ok((stream, _)) => self.receive(stream),
                // Nobody is there, or there are no more descriptors: in either case later.
                Err(_) => thread::sleep(TICK),
            }
        }
    }

    fn receive(self: &Arc<Self>, stream: TcpStream) {
        // An image is worth sending at once.
        if stream.set_nonblocking(false).and_then(|()| stream.set_nodelay(true)).is_err() {
            return;
        }
        let Some(client) = self.clients.enter(stream) else { return };
        let this = Arc::clone(self);
        // Without a thread the client is dropped, which closes the connection.
        let _ = thread::Builder::new().name("http-client".to_owned()).spawn(move || this.serve(&client));
    }

    fn serve(&self, client: &Client) {
        let processed = if client.place() < MOST_CLIENTS {
            reply::result(client, &self.preview, &self.metrics, self.patience)
        } else {
            let asked = request::read(&mut client.reader(Instant::now() + self.patience));
            asked.and_then(|_| reply::refuse(client, self.patience, Refusal::Busy))
        };
        match processed {
            Ok(()) => client.part(),
            Err(error) => {
                // Not those who have simply gone.
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) {
                    self.metrics.dismissed();
                }
                tracing::debug!("a client of the preview was dropped: {error}");
            }
        }
    }
}
