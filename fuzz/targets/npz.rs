//! Any bytes as an archive of arrays: arrays whose values fill their shapes, or an error.
#![no_main]

use std::io::Cursor;

use libfuzzer_sys::fuzz_target;
use sinew::npz::Npz;

fuzz_target!(|bytes: &[u8]| {
    let Ok(mut archive) = Npz::new(Cursor::new(bytes), "fuzz") else { return };
    for name in archive.names() {
        if let Ok(Some(array)) = archive.array(&name) {
            assert_eq!(array.to_f32().len(), array.shape.iter().product::<usize>());
        }
    }
});
