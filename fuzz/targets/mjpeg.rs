//! Any bytes as a camera's frame in JPEG: pixels within the limits, or an error; and what was before changes nothing.
#![no_main]

use std::cell::RefCell;

use libfuzzer_sys::fuzz_target;
use sinew::pixels::{Image, JpegDecoder, Limits};

thread_local! {
    /// As a camera keeps it: with what earlier frames left behind.
    static DECODER: RefCell<JpegDecoder> = RefCell::default();
}

fuzz_target!(|bytes: &[u8]| {
    let limits = Limits { pixels: 1 << 20, ..Limits::default() };
    let mut image = Image::default();
    let decoded = DECODER.with_borrow_mut(|decoder| decoder.decode(bytes, &limits, &mut image));
    let mut afresh = Image::default();
    assert_eq!(decoded, JpegDecoder::default().decode(bytes, &limits, &mut afresh));
    if decoded.is_ok() {
        assert!((1..=limits.pixels).contains(&image.size().area().unwrap()));
        assert_eq!(image, afresh);
    }
});
