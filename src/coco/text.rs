//! Bytes to JSON values, within bounds.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use serde::Deserializer;
use serde::de::{DeserializeOwned, DeserializeSeed, IgnoredAny, MapAccess, Visitor};

use super::FileError;

/// Largest file that is read.
pub const MAX_BYTES: u64 = 1 << 30;
/// Longest text in quotes; COCO's longest, an encoded segment, has some 100 kB.
const MAX_TEXT: usize = 4 << 20;
/// Longest number or word.
const MAX_WORD: usize = 1024;
/// Deepest nesting of lists and objects.
const MAX_DEPTH: usize = 100;
/// Bytes read at a time.
const CHUNK: usize = 1 << 16;

/// What is wrong in the text of a file, and where.
#[derive(Debug)]
pub enum Fault {
    /// The file cannot be read.
    Read(io::Error),
    /// The text as a whole cannot be used.
    Content(String),
    /// The value at `key` is not what it should be.
    Json {
        /// Where in the file, such as `annotations[3].area`.
        key: String,
        /// What is wrong there, with line and column.
        message: String,
    },
}

impl Fault {
    /// The same fault with the file's path.
    pub fn at(self, path: &Path) -> FileError {
        match self {
            Self::Read(source) => FileError::Read { path: path.into(), source },
            Self::Content(reason) => FileError::content(path, reason),
            Self::Json { key, message } => FileError::Json { path: path.into(), key, message },
        }
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Read(error) => error.fmt(f),
            Self::Content(reason) => f.write_str(reason),
            Self::Json { key, message } => write!(f, "{key}: {message}"),
        }
    }
}

/// Reads the whole file with `seed`.
///
/// # Errors
/// If the file cannot be read, is not JSON, or is not what `seed` expects.
pub fn read<S, T>(path: &Path, seed: S) -> Result<T, FileError>
where
    S: for<'de> DeserializeSeed<'de, Value = T>,
{
    let file = File::open(path).map_err(|source| FileError::Read { path: path.into(), source })?;
    parse(file, CHUNK, seed).map_err(|fault| fault.at(path))
}

/// The value in a text; `MAX_BYTES` and the other bounds apply as well.
///
/// # Errors
/// If the text is not JSON, or not a `T`.
pub fn from_bytes<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Fault> {
    parse_bytes(bytes, std::marker::PhantomData::<T>)
}

/// Parses a text in memory.
pub(super) fn parse_bytes<S, T>(bytes: &[u8], seed: S) -> Result<T, Fault>
where
    S: for<'de> DeserializeSeed<'de, Value = T>,
{
    parse(bytes, bytes.len().clamp(16, CHUNK), seed)
}

/// Parses `input`, reading `chunk` bytes at a time.
fn parse<S, T>(input: impl Read, chunk: usize, seed: S) -> Result<T, Fault>
where
    S: for<'de> DeserializeSeed<'de, Value = T>,
{
    let mut json = serde_json::Deserializer::from_reader(BufReader::with_capacity(chunk, Sanitiser::new(input, chunk)));
    let mut track = serde_path_to_error::Track::new();
    let value = seed
        .deserialize(serde_path_to_error::Deserializer::new(&mut json, &mut track))
        .map_err(|error| fault(track.path().to_string(), error))?;
    json.end().map_err(|error| fault("after the end".to_owned(), error))?;
    Ok(value)
}

fn fault(key: String, error: serde_json::Error) -> Fault {
    if error.is_io() {
        let error = io::Error::from(error);
        // Bounds and encodings are reported by the sanitiser through this kind.
        return match error.kind() {
            io::ErrorKind::InvalidData => Fault::Content(error.to_string()),
            _ => Fault::Read(error),
        };
    }
    let key = if key == "." { "the top level".to_owned() } else { key };
    Fault::Json { key, message: error.to_string() }
}

/// The bytes of a file of at most `limit` bytes.
///
/// # Errors
/// If the file cannot be read, or is longer.
pub fn read_bounded(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("it has more than the {limit} bytes that are read"),
        ));
    }
    Ok(bytes)
}

/// Whether a text is an object with the key `annotations`, as COCO's files have it.
///
/// # Errors
/// If the text is not JSON, or not an object.
pub fn is_coco(bytes: &[u8]) -> Result<bool, Fault> {
    struct Keys;
    impl<'de> DeserializeSeed<'de> for Keys {
        type Value = bool;
        fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
            deserializer.deserialize_map(self)
        }
    }
    impl<'de> Visitor<'de> for Keys {
        type Value = bool;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an object")
        }
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<bool, A::Error> {
            let mut found = false;
            while let Some((key, IgnoredAny)) = map.next_entry::<String, IgnoredAny>()? {
                found |= key == "annotations";
            }
            Ok(found)
        }
    }
    parse_bytes(bytes, Keys)
}

/// Passes JSON through byte by byte.
///
/// A byte order mark is dropped, and NaN and Infinity, which Python and JavaScript write though JSON does not have them,
/// become `null`. Strings, words, nesting and the whole file are bounded, as the parser that follows buffers each of them.
struct Sanitiser<R> {
    input: R,
    /// Bytes left of [`MAX_BYTES`].
    left: u64,
    chunk: Box<[u8]>,
    /// What the parser may take, from `start` on.
    output: Vec<u8>,
    start: usize,
    state: State,
    begun: bool,
    ended: bool,
}

#[derive(Debug, Default)]
struct State {
    /// Inside a text.
    quoted: bool,
    /// After a backslash.
    escaped: bool,
    /// Bytes of the text or word.
    length: usize,
    depth: usize,
    /// A word that JSON does not have, or the minus before it.
    held: Vec<u8>,
}

impl<R: Read> Sanitiser<R> {
    fn new(input: R, chunk: usize) -> Self {
        let (chunk, output) = (vec![0; chunk].into_boxed_slice(), Vec::with_capacity(chunk + 16));
        let state = State::default();
        Self { input, left: MAX_BYTES, chunk, output, start: 0, state, begun: false, ended: false }
    }

    /// Reads the next bytes into `output`, which is empty; it stays so at the end.
    fn fill(&mut self) -> io::Result<()> {
        self.start = 0;
        self.output.clear();
        while self.output.is_empty() && !self.ended {
            let mut count = 0;
            // The first bytes are needed together.
            while count < 4 {
                match self.input.read(&mut self.chunk[count..]) {
                    Ok(0) => break,
                    Ok(more) => count += more,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
            self.left = self
                .left
                .checked_sub(count as u64)
                .ok_or_else(|| refused(format!("it has more than the {MAX_BYTES} bytes that are read")))?;
            let mut bytes = &self.chunk[..count];
            if !std::mem::replace(&mut self.begun, true) {
                bytes = start(bytes)?;
            }
            for &byte in bytes {
                self.state.pass(byte, &mut self.output)?;
            }
            if count == 0 {
                self.ended = true;
                self.state.release(&mut self.output);
            }
        }
        Ok(())
    }
}

impl<R: Read> Read for Sanitiser<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.start == self.output.len() {
            self.fill()?;
        }
        let count = buffer.len().min(self.output.len() - self.start);
        buffer[..count].copy_from_slice(&self.output[self.start..][..count]);
        self.start += count;
        Ok(count)
    }
}

fn refused(reason: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

/// The first bytes without a byte order mark.
fn start(bytes: &[u8]) -> io::Result<&[u8]> {
    let other = match bytes {
        [] => return Err(refused("the file is empty".to_owned())),
        [0xef, 0xbb, 0xbf, rest @ ..] => return Ok(rest),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [_, 0, ..] | [0, ..] => "it is not UTF-8 but UTF-16; save it as UTF-8",
        [0x1f, 0x8b, ..] => "it is compressed with gzip; unpack it first",
        [b'P', b'K', 3, 4, ..] => "it is a zip archive; unpack it first",
        _ => return Ok(bytes),
    };
    Err(refused(other.to_owned()))
}

impl State {
    fn pass(&mut self, byte: u8, output: &mut Vec<u8>) -> io::Result<()> {
        if self.quoted {
            self.length += 1;
            if self.length > MAX_TEXT {
                return Err(refused(format!("a text in it is longer than {MAX_TEXT} bytes")));
            }
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => (self.quoted, self.length) = (false, 0),
                _ => {}
            }
            output.push(byte);
            return Ok(());
        }
        // `N` and `I` begin no word of JSON.
        if matches!(byte, b'N' | b'I') && (self.held.is_empty() || self.held == b"-") && self.length == 0 {
            self.held.push(byte);
            return Ok(());
        }
        if !self.held.is_empty() {
            if self.held != b"-" && byte.is_ascii_alphabetic() && self.held.len() < 16 {
                self.held.push(byte);
                return Ok(());
            }
            self.release(output);
        }
        match byte {
            b'-' if self.length == 0 => {
                self.held.push(byte);
                return Ok(());
            }
            b'"' => (self.quoted, self.length) = (true, 0),
            b'{' | b'[' => (self.depth, self.length) = (self.depth + 1, 0),
            b'}' | b']' => (self.depth, self.length) = (self.depth.saturating_sub(1), 0),
            b',' | b':' => self.length = 0,
            _ if byte.is_ascii_whitespace() => self.length = 0,
            _ => self.length += 1,
        }
        if self.depth > MAX_DEPTH {
            return Err(refused(format!("it nests deeper than {MAX_DEPTH} levels")));
        }
        if self.length > MAX_WORD && !self.quoted {
            return Err(refused(format!("a number in it is longer than {MAX_WORD} characters")));
        }
        output.push(byte);
        Ok(())
    }

    /// Writes the word that was held back, or `null` for NaN and Infinity.
    fn release(&mut self, output: &mut Vec<u8>) {
        let word = self.held.strip_prefix(b"-").unwrap_or(&self.held);
        match word {
            b"NaN" | b"Infinity" => output.extend_from_slice(b"null"),
            _ => output.extend_from_slice(&self.held),
        }
        self.length = self.held.len();
        self.held.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passed(text: &[u8]) -> Result<String, String> {
        let mut out = String::new();
        Sanitiser::new(text, CHUNK).read_to_string(&mut out).map_err(|error| error.to_string())?;
        Ok(out)
    }

    #[test]
    fn what_is_json_passes_unchanged() {
        for text in [
            r#"{"a": [1, -2.5e-7, -0, true, false, null], "NaN": "Infinity -Infinity \" NaN", "b\\": {}}"#,
            "[]",
            " [ -1 , -2 ]\n",
            "\"-\"",
            "-",
        ] {
            assert_eq!(passed(text.as_bytes()).unwrap(), text);
        }
    }

    #[test]
    fn words_that_are_no_numbers_become_null() {
        assert_eq!(passed(b"[NaN,-Infinity, Infinity,\n-NaN]").unwrap(), "[null,null, null,\nnull]");
        assert_eq!(passed(b"NaN").unwrap(), "null");
        // No words of Python or JavaScript: left as they are, for the parser to refuse.
        assert_eq!(passed(b"[Nan, NaNs, None, Infinit]").unwrap(), "[Nan, NaNs, None, Infinit]");
    }

    #[test]
    fn encodings_are_told_apart() {
        assert_eq!(passed(b"\xef\xbb\xbf[1]").unwrap(), "[1]");
        assert_eq!(passed(b"\xef\xbb\xbf\"\xc3\xa9\"").unwrap(), "\"\u{e9}\"");
        for (bytes, needle) in [
            (&b""[..], "empty"),
            (b"\xff\xfe[\0", "UTF-16"),
            (b"[\0]\0", "UTF-16"),
            (b"\x1f\x8b\x08\0", "gzip"),
            (b"PK\x03\x04", "zip"),
        ] {
            let error = passed(bytes).unwrap_err();
            assert!(error.contains(needle), "{error}");
        }
    }

    /// Gives the same bytes for ever.
    struct Endless(&'static [u8], usize);

    impl Read for Endless {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            for slot in buffer.iter_mut() {
                *slot = self.0[self.1 % self.0.len()];
                self.1 += 1;
            }
            Ok(buffer.len())
        }
    }

    #[test]
    fn endless_texts_numbers_and_nesting_are_refused_early() {
        for (bytes, needle) in [(&b"a"[..], "longer"), (b"1", "longer"), (b"[", "nests"), (b"{\"a\":", "nests")] {
            let begin: &[u8] = if bytes == b"a" { b"\"" } else { b" " };
            let error =
                parse(begin.chain(Endless(bytes, 0)), CHUNK, std::marker::PhantomData::<IgnoredAny>).unwrap_err();
            assert!(error.to_string().contains(needle), "{error}");
        }
    }

    #[test]
    fn chunks_of_any_size_give_the_same() {
        struct Dripping<'a>(&'a [u8]);
        impl Read for Dripping<'_> {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                let Some((&first, rest)) = self.0.split_first() else { return Ok(0) };
                (buffer[0], self.0) = (first, rest);
                Ok(1)
            }
        }
        let text = b"\xef\xbb\xbf{\"a\": [NaN, -Infinity, \"\\\"\"]}";
        let mut out = String::new();
        Sanitiser::new(Dripping(text), 16).read_to_string(&mut out).unwrap();
        assert_eq!(out, passed(text).unwrap());
    }
}
