//! One image, or all images of a folder.

use std::path::{Path, PathBuf};

use super::{Frame, IMAGE_EXTENSIONS, Source, SourceError, has_extension};
use crate::pixels::{Image, Limits, read_image};

/// Image files, read one after the other.
#[derive(Debug)]
pub struct Images {
    paths: Vec<PathBuf>,
    next: usize,
    /// Whether an image that cannot be read ends it all.
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

    /// The images directly in the folder `path`, by name; other files and hidden ones are passed over.
    ///
    /// # Errors
    /// Where the folder cannot be listed or has no images.
    pub fn folder(path: &Path) -> Result<Self, SourceError> {
        let failed = |source| SourceError::Open { path: path.to_owned(), source };
        let mut paths = Vec::new();
        for entry in std::fs::read_dir(path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
            let file = entry.path();
            if !hidden && has_extension(&file, &IMAGE_EXTENSIONS) && !file.is_dir() {
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

impl Source for Images {
    fn next_frame(&mut self) -> Result<Option<Frame<'_>>, SourceError> {
        let Some(path) = self.paths.get(self.next) else { return Ok(None) };
        let sequence = self.next as u64;
        self.next += 1;
        let wrap = if self.single { SourceError::Image } else { SourceError::Skipped };
        // The memory of the image before is given back first.
        self.image = None;
        let image = self.image.insert(read_image(path, &self.limits).map_err(wrap)?);
        self.name.clear();
        self.name.push_str(&path.to_string_lossy());
        Ok(Some(Frame { image: image.view(), sequence, captured: None, instant: None, name: Some(&self.name) }))
    }

    fn frames(&self) -> Option<u64> {
        Some(self.paths.len() as u64)
    }
}
