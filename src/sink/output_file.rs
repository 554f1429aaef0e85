//! Regular files that sinks write: locked against other programs, and emptied only when there is something to replace their
//! contents with.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::SinkError;

/// Links that are followed at most, as in Linux.
const MOST_LINKS: usize = 40;

/// An open file, locked.
#[derive(Debug)]
pub(super) struct OutputFile {
    file: File,
    /// Where it lies, links resolved.
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl OutputFile {
    /// Opens or creates the file at `path` to append to it. What it holds stays until [`OutputFile::truncate`].
    ///
    /// # Errors
    /// Where it cannot be opened, or another program has locked it.
    pub fn open(path: &Path) -> Result<Self, SinkError> {
        let failed = |source| SinkError::Open { target: path.display().to_string(), source };
        let path = resolve(path).map_err(failed)?;
        let file = OpenOptions::new().append(true).create(true).open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(SinkError::InUse { path }),
            // Some network file systems have no locks.
            Err(TryLockError::Error(error)) => tracing::debug!("{} cannot be locked: {error}", path.display()),
        }
        let found = file.metadata().map_err(failed)?;
        Ok(Self { file, path, device: found.dev(), inode: found.ino() })
    }

    /// Where it lies, links resolved.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its length, bytes.
    pub fn length(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    /// Whether its path still leads to it: it was neither moved nor deleted.
    pub fn is_in_place(&self) -> bool {
        fs::metadata(&self.path).is_ok_and(|found| (found.dev(), found.ino()) == (self.device, self.inode))
    }

    /// Cuts off what is behind `length` bytes.
    pub fn truncate(&self, length: u64) -> io::Result<()> {
        self.file.set_len(length)
    }
}

impl Write for OutputFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// A file whose contents are replaced by the first bytes that are written.
#[derive(Debug)]
pub(super) struct Replacement {
    target: Target,
    begun: bool,
}

#[derive(Debug)]
enum Target {
    Regular(OutputFile),
    /// A pipe or a device, which has nothing to replace.
    Other(File),
}

impl Replacement {
    /// Opens or creates the file, pipe or device at `path`.
    ///
    /// # Errors
    /// As [`OutputFile::open`].
    pub fn open(path: &Path) -> Result<Self, SinkError> {
        let target = if is_special(path) {
            let failed = |source| SinkError::Open { target: path.display().to_string(), source };
            Target::Other(OpenOptions::new().write(true).open(path).map_err(failed)?)
        } else {
            Target::Regular(OutputFile::open(path)?)
        };
        Ok(Self { target, begun: false })
    }
}

impl Write for Replacement {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.target {
            Target::Other(file) => file.write(bytes),
            Target::Regular(file) => {
                if !self.begun {
                    file.truncate(0)?;
                    self.begun = true;
                }
                file.write(bytes)
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whether there is something at `path` that is no regular file.
pub(super) fn is_special(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| !found.is_file())
}

/// `path` with all links followed, also where the file that they lead to does not exist yet.
///
/// # Errors
/// Where a link cannot be read, or there are too many.
pub fn resolve(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
        match fs::symlink_metadata(&path) {
            Ok(found) if found.is_symlink() => {
                let target = fs::read_link(&path)?;
                // An absolute target replaces the path.
                path = path.parent().unwrap_or(Path::new("")).join(target);
            }
            Ok(_) => return Ok(path),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(path),
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::other("too many symbolic links"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn contents_stay_until_the_first_byte() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        fs::write(&path, "older, and longer").unwrap();
        let mut file = Replacement::open(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "older, and longer");
        file.write_all(b"new").unwrap();
        file.write_all(b"er").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "newer");
    }

    #[test]
    fn one_writer_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let first = OutputFile::open(&path).unwrap();
        let link = folder.path().join("link");
        symlink(&path, &link).unwrap();
        for path in [&path, &link] {
            let error = OutputFile::open(path).unwrap_err();
            assert!(matches!(error, SinkError::InUse { .. }), "{error}");
        }
        drop(first);
        assert!(OutputFile::open(&link).is_ok());
    }

    #[test]
    fn links_are_followed_to_files_that_do_not_exist() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("far")).unwrap();
        symlink("far/b", at("a")).unwrap();
        symlink("c", at("far/b")).unwrap();
        assert_eq!(resolve(&at("a")).unwrap(), at("far/c"));
        symlink("loop", at("loop")).unwrap();
        assert!(resolve(&at("loop")).is_err());
    }

    #[test]
    fn a_moved_or_deleted_file_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let (path, other) = (folder.path().join("a"), folder.path().join("b"));
        let file = OutputFile::open(&path).unwrap();
        assert!(file.is_in_place());
        fs::rename(&path, &other).unwrap();
        assert!(!file.is_in_place());
        fs::write(&path, "").unwrap();
        assert!(!file.is_in_place(), "another file of the same name");
        fs::remove_file(&path).unwrap();
        fs::hard_link(&other, &path).unwrap();
        assert!(file.is_in_place());
    }
}
