//! Any numbers, NaN and infinities included, through CapeFormer's post-processing: finite keypoints, or none.
#![no_main]

mod values;

use libfuzzer_sys::fuzz_target;
use sinew::decode::capeformer::{Crop, Finiteness, SLOTS, TOKENS, Workspace, pool, support_weights, write_identity};
use sinew::geometry::{Rectangle, Size};
use sinew::pose::Pose;
use values::Values;

const WIDTH: usize = 8;
const IMAGE: Size = Size::new(640, 480);

fuzz_target!(|bytes: &[u8]| {
    let Some((head, body)) = bytes.split_at_checked(4) else { return };
    if body.is_empty() {
        return;
    }
    let mut values = Values { bytes: body, at: 0, raw: head[0] & 1 != 0, least: -8.0 };
    let keypoints = usize::from(head[1]) % (SLOTS + 1);
    let bounds = values.take(4);
    let bounds = Rectangle { x: bounds[0], y: bounds[1], width: bounds[2], height: bounds[3] };
    let around = if head[0] & 2 != 0 { bounds } else { Rectangle { x: 9.0, y: 9.0, width: 99.0, height: 50.0 } };
    let Some(crop) = Crop::around(around, IMAGE, 1.25) else { return };
    assert!(crop.side > 0.0 && crop.side < 1000.0);

    let point = values.take(2);
    if let Some(weights) = support_weights(64.0 * point[0], 64.0 * point[1]) {
        let sum: f32 = weights.iter().sum();
        assert!((sum - 1.0).abs() < 1e-4 && weights.iter().all(|weight| *weight >= 0.0));
        let mut features = [0.0; WIDTH];
        pool(&weights, &values.take(TOKENS * WIDTH), 1.0, &mut features).unwrap();
    }
    let mut identity = [0.0; WIDTH];
    assert_eq!(write_identity(usize::from(head[2]), &mut identity).is_ok(), usize::from(head[2]) < SLOTS);
    assert!(identity.iter().all(|value| (-1.0..=1.0).contains(value)));

    let mut workspace = Workspace::new();
    let similarity = values.take(keypoints * TOKENS);
    let finite = similarity.iter().all(|value| value.is_finite());
    let sound = workspace.propose(&similarity, keypoints).unwrap();
    assert_eq!(sound == Finiteness::Finite, finite);
    for proposal in workspace.proposals() {
        assert!((0.0..=1.0).contains(&proposal.x) && (0.0..=1.0).contains(&proposal.y));
        assert!((0.0..=1.0).contains(&proposal.mass));
    }
    let mut places = vec![0.0; 2 * keypoints];
    workspace.write_proposals(&mut places).unwrap();
    let mut pose = Pose::default();
    let processed = workspace.result(&values.take(2 * keypoints), &crop, &mut pose).unwrap();
    if processed == Finiteness::Finite {
        assert_eq!(pose.keypoints.len(), workspace.proposals().len());
        assert!(pose.keypoints.iter().all(|point| point.x.is_finite() && point.y.is_finite()));
    } else {
        assert!(pose.keypoints.is_empty());
    }
});
