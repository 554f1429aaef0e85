//! Output files: locked against other programs, and replaced only once new content exists.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsFd as _;
#[cfg(feature = "sinks")]
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Maximum number of links that are followed, as in Linux.
const MOST_LINKS: usize = 40;
/// Interval at which a stream that is not ready is tried again.
const RETRY: Duration = Duration::from_millis(2);

/// An open file, locked.
#[derive(Debug)]
pub(crate) struct OutputFile {
    file: File,
    /// Its path, links resolved.
    path: PathBuf,
    #[cfg(feature = "sinks")]
    identity: (u64, u64),
}

impl OutputFile {
    /// Opens or creates the file at `path` to append to it. What it holds stays until [`OutputFile::truncate`].
    ///
    /// # Errors
    /// If it cannot be opened; [`ErrorKind::ResourceBusy`] if another program has locked it.
    pub fn open(path: &Path) -> io::Result<Self> {
        let path = resolve(path)?;
        let file = OpenOptions::new().append(true).create(true).open(&path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(io::Error::new(ErrorKind::ResourceBusy, "another program is writing this file"));
            }
            // Some network file systems have no locks.
            Err(TryLockError::Error(error)) => tracing::debug!("{} cannot be locked: {error}", path.display()),
        }
        #[cfg(feature = "sinks")]
        let identity = file.metadata().map(|found| (found.dev(), found.ino()))?;
        Ok(Self {
            file,
            path,
            #[cfg(feature = "sinks")]
            identity,
        })
    }

    /// Its path, links resolved.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its length, bytes.
    #[cfg(feature = "sinks")]
    pub fn length(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    /// Whether its path still leads to it: it was neither moved nor deleted.
    #[cfg(feature = "sinks")]
    pub fn is_in_place(&self) -> bool {
        fs::metadata(&self.path).is_ok_and(|found| (found.dev(), found.ino()) == self.identity)
    }

    /// Truncates it to `length` bytes.
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
#[cfg(feature = "sinks")]
pub(crate) struct Replacement {
    target: Target,
    begun: bool,
}

#[derive(Debug)]
#[cfg(feature = "sinks")]
enum Target {
    Regular(OutputFile),
    /// A pipe or a device, which has no content to replace.
    Other(File),
}

#[cfg(feature = "sinks")]
impl Replacement {
    /// Opens or creates the file, pipe or device at `path`.
    ///
    /// # Errors
    /// Same as [`OutputFile::open`].
    pub fn open(path: &Path) -> io::Result<Self> {
        let target = if is_standard_output(path) {
            Target::Other(standard_output()?)
        } else if is_special(path) {
            Target::Other(OpenOptions::new().write(true).open(path)?)
        } else {
            Target::Regular(OutputFile::open(path)?)
        };
        Ok(Self { target, begun: false })
    }

    /// Whether its path still leads to it; a pipe or a device is always in place.
    pub fn is_in_place(&self) -> bool {
        match &self.target {
            Target::Regular(file) => file.is_in_place(),
            Target::Other(_) => true,
        }
    }

    /// Opens its path again, after another program has moved or deleted the file.
    ///
    /// # Errors
    /// Same as [`OutputFile::open`].
    pub fn reopen(&mut self) -> io::Result<()> {
        if let Target::Regular(file) = &mut self.target {
            *file = OutputFile::open(file.path())?;
            self.begun = false;
        }
        Ok(())
    }

    /// Replaces the contents even if nothing was written.
    pub fn begin(&mut self) -> io::Result<()> {
        if let (Target::Regular(file), false) = (&self.target, self.begun) {
            file.truncate(0)?;
        }
        self.begun = true;
        Ok(())
    }
}

#[cfg(feature = "sinks")]
impl Write for Replacement {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.begin()?;
        match &mut self.target {
            Target::Other(file) => Patient(file).write(bytes),
            Target::Regular(file) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes all of `bytes` to the file at `path`, or leaves it as it was: they are written to a temporary file that replaces it.
///
/// # Errors
/// Same as [`OutputFile::open`], or if writing fails.
pub(crate) fn whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if is_standard_output(path) {
        return Patient(standard_output()?).write_all(bytes);
    }
    if is_special(path) {
        return OpenOptions::new().write(true).open(path)?.write_all(bytes);
    }
    let is_new = fs::symlink_metadata(path).is_err();
    // Held to the end: another program may be writing the file.
    let mut file = OutputFile::open(path)?;
    let written = match beside(file.path(), bytes) {
        // The file may be written and its folder not.
        Err(error) if matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem) => {
            file.truncate(0).and_then(|()| file.write_all(bytes))
        }
        written => written,
    };
    if written.is_err() && is_new {
        // The error that is reported is the first.
        let _ = fs::remove_file(file.path());
    }
    written
}

/// Writes `bytes` to a new file, which then replaces what is at `path`, a link too.
///
/// # Errors
/// If that fails; nothing has changed then.
pub(crate) fn beside(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let partial = partial(path);
    let written = File::create(&partial).and_then(|mut file| {
        file.write_all(bytes)?;
        if let Ok(found) = fs::symlink_metadata(path)
            && found.is_file()
        {
            file.set_permissions(found.permissions())?;
        }
        fs::rename(&partial, path)
    });
    if written.is_err() {
        // The error that is reported is the first.
        let _ = fs::remove_file(&partial);
    }
    written
}

/// The temporary path of a file. Its name is not derived from the file's, which may have the maximum length.
fn partial(path: &Path) -> PathBuf {
    let mut hasher = DefaultHasher::new();
    path.file_name().hash(&mut hasher);
    path.with_file_name(format!(".sinew-{}-{:016x}.partial", std::process::id(), hasher.finish()))
}

/// A stream that blocks even if the file is non-blocking: another program that shares the pipe or terminal may have made it
/// non-blocking for both.
#[derive(Debug)]
pub(crate) struct Patient<T>(pub T);

/// Retries while the stream would block.
fn patiently<R>(mut attempt: impl FnMut() -> io::Result<R>) -> io::Result<R> {
    loop {
        match attempt() {
            Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::sleep(RETRY),
            other => return other,
        }
    }
}

impl<T: Read> Read for Patient<T> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        patiently(|| self.0.read(into))
    }
}

impl<T: Write> Write for Patient<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        patiently(|| self.0.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        patiently(|| self.0.flush())
    }
}

/// Whether `path` names standard output. What a shell has opened, perhaps for appending, is not opened again.
pub(crate) fn is_standard_output(path: &Path) -> bool {
    ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"].iter().any(|name| path == Path::new(name))
}

/// Standard output as a file, without a buffer.
pub(crate) fn standard_output() -> io::Result<File> {
    Ok(io::stdout().as_fd().try_clone_to_owned()?.into())
}

/// Whether `path` exists and is not a regular file.
pub(crate) fn is_special(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| !found.is_file())
}

/// `path` with all links resolved, even if their target does not exist yet.
///
/// # Errors
/// If a link cannot be read, or there are too many.
pub(crate) fn resolve(path: &Path) -> io::Result<PathBuf> {
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

#[cfg(all(test, feature = "sinks"))]
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
            assert_eq!(error.kind(), ErrorKind::ResourceBusy);
            assert_eq!(whole(path, b"x").unwrap_err().kind(), ErrorKind::ResourceBusy);
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

    /// Says "not now" every other time.
    struct Hesitant(Vec<u8>, bool);

    impl Hesitant {
        fn hesitate(&mut self) -> io::Result<()> {
            self.1 = !self.1;
            if self.1 { Err(ErrorKind::WouldBlock.into()) } else { Ok(()) }
        }
    }

    impl Write for Hesitant {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.hesitate()?;
            self.0.extend_from_slice(&bytes[..bytes.len().min(3)]);
            Ok(bytes.len().min(3))
        }

        fn flush(&mut self) -> io::Result<()> {
            self.hesitate()
        }
    }

    impl Read for Hesitant {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            self.hesitate()?;
            let count = (&self.0[..]).read(into)?;
            self.0.drain(..count);
            Ok(count)
        }
    }

    #[test]
    fn streams_that_say_not_now_are_waited_for() {
        let mut stream = Patient(Hesitant(Vec::new(), false));
        stream.write_all(b"ten bytes.").unwrap();
        stream.flush().unwrap();
        let mut read = String::new();
        stream.read_to_string(&mut read).unwrap();
        assert_eq!(read, "ten bytes.");
    }

    #[test]
    fn all_is_written_or_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("far"), "older, and longer").unwrap();
        symlink("far", at("link")).unwrap();
        fs::hard_link(at("far"), at("copy")).unwrap();
        whole(&at("link"), b"newer").unwrap();
        assert_eq!(fs::read_to_string(at("far")).unwrap(), "newer");
        assert!(fs::symlink_metadata(at("link")).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(at("copy")).unwrap(), "older, and longer", "another name of the older file");
        whole(&at("new"), b"first").unwrap();
        assert_eq!(fs::read_to_string(at("new")).unwrap(), "first");
        // The longest name that a file can have.
        let long = at(&"x".repeat(255));
        whole(&long, b"y").unwrap();
        // A folder stands where the new contents would lie until they are complete.
        fs::create_dir(partial(&long)).unwrap();
        assert!(whole(&long, b"z").is_err());
        assert_eq!(fs::read_to_string(&long).unwrap(), "y", "it stays");
        fs::remove_file(&long).unwrap();
        assert!(whole(&long, b"z").is_err() && !long.exists());
        fs::remove_dir(partial(&long)).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 4);
        whole(Path::new("/dev/null"), b"gone").unwrap();
        assert!(whole(Path::new("/dev/full"), b"none").is_err());
    }
}
