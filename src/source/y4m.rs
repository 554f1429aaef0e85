//! YUV4MPEG2 video: a line that describes the video, then for every frame a line and its planes.

use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::time::Duration;

use super::{Frame, Source, SourceError};
use crate::geometry::Size;
use crate::pixels::{Colour, ColourMatrix, ColourRange, ImageView, Limits, PixelFormat};

/// Longest line that is read. What is written by programs stays below 200 bytes.
const LONGEST_LINE: usize = 1024;

/// A y4m video, read frame by frame into one buffer.
#[derive(Debug)]
pub struct Y4m<R> {
    input: BufReader<R>,
    name: String,
    header: Header,
    line: Vec<u8>,
    frame: Vec<u8>,
    /// Where planes of 4:2:2 are read before their pixels are packed; empty for all else.
    planes: Vec<u8>,
    sequence: u64,
    finished: bool,
}

impl<R: Read> Y4m<R> {
    /// Reads the header of the video in `input`; `name` is what errors call it.
    ///
    /// # Errors
    /// Where the header is broken, or describes a video that is not supported.
    pub fn new(input: R, name: &str) -> Result<Self, SourceError> {
        // Frames are larger than the buffer and go past it, straight into place.
        let mut input = BufReader::with_capacity(1 << 16, input);
        let mut line = Vec::with_capacity(LONGEST_LINE + 1);
        let header = read_line(&mut input, &mut line, 0)
            .and_then(|found| if found { Header::parse(&line) } else { Err(Y4mError::Magic) })
            .map_err(|source| SourceError::Video { name: name.to_owned(), source })?;
        let frame = vec![0; header.frame_bytes];
        let planes = vec![0; header.plane_bytes];
        Ok(Self { input, name: name.to_owned(), header, line, frame, planes, sequence: 0, finished: false })
    }

    /// Width and height of all frames.
    pub fn size(&self) -> Size {
        self.header.size
    }

    /// The pixel layout of all frames.
    pub fn format(&self) -> PixelFormat {
        self.header.format
    }

    /// Reads a frame; false where there is none left.
    fn read_frame(&mut self) -> Result<bool, Y4mError> {
        let frame = self.sequence;
        if !read_line(&mut self.input, &mut self.line, frame + 1)? {
            return Ok(false);
        }
        if self.line != b"FRAME" && !self.line.starts_with(b"FRAME ") {
            return Err(Y4mError::FrameMagic { frame });
        }
        let is_planar = !self.planes.is_empty();
        let bytes = if is_planar { &mut self.planes } else { &mut self.frame };
        self.input.read_exact(bytes).map_err(|source| match source.kind() {
            ErrorKind::UnexpectedEof => Y4mError::Cut { frame, bytes: bytes.len() },
            _ => Y4mError::Read { source },
        })?;
        if is_planar {
            pack(&self.planes, self.header.size, &mut self.frame);
        }
        Ok(true)
    }
}

impl<R: Read + Send> Source for Y4m<R> {
    fn next_frame(&mut self) -> Result<Option<Frame<'_>>, SourceError> {
        if self.finished {
            return Ok(None);
        }
        // After an error the place in the stream is lost.
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
    frame_bytes: usize,
    /// Bytes of a frame in the file, where they have to be packed.
    plane_bytes: usize,
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
        let plane_bytes = match format {
            // No more than of the packed pixels.
            PixelFormat::Yuyv => (size.width + 2 * size.width.div_ceil(2)) * size.height,
            _ => 0,
        };
        let matrix = matrix.unwrap_or(Colour::usual_for_video(size).matrix);
        Ok(Self { size, format, colour: Colour { matrix, range }, rate, frame_bytes, plane_bytes })
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

/// Frames per second as a fraction; 0 over 0 where it is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Rate {
    frames: u32,
    seconds: u32,
}

impl Rate {
    fn parse(value: &[u8]) -> Option<Self> {
        // How an unknown rate is written.
        if value == b"0:0" {
            return Some(Self::default());
        }
        let colon = value.iter().position(|&byte| byte == b':')?;
        Some(Self { frames: parse_number(&value[..colon])?, seconds: parse_number(&value[colon + 1..])? })
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
    /// It is something else.
    #[error("not a y4m video: the first line must start with YUV4MPEG2; make one with 'ffmpeg -i INPUT OUTPUT.y4m'")]
    Magic,
    /// A field of the header cannot be understood.
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
        /// Most pixels.
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
    /// The bytes are no image.
    #[error(transparent)]
    Image(crate::pixels::ImageError),
    /// Reading failed.
    #[error("reading failed")]
    Read {
        /// What the operating system said.
        source: std::io::Error,
    },
}
