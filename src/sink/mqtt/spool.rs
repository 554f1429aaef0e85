//! Results that wait on disk, until the broker has them: a folder of segments of limited size.
//!
//! A segment is a file of records: length, camera and checksum of a result, then the result. Results are appended to the newest
//! segment and read from the oldest; a segment of which the broker has everything is deleted. `position` says how much of the oldest
//! one it has, so that little is sent twice by the next run. When there is no room, the oldest segment goes.
//!
//! Nothing is forced to the disk: a power failure may cost the last seconds, and what it has cut off is ignored.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::super::file::is_full;
use crate::write::OutputFile;

/// Ending of segments.
const ENDING: &str = ".spool";
/// How much of the oldest segment the broker has.
const POSITION: &str = "position";
/// The file that is locked while a program uses the folder.
const LOCK: &str = "spool.lock";
/// Segments in a full spool: so much of it is dropped at once.
const SEGMENTS: u64 = 16;
/// Bytes before a result.
const PREFIX: usize = 12;
/// Bytes that are checked at a time.
const CHUNK: usize = 64 << 10;

/// Where a result ends in the spool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    segment: u64,
    end: u64,
}

/// The folder.
#[derive(Debug)]
pub struct Spool {
    folder: PathBuf,
    _lock: OutputFile,
    /// Most bytes of all segments.
    limit: u64,
    /// Oldest first.
    segments: VecDeque<Segment>,
    /// Number of the next segment.
    next: u64,
    /// The newest segment, if it is still appended to.
    writer: Option<File>,
    /// The segment that is read.
    reader: Option<(u64, File)>,
    record: Vec<u8>,
    position: File,
    saved: Option<Place>,
    /// Segments of an earlier run that were not looked at yet.
    found: Vec<u64>,
}

#[derive(Debug)]
struct Segment {
    number: u64,
    /// Bytes of whole records.
    bytes: u64,
    /// Where the next one is read.
    read: u64,
    /// Results from there on.
    unread: u64,
    /// Bytes that the broker has.
    sent: u64,
}

impl Spool {
    /// Uses `folder`, which is made if it does not exist, for at most `limit` bytes; results that are there already are kept.
    ///
    /// # Errors
    /// As [`Spool::prepare`] and [`Spool::scan`].
    pub fn open(folder: &Path, limit: u64) -> io::Result<Self> {
        let mut spool = Self::prepare(folder, limit)?;
        spool.scan().map(|()| spool)
    }

    /// As [`Spool::open`], but what is in the folder is not looked at before [`Spool::scan`].
    ///
    /// # Errors
    /// If the folder cannot be made or read, another program uses it, or it holds other files.
    pub fn prepare(folder: &Path, limit: u64) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let mut numbers = Vec::new();
        for entry in fs::read_dir(folder)? {
            let name = entry?.file_name();
            let name = name.to_string_lossy();
            match name.strip_suffix(ENDING).and_then(|number| number.parse().ok()) {
                Some(number) => numbers.push(number),
                None if name == POSITION || name == LOCK => {}
                None => {
                    let text = format!("the folder holds {name}, which a spool does not have; give it one of its own");
                    return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
                }
            }
        }
        numbers.sort_unstable();
        let lock = OutputFile::open(&folder.join(LOCK))?;
        let position =
            File::options().read(true).write(true).create(true).truncate(false).open(folder.join(POSITION))?;
        Ok(Self {
            folder: folder.to_owned(),
            _lock: lock,
            limit,
            segments: VecDeque::new(),
            next: numbers.last().map_or(1, |&last: &u64| last.saturating_add(1)),
            writer: None,
            reader: None,
            record: Vec::new(),
            position,
            saved: None,
            found: numbers,
        })
    }

    /// Looks at what an earlier run has left.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn scan(&mut self) -> io::Result<()> {
        let from = read_position(&mut self.position);
        for number in std::mem::take(&mut self.found) {
            let sent = match from {
                Some(place) if place.segment == number => place.end,
                Some(place) if place.segment > number => u64::MAX,
                _ => 0,
            };
            let segment = Segment::read(&self.path(number), number, sent)?;
            if segment.unread > 0 {
                self.segments.push_back(segment);
            } else {
                fs::remove_file(self.path(number))?;
            }
        }
        Ok(())
    }

    fn path(&self, number: u64) -> PathBuf {
        self.folder.join(format!("{number:06}{ENDING}"))
    }

    /// Results that have not been read.
    #[must_use]
    pub fn unread(&self) -> u64 {
        self.segments.iter().map(|segment| segment.unread).sum()
    }

    fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    /// Appends a result, dropping the oldest segment if there is no room. Returns how many unread results that has cost; these are
    /// dropped even if there is an error.
    pub fn append(&mut self, camera: u32, payload: &[u8]) -> (u64, io::Result<Place>) {
        let size = (PREFIX + payload.len()) as u64;
        let mut dropped = 0;
        while self.bytes() + size > self.limit && !self.segments.is_empty() {
            dropped += self.drop_oldest();
        }
        if self.segments.back().is_some_and(|newest| newest.bytes + size > self.limit / SEGMENTS) {
            self.writer = None;
        }
        match self.write(camera, payload) {
            // The segment that is written may be the only one, and then gives room too.
            Err(error) if is_full(&error) && !self.segments.is_empty() => {
                dropped += self.drop_oldest();
                (dropped, self.write(camera, payload))
            }
            written => (dropped, written),
        }
    }

    fn write(&mut self, camera: u32, payload: &[u8]) -> io::Result<Place> {
        let length = u32::try_from(payload.len()).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let mut writer = match self.writer.take() {
            Some(writer) => writer,
            None => {
                let writer = File::create_new(self.path(self.next))?;
                self.segments.push_back(Segment { number: self.next, bytes: 0, read: 0, unread: 0, sent: 0 });
                self.next += 1;
                writer
            }
        };
        let Some(segment) = self.segments.back_mut() else { return Err(io::ErrorKind::NotFound.into()) };
        self.record.clear();
        self.record.extend_from_slice(&length.to_le_bytes());
        self.record.extend_from_slice(&camera.to_le_bytes());
        self.record.extend_from_slice(&checksum(camera, payload).to_le_bytes());
        self.record.extend_from_slice(payload);
        if let Err(error) = writer.write_all(&self.record) {
            // What is behind the whole records is ignored; if it cannot be cut off, another segment begins.
            let cut = writer.set_len(segment.bytes).and_then(|()| writer.seek(SeekFrom::Start(segment.bytes)));
            self.writer = cut.is_ok().then_some(writer);
            return Err(error);
        }
        segment.bytes += self.record.len() as u64;
        segment.unread += 1;
        self.writer = Some(writer);
        Ok(Place { segment: segment.number, end: segment.bytes })
    }

    /// Deletes the oldest segment; how many unread results that has cost.
    fn drop_oldest(&mut self) -> u64 {
        let Some(oldest) = self.segments.pop_front() else { return 0 };
        self.delete(oldest.number);
        oldest.unread
    }

    fn delete(&mut self, number: u64) {
        if self.segments.is_empty() {
            self.writer = None;
        }
        if self.reader.as_ref().is_some_and(|(read, _)| *read == number) {
            self.reader = None;
        }
        let path = self.path(number);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!("{} cannot be deleted: {error}", path.display());
            }
            _ => {}
        }
    }

    /// Appends the oldest unread result to `payload`; its camera, and its place for [`Spool::sent`].
    ///
    /// # Errors
    /// If it cannot be read any more, with how many results that has cost.
    pub fn next(&mut self, payload: &mut Vec<u8>) -> Result<Option<(u32, Place)>, (u64, io::Error)> {
        let Some(index) = self.segments.iter().position(|segment| segment.unread > 0) else { return Ok(None) };
        let segment = &self.segments[index];
        let (number, read) = (segment.number, segment.read);
        let start = payload.len();
        match self.read(number, read, payload) {
            Ok(camera) => {
                let segment = &mut self.segments[index];
                segment.read += (PREFIX + payload.len() - start) as u64;
                segment.unread -= 1;
                Ok(Some((camera, Place { segment: number, end: segment.read })))
            }
            Err(error) => {
                payload.truncate(start);
                let segment = &mut self.segments[index];
                let lost = std::mem::take(&mut segment.unread);
                segment.read = segment.bytes;
                Err((lost, error))
            }
        }
    }

    fn read(&mut self, number: u64, from: u64, payload: &mut Vec<u8>) -> io::Result<u32> {
        let reader = match self.reader.take() {
            Some((read, reader)) if read == number => reader,
            _ => File::open(self.path(number))?,
        };
        let mut prefix = [0; PREFIX];
        reader.read_exact_at(&mut prefix, from)?;
        let (length, camera, expected) = split(&prefix);
        let most = self.segments.iter().find(|segment| segment.number == number).map_or(0, |segment| segment.bytes);
        if from + PREFIX as u64 + u64::from(length) > most {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let start = payload.len();
        payload.resize(start + length as usize, 0);
        reader.read_exact_at(&mut payload[start..], from + PREFIX as u64)?;
        if checksum(camera, &payload[start..]) != expected {
            return Err(io::ErrorKind::InvalidData.into());
        }
        self.reader = Some((number, reader));
        Ok(camera)
    }

    /// Takes note that all that was appended is on its way already, and need not be read.
    pub fn skip_all(&mut self) {
        for segment in &mut self.segments {
            (segment.read, segment.unread) = (segment.bytes, 0);
        }
    }

    /// The broker has everything up to a place.
    pub fn sent(&mut self, place: Place) {
        while self.segments.front().is_some_and(|oldest| oldest.number < place.segment && oldest.unread == 0) {
            self.drop_oldest();
        }
        let Some(oldest) = self.segments.front_mut().filter(|oldest| oldest.number == place.segment) else { return };
        oldest.sent = oldest.sent.max(place.end);
        if oldest.unread == 0 && oldest.sent >= oldest.bytes {
            // Nothing is appended to it any more either.
            self.drop_oldest();
        }
    }

    /// Takes note on disk of what the broker has.
    pub fn save(&mut self) {
        let place = self.segments.front().map(|oldest| Place { segment: oldest.number, end: oldest.sent });
        if place == self.saved {
            return;
        }
        let mut bytes = [0; 20];
        if let Some(Place { segment, end }) = place {
            bytes[..8].copy_from_slice(&segment.to_le_bytes());
            bytes[8..16].copy_from_slice(&end.to_le_bytes());
        }
        let sum = crc32fast::hash(&bytes[..16]);
        bytes[16..].copy_from_slice(&sum.to_le_bytes());
        // Without it some results are sent twice, which QoS 1 does not exclude anyway.
        if let Err(error) = self.position.write_all_at(&bytes, 0) {
            tracing::debug!("{}: {error}", self.folder.join(POSITION).display());
        }
        self.saved = place;
    }
}

fn checksum(camera: u32, payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&camera.to_le_bytes());
    hasher.update(payload);
    hasher.finalize()
}

/// Length, camera and checksum.
fn split(prefix: &[u8; PREFIX]) -> (u32, u32, u32) {
    let number = |at: usize| u32::from_le_bytes([prefix[at], prefix[at + 1], prefix[at + 2], prefix[at + 3]]);
    (number(0), number(4), number(8))
}

/// Damaged, it is ignored.
fn read_position(file: &mut File) -> Option<Place> {
    let mut bytes = [0; 20];
    file.read_exact(&mut bytes).ok()?;
    let number = |at: usize| bytes[at..at + 8].iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte));
    let sum = u32::from_le_bytes([bytes[16], bytes[17], bytes[18], bytes[19]]);
    (crc32fast::hash(&bytes[..16]) == sum).then(|| Place { segment: number(0), end: number(8) })
}

impl Segment {
    /// A segment of an earlier run, of which the broker has `sent` bytes.
    fn read(path: &Path, number: u64, sent: u64) -> io::Result<Self> {
        let mut file = io::BufReader::with_capacity(CHUNK, File::open(path)?);
        let length = file.get_ref().metadata()?.len();
        let mut segment = Self { number, bytes: 0, read: 0, unread: 0, sent: 0 };
        let mut chunk = vec![0; CHUNK];
        let mut prefix = [0; PREFIX];
        while segment.bytes + PREFIX as u64 <= length {
            file.read_exact(&mut prefix)?;
            let (size, camera, expected) = split(&prefix);
            let end = segment.bytes + PREFIX as u64 + u64::from(size);
            if end > length {
                break;
            }
            let mut hasher = crc32fast::Hasher::new();
            hasher.update(&camera.to_le_bytes());
            let mut rest = size as usize;
            while rest > 0 {
                let part = rest.min(CHUNK);
                file.read_exact(&mut chunk[..part])?;
                hasher.update(&chunk[..part]);
                rest -= part;
            }
            if hasher.finalize() != expected {
                break;
            }
            segment.bytes = end;
            if end <= sent {
                (segment.read, segment.sent) = (end, end);
            } else {
                segment.unread += 1;
            }
        }
        if segment.bytes < length {
            let cut = length - segment.bytes;
            tracing::warn!("{}: {cut} bytes at its end are no whole result, and are ignored", path.display());
        }
        Ok(segment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(number: u32) -> Vec<u8> {
        format!("{{\"sequence\":{number}}}").into_bytes()
    }

    fn fill(spool: &mut Spool, numbers: std::ops::Range<u32>) -> u64 {
        numbers
            .map(|number| {
                let (dropped, written) = spool.append(number % 3, &text(number));
                written.unwrap();
                dropped
            })
            .sum()
    }

    fn take(spool: &mut Spool) -> Option<(u32, Vec<u8>, Place)> {
        let mut payload = Vec::new();
        spool.next(&mut payload).unwrap().map(|(camera, place)| (camera, payload, place))
    }

    fn files(folder: &Path) -> usize {
        let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.ends_with(ENDING)).count()
    }

    #[test]
    fn what_goes_in_comes_out_in_order_and_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let mut spool = Spool::open(folder.path(), 100_000).unwrap();
        assert_eq!(fill(&mut spool, 0..1000), 0);
        let mut places = Vec::new();
        for number in 0..1000 {
            let (camera, payload, place) = take(&mut spool).unwrap();
            assert_eq!((camera, payload), (number % 3, text(number)));
            places.push(place);
            // Some are appended meanwhile.
            if number % 10 == 0 {
                fill(&mut spool, 1000 + number / 10..1001 + number / 10);
            }
        }
        assert_eq!(spool.unread(), 100);
        places.into_iter().for_each(|place| spool.sent(place));
        for number in 1000..1100 {
            let (_, payload, place) = take(&mut spool).unwrap();
            assert_eq!(payload, text(number));
            spool.sent(place);
        }
        assert!(take(&mut spool).is_none());
        assert_eq!((spool.unread(), files(folder.path())), (0, 0));
        fill(&mut spool, 0..1);
        assert_eq!(take(&mut spool).unwrap().1, text(0));
    }

    #[test]
    fn the_oldest_go_when_there_is_no_room_and_are_counted() {
        let folder = tempfile::tempdir().unwrap();
        let mut spool = Spool::open(folder.path(), 16 << 10).unwrap();
        let dropped = fill(&mut spool, 0..5000);
        assert!(spool.bytes() <= 16 << 10 && dropped > 4000);
        assert_eq!(dropped + spool.unread(), 5000);
        for number in u32::try_from(dropped).unwrap()..5000 {
            assert_eq!(take(&mut spool).unwrap().1, text(number));
        }
        assert!(take(&mut spool).is_none());
    }

    #[test]
    fn the_next_run_goes_on_where_this_one_ended() {
        let folder = tempfile::tempdir().unwrap();
        let mut spool = Spool::open(folder.path(), 100_000).unwrap();
        fill(&mut spool, 0..1000);
        assert!(Spool::open(folder.path(), 100_000).is_err(), "it is in use");
        let places: Vec<Place> = (0..700).map(|_| take(&mut spool).unwrap().2).collect();
        // Read, but not known to have arrived: the last 200.
        places[..500].iter().for_each(|&place| spool.sent(place));
        spool.save();
        drop(spool);
        let mut spool = Spool::open(folder.path(), 100_000).unwrap();
        assert_eq!(spool.unread(), 500);
        fill(&mut spool, 1000..1001);
        for number in 500..1001 {
            assert_eq!(take(&mut spool).unwrap().1, text(number));
        }
        // A position that is damaged costs nothing but repetition.
        drop(spool);
        fs::write(folder.path().join(POSITION), b"x").unwrap();
        let mut spool = Spool::open(folder.path(), 100_000).unwrap();
        assert!(spool.unread() >= 501);
        assert!(take(&mut spool).is_some());
    }

    #[test]
    fn what_is_damaged_ends_where_it_was_whole() {
        let folder = tempfile::tempdir().unwrap();
        let mut spool = Spool::open(folder.path(), 1 << 20).unwrap();
        fill(&mut spool, 0..100);
        drop(spool);
        let path = folder.path().join(format!("000001{ENDING}"));
        let whole = fs::read(&path).unwrap();
        let record = whole.len() / 100;
        for cut in [whole.len() - 1, whole.len() - record + 3, record + 1, 5, 0] {
            fs::write(&path, &whole[..cut]).unwrap();
            let mut spool = Spool::open(folder.path(), 1 << 20).unwrap();
            let unread = spool.unread();
            assert!(unread <= (cut / (record - 2)) as u64, "{cut}: {unread}");
            (0..unread as u32).for_each(|number| assert_eq!(take(&mut spool).unwrap().1, text(number)));
            assert!(take(&mut spool).is_none());
        }
        let mut damaged = whole.clone();
        damaged[whole.len() / 2] ^= 1;
        fs::write(&path, &damaged).unwrap();
        let unread = Spool::open(folder.path(), 1 << 20).unwrap().unread();
        assert!((40..60).contains(&unread), "{unread}");
        // Damaged while it is used.
        fs::write(&path, &whole).unwrap();
        let mut spool = Spool::open(folder.path(), 1 << 20).unwrap();
        assert!(take(&mut spool).is_some());
        fs::write(&path, &damaged).unwrap();
        let mut payload = Vec::new();
        let lost = loop {
            match spool.next(&mut payload) {
                Ok(Some(_)) => payload.clear(),
                Ok(None) => panic!("the damage was not seen"),
                Err((lost, _)) => break lost,
            }
        };
        assert!((40..60).contains(&lost) && payload.is_empty(), "{lost}");
        assert!(take(&mut spool).is_none());
    }

    #[test]
    fn folders_of_others_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("thesis.tex"), "x").unwrap();
        let error = Spool::open(folder.path(), 1 << 20).unwrap_err().to_string();
        assert!(error.contains("thesis.tex"), "{error}");
    }
}
