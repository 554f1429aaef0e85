//! Any index over any images as a recording: frames, or an error that names a place.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sinew::source::{Replay, Source};

const MOST_FRAMES: usize = 64;
/// Bytes of the images, which stand behind the index: what they are matters little.
const IMAGES: usize = 4096;

fuzz_target!(|bytes: &[u8]| {
    let folder = tempfile::tempdir_in("/dev/shm").expect("a folder in memory");
    let write = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).expect("room in memory");
    write("000001.jsonl", bytes);
    write(
        "000001.frames",
        &bytes.iter().copied().cycle().take(if bytes.is_empty() { 0 } else { IMAGES }).collect::<Vec<_>>(),
    );
    let Ok(mut recording) = Replay::open(&format!("{}?speed=max", folder.path().display())) else { return };
    for _ in 0..MOST_FRAMES {
        match recording.next_frame() {
            Ok(Some(frame)) => {
                let image = frame.image;
                assert!(
                    image
                        .format()
                        .image_bytes(image.size(), image.stride())
                        .is_some_and(|bytes| bytes <= image.data().len())
                );
            }
            Ok(None) | Err(_) => return,
        }
    }
});
