//! `replay:FOLDER`: the frames of a recording, at the times at which they were captured or as fast as they are taken.

use std::borrow::Cow;
use std::fs::File;
use std::io::{BufReader, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use super::file_uri::options;
use super::recording::{FRAMES, FrameRecord, INDEX, IndexHeader, MAX_IMAGE, MAX_LINE, VERSION, file, segments};
use super::{Frame, Source, SourceError};
use crate::counts::Counts;
use crate::geometry::Size;
use crate::pixels::jpeg::JpegDecoder;
use crate::pixels::{Image, ImageView, Limits};
use crate::read::BoundedLines;

/// How long a waiting source waits before it lets its reader look whether it should stop.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// What `replay:` asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
struct ReplayRequest {
    folder: PathBuf,
    /// Frames come at the times at which they were captured, as a camera's; else as fast as they are taken.
    live: bool,
    camera: usize,
    /// Of the runs in the folder, from 1; `None` is the last.
    run: Option<usize>,
}

/// A recording that is read.
#[derive(Debug)]
pub struct Replay {
    folder: PathBuf,
    /// Segments that are not begun, in reverse.
    waiting: Vec<u64>,
    segment: Option<Segment>,
    camera: usize,
    live: bool,
    /// When the first frame was due, and its time in the recording.
    start: Option<(Instant, u64)>,
    /// The next frame, which is not due yet.
    next: Option<FrameRecord<'static>>,
    bytes: Vec<u8>,
    decoded: Image,
    decoder: JpegDecoder,
    name: Option<String>,
    warning: Option<SourceError>,
}

/// A segment that is read.
#[derive(Debug)]
struct Segment {
    lines: BoundedLines<BufReader<File>>,
    frames: File,
    path: PathBuf,
    /// Of the current line, from 1.
    line: u64,
}

/// The folder, and the options behind it.
fn split(uri: &str) -> (&str, &str) {
    let is_folder = Path::new(uri).is_dir();
    uri.rsplit_once('?').filter(|_| !is_folder).unwrap_or((uri, ""))
}

/// The folder of what stands behind `replay:` in a URI.
pub(super) fn folder_of(uri: &str) -> &Path {
    Path::new(split(uri).0)
}

impl ReplayRequest {
    fn parse(uri: &str) -> Result<Self, String> {
        let (folder, given) = split(uri);
        if folder.is_empty() {
            return Err("give the folder of a recording, as in replay:FOLDER".to_owned());
        }
        let mut request = Self { folder: folder.into(), live: true, camera: 0, run: None };
        for (key, value) in options(given) {
            let number = || value.parse::<usize>().ok();
            match key {
                "speed" => {
                    request.live = match value {
                        "1" => true,
                        "max" => false,
                        _ => return Err(format!("speed is '{value}', expected 1 or max")),
                    }
                }
                "camera" => {
                    request.camera =
                        number().ok_or_else(|| format!("camera is '{value}', expected a number from 0 on"))?;
                }
                "run" => {
                    let run = number().filter(|&run| run > 0);
                    request.run = Some(run.ok_or_else(|| format!("run is '{value}', expected a number from 1 on"))?);
                }
                _ => return Err(format!("there is no option '{key}': use speed, camera and run")),
            }
        }
        Ok(request)
    }
}

impl Replay {
    /// Opens what stands behind `replay:` in a URI: `FOLDER?speed=1|max&camera=0&run=1`.
    ///
    /// # Errors
    /// If an option is wrong, or the folder holds no such recording.
    pub fn open(uri: &str) -> Result<Self, SourceError> {
        let option = |reason| SourceError::Option { uri: format!("replay:{uri}"), reason };
        let ReplayRequest { folder, live, camera, run } = ReplayRequest::parse(uri).map_err(option)?;
        let failed = |source| SourceError::Open { path: folder.clone(), source };
        let numbers = segments(&folder).map_err(failed)?;
        let mut runs: Vec<(u64, Vec<u64>)> = Vec::new();
        for number in numbers {
            // A segment that was begun when the power failed.
            let Some(header) = header(&folder, number)? else { continue };
            match runs.last_mut() {
                Some((run, segments)) if *run == header.run => segments.push(number),
                _ => runs.push((header.run, vec![number])),
            }
        }
        if runs.is_empty() {
            return Err(option("no recording in this folder; `sinew run --record FOLDER` makes one".to_owned()));
        }
        let chosen = run.unwrap_or(runs.len());
        let count = runs.len();
        let Some((_, mut waiting)) = runs.into_iter().nth(chosen - 1) else {
            return Err(option(format!("run {chosen} was asked for, the folder holds {count}")));
        };
        waiting.reverse();
        Ok(Self {
            folder,
            waiting,
            segment: None,
            camera,
            live,
            start: None,
            next: None,
            bytes: Vec::new(),
            decoded: Image::default(),
            decoder: JpegDecoder::default(),
            name: None,
            warning: None,
        })
    }

    /// The next record of the camera, whose image is then in `bytes`.
    fn advance(&mut self) -> Result<Option<FrameRecord<'static>>, SourceError> {
        loop {
            let Some(segment) = &mut self.segment else {
                let Some(number) = self.waiting.pop() else { return Ok(None) };
                self.segment = Some(Segment::open(&self.folder, number)?);
                continue;
            };
            match segment.record()? {
                Some(record) if record.camera == self.camera => {
                    if segment.read(&record, &mut self.bytes)? {
                        return Ok(Some(record));
                    }
                    self.warning = Some(segment.wrong(&"the image is cut off; the rest of this segment is left out"));
                    self.segment = None;
                }
                Some(_) => {}
                None => self.segment = None,
            }
        }
    }
}

impl Source for Replay {
    fn next_frame(&mut self) -> Result<Option<Frame<'_>>, SourceError> {
        if self.next.is_none() {
            self.next = self.advance()?;
        }
        let Some(record) = &self.next else { return Ok(None) };
        let mut instant = None;
        if self.live {
            let (start, first) = *self.start.get_or_insert_with(|| (Instant::now(), record.time_ns));
            let due = start + Duration::from_nanos(record.time_ns.saturating_sub(first));
            let wait = due.saturating_duration_since(Instant::now());
            thread::sleep(wait.min(POLL_INTERVAL));
            if wait > POLL_INTERVAL {
                return Err(SourceError::NotYet);
            }
            instant = Some(due);
        }
        let Some(record) = self.next.take() else { return Ok(None) };
        if self.name.as_deref() != record.name.as_deref() {
            self.name = record.name.as_ref().map(|name| name.clone().into_owned());
        }
        // A camera's frame without a time of its own is no image either.
        let captured = record.captured_ns.or(record.live.then_some(record.time_ns)).map(Duration::from_nanos);
        let place = |reason: String| SourceError::Recording { path: self.folder.clone(), reason };
        let frame = |reason: &dyn std::fmt::Display| place(format!("frame {}: {reason}", record.sequence));
        let image = if let Some(format) = record.format.pixels() {
            let size = Size::new(record.image.0, record.image.1);
            let view = ImageView::new(format, size, record.stride, &self.bytes).map_err(|error| frame(&error))?;
            view.with_colour(record.colour())
        } else {
            let decoded = self.decoder.decode(&self.bytes, &Limits::default(), &mut self.decoded);
            decoded.map_err(|error| frame(&error))?;
            self.decoded.view()
        };
        Ok(Some(Frame { image, sequence: record.sequence, captured, instant, name: self.name.as_deref() }))
    }

    fn next_warning(&mut self) -> Option<SourceError> {
        self.warning.take()
    }

    fn live_counts(&self) -> Option<Counts> {
        self.live.then(Counts::default)
    }
}

fn open(path: &Path) -> Result<File, SourceError> {
    File::open(path).map_err(|source| SourceError::Open { path: path.to_owned(), source })
}

/// The first line of a segment's index; `None` where it is cut off.
fn header(folder: &Path, number: u64) -> Result<Option<IndexHeader>, SourceError> {
    Segment::open_index(file(folder, number, INDEX)).map(|(_, header)| header)
}

impl Segment {
    fn open(folder: &Path, number: u64) -> Result<Self, SourceError> {
        let path = file(folder, number, INDEX);
        let (lines, _) = Self::open_index(path.clone())?;
        Ok(Self { lines, frames: open(&file(folder, number, FRAMES))?, path, line: 1 })
    }

    fn open_index(path: PathBuf) -> Result<(BoundedLines<BufReader<File>>, Option<IndexHeader>), SourceError> {
        let mut lines = BoundedLines::new(BufReader::new(open(&path)?), MAX_LINE);
        let wrong = |reason: String| SourceError::Recording { path: path.clone(), reason: format!("line 1: {reason}") };
        let first = lines.next_line().map_err(|error| wrong(error.to_string()))?.unwrap_or_default();
        let header: IndexHeader = match serde_json::from_str(first) {
            Ok(header) => header,
            Err(error) if error.is_eof() => return Ok((lines, None)),
            Err(error) => return Err(wrong(format!("not the index of a recording: {error}"))),
        };
        if header.recording != VERSION {
            return Err(wrong(format!("version {} of recordings, expected {VERSION}", header.recording)));
        }
        Ok((lines, Some(header)))
    }

    /// The next line; a last one that is cut off, as after a power failure, ends the segment.
    fn record(&mut self) -> Result<Option<FrameRecord<'static>>, SourceError> {
        self.line += 1;
        let wrong = |reason: &dyn std::fmt::Display| SourceError::Recording {
            path: self.path.clone(),
            reason: format!("line {}: {reason}", self.line),
        };
        let Some(text) = self.lines.next_line().map_err(|error| wrong(&error))? else { return Ok(None) };
        match serde_json::from_str::<FrameRecord<'_>>(text) {
            Ok(record) => {
                Ok(Some(FrameRecord { name: record.name.map(|name| Cow::Owned(name.into_owned())), ..record }))
            }
            Err(error) if error.is_eof() => Ok(None),
            Err(error) => Err(wrong(&error)),
        }
    }

    /// Reads a record's image; false where the file ends before it.
    fn read(&mut self, record: &FrameRecord<'_>, bytes: &mut Vec<u8>) -> Result<bool, SourceError> {
        if record.bytes > MAX_IMAGE {
            let reason = format!("an image of {} bytes, at most {MAX_IMAGE} are read", record.bytes);
            return Err(self.wrong(&reason));
        }
        let length = self.frames.metadata().map_err(|error| self.wrong(&error))?.len();
        if record.offset.checked_add(record.bytes).is_none_or(|end| end > length) {
            return Ok(false);
        }
        bytes.resize(record.bytes as usize, 0);
        let read = self.frames.seek(SeekFrom::Start(record.offset)).and_then(|_| self.frames.read_exact(bytes));
        read.map_err(|error| self.wrong(&error))?;
        Ok(true)
    }

    fn wrong(&self, reason: &dyn std::fmt::Display) -> SourceError {
        SourceError::Recording { path: self.path.clone(), reason: format!("line {}: {reason}", self.line) }
    }
}
