//! `record:FOLDER`: frames, times and results, so that a run can be repeated with `replay:FOLDER`.
//!
//! Frames are kept as they are in memory, which loses nothing, or as JPEGs. Only frames with a result are kept; those that were
//! dropped leave a gap in the numbers, as in the results. The files are those of [`recording`](crate::source::recording): when
//! there are more bytes than `max`, or frames older than `age`, the oldest segment is deleted.
//!
//! A full disk does not end the run: the oldest segment makes room, or frames are left out until there is some.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Seek as _, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::file::is_full;
use super::image::encode_jpeg;
use super::jsonl::JsonLines;
use super::uri::{self, Parts};
use super::{DroppedLines, FrameResult, OutputSchema, Sink, SinkError};
use crate::source::recording::{
    FRAMES, FrameRecord, INDEX, IndexHeader, RESULTS, StoredFormat, VERSION, file, segments,
};
use crate::write::OutputFile;

/// Bytes of a recording by default.
const MAX: u64 = 2 << 30;
/// The least that `max` may be.
const LEAST_MAX: u64 = 16 << 20;
/// Segments in a full recording: so much of it is deleted at once.
const SEGMENTS: u64 = 16;
/// JPEG quality of frames.
const JPEG_QUALITY: u8 = 92;
/// How long a full disk is left alone before it is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// The file that is locked while a program records into the folder.
const LOCK: &str = "recording.lock";

/// What is kept, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Limits {
    /// Bytes of all files.
    bytes: u64,
    /// Age of a frame.
    age: Option<Duration>,
    jpeg: bool,
}

/// A recording that is written.
#[derive(Debug)]
struct Recorder {
    folder: PathBuf,
    _lock: OutputFile,
    limits: Limits,
    schema: OutputSchema,
    header: Vec<u8>,
    begun: Instant,
    /// Complete segments, oldest first.
    complete: VecDeque<Complete>,
    next: u64,
    segment: Option<Segment>,
    line: Vec<u8>,
    encoded: Vec<u8>,
    full_since: Option<Instant>,
    dropped: Arc<DroppedLines>,
}

#[derive(Debug)]
struct Complete {
    number: u64,
    bytes: u64,
    ended: SystemTime,
}

/// The segment that is written.
#[derive(Debug)]
struct Segment {
    number: u64,
    frames: File,
    index: File,
    results: JsonLines<Counted>,
    /// Bytes of complete frames and of their lines.
    frame_bytes: u64,
    index_bytes: u64,
    /// Bytes of their results.
    result_bytes: u64,
    begun: Instant,
}

/// A file that counts what is written to it.
#[derive(Debug)]
struct Counted {
    file: File,
    bytes: u64,
}

impl Counted {
    /// Cuts off what is behind `bytes`.
    fn cut(&mut self, bytes: u64) -> io::Result<()> {
        cut(&mut self.file, bytes)?;
        self.bytes = bytes;
        Ok(())
    }
}

/// Cuts off what is behind `bytes` of a file, and goes on there.
fn cut(file: &mut File, bytes: u64) -> io::Result<()> {
    file.set_len(bytes)?;
    file.seek(SeekFrom::Start(bytes)).map(|_| ())
}

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// The recording in the folder that `uri`, a path with or without options, names. `dropped` counts frames for which the disk
/// was full.
///
/// # Errors
/// If the folder cannot be made or holds other files, another program records into it, or an option is wrong.
pub fn open(uri: &str, schema: &OutputSchema, dropped: &Arc<DroppedLines>) -> Result<Box<dyn Sink>, SinkError> {
    let parts = Parts::of(uri);
    let limits = Limits::of(parts)?;
    Ok(Box::new(Recorder::new(Path::new(parts.path), limits, schema, dropped)?))
}

/// The folder that the sink `uri` writes into.
///
/// # Errors
/// If an option is wrong.
pub fn folder(uri: &str) -> Result<PathBuf, SinkError> {
    let parts = Parts::of(uri);
    Limits::of(parts).map(|_| parts.path.into())
}

impl Limits {
    fn of(parts: Parts<'_>) -> Result<Self, SinkError> {
        let mut limits = Self { bytes: MAX, age: None, jpeg: false };
        for (key, value) in parts.options() {
            match key {
                "max" => {
                    let bytes = uri::bytes(value).filter(|&bytes| bytes >= LEAST_MAX);
                    limits.bytes = bytes.ok_or_else(|| parts.wrong("max takes a size from 16MiB on, such as 2GiB"))?;
                }
                "age" => {
                    let age = uri::duration(value);
                    limits.age =
                        Some(age.ok_or_else(|| parts.wrong("age takes a time such as 90s, 30min, 12h or 7d"))?);
                }
                "format" => {
                    limits.jpeg = match value {
                        "raw" => false,
                        "jpeg" => true,
                        _ => return Err(parts.wrong("format is raw or jpeg")),
                    }
                }
                _ => return Err(parts.wrong(format!("there is no option `{key}`: use max, age and format"))),
            }
        }
        Ok(limits)
    }
}

impl Recorder {
    fn new(
        folder: &Path,
        limits: Limits,
        schema: &OutputSchema,
        dropped: &Arc<DroppedLines>,
    ) -> Result<Self, SinkError> {
        let failed = |source| SinkError::from_open(folder, source);
        fs::create_dir_all(folder).map_err(failed)?;
        for entry in fs::read_dir(folder).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            if !is_own(&name.to_string_lossy()) {
                let reason =
                    format!("the folder holds {}, which is of no recording; choose one of its own", name.display());
                return Err(SinkError::Option { uri: format!("record:{}", folder.display()), reason });
            }
        }
        let lock = OutputFile::open(&folder.join(LOCK)).map_err(failed)?;
        let numbers = segments(folder).map_err(failed)?;
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let header = IndexHeader {
            recording: VERSION,
            sinew: env!("CARGO_PKG_VERSION").to_owned(),
            run: u64::try_from(since_epoch.as_micros()).unwrap_or(u64::MAX),
        };
        let mut header = serde_json::to_vec(&header).map_err(|error| failed(error.into()))?;
        header.push(b'\n');
        Ok(Self {
            next: numbers.last().map_or(1, |last| last + 1),
            complete: numbers.into_iter().map(|number| Complete::read(folder, number)).collect(),
            folder: folder.to_owned(),
            _lock: lock,
            limits,
            schema: schema.clone(),
            header,
            begun: Instant::now(),
            segment: None,
            line: Vec::new(),
            encoded: Vec::new(),
            full_since: None,
            dropped: Arc::clone(dropped),
        })
    }

    /// Bytes of a segment at most, unless its only frame is larger.
    fn segment_bytes(&self) -> u64 {
        self.limits.bytes / SEGMENTS
    }

    /// Writes a result into the segment that is open, or into a new one.
    fn write(&mut self, result: &FrameResult<'_>, record: FrameRecord<'_>) -> Result<(), SinkError> {
        let oldest = self.limits.age.map(|age| age / SEGMENTS as u32);
        let is_complete = |segment: &Segment| {
            segment.bytes() + record.bytes > self.segment_bytes()
                || oldest.is_some_and(|age| segment.begun.elapsed() > age)
        };
        if self.segment.as_ref().is_some_and(is_complete) {
            self.end_segment();
        }
        self.delete_old(record.bytes);
        if self.segment.is_none() {
            let number = self.next;
            self.segment = Some(self.begin_segment().inspect_err(|_| self.delete(number))?);
        }
        let Some(segment) = &mut self.segment else { return Ok(()) };
        let data = if self.limits.jpeg { &self.encoded } else { result.frame.image.data() };
        let data = &data[..data.len().min(record.bytes as usize)];
        let record = FrameRecord { offset: segment.frame_bytes, ..record };
        self.line.clear();
        let failed = |error: io::Error| SinkError::from_write(&self.folder.display().to_string(), error);
        serde_json::to_writer(&mut self.line, &record).map_err(|error| failed(error.into()))?;
        self.line.push(b'\n');
        let before = segment.results.output().bytes;
        let written = segment.results.put(result).and_then(|()| segment.append(data, &self.line).map_err(failed));
        if written.is_err() {
            // Half a line, or a line whose frame is not there.
            segment.results.output().cut(before).map_err(failed)?;
        }
        segment.result_bytes = segment.results.output().bytes;
        written
    }

    fn begin_segment(&mut self) -> Result<Segment, SinkError> {
        let number = self.next;
        let create = |ending| {
            let path = file(&self.folder, number, ending);
            File::create_new(&path).map_err(|source| SinkError::Write { target: path.display().to_string(), source })
        };
        let (frames, mut index, results) = (create(FRAMES)?, create(INDEX)?, create(RESULTS)?);
        // Even if what follows fails: its files are there.
        self.next += 1;
        let target = self.folder.display().to_string();
        index.write_all(&self.header).map_err(|error| SinkError::from_write(&target, error))?;
        let mut results = JsonLines::new(Counted { file: results, bytes: 0 }, &target, &self.schema)?;
        let (index_bytes, result_bytes) = (self.header.len() as u64, results.output().bytes);
        Ok(Segment { number, frames, index, results, frame_bytes: 0, index_bytes, result_bytes, begun: Instant::now() })
    }

    fn end_segment(&mut self) {
        if let Some(segment) = self.segment.take() {
            let (number, bytes) = (segment.number, segment.bytes());
            self.complete.push_back(Complete { number, bytes, ended: SystemTime::now() });
        }
    }

    /// Deletes segments until there is room for `bytes` more.
    fn delete_old(&mut self, bytes: u64) {
        let kept: u64 = self.complete.iter().map(|segment| segment.bytes).sum();
        let mut kept = kept + self.segment.as_ref().map_or(0, Segment::bytes);
        while let Some(oldest) = self.complete.front() {
            let is_old = self.limits.age.is_some_and(|age| oldest.ended.elapsed().is_ok_and(|since| since > age));
            if kept + bytes <= self.limits.bytes && !is_old {
                return;
            }
            kept -= oldest.bytes;
            self.delete_oldest();
        }
    }

    /// Whether there was one.
    fn delete_oldest(&mut self) -> bool {
        let Some(oldest) = self.complete.pop_front() else { return false };
        self.delete(oldest.number);
        true
    }

    fn delete(&self, number: u64) {
        for ending in [FRAMES, INDEX, RESULTS] {
            let path = file(&self.folder, number, ending);
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    tracing::warn!("{} cannot be deleted: {error}", path.display());
                }
                _ => {}
            }
        }
    }

    /// What a result's record says besides where its image is; the image is then in `encoded` if it is to be a JPEG.
    fn record<'a>(&mut self, result: &FrameResult<'a>) -> Result<FrameRecord<'a>, SinkError> {
        let frame = &result.frame;
        let nanoseconds = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let captured = frame.instant.unwrap_or_else(Instant::now);
        let mut record = FrameRecord {
            sequence: frame.sequence,
            captured_ns: frame.captured.map(nanoseconds),
            time_ns: nanoseconds(captured.saturating_duration_since(self.begun)),
            camera: result.live.map_or(0, |live| live.camera),
            name: frame.name.map(Into::into),
            live: result.live.is_some(),
            ..FrameRecord::of(frame.image)
        };
        if self.limits.jpeg {
            self.encoded.clear();
            let target = self.folder.display().to_string();
            encode_jpeg(&mut self.encoded, frame.image.size(), result.rgb(), JPEG_QUALITY, &target)?;
            (record.format, record.bytes, record.stride) = (StoredFormat::Jpeg, self.encoded.len() as u64, 0);
        }
        Ok(record)
    }
}

/// Whether a file is of a recording.
fn is_own(name: &str) -> bool {
    let is_segment = |ending: &str| {
        let number = name.strip_suffix(ending).and_then(|name| name.strip_suffix('.'));
        number.is_some_and(|number| number.len() >= 6 && number.bytes().all(|byte| byte.is_ascii_digit()))
    };
    name == LOCK || [FRAMES, INDEX, RESULTS].into_iter().any(is_segment)
}

impl Complete {
    /// A segment of an earlier run.
    fn read(folder: &Path, number: u64) -> Self {
        let found = |ending| fs::metadata(file(folder, number, ending));
        let bytes = [FRAMES, INDEX, RESULTS].into_iter().filter_map(|ending| Some(found(ending).ok()?.len())).sum();
        let ended = found(INDEX).and_then(|found| found.modified()).unwrap_or(UNIX_EPOCH);
        Self { number, bytes, ended }
    }
}

impl Segment {
    fn bytes(&self) -> u64 {
        self.frame_bytes + self.index_bytes + self.result_bytes
    }

    /// Appends an image and its line, or neither.
    fn append(&mut self, data: &[u8], line: &[u8]) -> io::Result<()> {
        let written = self.frames.write_all(data).and_then(|()| self.index.write_all(line));
        if written.is_err() {
            // A part of it may be there.
            cut(&mut self.frames, self.frame_bytes)?;
            cut(&mut self.index, self.index_bytes)?;
            return written;
        }
        self.frame_bytes += data.len() as u64;
        self.index_bytes += line.len() as u64;
        Ok(())
    }
}

impl Sink for Recorder {
    fn describe(&mut self, schema: &OutputSchema) -> Result<(), SinkError> {
        // Every segment has one header.
        self.end_segment();
        self.schema = schema.clone();
        Ok(())
    }

    fn put(&mut self, result: &FrameResult<'_>) -> Result<(), SinkError> {
        if self.full_since.is_some_and(|since| since.elapsed() < RETRY) {
            self.dropped.on_full_disk();
            return Ok(());
        }
        let record = self.record(result)?;
        loop {
            match self.write(result, record.clone()) {
                Ok(()) => {
                    self.full_since = None;
                    return Ok(());
                }
                Err(SinkError::Write { source, target }) if is_full(&source) => {
                    // What is left of the segment is whole; the next frame begins another.
                    self.end_segment();
                    if self.delete_oldest() {
                        continue;
                    }
                    if self.full_since.is_none() {
                        tracing::warn!("{target}: the disk is full; frames are not recorded until there is room");
                    }
                    self.full_since = Some(Instant::now());
                    self.dropped.on_full_disk();
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests;
