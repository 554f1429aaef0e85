//! Drawn images as files.

use std::path::Path;

use jpeg_encoder::{ColorType, Encoder, SamplingFactor};

use super::SinkError;
use crate::geometry::Size;
use crate::write;

/// JPEG quality of a drawing; thin coloured lines suffer below it.
const JPEG_QUALITY: u8 = 92;

/// Writes `rgb` (3 bytes a pixel, rows without gaps) to `path`: PNG if the name ends in `.png`, else JPEG.
///
/// The image is complete before it takes the place of a file of that name; if that is a link, the link itself is
/// replaced.
pub fn write(path: &Path, size: Size, rgb: &[u8]) -> Result<(), SinkError> {
    let target = path.display().to_string();
    let mut bytes = Vec::with_capacity(rgb.len() / 4);
    if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("png")) {
        encode_png(&mut bytes, size, rgb, &target)?;
    } else {
        encode_jpeg(&mut bytes, size, rgb, JPEG_QUALITY, &target)?;
    }
    write::beside(path, &bytes).map_err(|error| SinkError::from_write(&target, error))
}

fn encode_png(output: &mut Vec<u8>, size: Size, rgb: &[u8], target: &str) -> Result<(), SinkError> {
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

/// Appends `rgb` to `output` as JPEG; errors call it `target`.
pub fn encode_jpeg(output: &mut Vec<u8>, size: Size, rgb: &[u8], quality: u8, target: &str) -> Result<(), SinkError> {
    let mut encoder = Encoder::new(output, quality);
    // Full chroma: subsampled, the bones would bleed.
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

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_cannot_be_written_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let size = Size::new(2, 2);
        // A folder of that name cannot be replaced by a file.
        let path = folder.path().join("a.jpg");
        fs::create_dir(&path).unwrap();
        assert!(write(&path, size, &[0; 12]).is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_link_is_replaced_and_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (original, link) = (folder.path().join("original.jpg"), folder.path().join("link.png"));
        fs::write(&original, "original").unwrap();
        std::os::unix::fs::symlink(&original, &link).unwrap();
        write(&link, Size::new(1, 1), &[0; 3]).unwrap();
        assert_eq!(fs::read_to_string(&original).unwrap(), "original");
        assert!(fs::read(&link).unwrap().starts_with(b"\x89PNG"));
    }
}
