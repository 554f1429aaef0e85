//! Any bytes as what ffmpeg or GStreamer writes: frames, or an error.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sinew::source::child::{Frames, Gdp, Nut, Progress, Protocol};

/// Frames may be large: so many are enough.
const MOST_FRAMES: usize = 16;

fuzz_target!(|bytes: &[u8]| {
    let Some((&kind, mut rest)) = bytes.split_first() else { return };
    let protocol = if kind % 2 == 0 { Protocol::Nut(Box::<Nut>::default()) } else { Protocol::Gdp(Gdp::default()) };
    let mut frames = Frames::new(protocol);
    let mut found = 0;
    let mut progress = frames.advance(0);
    while found < MOST_FRAMES {
        match progress {
            Ok(Progress::Frame(_)) => {
                found += 1;
                let size = frames.format().expect("a frame has a format").size;
                assert_eq!(frames.image().expect("a frame is an image").size(), size);
                progress = frames.advance(0);
                continue;
            }
            Ok(Progress::More) => {}
            Err(_) => return,
        }
        if rest.is_empty() {
            return;
        }
        // In pieces of different lengths, as a pipe gives them.
        let space = frames.space();
        assert!(!space.is_empty());
        let count = space.len().min(rest.len()).min(1 + usize::from(rest[0]) * 7);
        space[..count].copy_from_slice(&rest[..count]);
        rest = &rest[count..];
        progress = frames.advance(count);
    }
});
