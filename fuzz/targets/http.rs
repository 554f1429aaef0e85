//! Any bytes as a request, at once and in pieces: the same page, or the same refusal.
#![no_main]

use std::io::{self, ErrorKind, Read};

use libfuzzer_sys::fuzz_target;
use sinew::sink::http::request::{self, MOST_BYTES, Refusal};

/// Gives one byte at a time, then nothing more comes in time.
struct Slow<'a>(&'a [u8]);

impl Read for Slow<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some((first, rest)) = self.0.split_first() else { return Err(ErrorKind::TimedOut.into()) };
        buffer[0] = *first;
        self.0 = rest;
        Ok(1)
    }
}

fuzz_target!(|bytes: &[u8]| {
    let bytes = &bytes[..bytes.len().min(MOST_BYTES)];
    let read = request::read(&mut Slow(bytes)).expect("no other error was given");
    match request::parse(bytes) {
        Ok(None) => assert_eq!(read, Err(Refusal::Timeout)),
        Ok(Some(page)) => assert_eq!(read, Ok(page)),
        // A refusal may be clear before the last byte, and be another one then.
        Err(_) => assert!(read.is_err()),
    }
});
