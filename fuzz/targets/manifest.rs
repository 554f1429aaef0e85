//! Any `bundle.toml` is opened or refused.
#![no_main]

use std::cell::OnceCell;

use libfuzzer_sys::fuzz_target;
use sinew::bundle::Bundle;
use tempfile::TempDir;

thread_local! {
    /// One folder for all runs; in memory where the system has such a place, as files are written thousands of times a second.
    static FOLDER: OnceCell<TempDir> = const { OnceCell::new() };
}

fuzz_target!(|manifest: &[u8]| {
    FOLDER.with(|folder| {
        let folder = folder.get_or_init(|| tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap());
        std::fs::write(folder.path().join("bundle.toml"), manifest).unwrap();
        // An error's text is built from what was found, so it is tried as well.
        if let Err(error) = Bundle::open(folder.path()) {
            assert!(!error.to_string().is_empty());
        }
    });
});
