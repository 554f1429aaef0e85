//! The images of an annotated set: found, read, and compared with their annotations.

use std::collections::HashMap;
use std::error::Error;
use std::path::{Path, PathBuf};

use anyhow::bail;

use crate::cli::log::LogArguments;
use crate::cli::progress::Progress;
use crate::coco::base_name;
use crate::geometry::Size;
use crate::pixels::{Image, Limits, ReadError, read_image};

/// Maximum number of skipped images that are named.
const MOST_NAMED: usize = 20;

/// Why an image is skipped.
#[derive(Debug, thiserror::Error)]
enum SetError {
    /// It cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// It does not have the annotated size.
    #[error("{}: the image is {found}, but the annotations are of one of {annotated}{hint}", path.display())]
    Size {
        /// The image's file.
        path: PathBuf,
        /// Its size.
        found: Size,
        /// The size that the annotations give.
        annotated: Size,
        /// A possible explanation.
        hint: &'static str,
    },
}

/// Reads the images of a set one by one; those that cannot be used are skipped, named and counted.
pub(super) struct ImageSet<'a> {
    folder: &'a Path,
    /// How many of the set's images end in a file name.
    names: HashMap<&'a str, usize>,
    total: usize,
    skipped: usize,
    /// Images found by file name only, and the first of them.
    by_name: usize,
    first_by_name: Option<String>,
    progress: Progress,
}

impl<'a> ImageSet<'a> {
    /// The images called `file_names` of `folder`; the work has as many `steps`.
    pub(super) fn new(
        folder: &'a Path,
        file_names: impl IntoIterator<Item = &'a str>,
        steps: usize,
        log: &LogArguments,
    ) -> Self {
        let (mut names, mut total) = (HashMap::new(), 0);
        for name in file_names {
            *names.entry(base_name(name)).or_default() += 1;
            total += 1;
        }
        let progress = Progress::new(Some(steps as u64), log);
        Self { folder, names, total, skipped: 0, by_name: 0, first_by_name: None, progress }
    }

    /// An image and its path; `None` if it is skipped.
    pub(super) fn read(&mut self, file_name: &str, annotated: Option<Size>) -> Option<(PathBuf, Image)> {
        let path = self.find(file_name);
        match read(&path, annotated) {
            Ok(image) => Some((path, image)),
            Err(error) => {
                self.skip(&error);
                None
            }
        }
    }

    /// Annotation files often name images by a path of the machine that they were made on: if there is no such file, the file
    /// name is used, if it is unique in the set.
    fn find(&mut self, file_name: &str) -> PathBuf {
        let path = self.folder.join(file_name);
        let name = base_name(file_name);
        if name == file_name || path.exists() || self.names.get(name) != Some(&1) {
            return path;
        }
        let here = self.folder.join(name);
        if !here.exists() {
            return path;
        }
        self.by_name += 1;
        self.first_by_name.get_or_insert_with(|| file_name.to_owned());
        here
    }

    /// Counts an image that cannot be used, and says why.
    pub(super) fn skip(&mut self, why: &(dyn Error + 'static)) {
        self.skipped += 1;
        if self.skipped <= MOST_NAMED {
            self.progress.complain(why);
        }
    }

    /// Reports something that cannot be used other than an image.
    pub(super) fn complain(&self, why: &(dyn Error + 'static)) {
        self.progress.complain(why);
    }

    /// A step of the work is done.
    pub(super) fn step(&self) {
        self.progress.step();
    }

    /// Images that were skipped.
    pub(super) fn skipped(&self) -> usize {
        self.skipped
    }

    /// Ends the work.
    ///
    /// # Errors
    /// If all images were skipped, so that nothing was measured.
    pub(super) fn finish(&self, annotations: &Path) -> anyhow::Result<()> {
        self.progress.finish();
        if self.skipped > MOST_NAMED {
            tracing::warn!("{} more images were skipped", self.skipped - MOST_NAMED);
        }
        if let Some(first) = &self.first_by_name {
            tracing::warn!(
                "{}: {} images were found in {} by their file name alone, not by their path: {first}",
                annotations.display(),
                self.by_name,
                self.folder.display()
            );
        }
        if self.total > 0 && self.skipped >= self.total {
            bail!(
                "nothing was measured: none of the {} images of {} can be used; see the reasons above. Each `file_name` is \
                 looked up in {}",
                self.total,
                annotations.display(),
                self.folder.display()
            );
        }
        Ok(())
    }
}

fn read(path: &Path, annotated: Option<Size>) -> Result<Image, SetError> {
    // A pipe of that name would be waited for.
    if std::fs::metadata(path).is_ok_and(|found| !found.is_file()) {
        let source = std::io::Error::new(std::io::ErrorKind::InvalidInput, "it is not a regular file");
        return Err(ReadError::File { path: path.to_owned(), source }.into());
    }
    let image = read_image(path, &Limits::default())?;
    let found = image.view().size();
    match annotated {
        Some(annotated) if annotated != found => {
            let is_turned = (annotated.width, annotated.height) == (found.height, found.width);
            let hint = match is_turned {
                true => {
                    ": it lies on its side; its EXIF orientation was dropped or is not what the annotations were made with"
                }
                false => ": it was scaled or cut since, or it is another image",
            };
            Err(SetError::Size { path: path.to_owned(), found, annotated, hint })
        }
        _ => Ok(image),
    }
}
