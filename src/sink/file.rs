//! JSON lines in a file: `PATH`, or `PATH?rotate=64MiB&keep=5`.
//!
//! With `rotate`, a file that would grow beyond the size is put aside as `PATH.1`, the one before it becomes `PATH.2`,
//! and so on; `keep` of them are kept. Every file begins with the header and ends with a whole line.
//!
//! A full disk does not end the work: lines are left out and counted until there is room again, and a line that was
//! written in part is cut off. What is no regular file, such as a pipe, has no such rules.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::jsonl::JsonLines;
use super::uri::{self, Parts};
use super::{DroppedLines, OutputSchema, Sink, SinkError};

/// Files that are put aside, where nothing else is said.
const KEEP: u32 = 5;
/// Most files that may be.
const MOST_KEPT: u32 = 999;
/// How long a full disk is left alone before it is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// When a file is put aside, and how many of them there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Rotation {
    /// Most bytes of a file, unless its only line has more.
    bytes: u64,
    keep: u32,
}

/// JSON lines in the file that `uri`, a path with or without options, names; `left_out` counts lines that find the disk full.
///
/// # Errors
/// Where the file cannot be opened, its header does not fit onto the disk, or an option is wrong.
pub fn open(uri: &str, schema: &OutputSchema, dropped_lines: &Arc<DroppedLines>) -> Result<Box<dyn Sink>, SinkError> {
    let parts = Parts::of(uri);
    let rotation = rotation(parts)?;
    let path = Path::new(parts.path);
    let unwritable = |source| SinkError::Open { target: parts.path.to_owned(), source };
    if fs::metadata(path).is_ok_and(|found| !found.is_file()) || parts.path == "-" {
        if rotation.is_some() {
            return Err(parts.wrong("only a regular file can be rotated"));
        }
        let output = File::create(path).map_err(unwritable)?;
        return Ok(Box::new(JsonLines::new(output, parts.path, schema)?));
    }
    let mut files = Files { path: path.to_owned(), keep: rotation.map_or(0, |rotation| rotation.keep), file: None };
    // What an earlier run has written is kept where files are kept, else replaced.
    if rotation.is_some() && fs::metadata(path).is_ok_and(|found| found.len() > 0) {
        files.put_aside().map_err(unwritable)?;
    }
    files.create().map_err(unwritable)?;
    let bytes = rotation.map(|rotation| rotation.bytes);
    let mut lines = Lines::new(files, bytes, RETRY, parts.path);
    lines.counted = Arc::clone(dropped_lines);
    Ok(Box::new(JsonLines::new(lines, parts.path, schema)?))
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

/// What lines are kept in. A trait, so that a full disk can be played.
trait Volume: Send {
    /// Writes some of `bytes` at `position`, the end of what is there.
    fn write_at(&mut self, bytes: &[u8], position: u64) -> io::Result<usize>;

    /// Cuts off what is behind `length` bytes.
    fn cut(&mut self, length: u64) -> io::Result<()>;

    /// Puts the file aside and begins another. May be asked for again where it has failed.
    fn rotate(&mut self) -> io::Result<()>;
}

/// A file and those that were put aside.
#[derive(Debug)]
struct Files {
    path: PathBuf,
    keep: u32,
    /// `None` between one file and the next.
    file: Option<File>,
}

impl Files {
    fn create(&mut self) -> io::Result<()> {
        self.file = Some(File::create(&self.path)?);
        Ok(())
    }

    /// The name of a file that was put aside.
    fn aside(&self, number: u32) -> PathBuf {
        let mut name = OsString::from(&self.path);
        name.push(format!(".{number}"));
        PathBuf::from(name)
    }

    /// Moves every file on by one, the last one over the edge. Only files before a gap need to move: where this has
    /// failed halfway, nothing is lost by doing it again.
    fn put_aside(&mut self) -> io::Result<()> {
        let mut last = self.keep;
        for number in 1..=self.keep {
            if !fs::exists(self.aside(number))? {
                last = number;
                break;
            }
        }
        for number in (2..=last).rev() {
            fs::rename(self.aside(number - 1), self.aside(number))?;
        }
        match fs::rename(&self.path, self.aside(1)) {
            // Somebody else has taken it away.
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            renamed => renamed,
        }
    }

    fn file(&self) -> io::Result<&File> {
        self.file.as_ref().ok_or_else(|| ErrorKind::NotFound.into())
    }
}

impl Volume for Files {
    fn write_at(&mut self, bytes: &[u8], position: u64) -> io::Result<usize> {
        self.file()?.write_at(bytes, position)
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.file()?.set_len(length)
    }

    fn rotate(&mut self) -> io::Result<()> {
        if self.file.is_some() {
            self.put_aside()?;
            self.file = None;
        }
        self.create()
    }
}

/// A disk without room. What little is left may take a line now and then: it counts as full until lines have fit for a
/// while.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Full {
    /// It was tried then, in vain.
    Since(Instant),
    /// Lines have fit from then on.
    Room(Instant),
}

/// Takes whole lines, the header first.
#[derive(Debug)]
struct Lines<V> {
    volume: V,
    /// What to call it.
    name: String,
    most_bytes: Option<u64>,
    header: Vec<u8>,
    /// Bytes of the whole lines in the file.
    length: u64,
    /// Whether there may be half a line behind them.
    torn: bool,
    /// `None` while all is well.
    full: Option<Full>,
    retry: Duration,
    /// Lines that there was no room for, since the disk was full.
    dropped_lines: u64,
    /// All of them, for whoever asks while the work goes on.
    counted: Arc<DroppedLines>,
}

impl<V: Volume> Lines<V> {
    fn new(volume: V, most_bytes: Option<u64>, retry: Duration, name: &str) -> Self {
        Self {
            volume,
            name: name.to_owned(),
            most_bytes,
            header: Vec::new(),
            length: 0,
            torn: false,
            full: None,
            retry,
            dropped_lines: 0,
            counted: Arc::default(),
        }
    }

    fn leave_out(&mut self) {
        self.dropped_lines += 1;
        self.counted.on_a_full_disk();
    }

    /// After a line that fit.
    fn on_room(&mut self) {
        let Some(full) = self.full else { return };
        let since = match full {
            Full::Since(_) => Instant::now(),
            Full::Room(since) => since,
        };
        self.full = Some(Full::Room(since));
        if since.elapsed() >= self.retry {
            self.full = None;
            let count = std::mem::take(&mut self.dropped_lines);
            tracing::warn!("{}: there is room again; {count} lines were left out", self.name);
        }
    }

    /// Writes a line into the file where it belongs.
    fn append(&mut self, line: &[u8]) -> io::Result<()> {
        if self.torn {
            self.volume.cut(self.length)?;
            self.torn = false;
        }
        let has_lines = self.length > self.header.len() as u64;
        if has_lines && self.most_bytes.is_some_and(|most| self.length + line.len() as u64 > most) {
            self.volume.rotate()?;
            self.length = 0;
        }
        if self.length == 0 {
            let header = std::mem::take(&mut self.header);
            let written = self.write_whole(&header);
            self.header = header;
            written?;
        }
        self.write_whole(line)
    }

    /// Writes all of `bytes` or, as far as it can be helped, nothing.
    fn write_whole(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut done = 0;
        while done < bytes.len() {
            match self.volume.write_at(&bytes[done..], self.length + done as u64) {
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

/// Whether this is about room, the disk's or the user's share of it.
fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}

impl<V: Volume> Write for Lines<V> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.header.is_empty() {
            // A disk that is full from the start is an error like any other: whoever starts the work is still there.
            self.write_whole(line)?;
            self.header = line.to_vec();
            return Ok(line.len());
        }
        if let Some(Full::Since(tried)) = self.full
            && tried.elapsed() < self.retry
        {
            self.leave_out();
            return Ok(line.len());
        }
        match self.append(line) {
            Ok(()) => self.on_room(),
            Err(error) if is_full(&error) => {
                if self.full.is_none() {
                    tracing::warn!("{}: {error}; lines are left out until there is room again", self.name);
                }
                self.full = Some(Full::Since(Instant::now()));
                self.leave_out();
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
            tracing::warn!("{}: {} lines were left out while the disk was full", self.name, self.dropped_lines);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk with so much room; what was put aside is kept.
    #[derive(Debug, Default)]
    struct Small {
        room: usize,
        /// Whether half a line cannot be cut off for now.
        stuck: bool,
        file: Vec<u8>,
        aside: Vec<Vec<u8>>,
    }

    impl Volume for Small {
        fn write_at(&mut self, bytes: &[u8], position: u64) -> io::Result<usize> {
            assert_eq!(position, self.file.len() as u64, "at the end, without gaps");
            let free = self.room.saturating_sub(self.file.len());
            if free == 0 {
                return Err(ErrorKind::StorageFull.into());
            }
            let count = free.min(bytes.len());
            self.file.extend_from_slice(&bytes[..count]);
            Ok(count)
        }

        fn cut(&mut self, length: u64) -> io::Result<()> {
            if self.stuck {
                return Err(ErrorKind::StorageFull.into());
            }
            self.file.truncate(length as usize);
            Ok(())
        }

        fn rotate(&mut self) -> io::Result<()> {
            self.aside.push(std::mem::take(&mut self.file));
            Ok(())
        }
    }

    fn lines(room: usize, most_bytes: Option<u64>) -> Lines<Small> {
        let mut lines = Lines::new(Small { room, ..Small::default() }, most_bytes, Duration::ZERO, "played");
        lines.write_all(b"header\n").unwrap();
        lines
    }

    fn text(lines: &Lines<Small>) -> &str {
        std::str::from_utf8(&lines.volume.file).unwrap()
    }

    #[test]
    fn a_full_disk_costs_whole_lines_only() {
        let mut lines = lines(20, None);
        for line in ["first\n", "second\n", "third\n", "4\n"] {
            lines.write_all(line.as_bytes()).unwrap();
        }
        // 7 + 6 + 7 bytes: the disk is full to the last byte.
        assert_eq!(text(&lines), "header\nfirst\nsecond\n");
        assert_eq!(lines.dropped_lines, 2);
        // Some room, but not enough for the line: nothing of it stays.
        lines.volume.room = 24;
        lines.write_all(b"fifth\n").unwrap();
        assert_eq!(text(&lines), "header\nfirst\nsecond\n");
        assert_eq!(lines.dropped_lines, 3);
        lines.volume.room = 100;
        lines.write_all(b"sixth\n").unwrap();
        assert_eq!(text(&lines), "header\nfirst\nsecond\nsixth\n");
        assert_eq!((lines.dropped_lines, lines.full, lines.counted.disk()), (0, None, 3));
    }

    #[test]
    fn half_a_line_is_cut_off_as_soon_as_it_can_be() {
        let mut lines = lines(10, None);
        lines.volume.stuck = true;
        lines.write_all(b"first\n").unwrap();
        assert_eq!(text(&lines), "header\nfir");
        lines.volume.room = 100;
        lines.write_all(b"second\n").unwrap();
        assert_eq!(text(&lines), "header\nfir", "nothing is written behind half a line");
        lines.volume.stuck = false;
        lines.write_all(b"third\n").unwrap();
        assert_eq!(text(&lines), "header\nthird\n");
    }

    #[test]
    fn a_full_disk_is_left_alone_for_a_while() {
        let mut lines = lines(7, None);
        lines.retry = Duration::from_secs(3600);
        lines.write_all(b"first\n").unwrap();
        lines.volume.room = 100;
        lines.write_all(b"second\n").unwrap();
        assert_eq!((text(&lines), lines.dropped_lines), ("header\n", 2));
        lines.retry = Duration::ZERO;
        lines.write_all(b"third\n").unwrap();
        assert_eq!(text(&lines), "header\nthird\n");
    }

    #[test]
    fn a_line_that_fits_is_no_room_yet() {
        let mut lines = lines(13, None);
        lines.write_all(b"too long for what is left\n").unwrap();
        let full = lines.full;
        assert!(matches!(full, Some(Full::Since(_))));
        lines.retry = Duration::from_secs(3600);
        lines.full = full.map(|_| Full::Since(Instant::now().checked_sub(lines.retry).unwrap()));
        lines.write_all(b"short\n").unwrap();
        assert!(matches!(lines.full, Some(Full::Room(_))), "not said yet");
        lines.write_all(b"full again\n").unwrap();
        assert!(matches!(lines.full, Some(Full::Since(_))), "not said a second time");
        assert_eq!((text(&lines), lines.dropped_lines), ("header\nshort\n", 2));
    }

    #[test]
    fn a_header_that_did_not_fit_is_written_later() {
        let mut lines = lines(7 + 6, Some(15));
        lines.write_all(b"first\n").unwrap();
        lines.volume.room = 3;
        // The next file has no room for its header.
        lines.write_all(b"second\n").unwrap();
        assert_eq!((text(&lines), lines.volume.aside.len()), ("", 1));
        lines.volume.room = 100;
        lines.write_all(b"third\n").unwrap();
        assert_eq!((text(&lines), lines.volume.aside.len()), ("header\nthird\n", 1));
        assert_eq!(lines.volume.aside[0], b"header\nfirst\n");
    }

    #[test]
    fn a_line_longer_than_a_file_has_one_of_its_own() {
        let mut lines = lines(1000, Some(12));
        for line in ["a line that is too long\n", "1\n", "2\n", "3\n", "another that is too long\n"] {
            lines.write_all(line.as_bytes()).unwrap();
        }
        let aside: Vec<_> = lines.volume.aside.iter().map(|file| std::str::from_utf8(file).unwrap()).collect();
        assert_eq!(aside, ["header\na line that is too long\n", "header\n1\n2\n", "header\n3\n"]);
        assert_eq!(text(&lines), "header\nanother that is too long\n");
    }

    /// The kernel's own full disk.
    #[derive(Debug)]
    struct DevFull(File);

    impl Volume for DevFull {
        fn write_at(&mut self, bytes: &[u8], _: u64) -> io::Result<usize> {
            self.0.write(bytes)
        }

        fn cut(&mut self, _: u64) -> io::Result<()> {
            panic!("nothing was written");
        }

        fn rotate(&mut self) -> io::Result<()> {
            panic!("nothing was written");
        }
    }

    #[test]
    fn what_the_kernel_says_of_a_full_disk_is_understood() {
        let Ok(full) = File::options().write(true).open("/dev/full") else { return };
        let mut lines = Lines::new(DevFull(full), None, Duration::ZERO, "/dev/full");
        assert!(lines.write_all(b"header\n").is_err_and(|error| is_full(&error)), "at the start it is an error");
        (lines.header, lines.length) = (b"header\n".to_vec(), 7);
        lines.write_all(b"first\n").unwrap();
        lines.write_all(b"second\n").unwrap();
        assert_eq!(lines.dropped_lines, 2);
    }

    #[test]
    fn options() {
        let of = |text| rotation(Parts::of(text));
        assert_eq!(of("a.jsonl").unwrap(), None);
        assert_eq!(of("a.jsonl?rotate=1MiB").unwrap(), Some(Rotation { bytes: 1 << 20, keep: KEEP }));
        assert_eq!(of("a.jsonl?rotate=9&keep=2").unwrap(), Some(Rotation { bytes: 9, keep: 2 }));
        for wrong in ["a?rotate=many", "a?rotate=1MiB&keep=0", "a?keep=3", "a?rotate=1&keep=1000", "a?compress=yes"] {
            assert!(of(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn putting_aside_fills_gaps_first() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let at = |name: &str| folder.path().join(name);
        for name in ["a", "a.1", "a.3"] {
            fs::write(at(name), name).unwrap();
        }
        let mut files = Files { path, keep: 3, file: None };
        let expect = |expected: &[(&str, &str)]| {
            for (name, content) in expected {
                assert_eq!(&fs::read_to_string(at(name)).unwrap(), content, "{name}");
            }
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), expected.len());
        };
        files.put_aside().unwrap();
        expect(&[("a.1", "a"), ("a.2", "a.1"), ("a.3", "a.3")]);
        fs::write(at("a"), "new").unwrap();
        files.put_aside().unwrap();
        expect(&[("a.1", "new"), ("a.2", "a"), ("a.3", "a.1")]);
        files.put_aside().unwrap();
        expect(&[("a.2", "new"), ("a.3", "a")]);
    }
}
