//! Any bytes as a camera's frame in JPEG, with and without Huffman tables: pixels within the limits, or an error.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sinew::pixels::Limits;
use sinew::source::v4l2::mjpeg;

fuzz_target!(|bytes: &[u8]| {
    let limits = Limits { pixels: 1 << 20, ..Limits::default() };
    let Ok(image) = mjpeg::decode(bytes, &limits) else { return };
    assert!((1..=limits.pixels).contains(&image.size().area().unwrap()));
    assert_eq!(image.data().len() % image.size().area().unwrap(), 0);
    assert!(!bytes.is_empty() && mjpeg::decode(&[], &limits).is_err());
});
