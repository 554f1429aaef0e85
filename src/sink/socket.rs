//! JSON lines on a Unix socket, for any number of readers.
//!
//! Nobody waits for a reader. Listener and readers never block: whoever has connected is accepted when the next line
//! comes, and gets the header first; each reader has a buffer of its own, made when it is accepted, and a line that does
//! not fit into it is left out for this reader, the whole of it. A reader that has gone is forgotten.

use std::fs;
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::jsonl::JsonLines;
use super::{DroppedLines, OutputSchema, Sink, SinkError};

/// Most readers at a time.
const MOST_READERS: usize = 16;
/// Bytes that wait for one reader: more than the longest line has, some seconds of ordinary ones.
const BUFFER_BYTES: usize = 256 << 10;
/// How long the end waits for readers that are behind.
const PARTING: Duration = Duration::from_millis(300);
/// How often it looks at them meanwhile.
const PARTING_TICK: Duration = Duration::from_millis(2);

/// JSON lines on a socket at `path`, which is removed at the end; `left_out` counts lines that readers were too slow for.
///
/// # Errors
/// Where the socket cannot be made, somebody listens on it already, or something else lies there.
pub fn open(path: &str, schema: &OutputSchema, dropped_lines: &Arc<DroppedLines>) -> Result<Box<dyn Sink>, SinkError> {
    let readers = Readers::listen(Path::new(path), Arc::clone(dropped_lines))?;
    Ok(Box::new(JsonLines::new(readers, path, schema)?))
}

/// Hands every line to all readers. What is written first is the header, whatever is written later is a whole line.
#[derive(Debug)]
struct Readers {
    listener: UnixListener,
    path: PathBuf,
    /// The file's number, which tells it from one that has replaced it.
    inode: u64,
    header: Vec<u8>,
    readers: Vec<Reader>,
    /// Whether it was said that there are too many.
    refused: bool,
    dropped_lines: Arc<DroppedLines>,
}

#[derive(Debug)]
struct Reader {
    stream: UnixStream,
    /// Whole lines, but for a first one that has been taken in part.
    waiting: Vec<u8>,
    /// Lines that did not fit.
    dropped_lines: u64,
}

impl Readers {
    fn listen(path: &Path, dropped_lines: Arc<DroppedLines>) -> Result<Self, SinkError> {
        let failed = |source| SinkError::Open { target: path.display().to_string(), source };
        make_way(path)?;
        let listener = UnixListener::bind(path).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let inode = fs::symlink_metadata(path).map_err(failed)?.ino();
        let readers = Vec::with_capacity(MOST_READERS);
        Ok(Self { listener, path: path.to_owned(), inode, header: Vec::new(), readers, refused: false, dropped_lines })
    }

    /// Takes in whoever has connected. As many as would fit, so that a flood of them does not hold up the line.
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
                self.readers.push(Reader { stream, waiting, dropped_lines: 0 });
            }
        }
    }

    /// Gives every reader what it takes, and forgets those that have gone.
    fn hand_on(&mut self) {
        self.readers.retain_mut(Reader::hand_on);
    }
}

impl Reader {
    /// Puts a line behind those that wait; whether it fits.
    fn put(&mut self, line: &[u8], path: &Path) -> bool {
        if self.waiting.len() + line.len() <= self.waiting.capacity() {
            self.waiting.extend_from_slice(line);
            return true;
        }
        if self.dropped_lines == 0 {
            tracing::warn!("{}: a reader is too slow; lines are left out for it", path.display());
        }
        self.dropped_lines += 1;
        false
    }

    /// Gives as much as is taken now; `false` where nobody is there any more.
    fn hand_on(&mut self) -> bool {
        let mut taken = 0;
        let there = loop {
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
        there
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        if self.dropped_lines > 0 {
            tracing::info!("{} lines were left out for a reader that was too slow", self.dropped_lines);
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
        // What is taken now makes room for the line.
        self.hand_on();
        for reader in &mut self.readers {
            if !reader.put(line, &self.path) {
                self.dropped_lines.for_a_slow_reader();
            }
        }
        self.hand_on();
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.hand_on();
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
            self.hand_on();
            if Instant::now() >= until || self.readers.iter().all(|reader| reader.waiting.is_empty()) {
                return;
            }
            thread::sleep(PARTING_TICK);
        }
    }
}

/// Removes a socket that a dead process has left behind; nothing else is removed.
fn make_way(path: &Path) -> Result<(), SinkError> {
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
