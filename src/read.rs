//! Files of bounded size: an endless one, such as a device or a pipe, is refused instead of filling the memory.

use std::fs::File;
use std::io::{self, BufRead, Read};
use std::path::Path;

/// A file's bytes, at most `most` of them.
///
/// # Errors
/// If it cannot be read, or is larger.
pub(crate) fn bytes(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    let too_large = || io::Error::new(io::ErrorKind::FileTooLarge, format!("more than the {most} bytes that are read"));
    if length > most {
        return Err(too_large());
    }
    // Other than regular files report a length of 0.
    let mut bytes = Vec::with_capacity(length as usize);
    file.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most { Err(too_large()) } else { Ok(bytes) }
}

/// The bytes of a regular file: a pipe of that name is refused, not waited for.
///
/// # Errors
/// Same as [`bytes`], and if it is not a regular file.
pub(crate) fn regular(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    bytes(path, most)
}

/// A file's text of at most `most` bytes.
///
/// # Errors
/// If it cannot be read, is larger, or is not UTF-8.
pub(crate) fn text(path: &Path, most: u64) -> io::Result<String> {
    utf_8(bytes(path, most)?)
}

/// Bytes as text.
///
/// # Errors
/// If they are not UTF-8.
pub(crate) fn utf_8(bytes: Vec<u8>) -> io::Result<String> {
    let text = String::from_utf8(bytes);
    text.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, format!("it is not UTF-8: {error}")))
}

/// Maximum length of a line of results, bytes.
pub(crate) const MAX_RESULT_LINE: usize = 4 << 20;

/// Lines of bounded length.
#[derive(Debug)]
pub(crate) struct BoundedLines<R> {
    input: R,
    most: usize,
    line: Vec<u8>,
    is_first: bool,
}

impl<R: BufRead> BoundedLines<R> {
    /// The lines of `input`, of at most `most` bytes each.
    pub fn new(input: R, most: usize) -> Self {
        Self { input, most, line: Vec::new(), is_first: true }
    }

    /// The next line, without its end and a byte order mark before the first; `None` after the last.
    ///
    /// # Errors
    /// If it cannot be read, is longer, or is not UTF-8.
    pub fn next_line(&mut self) -> io::Result<Option<&str>> {
        self.line.clear();
        if self.input.by_ref().take(self.most as u64 + 1).read_until(b'\n', &mut self.line)? == 0 {
            return Ok(None);
        }
        if self.line.last() == Some(&b'\n') {
            self.line.pop();
            self.line.pop_if(|byte| *byte == b'\r');
        } else if self.line.len() > self.most {
            let reason = format!("the line has more than the {} bytes that are read", self.most);
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, reason));
        }
        let is_first = std::mem::take(&mut self.is_first);
        let line = std::str::from_utf8(&self.line);
        let line = line.map(|line| line.strip_prefix('\u{feff}').filter(|_| is_first).unwrap_or(line));
        line.map(Some).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, format!("it is not UTF-8: {error}")))
    }
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

    #[test]
    fn lines_are_limited() {
        let mut lines = BoundedLines::new(&b"one\r\n\ntwo 22\nthree33"[..], 6);
        let found: Vec<String> = (0..3).map(|_| lines.next_line().unwrap().unwrap().to_owned()).collect();
        assert_eq!(found, ["one", "", "two 22"]);
        assert_eq!(lines.next_line().unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        let mut lines = BoundedLines::new("\u{feff}a\n\u{feff}b".as_bytes(), 6);
        assert_eq!(lines.next_line().unwrap(), Some("a"));
        assert_eq!(lines.next_line().unwrap(), Some("\u{feff}b"), "only before the first");
        let mut lines = BoundedLines::new(&b"end"[..], 3);
        assert_eq!(lines.next_line().unwrap(), Some("end"));
        assert_eq!(lines.next_line().unwrap(), None);
        let mut endless = BoundedLines::new(io::BufReader::new(io::repeat(b'x')), 1 << 20);
        assert_eq!(endless.next_line().unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    }

    #[cfg(unix)]
    #[test]
    fn endless_files_are_refused() {
        assert_eq!(bytes(Path::new("/dev/zero"), 1 << 20).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    }
}
