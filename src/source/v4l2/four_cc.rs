//! Four characters that name a pixel format.

use std::fmt;
use std::str::FromStr;

use super::error::RequestError;
use crate::pixels::PixelFormat;

/// A pixel format by its four characters, as drivers name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FourCc(pub u32);

/// How frames of a format are decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameEncoding {
    /// The warp reads them directly.
    Pixels(PixelFormat),
    /// Like [`PixelFormat::Rgb`] with blue first: bytes are swapped while they are copied.
    Bgr,
    /// Every frame is a JPEG.
    Jpeg,
    /// A sensor's raw values, not yet made into colours.
    Bayer,
    /// Any other.
    Unknown,
}

impl FourCc {
    /// The format with these four characters.
    pub const fn new(name: [u8; 4]) -> Self {
        Self(u32::from_le_bytes(name))
    }

    /// The format whose frames have this layout.
    pub const fn of(pixels: PixelFormat) -> Self {
        Self::new(match pixels {
            PixelFormat::Rgb => *b"RGB3",
            PixelFormat::Grey => *b"GREY",
            PixelFormat::Yuyv => *b"YUYV",
            PixelFormat::Uyvy => *b"UYVY",
            PixelFormat::Nv12 => *b"NV12",
            PixelFormat::I420 => *b"YU12",
        })
    }

    /// How its frames are read.
    pub fn encoding(self) -> FrameEncoding {
        let name = self.0.to_le_bytes();
        match &name {
            b"YUYV" => FrameEncoding::Pixels(PixelFormat::Yuyv),
            b"UYVY" => FrameEncoding::Pixels(PixelFormat::Uyvy),
            // The second of each pair has a buffer for each of its planes.
            b"NV12" | b"NM12" => FrameEncoding::Pixels(PixelFormat::Nv12),
            b"YU12" | b"YM12" => FrameEncoding::Pixels(PixelFormat::I420),
            b"GREY" => FrameEncoding::Pixels(PixelFormat::Grey),
            b"RGB3" => FrameEncoding::Pixels(PixelFormat::Rgb),
            b"BGR3" => FrameEncoding::Bgr,
            b"MJPG" | b"JPEG" => FrameEncoding::Jpeg,
            b"RGGB" | b"BA81" | b"GRBG" | b"GBRG" => FrameEncoding::Bayer,
            [a, b, depth, more] if is_bayer_order([*a, *b]) && is_bayer_depth([*depth, *more]) => FrameEncoding::Bayer,
            _ => FrameEncoding::Unknown,
        }
    }
}

/// The first two characters of Bayer formats of more than 8 bits.
fn is_bayer_order(order: [u8; 2]) -> bool {
    [*b"RG", *b"BG", *b"GB", *b"GR", *b"BA", *b"BY", *b"pR", *b"pB", *b"pG", *b"pg"].contains(&order)
}

/// The last two: a number of bits, or that they are packed.
fn is_bayer_depth(depth: [u8; 2]) -> bool {
    matches!(&depth, b"10" | b"12" | b"14" | b"16" | b"R2" | b"AA" | b"CC" | b"EE")
}

impl fmt::Display for FourCc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0.to_le_bytes() {
            let shown = if byte.is_ascii_graphic() || byte == b' ' { char::from(byte) } else { '?' };
            write!(f, "{shown}")?;
        }
        Ok(())
    }
}

impl FromStr for FourCc {
    type Err = RequestError;

    /// Four characters, or another common name.
    fn from_str(name: &str) -> Result<Self, RequestError> {
        let upper = name.to_ascii_uppercase();
        let four = match upper.as_str() {
            "MJPEG" => "MJPG",
            "RGB" => "RGB3",
            "BGR" => "BGR3",
            "I420" => "YU12",
            "Y8" | "GRAY" => "GREY",
            other => other,
        };
        match four.as_bytes() {
            &[a, b, c, d] => Ok(Self::new([a, b, c, d])),
            _ => {
                let reason = format!("'{name}' names no pixel format: give four characters such as YUYV, NV12 or MJPG");
                Err(reason.into())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_encodings() {
        for (name, encoding) in [
            ("yuyv", FrameEncoding::Pixels(PixelFormat::Yuyv)),
            ("RGB", FrameEncoding::Pixels(PixelFormat::Rgb)),
            ("mjpeg", FrameEncoding::Jpeg),
            ("BGR3", FrameEncoding::Bgr),
            ("RG10", FrameEncoding::Bayer),
            ("BA81", FrameEncoding::Bayer),
            ("GB12", FrameEncoding::Bayer),
            ("pRAA", FrameEncoding::Bayer),
            ("H264", FrameEncoding::Unknown),
        ] {
            let parsed = if name == "pRAA" { FourCc::new(*b"pRAA") } else { name.parse().unwrap() };
            assert_eq!(parsed.encoding(), encoding, "{name}");
        }
        for pixels in [PixelFormat::Rgb, PixelFormat::Yuyv, PixelFormat::Uyvy, PixelFormat::Nv12, PixelFormat::I420] {
            assert_eq!(FourCc::of(pixels).encoding(), FrameEncoding::Pixels(pixels));
        }
        assert_eq!(FourCc::new(*b"YUYV").to_string(), "YUYV");
        assert_eq!(FourCc(0x0102_0304).to_string(), "????");
        assert!("".parse::<FourCc>().is_err() && "YUYV2".parse::<FourCc>().is_err());
    }
}
