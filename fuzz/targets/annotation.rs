//! Any bytes as an annotation for enrolment, and as a list of boxes: sound ones, or an error.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sinew::runtime::ListedBoxes;
use sinew::template::Annotation;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(annotation) = Annotation::parse(bytes, "a.jpg") {
        let count = annotation.points.len();
        assert!((1..=100).contains(&count));
        assert!(annotation.points.iter().all(|point| point.x.is_finite() && point.y.is_finite()));
        assert!(annotation.edges.iter().all(|&(a, b)| a != b && usize::from(a.max(b)) < count));
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = ListedBoxes::parse(text);
    }
});
