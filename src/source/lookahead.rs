//! A reader that can put bytes back.

use std::io::{self, BufRead, BufReader, Read};

/// A buffered reader into which bytes can be put back.
#[derive(Debug)]
pub(super) struct Lookahead<R> {
    /// What was put back, from `at` on.
    before: Vec<u8>,
    at: usize,
    input: BufReader<R>,
}

impl<R: Read> Lookahead<R> {
    pub fn new(input: BufReader<R>) -> Self {
        Self { before: Vec::new(), at: 0, input }
    }

    /// Reads `bytes` next, before all else.
    pub fn put_back(&mut self, bytes: Vec<u8>) {
        let mut before = bytes;
        before.extend_from_slice(&self.before[self.at..]);
        (self.before, self.at) = (before, 0);
    }
}

impl<R: Read> Read for Lookahead<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.at == self.before.len() {
            return self.input.read(into);
        }
        let read = (&self.before[self.at..]).read(into)?;
        self.at += read;
        Ok(read)
    }
}

impl<R: Read> BufRead for Lookahead<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.at == self.before.len() { self.input.fill_buf() } else { Ok(&self.before[self.at..]) }
    }

    fn consume(&mut self, count: usize) {
        if self.at == self.before.len() { self.input.consume(count) } else { self.at += count }
    }
}
