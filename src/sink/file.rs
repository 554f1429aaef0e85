//! JSON lines in a file: `PATH`, or `PATH?rotate=64MiB&keep=5`.
//!
//! With `rotate`, a file that would grow beyond the size is renamed to `PATH.1`, the one before it to `PATH.2`, and so on; `keep`
//! of them are kept. Every file begins with a header and ends with a complete line.
//!
//! A file of an earlier run is replaced, or renamed, only once the first line exists. A file that is
//! moved, deleted or truncated by another program is recreated with the next line. A full disk does not end the run: lines are
//! dropped and counted until there is room again, and a line that was written in part is cut off. None of this applies
//! to pipes and devices.

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::jsonl::{JsonLines, is_header};
use super::uri::{self, Parts};
use super::{DroppedLines, OutputSchema, Sink, SinkError};
use crate::clock::Clock;
use crate::write::{OutputFile, is_special, resolve};

/// Rotated files that are kept by default.
const KEEP: u32 = 5;
/// Maximum for `keep`.
const MOST_KEPT: u32 = 999;
/// Interval at which a full disk is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// When a file is rotated, and how many are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Rotation {
    /// Maximum size of a file, bytes, unless its only line is longer.
    bytes: u64,
    keep: u32,
}

/// JSON lines in the file that `uri`, a path with optional options, names. `dropped_lines` counts lines dropped on a full disk.
///
/// # Errors
/// If the file cannot be opened or another program writes it, its header does not fit on the disk, or an option is wrong.
pub fn open(uri: &str, schema: &OutputSchema, dropped_lines: &Arc<DroppedLines>) -> Result<Box<dyn Sink>, SinkError> {
    let parts = Parts::of(uri);
    let rotation = rotation(parts)?;
    let path = Path::new(parts.path);
    // Standard output gets here only with options.
    if is_special(path) || super::is_standard(parts.path) {
        if rotation.is_some() {
            return Err(parts.wrong("only a regular file can be rotated"));
        }
        let opened = OpenOptions::new().write(true).create(true).truncate(false).open(path);
        let output = opened.map_err(|source| SinkError::Open { target: parts.path.to_owned(), source })?;
        return Ok(Box::new(JsonLines::new(output, parts.path, schema)?));
    }
    let file = OutputFile::open(path).map_err(|source| SinkError::from_open(path, source))?;
    let files = Files { file, keep: rotation.map_or(0, |rotation| rotation.keep) };
    let holds_lines = files.length().is_ok_and(|length| length > 0);
    let mut lines = Lines::new(files, rotation.map(|rotation| rotation.bytes), RETRY, parts.path);
    lines.start = if holds_lines { Start::Replace } else { Start::Header };
    lines.counted = Arc::clone(dropped_lines);
    Ok(Box::new(JsonLines::new(lines, parts.path, schema)?))
}

/// The files that the sink `uri` writes to, rotated ones included, links resolved.
///
/// # Errors
/// Same as [`open`], for options and links.
pub fn paths(uri: &str) -> Result<Vec<PathBuf>, SinkError> {
    let parts = Parts::of(uri);
    let keep = rotation(parts)?.map_or(0, |rotation| rotation.keep);
    let path =
        resolve(Path::new(parts.path)).map_err(|source| SinkError::Open { target: parts.path.to_owned(), source })?;
    let rotated: Vec<PathBuf> = (1..=keep).map(|number| numbered(&path, number)).collect();
    Ok(std::iter::once(path).chain(rotated).collect())
}

fn rotation(parts: Parts<'_>) -> Result<Option<Rotation>, SinkError> {
    let (mut bytes, mut keep) = (None, None);
    for (key, value) in parts.options() {
        match key {
            "rotate" => {
                let size = uri::bytes(value);
                bytes = Some(size.ok_or_else(|| parts.wrong("rotate takes a size such as 64MiB, 512KiB or 1GiB"))?);
            }
            "keep" => {
                let count = value.parse().ok().filter(|count| (1..=MOST_KEPT).contains(count));
                keep = Some(count.ok_or_else(|| parts.wrong(format!("keep takes a number from 1 to {MOST_KEPT}")))?);
            }
            _ => return Err(parts.wrong(format!("there is no option `{key}`: use rotate and keep"))),
        }
    }
    match (bytes, keep) {
        (None, Some(_)) => Err(parts.wrong("keep needs rotate, such as rotate=64MiB")),
        (bytes, keep) => Ok(bytes.map(|bytes| Rotation { bytes, keep: keep.unwrap_or(KEEP) })),
    }
}

/// The name of a rotated file.
fn numbered(path: &Path, number: u32) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(format!(".{number}"));
    PathBuf::from(name)
}

/// The destination of lines. A trait, so that tests can simulate a full disk.
trait Volume: Send {
    /// Appends some of `bytes`.
    fn append(&mut self, bytes: &[u8]) -> io::Result<usize>;

    /// Truncates it to `length` bytes.
    fn cut(&mut self, length: u64) -> io::Result<()>;

    /// Renames the file and begins another. May be called again after a failure.
    fn rotate(&mut self) -> io::Result<()>;

    /// Checks that the file is still in place with this `length`. If another program has moved, deleted or shortened it, opens
    /// a file to write to. Returns the length of the file.
    fn renewed(&mut self, length: u64) -> io::Result<Option<u64>>;
}

/// A file and its rotated predecessors.
#[derive(Debug)]
struct Files {
    file: OutputFile,
    keep: u32,
}

impl Files {
    fn length(&self) -> io::Result<u64> {
        self.file.length()
    }

    fn numbered(&self, number: u32) -> PathBuf {
        numbered(self.file.path(), number)
    }

    /// Renames every file to the next number; the last one is overwritten. Only files before a gap need to move: after a
    /// partial failure, it can be repeated without loss.
    fn shift(&self) -> io::Result<()> {
        let mut last = self.keep;
        for number in 1..=self.keep {
            if !fs::exists(self.numbered(number))? {
                last = number;
                break;
            }
        }
        for number in (2..=last).rev() {
            fs::rename(self.numbered(number - 1), self.numbered(number))?;
        }
        match fs::rename(self.file.path(), self.numbered(1)) {
            // Another program has removed it.
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            renamed => renamed,
        }
    }

    /// Opens the path again.
    fn reopen(&mut self) -> io::Result<u64> {
        self.file = OutputFile::open(self.file.path())?;
        self.length()
    }
}

impl Volume for Files {
    fn append(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.file.truncate(length)
    }

    fn rotate(&mut self) -> io::Result<()> {
        // If only opening the next file failed before, there is nothing to rename.
        if self.file.is_in_place() {
            self.shift()?;
        }
        self.reopen().map(|_| ())
    }

    fn renewed(&mut self, length: u64) -> io::Result<Option<u64>> {
        if !self.file.is_in_place() {
            return self.reopen().map(Some);
        }
        let found = self.length()?;
        Ok((found < length).then_some(found))
    }
}

/// A full disk. The last free bytes may fit a line now and then: it counts as full until lines have fit for a while.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Full {
    /// The last attempt, which failed.
    Since(Instant),
    /// Lines have fit from then on.
    Room(Instant),
}

/// What must happen before the next line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Start {
    /// An earlier run's file is replaced or rotated.
    Replace,
    /// The header is written.
    Header,
    /// Nothing.
    Done,
}

/// Takes complete lines, a header first.
#[derive(Debug)]
struct Lines<V> {
    volume: V,
    /// Its name in messages.
    name: String,
    most_bytes: Option<u64>,
    header: Vec<u8>,
    start: Start,
    /// Bytes of the complete lines in the file.
    length: u64,
    /// Whether there are others than headers among them.
    has_lines: bool,
    /// Whether a partial line may follow them.
    torn: bool,
    /// `None` while all is well.
    full: Option<Full>,
    retry: Duration,
    /// Lines dropped since the disk was full.
    dropped_lines: u64,
    /// Lines dropped in the whole run, for the metrics.
    counted: Arc<DroppedLines>,
    clock: Clock,
}

impl<V: Volume> Lines<V> {
    fn new(volume: V, most_bytes: Option<u64>, retry: Duration, name: &str) -> Self {
        Self {
            volume,
            name: name.to_owned(),
            most_bytes,
            header: Vec::new(),
            start: Start::Header,
            length: 0,
            has_lines: false,
            torn: false,
            full: None,
            retry,
            dropped_lines: 0,
            counted: Arc::default(),
            clock: Clock::default(),
        }
    }

    fn drop_line(&mut self) {
        self.dropped_lines += 1;
        self.counted.on_full_disk();
    }

    /// After a line that fit.
    fn on_room(&mut self) {
        let Some(full) = self.full else { return };
        let since = match full {
            Full::Since(_) => self.clock.now(),
            Full::Room(since) => since,
        };
        self.full = Some(Full::Room(since));
        if self.clock.elapsed(since) >= self.retry {
            self.full = None;
            let count = std::mem::take(&mut self.dropped_lines);
            tracing::warn!("{}: there is room again; {count} lines were dropped", self.name);
        }
    }

    /// Writes a line, rotating the file first if needed.
    fn append(&mut self, line: &[u8]) -> io::Result<()> {
        if self.start == Start::Replace {
            match self.most_bytes {
                Some(_) => self.volume.rotate()?,
                None => self.volume.cut(0)?,
            }
            (self.start, self.length, self.has_lines) = (Start::Header, 0, false);
        } else if let Some(length) = self.volume.renewed(self.length)? {
            tracing::warn!("{}: another program has moved, deleted or emptied the file; it is recreated", self.name);
            (self.start, self.length, self.torn, self.has_lines) = (Start::Header, length, false, length > 0);
        }
        if self.torn {
            self.volume.cut(self.length)?;
            self.torn = false;
        }
        let header_bytes = if self.start == Start::Header { self.header.len() } else { 0 };
        let bytes = (header_bytes + line.len()) as u64;
        if self.has_lines && self.most_bytes.is_some_and(|most| self.length + bytes > most) {
            self.volume.rotate()?;
            (self.start, self.length, self.has_lines) = (Start::Header, 0, false);
        }
        if self.start == Start::Header {
            let header = std::mem::take(&mut self.header);
            let written = self.write_whole(&header);
            self.header = header;
            written?;
            self.start = Start::Done;
        }
        self.write_whole(line)?;
        self.has_lines = true;
        Ok(())
    }

    /// Writes all of `bytes` or, if possible, nothing.
    fn write_whole(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut done = 0;
        while done < bytes.len() {
            match self.volume.append(&bytes[done..]) {
                Ok(count) if count > 0 => done += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                failed => {
                    self.torn = done > 0 && self.volume.cut(self.length).is_err();
                    return Err(failed.err().unwrap_or_else(|| ErrorKind::WriteZero.into()));
                }
            }
        }
        self.length += bytes.len() as u64;
        Ok(())
    }
}

/// Whether the error means a full disk or quota.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}

impl<V: Volume> Write for Lines<V> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.header.is_empty() {
            // A disk that is full from the start is an error like any other: the person who starts the run can act on it.
            if self.start == Start::Header {
                self.write_whole(line)?;
                self.start = Start::Done;
            }
            self.header = line.to_vec();
            return Ok(line.len());
        }
        if is_header(line) {
            // It is written before the next line; on a full disk it must not be the one that is dropped.
            self.header = line.to_vec();
            if self.start == Start::Done {
                self.start = Start::Header;
            }
            return Ok(line.len());
        }
        if let Some(Full::Since(tried)) = self.full
            && self.clock.elapsed(tried) < self.retry
        {
            self.drop_line();
            return Ok(line.len());
        }
        match self.append(line) {
            Ok(()) => self.on_room(),
            Err(error) if is_full(&error) => {
                if self.full.is_none() {
                    tracing::warn!("{}: {error}; lines are dropped until there is room again", self.name);
                }
                self.full = Some(Full::Since(self.clock.now()));
                self.drop_line();
            }
            Err(error) => return Err(error),
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<V> Drop for Lines<V> {
    fn drop(&mut self) {
        if self.dropped_lines > 0 {
            tracing::warn!("{}: {} lines were dropped while the disk was full", self.name, self.dropped_lines);
        }
        if self.start == Start::Replace {
            tracing::warn!("{}: there was no result, so the file of an earlier run was kept", self.name);
        }
    }
}

#[cfg(test)]
mod tests;
