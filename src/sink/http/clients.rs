//! Who is connected: so many at most, each with a place that it gives back.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Places for clients.
#[derive(Debug)]
pub(super) struct Clients {
    places: Mutex<Vec<Option<Arc<TcpStream>>>>,
    left: Condvar,
}

/// A client and its place.
#[derive(Debug)]
pub(super) struct Client {
    stream: Arc<TcpStream>,
    clients: Arc<Clients>,
    place: usize,
}

impl Clients {
    pub fn new(places: usize) -> Self {
        Self { places: Mutex::new((0..places).map(|_| None).collect()), left: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Option<Arc<TcpStream>>>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives a client a place, if there is one.
    pub fn enter(self: &Arc<Self>, stream: TcpStream) -> Option<Client> {
        let mut places = self.lock();
        let place = places.iter().position(Option::is_none)?;
        let stream = Arc::new(stream);
        places[place] = Some(Arc::clone(&stream));
        Some(Client { stream, clients: Arc::clone(self), place })
    }

    /// Sends all of them away, and waits a little until they have gone.
    pub fn dismiss(&self, patience: Duration) {
        let places = self.lock();
        for stream in places.iter().flatten() {
            // Whoever reads or writes is woken by it.
            let _ = stream.shutdown(Shutdown::Both);
        }
        let present = |places: &mut Vec<Option<Arc<TcpStream>>>| places.iter().any(Option::is_some);
        drop(self.left.wait_timeout_while(places, patience, present));
    }
}

impl Client {
    /// Its number, from 0.
    pub fn place(&self) -> usize {
        self.place
    }

    /// Reads until `until`.
    pub fn reader(&self, until: Instant) -> impl Read {
        Reader { stream: &self.stream, until }
    }

    /// Writes all of `bytes` until `until`.
    pub fn write(&self, mut bytes: &[u8], until: Instant) -> io::Result<()> {
        while !bytes.is_empty() {
            self.stream.set_write_timeout(Some(left_until(until)?))?;
            match (&*self.stream).write(bytes) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => bytes = &bytes[count..],
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Whether nobody is there any more, as far as one can see.
    pub fn has_gone(&self) -> bool {
        let _ = self.stream.set_read_timeout(Some(Duration::from_millis(1)));
        match self.stream.peek(&mut [0]) {
            Ok(count) => count == 0,
            Err(error) => !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted),
        }
    }

    /// Says that nothing more comes. What was not read is read now: closing before it would destroy the answer.
    pub fn part(&self) {
        const RESTS: usize = 16;
        let _ = self.stream.shutdown(Shutdown::Write);
        let mut reader = self.reader(Instant::now() + Duration::from_millis(100));
        let mut rest = [0; 4096];
        for _ in 0..RESTS {
            if !matches!(reader.read(&mut rest), Ok(count) if count > 0) {
                return;
            }
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.clients.lock()[self.place] = None;
        self.clients.left.notify_all();
    }
}

struct Reader<'a> {
    stream: &'a TcpStream,
    until: Instant,
}

impl Read for Reader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(left_until(self.until)?))?;
        self.stream.read(buffer).map_err(|error| match error.kind() {
            // What Linux says of a timeout.
            ErrorKind::WouldBlock => ErrorKind::TimedOut.into(),
            _ => error,
        })
    }
}

fn left_until(until: Instant) -> io::Result<Duration> {
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(left) }
}
