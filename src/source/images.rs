//! One image, or all images of a folder.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::{Frame, Source, SourceError};
use crate::pixels::file::is_image;
use crate::pixels::{Image, Limits, read_image};

/// Extensions of images.
const EXTENSIONS: [&str; 3] = ["jpg", "jpeg", "png"];

/// Image files, read one after the other.
#[derive(Debug)]
pub struct Images {
    paths: Vec<PathBuf>,
    next: usize,
    /// Whether an image that cannot be read is an error rather than skipped.
    single: bool,
    limits: Limits,
    /// The current image and its name.
    image: Option<Image>,
    name: String,
}

impl Images {
    /// One image.
    pub fn single(path: &Path) -> Self {
        Self::new(vec![path.to_owned()], true)
    }

    /// Whether a file directly in a folder of images is one of its images.
    pub fn takes(file: &Path) -> bool {
        let hidden = file.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
        !hidden && file.is_file() && (Self::is_named_like_one(file) || is_unnamed_image(file))
    }

    /// Whether the path has an image's extension.
    pub fn is_named_like_one(path: &Path) -> bool {
        path.extension().is_some_and(|found| EXTENSIONS.iter().any(|extension| found.eq_ignore_ascii_case(extension)))
    }

    /// The images directly in the folder `path`, by name: files with an image's extension, and files without extension whose
    /// first bytes are an image's. Hidden files are ignored.
    ///
    /// # Errors
    /// If the folder cannot be listed or has no images.
    pub fn folder(path: &Path) -> Result<Self, SourceError> {
        let failed = |source| SourceError::Open { path: path.to_owned(), source };
        let mut paths = Vec::new();
        for entry in std::fs::read_dir(path).map_err(failed)? {
            let file = entry.map_err(failed)?.path();
            if Self::takes(&file) {
                paths.push(file);
            }
        }
        if paths.is_empty() {
            return Err(SourceError::NoImages { path: path.to_owned() });
        }
        paths.sort();
        Ok(Self::new(paths, false))
    }

    fn new(paths: Vec<PathBuf>, single: bool) -> Self {
        Self { paths, next: 0, single, limits: Limits::default(), image: None, name: String::new() }
    }
}

/// Appends a path as text, with escapes for invalid UTF-8: different names stay different.
fn push_escaped(path: &Path, text: &mut String) {
    for chunk in path.as_os_str().as_encoded_bytes().utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
}

/// Whether a file without extension is an image.
fn is_unnamed_image(path: &Path) -> bool {
    let mut start = [0; 8];
    path.extension().is_none()
        && File::open(path).and_then(|mut file| file.read_exact(&mut start)).is_ok()
        && is_image(&start)
}

impl Source for Images {
    fn next_frame(&mut self) -> Result<Option<Frame<'_>>, SourceError> {
        let Some(path) = self.paths.get(self.next) else { return Ok(None) };
        let sequence = self.next as u64;
        self.next += 1;
        let wrap = if self.single { SourceError::Image } else { SourceError::Skipped };
        // Frees the previous image before the next is read.
        self.image = None;
        let image = self.image.insert(read_image(path, &self.limits).map_err(wrap)?);
        self.name.clear();
        push_escaped(path, &mut self.name);
        Ok(Some(Frame { image: image.view(), sequence, captured: None, instant: None, name: Some(&self.name) }))
    }

    fn frames(&self) -> Option<u64> {
        Some(self.paths.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;

    use super::*;

    #[test]
    fn names_that_are_no_utf_8_stay_different() {
        let text = |bytes: &[u8]| {
            let mut text = String::new();
            push_escaped(Path::new(OsStr::from_bytes(bytes)), &mut text);
            text
        };
        assert_eq!(text(b"a/\xff\xfe.jpg"), "a/\\xff\\xfe.jpg");
        assert_ne!(text(b"\xff.jpg"), text(b"\xfe.jpg"));
        assert_eq!(text("größer 猫.jpg".as_bytes()), "größer 猫.jpg");
    }
}
