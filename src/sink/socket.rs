//! JSON lines on a Unix socket, for several readers.
//!
//! Nothing blocks on a reader: listener and connections are non-blocking. A reader that has connected is accepted when the next
//! line is written, and receives the header first. Each has a buffer of its own, made when it is accepted; a line that does not fit
//! into it is dropped for this reader, always the whole line; a later header is made up for. A reader that has disconnected is removed.

use std::fs;
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::jsonl::{JsonLines, is_header};
use super::{DroppedLines, OutputSchema, Sink, SinkError};

/// Maximum number of readers.
const MOST_READERS: usize = 16;
/// Size of a reader's buffer, bytes: more than the longest line, or some seconds of ordinary ones.
const BUFFER_BYTES: usize = 256 << 10;
/// Time that slow readers get to catch up at the end.
const PARTING: Duration = Duration::from_millis(300);
/// Poll interval meanwhile.
const PARTING_TICK: Duration = Duration::from_millis(2);

/// JSON lines on a socket at `path`, which is removed at the end; `dropped_lines` counts lines for which readers were too slow.
///
/// # Errors
/// If the socket cannot be made, another program listens on it, or the path is that of another file.
pub fn open(path: &str, schema: &OutputSchema, dropped_lines: &Arc<DroppedLines>) -> Result<Box<dyn Sink>, SinkError> {
    let readers = Readers::listen(Path::new(path), Arc::clone(dropped_lines))?;
    Ok(Box::new(JsonLines::new(readers, path, schema)?))
}

/// Sends every line to all readers. The first write is a header, each further one a complete line.
#[derive(Debug)]
struct Readers {
    listener: UnixListener,
    path: PathBuf,
    /// Distinguishes the socket from one that has replaced it.
    inode: u64,
    /// Whether it was reported that the path is another file's.
    replaced: bool,
    header: Vec<u8>,
    readers: Vec<Reader>,
    /// Whether it was reported that there are too many.
    refused: bool,
    dropped_lines: Arc<DroppedLines>,
}

#[derive(Debug)]
struct Reader {
    stream: UnixStream,
    /// Complete lines, except for a first one that was sent in part.
    waiting: Vec<u8>,
    /// Lines dropped for this reader.
    dropped_lines: u64,
    /// Whether the header was one of them, so that it must precede the next line.
    lacks_header: bool,
}

impl Readers {
    fn listen(path: &Path, dropped_lines: Arc<DroppedLines>) -> Result<Self, SinkError> {
        let failed = |source| SinkError::Open { target: path.display().to_string(), source };
        remove_stale(path)?;
        let (listener, inode) = bind(path).map_err(failed)?;
        Ok(Self {
            listener,
            path: path.to_owned(),
            inode,
            replaced: false,
            header: Vec::new(),
            readers: Vec::with_capacity(MOST_READERS),
            refused: false,
            dropped_lines,
        })
    }

    /// Recreates the socket if another program has moved or deleted it, as cleaners of `/tmp` do; readers stay connected.
    fn renew(&mut self) {
        let path = self.path.display();
        match fs::symlink_metadata(&self.path) {
            Ok(found) if found.ino() == self.inode => {}
            // Not ours to remove.
            Ok(_) if self.replaced => {}
            Ok(_) => {
                tracing::warn!("{path}: another program has replaced the socket; no further reader can connect");
                self.replaced = true;
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                // If that fails, it is tried again with the next line.
                if let Ok((listener, inode)) = bind(&self.path) {
                    tracing::warn!("{path}: another program has moved or deleted the socket; it is recreated");
                    (self.listener, self.inode, self.replaced) = (listener, inode, false);
                }
            }
            Err(_) => {}
        }
    }

    /// Accepts the readers that wait, at most as many as fit, so that a flood of them does not delay the line.
    fn accept(&mut self) {
        for _ in 0..MOST_READERS {
            let Ok((stream, _)) = self.listener.accept() else { return };
            if self.readers.len() == MOST_READERS {
                if !self.refused {
                    tracing::warn!("{}: more than {MOST_READERS} readers; others are refused", self.path.display());
                }
                self.refused = true;
            } else if stream.set_nonblocking(true).is_ok() {
                let mut waiting = Vec::with_capacity(BUFFER_BYTES.max(self.header.len()));
                waiting.extend_from_slice(&self.header);
                self.readers.push(Reader { stream, waiting, dropped_lines: 0, lacks_header: false });
            }
        }
    }

    /// Sends every reader what it accepts now, and removes those that have disconnected.
    fn send(&mut self) {
        self.readers.retain_mut(Reader::send);
    }
}

impl Reader {
    /// Queues a line, behind `header` if that is missing; returns whether it fits.
    fn queue(&mut self, line: &[u8], header: &[u8], path: &Path) -> bool {
        let header = if self.lacks_header && line != header { header } else { &[] };
        if self.waiting.len() + header.len() + line.len() <= self.waiting.capacity() {
            self.waiting.extend_from_slice(header);
            self.waiting.extend_from_slice(line);
            self.lacks_header = false;
            return true;
        }
        if self.dropped_lines == 0 {
            tracing::warn!("{}: a reader is too slow; lines are dropped for it", path.display());
        }
        self.dropped_lines += 1;
        self.lacks_header |= is_header(line);
        false
    }

    /// Sends as much as the reader takes now; `false` if it has disconnected.
    fn send(&mut self) -> bool {
        let mut taken = 0;
        let connected = loop {
            if taken == self.waiting.len() {
                break true;
            }
            match self.stream.write(&self.waiting[taken..]) {
                Ok(0) => break false,
                Ok(count) => taken += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => break error.kind() == ErrorKind::WouldBlock,
            }
        };
        self.waiting.drain(..taken);
        connected
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        if self.dropped_lines > 0 {
            tracing::info!("{} lines were dropped for a reader that was too slow", self.dropped_lines);
        }
    }
}

impl Write for Readers {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.header.is_empty() {
            self.header = line.to_vec();
            return Ok(line.len());
        }
        self.accept();
        self.renew();
        if is_header(line) {
            self.header = line.to_vec();
        }
        // What is sent now makes room for the line.
        self.send();
        for reader in &mut self.readers {
            if !reader.queue(line, &self.header, &self.path) {
                self.dropped_lines.for_slow_reader();
            }
        }
        self.send();
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.send();
        Ok(())
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.accept();
        if fs::symlink_metadata(&self.path).is_ok_and(|found| found.ino() == self.inode) {
            let _ = fs::remove_file(&self.path);
        }
        let until = Instant::now() + PARTING;
        loop {
            self.send();
            if Instant::now() >= until || self.readers.iter().all(|reader| reader.waiting.is_empty()) {
                return;
            }
            thread::sleep(PARTING_TICK);
        }
    }
}

/// Listens on a new socket; its inode identifies it.
fn bind(path: &Path) -> io::Result<(UnixListener, u64)> {
    let listener = UnixListener::bind(path)?;
    listener.set_nonblocking(true)?;
    Ok((listener, fs::symlink_metadata(path)?.ino()))
}

/// Removes a socket that a terminated process has left behind, and no other file.
fn remove_stale(path: &Path) -> Result<(), SinkError> {
    let failed = |source| SinkError::Open { target: path.display().to_string(), source };
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
        Ok(found) if !found.file_type().is_socket() => return Err(SinkError::NoSocket { path: path.to_owned() }),
        Ok(_) => {}
    }
    match UnixStream::connect(path) {
        Ok(_) => Err(SinkError::SocketInUse { path: path.to_owned() }),
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => fs::remove_file(path).map_err(failed),
        Err(error) => Err(failed(error)),
    }
}
