//! Any poses at any times, NaN and infinities included, through the tracker: one identity per pose, each given once.
#![no_main]

mod values;

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use sinew::pose::{Keypoint, MAX_POSES, Pose, Poses};
use sinew::track::zones::{Anchor, Line, Zone, Zones};
use sinew::track::{SmoothParams, TrackOptions, Tracker};
use values::Values;

fuzz_target!(|bytes: &[u8]| {
    let Some((head, body)) = bytes.split_at_checked(6) else { return };
    if body.is_empty() {
        return;
    }
    let options = TrackOptions {
        pose_kpt_thr: f32::from(head[1] % 8) / 10.0,
        track_min_hits: 1 + u32::from(head[2] % 4),
        track_max_missing: u32::from(head[3] % 40),
        track_camera_motion: head[0] & 2 != 0,
        smooth_params: (head[0] & 4 != 0).then(SmoothParams::default),
        ..TrackOptions::default()
    };
    let Ok(mut tracker) = Tracker::new(&options) else { panic!("all of these are in range") };
    let (count, keypoints) = (usize::from(head[4]) % (MAX_POSES + 1), usize::from(head[5]) % 101);
    let mut values = Values { bytes: body, at: 0, raw: head[0] & 1 != 0, least: -8.0 };
    let mut tracked = Poses::default();
    let zone = Zone::new(&[(0.0, 0.0), (300.0, 0.0), (200.0, 300.0)]).expect("it has an area");
    let line = Line::new((0.0, 100.0), (300.0, 50.0)).expect("it has a length");
    let mut zones = Zones::new(&[zone], &[line], Anchor::Feet).expect("there are few");
    let mut time = Duration::ZERO;
    let mut gone = Vec::new();
    let mut before: Vec<u32> = Vec::new();
    // Fewer frames of many keypoints: so that an input takes milliseconds.
    let frames = (12_000 / (count * keypoints).max(1)).clamp(4, 24);
    for _ in 0..frames {
        time += Duration::from_millis(u64::from(values.byte()) * if head[0] & 8 != 0 { 100 } else { 1 });
        let mut found = Poses::default();
        for _ in 0..count {
            let place = values.take(2);
            let mut pose = Pose { score: values.take(1)[0], template: u16::from(values.byte() % 2), ..Pose::default() };
            for _ in 0..keypoints {
                let [x, y, score] = values.take(3)[..] else { return };
                let _ = pose.keypoints.push(Keypoint { x: 20.0 * place[0] + x, y: 20.0 * place[1] + y, score });
            }
            let _ = found.list.push(pose);
        }
        tracker.update(time, &found, &mut tracked);
        assert_eq!(tracked.list.len(), found.list.len());
        zones.update(&tracked, |id| tracker.is_followed(id));
        assert!(zones.zones().all(|zone| zone.entered == u64::from(zone.inside) + zone.left + zone.lost));
        let mut ids: Vec<u32> =
            tracked.list.iter().filter_map(|pose| pose.identity).map(|identity| identity.id).collect();
        ids.sort_unstable();
        assert!(ids.windows(2).all(|pair| pair[0] < pair[1]), "{ids:?}");
        assert!(ids.iter().all(|id| (1..=tracker.started()).contains(id) && !gone.contains(id)));
        if options.track_max_missing == 0 {
            gone.extend(before.iter().copied().filter(|id| !ids.contains(id)));
        }
        before = ids;
    }
});
