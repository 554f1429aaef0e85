//! Any bytes as a template, with and without a checksum that fits: one that is written back the same, or an error.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sha2::{Digest as _, Sha256};
use sinew::template::Template;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(template) = Template::from_bytes(bytes) {
        assert_eq!(template.to_bytes(), bytes);
    }
    // Mutations never hit the right checksum: what it protects is tried with the right one.
    let mut sealed = bytes.to_vec();
    sealed.extend(Sha256::digest(bytes));
    if let Ok(template) = Template::from_bytes(&sealed) {
        for position in 0..template.keypoints().len() {
            assert!(template.features(position).iter().all(|value| value.is_finite()));
        }
        assert_eq!(Template::from_bytes(&template.to_bytes()), Ok(template));
    }
});
