//! Any bytes as a request: a complete request or a refusal stays the same when more bytes follow.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sinew::sink::http::request::{self, MOST_BYTES, Refusal};

fuzz_target!(|bytes: &[u8]| {
    let bytes = &bytes[..bytes.len().min(MOST_BYTES)];
    let whole = request::parse(bytes);
    for end in 0..bytes.len() {
        match request::parse(&bytes[..end]) {
            Ok(None) => {}
            Ok(Some(request)) => assert_eq!(whole, Ok(Some(request))),
            // A refusal may be clear before the last byte, and be another one then.
            Err(Refusal::TooLong) => {}
            Err(_) => assert!(whole.is_err()),
        }
    }
});
