//! Extracts frames from a stream of bytes: a short header, then the pixels, which are read in place.

use std::time::Duration;

use super::gdp::Gdp;
use super::header::{FrameHeader, Next, StreamFormat};
use super::nut::Nut;
use crate::pixels::ImageView;

/// Maximum length of a header.
const MOST_HEADER: usize = 1 << 14;

/// The format in which a program writes frames.
#[derive(Debug)]
pub enum Protocol {
    /// NUT, as ffmpeg writes it.
    Nut(Box<Nut>),
    /// GStreamer's data protocol, as `gdppay` writes it.
    Gdp(Gdp),
}

impl Protocol {
    /// Returns what comes next.
    ///
    /// # Errors
    /// Returns a description of what is wrong with the bytes.
    pub fn next(&mut self, bytes: &[u8]) -> Result<Next, String> {
        match self {
            Self::Nut(nut) => nut.next(bytes),
            Self::Gdp(gdp) => gdp.next(bytes),
        }
    }

    /// The format of the frames that follow, once it is known.
    pub fn format(&self) -> Option<StreamFormat> {
        match self {
            Self::Nut(nut) => nut.format(),
            Self::Gdp(gdp) => gdp.format(),
        }
    }

    fn prefix(&self, number: usize) -> &[u8] {
        match self {
            Self::Nut(nut) => nut.prefix(number),
            Self::Gdp(_) => &[],
        }
    }
}

/// Extracts the frames of a stream; once their size is known, nothing is allocated.
#[derive(Debug)]
pub struct Frames {
    protocol: Protocol,
    /// Bytes of headers: those from `begin` to `end` are not parsed yet.
    head: Box<[u8]>,
    begin: usize,
    end: usize,
    /// Bytes to skip that are not part of a frame.
    skip: usize,
    /// The frame that is being read, if one is.
    reading: Option<FrameHeader>,
    /// Pixels as they lie in the stream; `filled` of them are there.
    frame: Vec<u8>,
    filled: usize,
    format: Option<StreamFormat>,
    /// The frame as an image, where its planes have to be rearranged.
    packed: Vec<u8>,
}

/// Result of adding bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Nothing yet.
    More,
    /// A whole frame, with its time; [`Frames::image`] gives it until the next is begun.
    Frame(Option<Duration>),
}

impl Frames {
    /// A parser at the start of a stream.
    pub fn new(protocol: Protocol) -> Self {
        let head = vec![0; MOST_HEADER].into();
        let (frame, packed) = (Vec::new(), Vec::new());
        Self { protocol, head, begin: 0, end: 0, skip: 0, reading: None, frame, filled: 0, format: None, packed }
    }

    /// The space for the next bytes of the stream; never empty.
    pub fn space(&mut self) -> &mut [u8] {
        if self.reading.is_some() && self.filled < self.frame.len() {
            return &mut self.frame[self.filled..];
        }
        self.head.copy_within(self.begin..self.end, 0);
        (self.begin, self.end) = (0, self.end - self.begin);
        &mut self.head[self.end..]
    }

    /// Adds `count` bytes that were written there. Call again with 0 after a frame: the next may be complete already.
    ///
    /// # Errors
    /// Returns a description of what is wrong with them; reading cannot continue then.
    pub fn advance(&mut self, count: usize) -> Result<Progress, String> {
        if self.reading.is_some() && self.filled < self.frame.len() {
            self.filled += count;
        } else {
            self.end += count;
        }
        loop {
            if let Some(header) = self.reading {
                if self.filled < self.frame.len() {
                    // What came with the header.
                    let some = (self.end - self.begin).min(self.frame.len() - self.filled);
                    self.frame[self.filled..self.filled + some]
                        .copy_from_slice(&self.head[self.begin..self.begin + some]);
                    self.begin += some;
                    self.filled += some;
                }
                if self.filled < self.frame.len() {
                    return Ok(Progress::More);
                }
                self.reading = None;
                return Ok(Progress::Frame(header.time));
            }
            let skipped = self.skip.min(self.end - self.begin);
            self.skip -= skipped;
            self.begin += skipped;
            if self.skip > 0 || self.begin == self.end {
                return Ok(Progress::More);
            }
            match self.protocol.next(&self.head[self.begin..self.end])? {
                Next::Incomplete if self.end - self.begin == self.head.len() => {
                    return Err(format!("it has a header of more than {MOST_HEADER} bytes"));
                }
                Next::Incomplete => return Ok(Progress::More),
                Next::Other(count) => self.skip = count,
                Next::Frame(header) => self.begin_frame(header)?,
            }
        }
    }

    fn begin_frame(&mut self, header: FrameHeader) -> Result<(), String> {
        let format = self.protocol.format().ok_or("a frame comes before the format of frames")?;
        let prefix = header.prefix.map_or(&[][..], |number| self.protocol.prefix(number));
        let (found, expected) = (prefix.len() + header.payload, format.layout.bytes());
        if found != expected {
            let StreamFormat { pixels, size, .. } = format;
            return Err(format!(
                "a frame has {found} bytes where {pixels} of {size} has {expected}: the video has changed its size"
            ));
        }
        self.begin += header.header;
        self.frame.resize(expected, 0);
        self.frame[..prefix.len()].copy_from_slice(prefix);
        self.filled = prefix.len();
        self.format = Some(format);
        self.reading = Some(header);
        Ok(())
    }

    /// Whether the stream may end here: not within a frame or a header.
    pub fn is_between_frames(&self) -> bool {
        self.reading.is_none() && self.begin == self.end && self.skip == 0
    }

    /// The format of the frames.
    pub fn format(&self) -> Option<StreamFormat> {
        self.format
    }

    /// The frame that was found, and bytes from one of its rows to the next.
    ///
    /// # Errors
    /// If there is none.
    pub fn image(&mut self) -> Result<ImageView<'_>, String> {
        let StreamFormat { pixels, size, colour, layout } = self.format.ok_or("there is no frame yet")?;
        let (stride, bytes) = layout.image_data(pixels, size, &self.frame, &mut self.packed);
        let image = ImageView::new(pixels, size, stride, bytes).map_err(|error| error.to_string())?;
        Ok(image.with_colour(colour))
    }
}
