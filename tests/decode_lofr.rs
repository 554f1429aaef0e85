//! What surrounds LOFR's network against `tests/golden/lofr`, which plain NumPy made (`models/reference/lofr.py`).

mod arrays;

use std::path::{Path, PathBuf};

use arrays::{assert_close, numbers};
use sinew::decode::Maps;
use sinew::decode::lofr::{Config, Crop, Decoder, Detections};
use sinew::geometry::{Rectangle, Size};
use sinew::pose::Pose;

const IMAGE: Size = Size::new(640, 480);
const NETWORK: Size = Size::new(96, 128);
const CELLS: Size = Size::new(24, 32);
const KEYPOINTS: usize = 17;

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/lofr/parts.npz")
}

#[test]
fn poses_agree() {
    let (response, presence) = (numbers(&golden(), "response"), numbers(&golden(), "presence"));
    let decoder = Decoder::new(&Config { keypoints: KEYPOINTS, box_padding: 1.25, visible_threshold: 0.5 }).unwrap();
    let boxes = numbers(&golden(), "boxes");
    let area = KEYPOINTS * CELLS.width * CELLS.height;
    let mut found = Vec::new();
    for (number, &[x, y, width, height]) in boxes.as_chunks::<4>().0.iter().enumerate() {
        let crop = Crop::around(Rectangle { x, y, width, height }, IMAGE, NETWORK, 1.25).unwrap();
        let shape = [KEYPOINTS, CELLS.height, CELLS.width];
        let maps = Maps::new("response", &response[number * area..][..area], shape).unwrap();
        let mut pose = Pose::default();
        let logits = &presence[number * KEYPOINTS..][..KEYPOINTS];
        assert_eq!(decoder.locate(&maps, logits, &crop, &mut pose), Ok(Detections::Person));
        found.extend(pose.keypoints.iter().flat_map(|point| [point.x, point.y, point.score]));
    }
    assert_close(&golden(), "poses", &found, &numbers(&golden(), "poses"), 1e-3);
}
