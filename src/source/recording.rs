//! The files of a recording: what `--record` writes and `replay:` reads.
//!
//! ```text
//! FOLDER/000001.frames          the bytes of the images, one after another
//! FOLDER/000001.jsonl           a header, then a line for each frame: where its image is, when it was captured
//! FOLDER/000001.results.jsonl   the results of these frames, as `--sink jsonl:` writes them
//! ```
//!
//! A recording is a row of such segments, numbered upwards; the oldest are deleted when there are too many. Several runs may
//! follow each other in one folder.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

#[cfg(feature = "sinks")]
use crate::geometry::Size;
#[cfg(feature = "sinks")]
use crate::pixels::ImageView;
use crate::pixels::{Colour, ColourMatrix, ColourRange, PixelFormat};

/// Version of the index lines.
pub(crate) const VERSION: u32 = 1;
/// Bytes of a line of the index at most.
pub(super) const MAX_LINE: usize = 64 << 10;
/// Bytes of an image at most.
pub(super) const MAX_IMAGE: u64 = 1 << 30;

/// Ending of a segment's images.
pub(crate) const FRAMES: &str = "frames";
/// Ending of its index.
pub(crate) const INDEX: &str = "jsonl";
/// Ending of its results.
#[cfg(feature = "sinks")]
pub(crate) const RESULTS: &str = "results.jsonl";

/// The first line of an index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct IndexHeader {
    /// [`VERSION`].
    pub recording: u32,
    /// Version of the program.
    pub sinew: String,
    /// When the run began, microseconds since 1970: segments with the same are of one run.
    pub run: u64,
}

/// A frame in an index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FrameRecord<'a> {
    /// Where its image begins in the segment's images, and how many bytes it has there.
    pub offset: u64,
    /// See `offset`.
    pub bytes: u64,
    /// How its pixels lie.
    pub format: StoredFormat,
    /// Width and height.
    pub image: (usize, usize),
    /// Bytes from one row to the next; of a JPEG 0.
    pub stride: usize,
    /// What its luma and chroma mean: `BT601` or `BT709`, and whether their range is full.
    pub matrix: StoredMatrix,
    /// See `matrix`.
    pub full_range: bool,
    /// Its number in its source.
    pub sequence: u64,
    /// When it was captured on the source's own clock, nanoseconds.
    pub captured_ns: Option<u64>,
    /// When it was captured, nanoseconds since the run began; of files when they were processed.
    pub time_ns: u64,
    /// Number of its camera.
    pub camera: usize,
    /// Its name in the results.
    pub name: Option<std::borrow::Cow<'a, str>>,
    /// Whether it came from a camera.
    pub live: bool,
}

/// How the pixels of a recorded image lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum StoredFormat {
    Rgb,
    Grey,
    Yuyv,
    Uyvy,
    Nv12,
    I420,
    Jpeg,
}

/// [`ColourMatrix`] in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum StoredMatrix {
    Bt601,
    Bt709,
}

impl StoredFormat {
    /// The layout; `None` for a JPEG.
    pub fn pixels(self) -> Option<PixelFormat> {
        Some(match self {
            Self::Rgb => PixelFormat::Rgb,
            Self::Grey => PixelFormat::Grey,
            Self::Yuyv => PixelFormat::Yuyv,
            Self::Uyvy => PixelFormat::Uyvy,
            Self::Nv12 => PixelFormat::Nv12,
            Self::I420 => PixelFormat::I420,
            Self::Jpeg => return None,
        })
    }
}

#[cfg(feature = "sinks")]
impl From<PixelFormat> for StoredFormat {
    fn from(format: PixelFormat) -> Self {
        match format {
            PixelFormat::Rgb => Self::Rgb,
            PixelFormat::Grey => Self::Grey,
            PixelFormat::Yuyv => Self::Yuyv,
            PixelFormat::Uyvy => Self::Uyvy,
            PixelFormat::Nv12 => Self::Nv12,
            PixelFormat::I420 => Self::I420,
        }
    }
}

impl<'a> FrameRecord<'a> {
    /// The record of an image that is stored as it is, at the beginning of a segment; its times and its origin are to be set.
    #[cfg(feature = "sinks")]
    pub fn of(image: ImageView<'_>) -> Self {
        let Size { width, height } = image.size();
        Self {
            offset: 0,
            bytes: image.format().image_bytes(image.size(), image.stride()).unwrap_or(image.data().len()) as u64,
            format: image.format().into(),
            image: (width, height),
            stride: image.stride(),
            matrix: match image.colour().matrix {
                ColourMatrix::Bt601 => StoredMatrix::Bt601,
                ColourMatrix::Bt709 => StoredMatrix::Bt709,
            },
            full_range: image.colour().range == ColourRange::Full,
            sequence: 0,
            captured_ns: None,
            time_ns: 0,
            camera: 0,
            name: None,
            live: false,
        }
    }

    /// What its luma and chroma mean.
    pub fn colour(&self) -> Colour {
        let matrix = match self.matrix {
            StoredMatrix::Bt601 => ColourMatrix::Bt601,
            StoredMatrix::Bt709 => ColourMatrix::Bt709,
        };
        Colour { matrix, range: if self.full_range { ColourRange::Full } else { ColourRange::Limited } }
    }
}

/// A file of a segment.
pub(crate) fn file(folder: &Path, number: u64, ending: &str) -> PathBuf {
    folder.join(format!("{number:06}.{ending}"))
}

/// The numbers of the segments in a folder, in order. Other files are ignored.
///
/// # Errors
/// If the folder cannot be read.
pub(crate) fn segments(folder: &Path) -> std::io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.strip_suffix(INDEX)?.strip_suffix('.'));
        numbers.extend(number.filter(|text| text.len() >= 6).and_then(|text| text.parse::<u64>().ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(feature = "sinks")]
    #[test]
    fn segments_are_told_from_other_files() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["000002.jsonl", "000010.jsonl", "000010.results.jsonl", "1.jsonl", "notes.jsonl", "000003.frames"]
        {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        assert_eq!(segments(folder.path()).unwrap(), [2, 10]);
        assert_eq!(file(folder.path(), 2, RESULTS), folder.path().join("000002.results.jsonl"));
        assert_eq!(file(folder.path(), 1_234_567, INDEX), folder.path().join("1234567.jsonl"));
    }
}
