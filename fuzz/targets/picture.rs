//! Any bytes as an image file: pixels within the limits, or an error.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sinew::pixels::{Limits, file, to_rgb};

fuzz_target!(|bytes: &[u8]| {
    let limits = Limits { pixels: 1 << 20, ..Limits::default() };
    let Ok(image) = file::decode(bytes, &limits) else { return };
    let area = image.size().area().unwrap();
    assert!((1..=limits.pixels).contains(&area));
    let mut rgb = Vec::new();
    to_rgb(image.view(), &mut rgb);
    assert_eq!(rgb.len(), 3 * area);
});
