//! Any bytes as a picture file: pixels within the limits, or an error.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sinew::pixels::{Limits, file, to_rgb};

fuzz_target!(|bytes: &[u8]| {
    let limits = Limits { pixels: 1 << 20, ..Limits::default() };
    let Ok(picture) = file::decode(bytes, &limits) else { return };
    let area = picture.size().area().unwrap();
    assert!((1..=limits.pixels).contains(&area));
    let mut rgb = Vec::new();
    to_rgb(picture.view(), &mut rgb);
    assert_eq!(rgb.len(), 3 * area);
});
