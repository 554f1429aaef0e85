//! One picture, or all pictures of a folder.

use std::path::{Path, PathBuf};

use super::{Frame, PICTURE_EXTENSIONS, Source, SourceError, has_extension};
use crate::pixels::{Limits, Picture, read_picture};

/// Picture files, read one after the other.
#[derive(Debug)]
pub struct Pictures {
    paths: Vec<PathBuf>,
    next: usize,
    /// Whether a picture that cannot be read ends it all.
    single: bool,
    limits: Limits,
    /// The current picture and its name.
    picture: Option<Picture>,
    name: String,
}

impl Pictures {
    /// One picture.
    pub fn single(path: &Path) -> Self {
        Self::new(vec![path.to_owned()], true)
    }

    /// The pictures directly in the folder `path`, by name; other files and hidden ones are passed over.
    ///
    /// # Errors
    /// Where the folder cannot be listed or has no pictures.
    pub fn folder(path: &Path) -> Result<Self, SourceError> {
        let failed = |source| SourceError::Open { path: path.to_owned(), source };
        let mut paths = Vec::new();
        for entry in std::fs::read_dir(path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
            let file = entry.path();
            if !hidden && has_extension(&file, &PICTURE_EXTENSIONS) && !file.is_dir() {
                paths.push(file);
            }
        }
        if paths.is_empty() {
            return Err(SourceError::NoPictures { path: path.to_owned() });
        }
        paths.sort();
        Ok(Self::new(paths, false))
    }

    fn new(paths: Vec<PathBuf>, single: bool) -> Self {
        Self { paths, next: 0, single, limits: Limits::default(), picture: None, name: String::new() }
    }
}

impl Source for Pictures {
    fn next_frame(&mut self) -> Result<Option<Frame<'_>>, SourceError> {
        let Some(path) = self.paths.get(self.next) else { return Ok(None) };
        let sequence = self.next as u64;
        self.next += 1;
        let wrap = if self.single { SourceError::Picture } else { SourceError::Skipped };
        // The memory of the picture before is given back first.
        self.picture = None;
        let picture = self.picture.insert(read_picture(path, &self.limits).map_err(wrap)?);
        self.name.clear();
        self.name.push_str(&path.to_string_lossy());
        Ok(Some(Frame { picture: picture.view(), sequence, captured: None, instant: None, name: Some(&self.name) }))
    }

    fn frames(&self) -> Option<u64> {
        Some(self.paths.len() as u64)
    }
}
