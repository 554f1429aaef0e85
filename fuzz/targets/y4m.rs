//! Any bytes as a y4m video: frames, or an error.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sinew::source::{Source, Y4m};

/// Frames may be empty but for their header line; so many are enough.
const MOST_FRAMES: usize = 64;

fuzz_target!(|bytes: &[u8]| {
    let Ok(mut video) = Y4m::new(bytes, "fuzz") else { return };
    let size = video.size();
    for sequence in 0..MOST_FRAMES {
        match video.next_frame() {
            Ok(Some(frame)) => {
                assert_eq!(frame.sequence, sequence as u64);
                assert_eq!(frame.image.size(), size);
            }
            Ok(None) | Err(_) => return,
        }
    }
});
