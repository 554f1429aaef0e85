//! HOTA, MOTA and IDF1 against TrackEval's figures of the same files, which tests/data/track/make.py wrote.

use std::path::Path;

use sinew::eval::track::{TrackedBoxes, figures};

#[test]
fn figures_are_those_of_trackeval() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/track");
    let text = std::fs::read_to_string(folder.join("expected.json")).unwrap();
    let expected: serde_json::Value = serde_json::from_str(&text).unwrap();
    let scenes = expected.as_object().unwrap();
    assert_eq!(scenes.len(), 3);
    for (name, expected) in scenes {
        let truth = TrackedBoxes::read(&folder.join(format!("{name}-gt.txt")), true).unwrap();
        let tracks = TrackedBoxes::read(&folder.join(format!("{name}-tracks.txt")), false).unwrap();
        let found = figures(&truth.frames(&tracks));
        for (key, value) in [
            ("hota", found.hota),
            ("det_a", found.det_a),
            ("ass_a", found.ass_a),
            ("mota", found.mota),
            ("idf1", found.idf1),
            ("switches", found.switches as f64),
            ("misses", found.misses as f64),
            ("false_positives", found.false_positives as f64),
        ] {
            let expected = expected[key].as_f64().unwrap();
            assert!((value - expected).abs() < 1e-6, "{name}: {key} is {value}, TrackEval says {expected}");
        }
    }
}
