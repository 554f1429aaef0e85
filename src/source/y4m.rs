//! YUV4MPEG2 video: a line that describes the video, then for every frame a line and its planes.
//!
//! GStreamer's `y4menc` writes its own padded memory if the width is not a multiple of 8 or the height is odd, and the header
//! does not say so. If the two layouts differ, the first frame is read up to where the second must begin, and that decides.

use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::time::Duration;

use super::layout::Layout;
use super::lookahead::Lookahead;
use super::{Frame, Source, SourceError};
use crate::geometry::Size;
use crate::pixels::{Colour, ColourMatrix, ColourRange, ImageView, Limits, PixelFormat};

/// Longest line that is read. Programs write less than 200 bytes.
const LONGEST_LINE: usize = 1024;

/// A y4m video, read frame by frame into one buffer.
#[derive(Debug)]
pub struct Y4m<R> {
    input: Lookahead<R>,
    name: String,
    header: Header,
    /// Layout of frames in the file.
    layout: Layout,
    line: Vec<u8>,
    frame: Vec<u8>,
    /// A frame as in the file, with gaps.
    padded: Vec<u8>,
    /// The planes of 4:2:2, before they become pairs of pixels.
    planes: Vec<u8>,
    sequence: u64,
    finished: bool,
}

impl<R: Read> Y4m<R> {
    /// Reads the header of the video in `input`; `name` is what errors call it.
    ///
    /// # Errors
    /// If the header is broken, or describes a video that is not supported.
    pub fn new(input: R, name: &str) -> Result<Self, SourceError> {
        // Frames are larger than the buffer and go past it, straight into place.
        let mut input = Lookahead::new(BufReader::with_capacity(1 << 16, input));
        let mut line = Vec::with_capacity(LONGEST_LINE + 1);
        let header = read_line(&mut input, &mut line, 0)
            .and_then(|found| if found { Header::parse(&line) } else { Err(Y4mError::Magic) })
            .map_err(|source| SourceError::Video { name: name.to_owned(), source })?;
        let layout = Layout::packed(header.format, header.size);
        let frame = vec![0; header.frame_bytes];
        let planes = if header.format == PixelFormat::Yuyv { vec![0; layout.bytes()] } else { Vec::new() };
        let (name, padded) = (name.to_owned(), Vec::new());
        Ok(Self { input, name, header, layout, line, frame, padded, planes, sequence: 0, finished: false })
    }

    /// Width and height of all frames.
    pub fn size(&self) -> Size {
        self.header.size
    }

    /// The pixel layout of all frames.
    pub fn format(&self) -> PixelFormat {
        self.header.format
    }

    /// Reads a frame; false if there is none left.
    fn read_frame(&mut self) -> Result<bool, Y4mError> {
        let frame = self.sequence;
        if !read_line(&mut self.input, &mut self.line, frame + 1)? {
            return Ok(false);
        }
        if self.line != b"FRAME" && !self.line.starts_with(b"FRAME ") {
            return Err(Y4mError::FrameMagic { frame });
        }
        let Header { size, format, .. } = self.header;
        let is_planar = format == PixelFormat::Yuyv;
        let packed = if is_planar { &mut self.planes } else { &mut self.frame };
        let cut = |bytes| {
            move |source: std::io::Error| match source.kind() {
                ErrorKind::UnexpectedEof => Y4mError::Cut { frame, bytes },
                _ => Y4mError::Read { source },
            }
        };
        let target = if self.padded.is_empty() { &mut *packed } else { &mut self.padded };
        self.input.read_exact(target).map_err(cut(target.len()))?;
        if frame == 0 {
            let padded = Layout::gstreamer(format, size);
            if padded != self.layout && has_gaps(&mut self.input, packed, padded.bytes())? {
                self.layout = padded;
                self.padded.resize(padded.bytes(), 0);
                // The same bytes again, as they were put back.
                self.input.read_exact(&mut self.padded).map_err(cut(padded.bytes()))?;
            }
        }
        if !self.padded.is_empty() {
            self.layout.copy_packed(&self.padded, packed);
        }
        if is_planar {
            pack(&self.planes, size, &mut self.frame);
        }
        Ok(true)
    }
}

/// Whether the frame whose first bytes are `read` has `padded` bytes rather than these: the line of the next frame, or the end,
/// follows there and not here. If so, all that was read is put back, else what was read beyond.
fn has_gaps<R: Read>(input: &mut Lookahead<R>, read: &[u8], padded: usize) -> Result<bool, Y4mError> {
    const NEXT: &[u8] = b"FRAME";
    let mut beyond = Vec::new();
    let more = padded - read.len() + NEXT.len();
    input.by_ref().take(more as u64).read_to_end(&mut beyond).map_err(|source| Y4mError::Read { source })?;
    let ends = |rest: Option<&[u8]>| rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(NEXT));
    let has_gaps = !ends(Some(&beyond)) && ends(beyond.get(padded - read.len()..));
    input.put_back(if has_gaps { [read, &beyond].concat() } else { beyond });
    Ok(has_gaps)
}

impl<R: Read + Send> Source for Y4m<R> {
    fn next_frame(&mut self) -> Result<Option<Frame<'_>>, SourceError> {
        if self.finished {
            return Ok(None);
        }
        // After an error it is unknown where the next frame begins.
        self.finished = true;
        let failed = |name: &str, source| SourceError::Video { name: name.to_owned(), source };
        if !self.read_frame().map_err(|source| failed(&self.name, source))? {
            return Ok(None);
        }
        self.finished = false;
        let Header { size, format, colour, rate, .. } = self.header;
        let stride = format.row_bytes(size.width).unwrap_or(0);
        let image = ImageView::new(format, size, stride, &self.frame)
            .map_err(|error| failed(&self.name, Y4mError::Image(error)))?
            .with_colour(colour);
        let sequence = self.sequence;
        self.sequence += 1;
        Ok(Some(Frame { image, sequence, captured: rate.time_of(sequence), instant: None, name: None }))
    }
}

/// Planes of 4:2:2 as YUYV, the layout of cameras, which the warp reads.
fn pack(planes: &[u8], size: Size, packed: &mut [u8]) {
    let columns = size.width.div_ceil(2);
    let (luma, chroma) = planes.split_at(size.width * size.height);
    let (u, v) = chroma.split_at(columns * size.height);
    let rows = packed.chunks_exact_mut(4 * columns).zip(luma.chunks_exact(size.width));
    for ((row, luma), (u, v)) in rows.zip(u.chunks_exact(columns).zip(v.chunks_exact(columns))) {
        for ((pair, luma), (&u, &v)) in row.chunks_exact_mut(4).zip(luma.chunks(2)).zip(u.iter().zip(v)) {
            pair.copy_from_slice(&[luma[0], u, luma[luma.len() - 1], v]);
        }
    }
}

/// Reads a line without its end into `line`; false at the end of the input. `after` counts the lines before.
fn read_line(input: &mut impl BufRead, line: &mut Vec<u8>, after: u64) -> Result<bool, Y4mError> {
    line.clear();
    let read = input.take(LONGEST_LINE as u64 + 1).read_until(b'\n', line);
    read.map_err(|source| Y4mError::Read { source })?;
    if line.is_empty() {
        return Ok(false);
    }
    if line.pop() != Some(b'\n') {
        // Without its end, the line is either too long or cut off; a file of another kind is more likely than both.
        return Err(match after {
            0 => Y4mError::Magic,
            _ => Y4mError::FrameMagic { frame: after - 1 },
        });
    }
    Ok(true)
}

/// What the first line says.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Header {
    size: Size,
    format: PixelFormat,
    colour: Colour,
    rate: Rate,
    /// Bytes of a frame in memory.
    frame_bytes: usize,
}

impl Header {
    fn parse(line: &[u8]) -> Result<Self, Y4mError> {
        let line = line.strip_prefix(b"YUV4MPEG2").ok_or(Y4mError::Magic)?;
        if !line.is_empty() && !line.starts_with(b" ") {
            return Err(Y4mError::Magic);
        }
        let (mut width, mut height, mut rate) = (None, None, Rate::default());
        // 4:2:0 is what a missing tag means.
        let (mut format, mut range, mut matrix) = (PixelFormat::I420, ColourRange::Limited, None);
        for field in line.split(|&byte| byte == b' ').filter(|field| !field.is_empty()) {
            let wrong = |expected| Y4mError::Field { field: String::from_utf8_lossy(field).into_owned(), expected };
            let value = &field[1..];
            match field[0] {
                b'W' => width = Some(parse_number(value).ok_or_else(|| wrong("W and a width above 0"))?),
                b'H' => height = Some(parse_number(value).ok_or_else(|| wrong("H and a height above 0"))?),
                b'F' => rate = Rate::parse(value).ok_or_else(|| wrong("F and a rate such as 30:1"))?,
                b'C' => format = parse_format(value)?,
                b'X' if value == b"COLORRANGE=FULL" => range = ColourRange::Full,
                // Of our own recordings.
                b'X' if value == b"MATRIX=BT601" => matrix = Some(ColourMatrix::Bt601),
                b'X' if value == b"MATRIX=BT709" => matrix = Some(ColourMatrix::Bt709),
                // Interlacing, pixel aspect and comments change nothing here.
                _ => {}
            }
        }
        let (Some(width), Some(height)) = (width, height) else { return Err(Y4mError::NoSize) };
        let size = Size::new(width, height);
        let limit = Limits::default().pixels;
        let too_large = Y4mError::Size { size, limit };
        if size.area().is_none_or(|area| area > limit) {
            return Err(too_large);
        }
        let stride = format.row_bytes(size.width);
        let frame_bytes = stride.and_then(|stride| format.image_bytes(size, stride)).ok_or(too_large)?;
        let matrix = matrix.unwrap_or(Colour::usual_for_video(size).matrix);
        Ok(Self { size, format, colour: Colour { matrix, range }, rate, frame_bytes })
    }
}

/// The layouts of 8-bit 4:2:0 differ in where chroma sits between the pixels, which is not looked at.
fn parse_format(value: &[u8]) -> Result<PixelFormat, Y4mError> {
    match value {
        b"420" | b"420jpeg" | b"420mpeg2" | b"420paldv" => Ok(PixelFormat::I420),
        b"422" => Ok(PixelFormat::Yuyv),
        b"mono" => Ok(PixelFormat::Grey),
        _ => Err(Y4mError::Format { format: String::from_utf8_lossy(value).into_owned() }),
    }
}

/// A decimal number above 0.
fn parse_number<T: std::str::FromStr + Default + PartialEq>(value: &[u8]) -> Option<T> {
    if !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(value).ok()?.parse().ok().filter(|number| *number != T::default())
}

/// Frames per second as a fraction; 0 frames if unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Rate {
    frames: u32,
    seconds: u32,
}

impl Rate {
    fn parse(value: &[u8]) -> Option<Self> {
        let colon = value.iter().position(|&byte| byte == b':')?;
        let is_zero = |value: &[u8]| !value.is_empty() && value.iter().all(|&byte| byte == b'0');
        let (frames, seconds) = (&value[..colon], &value[colon + 1..]);
        // An unknown rate: 0:0 by the format, 0:1 by GStreamer for a rate that varies. Nothing but times is lost without it.
        let is_number = |value: &[u8]| !value.is_empty() && value.iter().all(u8::is_ascii_digit);
        if is_number(frames) && is_number(seconds) && (is_zero(frames) || is_zero(seconds)) {
            return Some(Self::default());
        }
        Some(Self { frames: parse_number(frames)?, seconds: parse_number(seconds)? })
    }

    /// When the frame `sequence` is shown, from the start of the video.
    fn time_of(self, sequence: u64) -> Option<Duration> {
        if self.frames == 0 {
            return None;
        }
        let nanoseconds = u128::from(sequence) * u128::from(self.seconds) * 1_000_000_000 / u128::from(self.frames);
        u64::try_from(nanoseconds).ok().map(Duration::from_nanos)
    }
}

/// Why a y4m video cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Y4mError {
    /// The first line is not a y4m header.
    #[error("not a y4m video: the first line must start with YUV4MPEG2; make one with 'ffmpeg -i INPUT OUTPUT.y4m'")]
    Magic,
    /// A field of the header has a value that does not exist.
    #[error("the header has the field '{field}', expected {expected}; write the video again")]
    Field {
        /// The field.
        field: String,
        /// What it should look like.
        expected: &'static str,
    },
    /// Width or height is missing.
    #[error("the header lacks the width (W) or the height (H); write the video again")]
    NoSize,
    /// The frames are too large.
    #[error("frames are {size}, more than the {limit} pixels that are allowed; scale the video down")]
    Size {
        /// Their size.
        size: Size,
        /// Maximum number of pixels.
        limit: usize,
    },
    /// The pixel layout is not supported.
    #[error(
        "pixel format '{format}' is not supported, only 8-bit 420, 420jpeg, 420mpeg2, 420paldv, 422 and mono; convert with \
         'ffmpeg -i INPUT -pix_fmt yuv420p OUTPUT.y4m'"
    )]
    Format {
        /// The layout's name.
        format: String,
    },
    /// A frame does not start as it must.
    #[error("frame {frame} does not start with FRAME; the video is broken there, write it again")]
    FrameMagic {
        /// The frame's number, from 0.
        frame: u64,
    },
    /// The video ends within a frame.
    #[error("frame {frame} is cut off, expected {bytes} bytes; the frames before it are complete")]
    Cut {
        /// The frame's number, from 0.
        frame: u64,
        /// Bytes of a frame.
        bytes: usize,
    },
    /// The bytes are not an image.
    #[error(transparent)]
    Image(crate::pixels::ImageError),
    /// Reading failed.
    #[error("reading failed")]
    Read {
        /// What the operating system said.
        source: std::io::Error,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The luma of all frames, and the time stamp of the second.
    fn read(bytes: &[u8]) -> Result<(Vec<Vec<u8>>, Option<Duration>), SourceError> {
        let mut video = Y4m::new(bytes, "test")?;
        let (mut frames, mut time) = (Vec::new(), None);
        while let Some(frame) = video.next_frame()? {
            if frame.sequence == 1 {
                time = frame.captured;
            }
            frames.push(frame.image.data().to_vec());
        }
        Ok((frames, time))
    }

    fn video(header: &str, frames: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = format!("YUV4MPEG2 {header}\n").into_bytes();
        for frame in frames {
            bytes.extend_from_slice(b"FRAME\n");
            bytes.extend_from_slice(frame);
        }
        bytes
    }

    #[test]
    fn rates_that_are_not_known() {
        let frames = [vec![1, 2], vec![3, 4]];
        for (rate, time) in [
            ("F0:1", None),
            ("F0:0", None),
            ("F00:30", None),
            ("F25:0", None),
            ("", None),
            ("F25:1", Some(Duration::from_millis(40))),
            ("F30000:1001", Some(Duration::from_nanos(33_366_666))),
        ] {
            let (found, second) = read(&video(&format!("W2 H1 Cmono {rate}"), &frames)).unwrap();
            assert_eq!((found.as_slice(), second), (&frames[..], time), "{rate}");
        }
        for rate in ["F:1", "F0", "F-1:1", "F0:x", "Fx:1"] {
            let error = read(&video(&format!("W2 H1 Cmono {rate}"), &frames)).unwrap_err().to_string();
            assert!(error.contains(&format!("'{rate}'")), "{error}");
        }
    }

    /// Frames of every layout whose padded form differs, some of them starting like the line of a frame.
    #[test]
    fn gstreamer_s_padding_is_recognised() {
        for (tag, format) in [("C420", PixelFormat::I420), ("C422", PixelFormat::Yuyv), ("Cmono", PixelFormat::Grey)] {
            for (width, height) in [(5, 3), (6, 4), (10, 2), (12, 5), (3, 1), (8, 8), (427, 9)] {
                let size = Size::new(width, height);
                let header = format!("W{width} H{height} F0:1 {tag}");
                let (packed, padded) = (Layout::packed(format, size), Layout::gstreamer(format, size));
                let values = |number: usize, count: usize| -> Vec<u8> {
                    (0..count).map(|index| (index * 7 + number * 13 + 1) as u8).collect()
                };
                for count in 1..4 {
                    let with_gaps: Vec<_> = (0..count).map(|number| values(number, padded.bytes())).collect();
                    let without: Vec<_> = with_gaps
                        .iter()
                        .map(|frame| {
                            let mut target = vec![0; packed.bytes()];
                            padded.copy_packed(frame, &mut target);
                            target
                        })
                        .collect();
                    let found = read(&video(&header, &with_gaps)).unwrap().0;
                    assert_eq!(found.len(), count, "{header}");
                    assert_eq!(found, read(&video(&header, &without)).unwrap().0, "{header}");
                }
            }
        }
    }

    #[test]
    fn what_is_cut_off_is_said_so() {
        let frames = [vec![9; 5 * 3 + 2 * 6], vec![8; 5 * 3 + 2 * 6]];
        let whole = video("W5 H3 C420", &frames);
        let first = whole.len() - 1 - frames[1].len() - 6;
        for end in [first, first + 10, whole.len() - 1] {
            let error = read(&whole[..end]).unwrap_err().to_string();
            assert!(error.contains("cut off"), "{end}: {error}");
        }
        let error = read(&[&whole[..], b"more"].concat()).unwrap_err().to_string();
        assert!(error.contains("frame 2 does not start with FRAME"), "{error}");
    }
}
