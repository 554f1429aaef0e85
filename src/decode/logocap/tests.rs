//! The decoder as a whole: made-up frames in, poses out.

use std::boxed::Box;
use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;

/// Three keypoints, a small window, and a pose NMS that three keypoints can satisfy.
fn config() -> Config {
    Config { window_radius: 6, mesh_radius: 1, nms_keypoints: 2, ..Config::reference(&[0.02, 0.03, 0.05]).unwrap() }
}

/// Our own behaviour, unlike the reference's.
fn own() -> Config {
    Config { center_fallback: false, collapse_ties: true, zero_kernel: ZeroKernel::KeepInitial, ..config() }
}

const CELLS: usize = 8;
const AREA: usize = CELLS * CELLS;

/// The networks' outputs for one person in the middle.
struct Frame {
    heatmaps: Vec<f32>,
    offsets: Vec<f32>,
    kam: Vec<f32>,
}

impl Frame {
    fn new() -> Self {
        let blob = |x: f32, y: f32| {
            (0..AREA).map(move |index| {
                let (dx, dy) = ((index % CELLS) as f32 - x, (index / CELLS) as f32 - y);
                (-(dx * dx + dy * dy) / 2.0).exp()
            })
        };
        let places = [(2.0, 3.0), (5.0, 2.0), (4.0, 6.0)];
        let center = (3.8, 4.1);
        let heatmaps = places.into_iter().chain([center]).flat_map(|(x, y)| blob(x, y)).collect();
        // Towards each place, half a cell off.
        let offsets = places
            .into_iter()
            .flat_map(|(x, y)| {
                let along_x = (0..AREA).map(move |index| (index % CELLS) as f32 - x + 0.5);
                let along_y = (0..AREA).map(move |index| (index / CELLS) as f32 - y);
                along_x.chain(along_y)
            })
            .collect();
        Self { heatmaps, offsets, kam: vec![0.5; 30 * 27] }
    }

    fn decode(&self, config: &Config, level: Refinement) -> (Box<Workspace>, Poses) {
        let decoder = Decoder::new(config).unwrap();
        let maps = |name, values: &'_ [f32]| Maps::new(name, values, [values.len() / AREA, CELLS, CELLS]).map(|_| ());
        maps("heatmaps", &self.heatmaps).unwrap();
        let inputs = decoder
            .inputs(
                Maps::new("heatmaps", &self.heatmaps, [4, CELLS, CELLS]).unwrap(),
                Maps::new("offsets", &self.offsets, [6, CELLS, CELLS]).unwrap(),
            )
            .unwrap();
        let mut workspace = Box::new(Workspace::new());
        let mut poses = Poses::default();
        decoder.find_centers(&inputs, &mut workspace);
        decoder.initial_poses(&inputs, &mut workspace);
        let mut grid = vec![f32::NAN; decoder.grid_len(MAX_CENTERS)];
        decoder.write_grid(&inputs, 0..MAX_CENTERS, &workspace, &mut grid).unwrap();
        assert!(grid.iter().all(|value| (-1.0..=1.0).contains(value)));
        match level {
            Refinement::None => decoder.score_initial(&inputs, &mut workspace),
            Refinement::Partial => decoder.refine_locally(0..MAX_CENTERS, &self.kam, &mut workspace).unwrap(),
            Refinement::Full => decoder.refine(&inputs, 0..MAX_CENTERS, &self.kam, &mut workspace).unwrap(),
        }
        decoder.finish(&Affine::scale_shift(2.0, 10.0, -10.0), &mut workspace, &mut poses);
        (workspace, poses)
    }
}

const LEVELS: [Refinement; 3] = [Refinement::None, Refinement::Partial, Refinement::Full];

proptest! {
    /// With a threshold some are not refined: those that would stay below it. The others are as without one.
    #[test]
    fn only_who_cannot_reach_the_threshold_is_not_refined(
        noise in prop::collection::vec(-0.3f32..0.9, 4 * AREA),
        attractions in prop::collection::vec(-0.5f32..1.2, 30 * 27),
        threshold in 0.0f32..0.1,
        poison in prop::option::of(0..30usize * 27),
    ) {
        let mut frame = Frame::new();
        frame.heatmaps.iter_mut().zip(&noise).for_each(|(value, noise)| *value *= noise);
        frame.heatmaps[3 * AREA..].copy_from_slice(&noise[3 * AREA..]);
        frame.kam = attractions;
        if let Some(index) = poison {
            frame.kam[index] = f32::NAN;
        }
        for mut base in [config(), own()] {
            if cfg!(miri) {
                // Windows are large for an interpreter.
                base.max_centers = 2;
            }
            let (all, _) = frame.decode(&Config { score_threshold: 0.0, ..base.clone() }, Refinement::Full);
            let (some, poses) = frame.decode(&Config { score_threshold: threshold, ..base }, Refinement::Full);
            for (refined, with_threshold) in all.refined_poses().zip(some.refined_poses()) {
                let score = refined.iter().map(|keypoint| keypoint.score).sum::<f32>() / 3.0;
                let same = refined.iter().zip(with_threshold).all(|(a, b)| {
                    [(a.x, b.x), (a.y, b.y), (a.score, b.score)].iter().all(|(a, b)| a.to_bits() == b.to_bits())
                });
                prop_assert!(same || score <= threshold, "{score} {threshold}");
            }
            prop_assert!(poses.list.iter().all(|pose| pose.score > threshold));
        }
    }
}

#[test]
fn who_cannot_reach_the_threshold_is_not_refined() {
    let frame = Frame::new();
    let (workspace, poses) = frame.decode(&Config { score_threshold: 0.9, ..own() }, Refinement::Full);
    let (initial, refined) = (workspace.initial_poses().next().unwrap(), workspace.refined_poses().next().unwrap());
    assert!(
        initial
            .iter()
            .zip(refined)
            .all(|(initial, refined)| *initial == [refined.x, refined.y] && refined.score == 0.0)
    );
    assert_eq!((poses.list.len(), workspace.report().below_threshold), (0, 1));
}

#[test]
fn one_person_is_found_at_every_level() {
    let mut frame = Frame::new();
    // A peak in the middle of each attraction map, so that the best mesh point is the initial one.
    frame.kam.iter_mut().skip(4).step_by(9).for_each(|value| *value = 0.75);
    for level in LEVELS {
        let (workspace, poses) = frame.decode(&own(), level);
        assert_eq!(workspace.centers().len(), 1);
        let center = workspace.centers()[0];
        // Cell 3.8 is network pixel 16.7, cell 4.1 is 17.9; maxima lie next to the cell's middle.
        assert_eq!((center.x, center.y), (17.0, 18.0));
        let initial = workspace.initial_poses().next().unwrap();
        assert_eq!(initial[0], [17.0 - 4.0 * 2.5, 18.0 - 4.0]);
        let refined = workspace.refined_poses().next().unwrap();
        if level != Refinement::Full {
            assert_eq!(initial[0], [refined[0].x, refined[0].y]);
        } else {
            // Pulled from 7 to where the heatmap is, 2 * 4 + 1.5, against the prior of the window.
            assert!(refined[0].x > 8.0 && refined[0].x < 10.0, "{refined:?}");
        }
        assert_eq!((poses.list.len(), poses.dropped), (1, 0));
        let pose = &poses.list[0];
        assert_eq!(pose.keypoints[1].x, 2.0 * refined[1].x + 10.0);
        assert_eq!(pose.keypoints[1].y, 2.0 * refined[1].y - 10.0);
        assert!((pose.score - refined.iter().map(|keypoint| keypoint.score).sum::<f32>() / 3.0).abs() < 1e-7);
        assert_eq!(workspace.keep(), [0]);
    }
}

#[test]
fn an_empty_frame_has_no_pose() {
    let mut frame = Frame::new();
    frame.heatmaps[3 * AREA..].fill(-0.5);
    for level in LEVELS {
        let (workspace, poses) = frame.decode(&own(), level);
        assert!(workspace.centers().is_empty() && poses.list.is_empty());
        let (workspace, poses) = frame.decode(&config(), level);
        assert_eq!(workspace.centers(), [Center { x: 0.0, y: 0.0, value: 0.0 }]);
        assert!(workspace.report().fallback && poses.list.is_empty());
        assert_eq!(workspace.report().below_threshold, 1);
    }
}

#[test]
fn nothing_attracts_a_keypoint() {
    let mut frame = Frame::new();
    frame.kam[..9].fill(-0.25);
    let refined = |config: &Config, level| frame.decode(config, level).0.refined_poses().next().unwrap()[0];
    let initial = frame.decode(&own(), Refinement::None).0.initial_poses().next().unwrap()[0];
    let reference = Config { center_threshold: 0.5, ..config() };
    for level in [Refinement::Partial, Refinement::Full] {
        let kept = refined(&own(), level);
        assert_eq!(([kept.x, kept.y], kept.score), (initial, 0.0));
    }
    let corner = refined(&reference, Refinement::Full);
    assert_eq!([corner.x, corner.y, corner.score], [initial[0] - 6.0 + 0.25, initial[1] - 6.0, 0.0]);
    let corner = refined(&reference, Refinement::Partial);
    assert_eq!([corner.x, corner.y, corner.score], [initial[0] - 1.0, initial[1] - 1.0, 0.0]);
}

#[test]
fn a_negative_heatmap_keeps_a_keypoint_in_its_place() {
    let mut frame = Frame::new();
    frame.heatmaps[..AREA].fill(-0.1);
    let (workspace, _) = frame.decode(&own(), Refinement::Full);
    let refined = workspace.refined_poses().next().unwrap()[0];
    assert_eq!([refined.x, refined.y], workspace.initial_poses().next().unwrap()[0]);
    assert_eq!(refined.score, 0.0);
}

#[test]
fn equal_people_are_one_and_limits_hold() {
    let mut frame = Frame::new();
    // Every pixel of a plateau is a candidate, all with nearly the same pose.
    frame.heatmaps[3 * AREA..].fill(0.0);
    for cell in [3 * CELLS + 3, 3 * CELLS + 4] {
        frame.heatmaps[3 * AREA + cell] = 0.5;
    }
    let (workspace, poses) = frame.decode(&Config { nms_distance: 1.0, ..config() }, Refinement::None);
    let report = workspace.report();
    assert!(report.peaks > 1 && poses.list.len() == 1, "{report:?}");
    assert_eq!(report.suppressed as usize, workspace.people().len() - 1);
    let (workspace, _) = frame.decode(&Config { max_centers: 2, ..config() }, Refinement::None);
    assert_eq!((workspace.centers().len(), workspace.report().capped), (2, report.peaks - 2));
    // With a pose NMS that finds no two the same, the limit cuts.
    let apart = Config { nms_distance: 1e-6, max_poses: 1, ..config() };
    let (workspace, poses) = frame.decode(&apart, Refinement::None);
    assert_eq!((poses.list.len(), workspace.report().over_limit + 1), (1, workspace.people().len() as u32));
    assert_eq!(poses.dropped, workspace.report().over_limit);
}

#[test]
fn shapes_must_fit() {
    let decoder = Decoder::new(&config()).unwrap();
    let values = [0.0; 24];
    let maps =
        |tensor, channels, height| Maps::new(tensor, &values[..channels * height], [channels, height, 1]).unwrap();
    let error = decoder.inputs(maps("heatmaps", 3, 2), maps("offsets", 6, 2)).unwrap_err();
    assert_eq!(std::format!("{error}"), "tensor `heatmaps` has 3 channels, expected 4");
    let error = decoder.inputs(maps("heatmaps", 4, 2), maps("offsets", 6, 3)).unwrap_err();
    assert_eq!((error.tensor, error.axis), ("offsets", "rows"));

    let frame = Frame::new();
    let (mut workspace, _) = frame.decode(&own(), Refinement::None);
    let error = decoder.refine_locally(0..1, &frame.kam[..26], &mut workspace).unwrap_err();
    assert_eq!(std::format!("{error}"), "tensor `kam` has 26 values, expected at least 27");
    // Candidates that there are not ask for nothing.
    decoder.refine_locally(1..9, &[], &mut workspace).unwrap();
    #[expect(clippy::reversed_empty_ranges)]
    decoder.refine_locally(5..2, &[], &mut workspace).unwrap();
}

#[test]
fn candidates_that_were_not_refined_have_no_score() {
    let frame = Frame::new();
    let (mut workspace, mut poses) = frame.decode(&own(), Refinement::Full);
    assert_eq!(poses.list.len(), 1);
    let decoder = Decoder::new(&own()).unwrap();
    let heatmaps = Maps::new("heatmaps", &frame.heatmaps, [4, CELLS, CELLS]).unwrap();
    let inputs = decoder.inputs(heatmaps, Maps::new("offsets", &frame.offsets, [6, CELLS, CELLS]).unwrap()).unwrap();
    decoder.find_centers(&inputs, &mut workspace);
    decoder.initial_poses(&inputs, &mut workspace);
    decoder.finish(&Affine::IDENTITY, &mut workspace, &mut poses);
    assert!(poses.list.is_empty());
}

/// Any number that can stand in a tensor, the odd ones often.
fn anything() -> impl Strategy<Value = f32> {
    prop_oneof![
        8 => -1.0f32..1.0,
        1 => any::<u32>().prop_map(f32::from_bits),
        1 => prop::sample::select(&[f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN, 1e-40, -0.0][..]),
    ]
}

proptest! {
    #[test]
    fn whatever_comes_in_poses_are_finite(
        spoiled in prop::collection::vec((0..3usize, any::<prop::sample::Index>(), anything()), 1..40),
        all in prop::option::weighted(0.2, (0..3usize, anything())),
        reference: bool,
        level in prop::sample::select(&LEVELS[..]),
    ) {
        let mut frame = Frame::new();
        let tensors = [&mut frame.heatmaps, &mut frame.offsets, &mut frame.kam];
        if let Some((tensor, value)) = all {
            tensors[tensor].fill(value);
        }
        for (tensor, place, value) in spoiled {
            let index = place.index(tensors[tensor].len());
            tensors[tensor][index] = value;
        }
        let (workspace, poses) = frame.decode(&if reference { config() } else { own() }, level);
        for pose in &poses.list {
            prop_assert!(pose.score.is_finite());
            for keypoint in &pose.keypoints {
                prop_assert!(keypoint.x.is_finite() && keypoint.y.is_finite() && keypoint.score.is_finite());
            }
        }
        let report = workspace.report();
        let people = workspace.people().len() as u32 + report.non_finite + report.below_threshold;
        prop_assert_eq!(people as usize, workspace.centers().len());
        prop_assert_eq!(workspace.people().len(), poses.list.len() + (report.suppressed + report.over_limit) as usize);
    }
}

#[test]
fn numbers_that_are_not_finite_are_counted() {
    let spoil = |tensor: usize, index: usize, value| {
        let mut frame = Frame::new();
        [&mut frame.heatmaps, &mut frame.offsets, &mut frame.kam][tensor][index] = value;
        frame
    };
    // miri, a thousand times slower, looks at what memory is touched, not at what comes out.
    let values = if cfg!(miri) { &[f32::NAN][..] } else { &[f32::NAN, f32::INFINITY, f32::NEG_INFINITY] };
    for &value in values {
        for level in LEVELS {
            // The offset at the centre's cell.
            let (workspace, poses) = spoil(1, 4 * CELLS + 4, value).decode(&own(), level);
            assert_eq!((poses.list.len(), poses.dropped, workspace.report().non_finite), (0, 1, 1));
            // A corner of the centre map.
            let (workspace, poses) = spoil(0, 4 * AREA - 1, value).decode(&own(), level);
            assert_eq!((poses.list.len(), poses.dropped, workspace.report().non_finite_cells), (1, 1, 1));
            // The attraction map of the second keypoint; a heatmap near the first one.
            if level != Refinement::None {
                let (workspace, poses) = spoil(2, 13, value).decode(&own(), level);
                assert_eq!((poses.list.len(), poses.dropped, workspace.report().non_finite), (0, 1, 1));
            }
            if level != Refinement::Partial {
                let (workspace, poses) = spoil(0, 3 * CELLS + 2, value).decode(&own(), level);
                assert_eq!((poses.list.len(), poses.dropped, workspace.report().non_finite), (0, 1, 1), "{level:?}");
            }
        }
    }
}
