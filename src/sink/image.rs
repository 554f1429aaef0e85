//! Drawn images as files.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use jpeg_encoder::{ColorType, Encoder, SamplingFactor};

use super::SinkError;
use crate::geometry::Size;

/// JPEG quality of a drawing; thin coloured lines suffer below it.
const JPEG_QUALITY: u8 = 92;

/// Writes `rgb` (3 bytes a pixel, rows without gaps) to `path`: PNG where the name ends so, else JPEG.
pub fn write(path: &Path, size: Size, rgb: &[u8]) -> Result<(), SinkError> {
    let target = path.display().to_string();
    let file = File::create(path).map_err(|source| SinkError::Open { target: target.clone(), source })?;
    let output = BufWriter::new(file);
    if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("png")) {
        write_png(output, size, rgb, &target)
    } else {
        write_jpeg(output, size, rgb, JPEG_QUALITY, &target)
    }
}

fn write_png(output: BufWriter<File>, size: Size, rgb: &[u8], target: &str) -> Result<(), SinkError> {
    let refused = |error: png::EncodingError| match error {
        png::EncodingError::IoError(error) => SinkError::from_write(target, error),
        other => SinkError::Encode { target: target.to_owned(), size, reason: other.to_string() },
    };
    let mut encoder = png::Encoder::new(output, side(size.width, size, target)?, side(size.height, size, target)?);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header().map_err(refused)?;
    writer.write_image_data(rgb).map_err(refused)?;
    writer.finish().map_err(refused)
}

/// Writes `rgb` to `output` as JPEG; errors call it `target`.
pub fn write_jpeg<W: Write>(output: W, size: Size, rgb: &[u8], quality: u8, target: &str) -> Result<(), SinkError> {
    let mut encoder = Encoder::new(output, quality);
    // Full chroma: halved, the bones would bleed.
    encoder.set_sampling_factor(SamplingFactor::F_1_1);
    let (width, height) = (side(size.width, size, target)?, side(size.height, size, target)?);
    encoder.encode(rgb, width, height, ColorType::Rgb).map_err(|error| match error {
        jpeg_encoder::EncodingError::IoError(error) => SinkError::from_write(target, error),
        other => SinkError::Encode { target: target.to_owned(), size, reason: other.to_string() },
    })
}

/// A side of the image in the width that the encoder takes.
fn side<T: TryFrom<usize>>(pixels: usize, size: Size, target: &str) -> Result<T, SinkError> {
    T::try_from(pixels).map_err(|_| SinkError::Encode {
        target: target.to_owned(),
        size,
        reason: format!("a side of {pixels} pixels is more than the format holds"),
    })
}
