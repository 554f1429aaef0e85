//! Image files: JPEG and PNG, recognised by their first bytes.
//!
//! JPEGs are turned upright as their EXIF orientation says. That of PNGs is ignored: by the PNG specification, EXIF data there
//! are "of historical value only", and programs that edit the pixels leave it as it was. 16-bit samples lose their low byte,
//! palettes are resolved, transparency is dropped, colour profiles are ignored.

use std::fs::File;
use std::io::{Cursor, Read};
use std::path::Path;

use super::{DecodeError, Image, JpegDecoder, Limits, PixelFormat, ReadError};
use crate::geometry::Size;

/// Reads the image at `path`: RGB, or grey where the file has no colours.
///
/// # Errors
/// If the file cannot be read, is neither JPEG nor PNG, is broken or cut off, exceeds `limits` (checked before
/// memory is allocated), or is of an unsupported kind, such as a CMYK JPEG.
pub fn read_image(path: &Path, limits: &Limits) -> Result<Image, ReadError> {
    let failed = |source| ReadError::File { path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    // One byte more than the limit shows that there is more.
    file.take(limits.bytes.saturating_add(1)).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > limits.bytes {
        return Err(ReadError::File {
            path: path.to_owned(),
            source: std::io::Error::other(format!("larger than {} bytes, the most that is read", limits.bytes)),
        });
    }
    decode(&bytes, limits).map_err(|source| ReadError::Image { path: path.to_owned(), source })
}

/// Decodes the bytes of an image file, like [`read_image`].
///
/// # Errors
/// Same as [`read_image`].
pub fn decode(bytes: &[u8], limits: &Limits) -> Result<Image, DecodeError> {
    if bytes.starts_with(JPEG_START) {
        decode_jpeg(bytes, limits)
    } else if bytes.starts_with(PNG_START) {
        match decode_png(bytes, limits) {
            // Perhaps only the end is missing.
            Err(DecodeError::Cut { kind }) => {
                decode_png(&[bytes, PNG_END].concat(), limits).map_err(|_| DecodeError::Cut { kind })
            }
            decoded => decoded,
        }
    } else if bytes.is_empty() {
        Err(DecodeError::Empty)
    } else {
        Err(DecodeError::Unknown { start: describe_start(bytes) })
    }
}

const JPEG_START: &[u8] = &[0xff, 0xd8, 0xff];
const PNG_START: &[u8] = b"\x89PNG\r\n\x1a\n";
const PNG_END: &[u8] = b"\0\0\0\0IEND\xae\x42\x60\x82";

/// Whether a file with these first bytes, at least 8, is an image that is read.
pub(crate) fn is_image(start: &[u8]) -> bool {
    start.starts_with(JPEG_START) || start.starts_with(PNG_START)
}

fn decode_jpeg(bytes: &[u8], limits: &Limits) -> Result<Image, DecodeError> {
    let mut image = Image::default();
    let orientation = JpegDecoder::default().decode(bytes, limits, &mut image)?;
    orientation.apply(image).map_err(|error| DecodeError::Broken { kind: "JPEG", reason: error.to_string() })
}

fn decode_png(bytes: &[u8], limits: &Limits) -> Result<Image, DecodeError> {
    let broken = |error: png::DecodingError| match error {
        png::DecodingError::IoError(ref source) if source.kind() == std::io::ErrorKind::UnexpectedEof => {
            DecodeError::Cut { kind: "PNG" }
        }
        error => DecodeError::Broken { kind: "PNG", reason: error.to_string() },
    };
    let mut decoder = png::Decoder::new(Cursor::new(bytes));
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    decoder.set_transformations(png::Transformations::normalize_to_color8());
    let header = decoder.read_header_info().map_err(broken)?;
    let size = checked_size(header.width as usize, header.height as usize, limits)?;
    // Four samples a pixel, two rows in hand, and what the compression needs.
    decoder.set_limits(png::Limits { bytes: size.width.saturating_mul(64).saturating_add(16 << 20) });
    let mut reader = decoder.read_info().map_err(broken)?;
    // The decoder panics if the palette is not a whole number of colours, or larger than the indices allow.
    let palette = reader.info().palette.as_deref().map_or(0, <[u8]>::len);
    if palette % 3 != 0 || palette > 3 * 256 {
        let reason = format!("its palette has {palette} bytes, expected 3 for each of at most 256 colours");
        return Err(DecodeError::Broken { kind: "PNG", reason });
    }
    let len = reader.output_buffer_size().ok_or(DecodeError::Size { size, limit: limits.pixels })?;
    let mut pixels = vec![0; len];
    let frame = reader.next_frame(&mut pixels).map_err(broken)?;
    pixels.truncate(frame.buffer_size());
    let format = match frame.color_type {
        png::ColorType::Grayscale => PixelFormat::Grey,
        png::ColorType::GrayscaleAlpha => {
            keep_first(&mut pixels, 2, 1);
            PixelFormat::Grey
        }
        png::ColorType::Rgba => {
            keep_first(&mut pixels, 4, 3);
            PixelFormat::Rgb
        }
        png::ColorType::Rgb | png::ColorType::Indexed => PixelFormat::Rgb,
    };
    Image::new(format, size, pixels).map_err(|error| DecodeError::Broken { kind: "PNG", reason: error.to_string() })
}

/// Keeps the first `kept` of every `samples` values.
fn keep_first(values: &mut Vec<u8>, samples: usize, kept: usize) {
    let pixels = values.len() / samples;
    for pixel in 0..pixels {
        values.copy_within(pixel * samples..pixel * samples + kept, pixel * kept);
    }
    values.truncate(pixels * kept);
}

fn checked_size(width: usize, height: usize, limits: &Limits) -> Result<Size, DecodeError> {
    let size = Size::new(width, height);
    match size.area() {
        Some(0) => Err(DecodeError::NoPixels { size }),
        Some(area) if area <= limits.pixels => Ok(size),
        _ => Err(DecodeError::Size { size, limit: limits.pixels }),
    }
}

/// Describes the first bytes, for an error.
pub(crate) fn describe_start(bytes: &[u8]) -> String {
    let known: [(&[u8], &str); 13] = [
        (b"version https:/", "a Git LFS pointer instead of the file, which `git lfs pull` fetches"),
        (b"<!", "a web page"),
        (b"<html", "a web page"),
        (b"GIF8", "GIF"),
        (b"BM", "BMP"),
        (b"II*\0", "TIFF"),
        (b"MM\0*", "TIFF"),
        (b"RIFF", "WebP or another RIFF file"),
        (b"YUV4MPEG2", "y4m video"),
        (b"%PDF", "PDF"),
        (b"\xff\x0a", "JPEG XL"),
        (b"\x1f\x8b", "a file compressed with gzip"),
        (b"PK\x03\x04", "a zip archive"),
    ];
    if let Some((_, name)) = known.iter().find(|(magic, _)| bytes.starts_with(magic)) {
        return (*name).to_owned();
    }
    if bytes.get(4..8) == Some(b"ftyp") {
        return "HEIF, AVIF or MP4".to_owned();
    }
    let start: Vec<String> = bytes.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    format!("a file that starts with the bytes {}", start.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(bytes: &[u8]) -> String {
        decode(bytes, &Limits::default()).unwrap_err().to_string()
    }

    #[test]
    fn what_is_no_image_is_named() {
        assert!(refused(b"").contains("empty"));
        assert!(refused(b"GIF89a").contains("GIF"));
        assert!(refused(b"????").contains("3f 3f 3f 3f"));
        assert!(refused(b"version https://git-lfs.github.com/spec/v1\n").contains("git lfs pull"));
        assert!(refused(b"<!DOCTYPE html>").contains("a web page"));
        assert!(refused(b"\x89PNG\r\n\x1a\n").contains("PNG is cut off"));
    }

    /// A chunk of a PNG, with its checksum.
    fn chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
        let body = [&kind[..], data].concat();
        let mut checksum = !0u32;
        for &byte in &body {
            checksum ^= u32::from(byte);
            for _ in 0..8 {
                checksum = if checksum & 1 == 1 { (checksum >> 1) ^ 0xedb8_8320 } else { checksum >> 1 };
            }
        }
        [&(data.len() as u32).to_be_bytes()[..], &body, &(!checksum).to_be_bytes()].concat()
    }

    /// One pixel of the first colour of a palette.
    fn with_palette(palette: &[u8]) -> Vec<u8> {
        let header = chunk(b"IHDR", &[0, 0, 0, 1, 0, 0, 0, 1, 8, 3, 0, 0, 0]);
        let pixels = chunk(b"IDAT", &[0x78, 1, 1, 2, 0, 0xfd, 0xff, 0, 0, 0, 2, 0, 1]);
        [b"\x89PNG\r\n\x1a\n", &header[..], &chunk(b"PLTE", palette), &pixels, &chunk(b"IEND", &[])].concat()
    }

    #[test]
    fn a_png_without_its_end_is_whole_and_one_without_more_is_cut_off() {
        let whole = with_palette(&[7, 8, 9]);
        let end = PNG_END.len();
        assert!(whole.ends_with(PNG_END));
        let decoded = |bytes: &[u8]| decode(bytes, &Limits::default()).map(|image| image.data().to_vec());
        assert_eq!(decoded(&whole[..whole.len() - end]).unwrap(), [7, 8, 9]);
        for missing in end + 1..whole.len() - PNG_START.len() {
            let error = refused(&whole[..whole.len() - missing]);
            assert!(error.contains("cut off"), "{missing}: {error}");
        }
    }

    /// Found by fuzzing: the decoder's crate panics at such a palette.
    #[test]
    fn a_palette_must_hold_whole_colours() {
        let good = decode(&with_palette(&[7, 8, 9]), &Limits::default()).unwrap();
        assert_eq!(good.data(), [7, 8, 9]);
        for bytes in [4, 5, 7] {
            let error = refused(&with_palette(&vec![1; bytes]));
            assert!(error.contains(&format!("{bytes} bytes")), "{error}");
        }
    }
}
