//! Files of bounded size: an endless one, such as a device or a pipe, is refused instead of filling the memory.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// A file's bytes, if there are at most `most` of them.
///
/// # Errors
/// Where it cannot be read, or has more.
pub(crate) fn bytes(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    let too_large = || io::Error::new(io::ErrorKind::FileTooLarge, format!("more than the {most} bytes that are read"));
    if length > most {
        return Err(too_large());
    }
    // What is no regular file says that it has no bytes.
    let mut bytes = Vec::with_capacity(length as usize);
    file.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most { Err(too_large()) } else { Ok(bytes) }
}

/// A file's text, if it has at most `most` bytes.
///
/// # Errors
/// Where it cannot be read, has more, or is not UTF-8.
pub(crate) fn text(path: &Path, most: u64) -> io::Result<String> {
    let text = String::from_utf8(bytes(path, most)?);
    text.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, format!("it is not UTF-8: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_limited() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        std::fs::write(&path, "twelve bytes").unwrap();
        assert_eq!(text(&path, 12).unwrap(), "twelve bytes");
        assert_eq!(bytes(&path, 11).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        std::fs::write(&path, [0xff]).unwrap();
        assert_eq!(text(&path, 12).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[cfg(unix)]
    #[test]
    fn endless_files_are_refused() {
        assert_eq!(bytes(Path::new("/dev/zero"), 1 << 20).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    }
}
