//! NUT, the container that ffmpeg writes raw frames in: unlike y4m it has a time for each, and unlike bare frames their size.
//!
//! This reads what ffmpeg's muxer writes for one stream of raw video (<https://ffmpeg.org/~michael/nut.txt>). Checksums are ignored:
//! the bytes come through a pipe.

use std::time::Duration;

use super::header::{FrameHeader, Next, StreamFormat};
use crate::geometry::Size;
use crate::pixels::{Colour, ColourMatrix, Limits, PixelFormat};
use crate::source::layout::Layout;

/// The file's magic, including the final zero.
const FILE_ID: &[u8] = b"nut/multimedia container\0";
const MAIN: u64 = 0x4e4d_7a56_1f5f_04ad;
const STREAM: u64 = 0x4e53_1140_5bf2_f9db;
const SYNC_POINT: u64 = 0x4e4b_e4ad_eeca_4569;
/// Longer headers are followed by a checksum.
const SHORT: u64 = 4096;
/// Bytes of a checksum.
const CHECKSUM: usize = 4;
/// Maximum number and length of elided frame headers; ffmpeg has six, of at most four bytes.
const PREFIX: usize = 16;
const PREFIXES: usize = 128;
/// Largest frame whose header may be elided.
const MOST_WITH_PREFIX: u64 = 4096;

const CODED_PTS: u64 = 8;
const STREAM_ID: u64 = 16;
const SIZE_MSB: u64 = 32;
const HAS_CHECKSUM: u64 = 64;
const RESERVED: u64 = 128;
const SIDE_DATA: u64 = 256;
const HEADER_INDEX: u64 = 1024;
const MATCH_TIME: u64 = 2048;
const CODED_FLAGS: u64 = 4096;
const INVALID: u64 = 8192;

/// Meaning of a frame's first byte.
#[derive(Debug, Clone, Copy)]
struct Code {
    flags: u64,
    stream: u64,
    size_multiplier: u64,
    size_rest: u64,
    time_step: i64,
    reserved: u64,
    prefix: u64,
}

const NO_CODE: Code =
    Code { flags: INVALID, stream: 0, size_multiplier: 0, size_rest: 0, time_step: 0, reserved: 0, prefix: 0 };

/// The state of a NUT stream.
#[derive(Debug)]
pub struct Nut {
    begun: bool,
    codes: [Code; 256],
    prefixes: Vec<Vec<u8>>,
    /// Numerators and denominators.
    time_bases: Vec<(u64, u64)>,
    time_base: usize,
    time_shift: u32,
    last_time: u64,
    format: Option<StreamFormat>,
    /// The matrix of luma and chroma, where it is not the usual one for the size.
    matrix: Option<ColourMatrix>,
}

impl Default for Nut {
    fn default() -> Self {
        Self {
            begun: false,
            codes: [NO_CODE; 256],
            prefixes: Vec::new(),
            time_bases: Vec::new(),
            time_base: 0,
            time_shift: 0,
            last_time: 0,
            format: None,
            matrix: None,
        }
    }
}

/// Why a value cannot be read.
enum Fault {
    /// The bytes end before it does.
    Short,
    Wrong(&'static str),
}

impl From<&'static str> for Fault {
    fn from(what: &'static str) -> Self {
        Self::Wrong(what)
    }
}

/// Bytes that are read from their start.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Fault> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Fault::Short)?;
        self.0 = rest;
        Ok(taken)
    }

    /// A number of any length: seven bits a byte, the highest first.
    fn number(&mut self) -> Result<u64, Fault> {
        let mut number = 0u64;
        loop {
            let &[byte] = self.take(1)? else { return Err(Fault::Short) };
            if number >> 57 != 0 {
                return Err("a number is too large".into());
            }
            number = (number << 7) | u64::from(byte & 0x7f);
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
    }

    /// One with a sign, which is its last bit.
    fn signed(&mut self) -> Result<i64, Fault> {
        let number = self.number()? as i64 + 1;
        Ok(if number & 1 == 1 { -(number >> 1) } else { number >> 1 })
    }

    fn length(&mut self) -> Result<usize, Fault> {
        usize::try_from(self.number()?).map_err(|_| "a length is too large".into())
    }

    /// Length and bytes.
    fn counted(&mut self) -> Result<&'a [u8], Fault> {
        let length = self.length()?;
        self.take(length)
    }
}

impl Nut {
    /// The start of a stream whose luma and chroma are of `matrix`: the stream itself does not say.
    pub fn with_matrix(matrix: Option<ColourMatrix>) -> Self {
        Self { matrix, ..Self::default() }
    }

    /// The format of the frames, once the stream's header was read.
    pub fn format(&self) -> Option<StreamFormat> {
        self.format
    }

    /// The elided header of a frame of this kind.
    pub fn prefix(&self, number: usize) -> &[u8] {
        self.prefixes.get(number).map_or(&[], Vec::as_slice)
    }

    /// Returns what comes next.
    ///
    /// # Errors
    /// Returns a description of what is wrong with it.
    pub fn next(&mut self, bytes: &[u8]) -> Result<Next, String> {
        match self.read(bytes) {
            Ok(next) => Ok(next),
            Err(Fault::Short) => Ok(Next::Incomplete),
            Err(Fault::Wrong(what)) => Err(format!("its output is not raw video in NUT: {what}")),
        }
    }

    fn read(&mut self, bytes: &[u8]) -> Result<Next, Fault> {
        if !self.begun {
            let common = bytes.len().min(FILE_ID.len());
            if bytes[..common] != FILE_ID[..common] {
                return Err("it begins otherwise".into());
            }
            if common < FILE_ID.len() {
                return Err(Fault::Short);
            }
            self.begun = true;
            return Ok(Next::Other(FILE_ID.len()));
        }
        match bytes.first() {
            None => Err(Fault::Short),
            Some(b'N') => self.read_packet(bytes),
            Some(&code) => self.read_frame(code, bytes),
        }
    }

    /// A header or the like: its kind, its length, its content.
    fn read_packet(&mut self, bytes: &[u8]) -> Result<Next, Fault> {
        let mut rest = Bytes(bytes);
        let mut kind = [0; 8];
        kind.copy_from_slice(rest.take(8)?);
        let kind = u64::from_be_bytes(kind);
        let length = rest.number()?;
        if length > SHORT {
            rest.take(CHECKSUM)?;
        }
        let before = bytes.len() - rest.0.len();
        let length = usize::try_from(length).map_err(|_| "a header is too large")?;
        let all = before.checked_add(length).ok_or("a header is too large")?;
        if matches!(kind, MAIN | STREAM | SYNC_POINT) {
            let content = rest.take(length)?;
            let content = Bytes(&content[..length.saturating_sub(CHECKSUM)]);
            let read = match kind {
                MAIN => self.read_main(content),
                STREAM => self.read_stream(content),
                _ => self.read_sync_point(content),
            };
            // All of it is there: what is missing now is missing for good.
            read.map_err(|fault| match fault {
                Fault::Short => Fault::Wrong("a header is too short"),
                fault => fault,
            })?;
        }
        Ok(Next::Other(all))
    }

    fn read_main(&mut self, mut bytes: Bytes<'_>) -> Result<(), Fault> {
        let version = bytes.number()?;
        if !(2..=4).contains(&version) {
            return Err("its version is unknown".into());
        }
        if version > 3 {
            bytes.number()?;
        }
        if bytes.number()? != 1 {
            return Err("it has not one stream but more or none".into());
        }
        // The largest distance between synchronisation points.
        bytes.number()?;
        self.time_bases.clear();
        for _ in 0..bytes.number()? {
            let (numerator, denominator) = (bytes.number()?, bytes.number()?);
            if denominator == 0 || numerator > u64::from(u32::MAX) || denominator > u64::from(u32::MAX) {
                return Err("its unit of time is wrong".into());
            }
            self.time_bases.push((numerator, denominator));
        }
        self.read_codes(&mut bytes)?;
        self.prefixes = vec![Vec::new()];
        for _ in 0..bytes.number()? {
            let prefix = bytes.counted()?;
            if prefix.len() > PREFIX || self.prefixes.len() == PREFIXES {
                return Err("its elided frame headers are too long".into());
            }
            self.prefixes.push(prefix.to_vec());
        }
        Ok(())
    }

    /// The table of what first bytes say.
    fn read_codes(&mut self, bytes: &mut Bytes<'_>) -> Result<(), Fault> {
        self.codes = [NO_CODE; 256];
        let (mut time_step, mut multiplier, mut stream, mut prefix) = (0, 1, 0, 0);
        let mut at = 0;
        while at < 256 {
            let flags = bytes.number()?;
            let fields = bytes.number()?;
            let (mut size, mut reserved, mut count) = (0, 0, None);
            for field in 0..fields {
                match field {
                    0 => time_step = bytes.signed()?,
                    1 => multiplier = bytes.number()?,
                    2 => stream = bytes.number()?,
                    3 => size = bytes.number()?,
                    4 => reserved = bytes.number()?,
                    5 => count = Some(bytes.number()?),
                    6 => drop(bytes.signed()?),
                    7 => prefix = bytes.number()?,
                    _ => drop(bytes.number()?),
                }
            }
            let count = count.unwrap_or(u64::wrapping_sub(multiplier, size));
            let mut done = 0;
            while done < count && at < 256 {
                // The letter that headers begin with.
                if at != usize::from(b'N') {
                    let size_rest = size.checked_add(done).ok_or("its table of frames is wrong")?;
                    self.codes[at] =
                        Code { flags, stream, size_multiplier: multiplier, size_rest, time_step, reserved, prefix };
                    done += 1;
                }
                at += 1;
            }
            if count == 0 {
                return Err("its table of frames is wrong".into());
            }
        }
        Ok(())
    }

    fn read_stream(&mut self, mut bytes: Bytes<'_>) -> Result<(), Fault> {
        let (id, class) = (bytes.number()?, bytes.number()?);
        if id != 0 || class != 0 {
            return Err("it is not a video".into());
        }
        let pixels = match bytes.counted()? {
            b"I420" => PixelFormat::I420,
            b"NV12" => PixelFormat::Nv12,
            _ => return Err("its pixels are neither I420 nor NV12".into()),
        };
        self.time_base = bytes.length()?;
        self.time_shift = bytes.number()?.try_into().ok().filter(|&shift| shift < 48).ok_or("its times are wrong")?;
        // The largest distance of times, the delay of a decoder, flags, what the codec wants to say.
        bytes.number()?;
        bytes.number()?;
        bytes.number()?;
        bytes.counted()?;
        let size = Size::new(bytes.length()?, bytes.length()?);
        let most = Limits::default().pixels;
        if size.area().is_none_or(|area| area == 0 || area > most) {
            return Err("its frames have no size that is possible".into());
        }
        if self.time_base >= self.time_bases.len() {
            return Err("its unit of time is missing".into());
        }
        let usual = Colour::usual_for_video(size);
        let colour = Colour { matrix: self.matrix.unwrap_or(usual.matrix), ..usual };
        let layout = Layout::packed_raw(pixels, size);
        self.format = Some(StreamFormat { pixels, size, colour, layout });
        Ok(())
    }

    fn read_sync_point(&mut self, mut bytes: Bytes<'_>) -> Result<(), Fault> {
        let bases = self.time_bases.len() as u64;
        let coded = bytes.number()?;
        if bases == 0 {
            return Err("a synchronisation point comes before the header".into());
        }
        let (from, to) = (self.time_bases[(coded % bases) as usize], self.time_bases.get(self.time_base));
        let &to = to.ok_or("its unit of time is missing")?;
        let ticks = u128::from(coded / bases) * u128::from(from.0) * u128::from(to.1);
        let unit = u128::from(from.1) * u128::from(to.0.max(1));
        self.last_time = u64::try_from(ticks / unit).map_err(|_| "a time is too large")?;
        Ok(())
    }

    fn read_frame(&mut self, code: u8, bytes: &[u8]) -> Result<Next, Fault> {
        let mut rest = Bytes(&bytes[1..]);
        let Code { mut flags, mut stream, size_multiplier, size_rest, time_step, mut reserved, mut prefix } =
            self.codes[usize::from(code)];
        if flags & INVALID != 0 {
            return Err("a frame begins with a byte that has no meaning".into());
        }
        if flags & CODED_FLAGS != 0 {
            flags ^= rest.number()?;
        }
        if flags & SIDE_DATA != 0 {
            return Err("a frame has data besides its pixels".into());
        }
        if flags & STREAM_ID != 0 {
            stream = rest.number()?;
        }
        if stream != 0 {
            return Err("a frame belongs to no stream".into());
        }
        let time = match flags & CODED_PTS {
            0 => self.last_time.checked_add_signed(time_step).ok_or("a time is negative")?,
            _ => self.full_time(rest.number()?),
        };
        let mut size = size_rest;
        if flags & SIZE_MSB != 0 {
            let more = rest.number()?.checked_mul(size_multiplier).and_then(|more| more.checked_add(size_rest));
            size = more.ok_or("a frame is too large")?;
        }
        if flags & MATCH_TIME != 0 {
            rest.signed()?;
        }
        if flags & HEADER_INDEX != 0 {
            prefix = rest.number()?;
        }
        if flags & RESERVED != 0 {
            reserved = rest.number()?;
        }
        for _ in 0..reserved {
            rest.number()?;
        }
        if flags & HAS_CHECKSUM != 0 {
            rest.take(CHECKSUM)?;
        }
        if size > MOST_WITH_PREFIX {
            prefix = 0;
        }
        let prefix = usize::try_from(prefix).ok().filter(|&number| number < self.prefixes.len());
        let prefix = prefix.ok_or("a frame begins with something unknown")?;
        let payload = usize::try_from(size).ok().and_then(|size| size.checked_sub(self.prefixes[prefix].len()));
        let payload = payload.ok_or("a frame has a wrong length")?;
        let shown = self.duration(time)?;
        self.last_time = time;
        let header = bytes.len() - rest.0.len();
        let prefix = (prefix > 0).then_some(prefix);
        Ok(Next::Frame(FrameHeader { header, payload, prefix, time: Some(shown) }))
    }

    /// A time of which only the low bits are there, unless it is a whole one.
    fn full_time(&self, coded: u64) -> u64 {
        let one = 1u64 << self.time_shift;
        if coded >= one {
            return coded - one;
        }
        let mask = one - 1;
        let delta = self.last_time.wrapping_sub(mask / 2);
        (coded.wrapping_sub(delta) & mask).wrapping_add(delta)
    }

    fn duration(&self, time: u64) -> Result<Duration, Fault> {
        let &(numerator, denominator) = self.time_bases.get(self.time_base).ok_or("its unit of time is missing")?;
        let nanoseconds = u128::from(time) * u128::from(numerator) * 1_000_000_000 / u128::from(denominator);
        Ok(Duration::from_nanos(u64::try_from(nanoseconds).map_err(|_| "a time is too large")?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Written by ffmpeg 5.1: `-f lavfi -i testsrc=size=64x48:rate=10:duration=0.5`, up to its first frame.
    const START: &[u8] = b"nut/multimedia container\0NMzV\x1f_\x04\xadJ\x03\x01\x81\xff\x7f\x01\x01\x85\x80\x00\xc0\x00\x06\x00\
        \x00\x00\x00\x00\x01\xa0\x00\x02\x01\x01(\x01\x00)\x00!\x01\xff\x7f \x02\xff\x7f\x81y\xc0\x00\x06\x00\x00\x00\x00\x00\
        \x01\x06\x03\x00\x00\x01\x04\x00\x00\x01\xb6\x02\xff\xfa\x02\xff\xfb\x02\xff\xfc\x02\xff\xfd\x99p//NS\x11@[\xf2\xf9\xdb\
        \x18\x00\x00\x04I420\x00\x0e\x85\x80\x00\x00\x00\x00@0\x01\x01\x00L\x8eY\x04NK\xe4\xad\xee\xcaEi\x06\x00\x00\x00\x00\
        \x00\x00\x03\x00\xa4\x00";

    /// What comes next, from the start of the stream on.
    fn walk(bytes: &[u8]) -> Result<(Nut, Vec<FrameHeader>), String> {
        let (mut nut, mut at, mut frames) = (Nut::default(), 0, Vec::new());
        loop {
            match nut.next(bytes.get(at..).unwrap_or_default())? {
                Next::Incomplete => return Ok((nut, frames)),
                Next::Other(count) => at += count,
                Next::Frame(header) => {
                    at += header.header + header.payload;
                    frames.push(header);
                }
            }
        }
    }

    #[test]
    fn headers_of_ffmpeg_are_read() {
        let (nut, frames) = walk(START).unwrap();
        let format = nut.format().unwrap();
        assert_eq!((format.pixels, format.size), (PixelFormat::I420, Size::new(64, 48)));
        let first = FrameHeader { header: 4, payload: 64 * 48 * 3 / 2, prefix: None, time: Some(Duration::ZERO) };
        assert_eq!(frames, [first]);
        // Cut anywhere, it waits for the rest; changed anywhere, it says what is wrong, or reads something else.
        for end in 0..START.len() {
            assert!(walk(&START[..end]).is_ok_and(|(_, frames)| frames.is_empty()), "{end}");
            for value in [0, 0x4e, 0x7f, 0x80, 0xff] {
                let mut changed = START.to_vec();
                changed[end] = value;
                let _ = walk(&changed);
            }
        }
        assert!(walk(b"YUV4MPEG2 W4").unwrap_err().contains("begins otherwise"));
    }

    #[test]
    fn times_of_which_only_the_end_is_there() {
        let nut = |last_time| Nut { last_time, time_shift: 4, ..Nut::default() };
        for (last, coded, expected) in
            [(0, 3, 3), (14, 1, 17), (14, 9, 9), (100, 16 + 5, 5), (31, 15, 31), (100, 4, 100)]
        {
            assert_eq!(nut(last).full_time(coded), expected, "{last} {coded}");
        }
    }
}
