//! Any numbers, NaN and infinities included, through LOFR's post-processing: keypoints in the crop, or none.
#![no_main]

mod values;

use libfuzzer_sys::fuzz_target;
use sinew::decode::Maps;
use sinew::decode::lofr::{Config, Crop, Decoder, Detections};
use sinew::geometry::{Rectangle, Size};
use sinew::pose::Pose;
use values::Values;

const IMAGE: Size = Size::new(640, 480);

fuzz_target!(|bytes: &[u8]| {
    let Some((head, body)) = bytes.split_at_checked(6) else { return };
    if body.is_empty() {
        return;
    }
    let (keypoints, visible_threshold) = (usize::from(head[1]) % 103, f32::from(head[2]) / 200.0);
    let config = Config { keypoints, box_padding: 1.25, visible_threshold };
    let Ok(decoder) = Decoder::new(&config) else { return };
    let cells = Size::new(1 + usize::from(head[3] % 24), 1 + usize::from(head[4] % 24));
    let network = Size::new(4 * cells.width, 4 * cells.height);
    let mut values = Values { bytes: body, at: 0, raw: head[0] & 1 != 0, least: -8.0 };
    let bounds = values.take(4);
    let bounds =
        Rectangle { x: 60.0 * bounds[0], y: 60.0 * bounds[1], width: 60.0 * bounds[2], height: 60.0 * bounds[3] };
    let bounds = if head[0] & 2 != 0 { bounds } else { Rectangle { x: 9.0, y: 9.0, width: 99.0, height: 50.0 } };
    let Some(crop) = Crop::around(bounds, IMAGE, network, 1.25) else { return };
    assert!(crop.width > 0.0 && crop.height > 0.0);

    let response = values.take(config.keypoints * cells.width * cells.height);
    let presence = values.take(config.keypoints);
    let maps = Maps::new("response", &response, [config.keypoints, cells.height, cells.width]).unwrap();
    let mut pose = Pose::default();
    let finite = response.iter().chain(&presence).all(|value| value.is_finite());
    let found = decoder.locate(&maps, &presence, &crop, &mut pose).unwrap();
    assert_eq!(found != Detections::NotFinite, finite);
    if !finite {
        assert!(pose.keypoints.is_empty());
        return;
    }
    assert_eq!(pose.keypoints.len(), config.keypoints);
    let (left, top) = (crop.x - crop.width / 2.0, crop.y - crop.height / 2.0);
    let room = 1e-3 * (crop.width + crop.height + crop.x.abs() + crop.y.abs());
    for point in &pose.keypoints {
        assert!((0.0..=1.0).contains(&point.score));
        assert!((left - room..=left + crop.width + room).contains(&f64::from(point.x)));
        assert!((top - room..=top + crop.height + room).contains(&f64::from(point.y)));
    }
    assert_eq!(found == Detections::Person, pose.keypoints.iter().any(|point| point.score >= config.visible_threshold));
});
