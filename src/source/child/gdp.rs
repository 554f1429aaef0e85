//! GStreamer's data protocol, as its element `gdppay` writes it: the format ("caps") and a time for every buffer, in one pipe.
//!
//! A header of 62 bytes says what follows and how long it is; numbers are big-endian. Buffers are GStreamer's own memory, with its
//! gaps ([`Layout::gstreamer_raw`]).

use std::time::Duration;

use super::header::{FrameHeader, Next, StreamFormat};
use crate::geometry::Size;
use crate::pixels::{Colour, ColourMatrix, ColourRange, Limits, PixelFormat};
use crate::source::layout::Layout;

/// Bytes of a header.
const HEADER: usize = 62;
/// Kinds of payload. Events have larger numbers and are ignored.
const BUFFER: u16 = 1;
const CAPS: u16 = 2;

/// The state of such a stream.
#[derive(Debug, Default)]
pub struct Gdp {
    format: Option<StreamFormat>,
}

impl Gdp {
    /// The format of the frames, once there were caps.
    pub fn format(&self) -> Option<StreamFormat> {
        self.format
    }

    /// Returns what comes next.
    ///
    /// # Errors
    /// Returns a description of what is wrong with it.
    pub fn next(&mut self, bytes: &[u8]) -> Result<Next, String> {
        if bytes.first().is_some_and(|&major| major != 1) {
            return Err(
                "its output is not GStreamer's data protocol: something else writes to standard output".to_owned()
            );
        }
        let Some(header) = bytes.get(..HEADER) else { return Ok(Next::Incomplete) };
        let kind = u16::from_be_bytes([header[4], header[5]]);
        let length = u32::from_be_bytes([header[6], header[7], header[8], header[9]]) as usize;
        match kind {
            BUFFER => {
                let mut time = [0; 8];
                time.copy_from_slice(&header[10..18]);
                // All ones where there is none.
                let time = Some(u64::from_be_bytes(time)).filter(|&time| time != u64::MAX).map(Duration::from_nanos);
                Ok(Next::Frame(FrameHeader { header: HEADER, payload: length, prefix: None, time }))
            }
            CAPS => {
                let Some(caps) = bytes.get(HEADER..HEADER + length) else { return Ok(Next::Incomplete) };
                self.format = Some(parse(caps)?);
                Ok(Next::Other(HEADER + length))
            }
            _ => Ok(Next::Other(HEADER + length)),
        }
    }
}

/// The format that caps describe: `video/x-raw, format=(string)NV12, width=(int)640, ...`.
fn parse(caps: &[u8]) -> Result<StreamFormat, String> {
    let text = String::from_utf8_lossy(caps);
    let text = text.trim_end_matches('\0');
    let wrong = |what: &str| format!("the pipeline ends with {what}, in '{text}'");
    let mut fields = text.split(", ");
    if fields.next() != Some("video/x-raw") {
        return Err(wrong("no raw video"));
    }
    let (mut pixels, mut width, mut height, mut colorimetry) = (None, 0, 0, None);
    for field in fields {
        let Some((name, value)) = field.split_once('=') else { continue };
        let value = value.split_once(')').map_or(value, |(_, value)| value).trim_end_matches(';').trim_matches('"');
        match name {
            "format" => pixels = PixelFormat::from_gstreamer(value),
            "width" => width = value.parse().unwrap_or(0),
            "height" => height = value.parse().unwrap_or(0),
            "colorimetry" => colorimetry = Some(value),
            _ => {}
        }
    }
    let pixels = pixels.ok_or_else(|| wrong("a pixel format that is not read here"))?;
    let size = Size::new(width, height);
    let most = Limits::default().pixels;
    if size.area().is_none_or(|area| area == 0 || area > most) {
        return Err(wrong("frames without a size that is possible"));
    }
    let colour = colorimetry.map_or(Colour::usual_for_video(size), |text| colour(text, size));
    Ok(StreamFormat { pixels, size, colour, layout: Layout::gstreamer_raw(pixels, size) })
}

/// `bt709` and the like, or four numbers: range, matrix, transfer, primaries.
fn colour(text: &str, size: Size) -> Colour {
    let usual = Colour::usual_for_video(size);
    match text {
        "bt601" => Colour { matrix: ColourMatrix::Bt601, range: ColourRange::Limited },
        "bt709" => Colour { matrix: ColourMatrix::Bt709, range: ColourRange::Limited },
        _ => {
            let mut numbers = text.split(':');
            let range = if numbers.next() == Some("1") { ColourRange::Full } else { ColourRange::Limited };
            let matrix = match numbers.next() {
                Some("3") => ColourMatrix::Bt709,
                Some("4") => ColourMatrix::Bt601,
                _ => usual.matrix,
            };
            Colour { matrix, range }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caps_are_read_back() {
        let caps = b"video/x-raw, format=(string)NV12, width=(int)854, height=(int)480, framerate=(fraction)30/1, \
            pixel-aspect-ratio=(fraction)1/1, colorimetry=(string)1:4:0:0\0";
        let format = parse(caps).unwrap();
        assert_eq!((format.pixels, format.size), (PixelFormat::Nv12, Size::new(854, 480)));
        assert_eq!(format.colour, Colour { matrix: ColourMatrix::Bt601, range: ColourRange::Full });
        assert_eq!(format.layout.bytes(), 616_320);
        for (caps, needle) in [
            ("audio/x-raw, rate=(int)1", "no raw video"),
            ("video/x-raw, format=(string)BGRx, width=(int)8, height=(int)8", "pixel format"),
            ("video/x-raw, format=(string)NV12, width=(int)0, height=(int)8", "size"),
            ("video/x-raw, format=(string)NV12, width=(int)2000000000, height=(int)2000000000", "size"),
        ] {
            let error = parse(caps.as_bytes()).unwrap_err();
            assert!(error.contains(needle), "{caps}: {error}");
        }
    }

    #[test]
    fn what_is_no_such_stream_is_said_so() {
        let error = Gdp::default().next(b"Setting pipeline to PAUSED ...").unwrap_err();
        assert!(error.contains("something else writes"), "{error}");
        assert_eq!(Gdp::default().next(b"").unwrap(), Next::Incomplete);
    }
}
