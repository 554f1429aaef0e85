//! Any text as a configuration file and as the URI of a camera: what is read can be written and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sinew::canonical_configuration;
use sinew::source::v4l2::CaptureRequest;

fuzz_target!(|text: &str| {
    let _ = CaptureRequest::parse(text);
    let Ok(file) = canonical_configuration(text) else { return };
    let again = canonical_configuration(&file).unwrap_or_else(|error| panic!("{error}: {file}"));
    assert_eq!(again, file);
});
