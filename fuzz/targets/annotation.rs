//! Any bytes as a file of annotations, as the annotation of one image, and as a list of boxes: sound ones, or an error.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sinew::coco::CocoFile;
use sinew::runtime::ListedBoxes;
use sinew::template::Annotation;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(annotation) = Annotation::parse(bytes, "a.jpg", None) {
        let count = annotation.points.len();
        assert!((1..=100).contains(&count));
        assert!(annotation.points.iter().all(|point| point.x.is_finite() && point.y.is_finite()));
        assert!(annotation.edges.iter().all(|&(a, b)| a != b && usize::from(a.max(b)) < count));
    }
    if let Ok(file) = CocoFile::from_bytes(bytes) {
        assert!(file.images.iter().all(|image| image.size().is_none_or(|size| size.width > 0 && size.height > 0)));
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = ListedBoxes::parse(text);
    }
});
