//! Any tensors, NaN and infinities included, through LOGO-CAP's post-processing: finite poses, in bounded time.
#![no_main]

mod values;

use libfuzzer_sys::fuzz_target;
use sinew::decode::Maps;
use sinew::decode::logocap::{Config, Decoder, Workspace, ZeroKernel};
use sinew::geometry::{Affine, Size};
use sinew::pose::{MAX_POSES, Poses};
use values::Values;

const SIGMAS: [f32; 3] = [0.025, 0.079, 0.107];
const LARGEST_MAP: usize = 24;

/// Under the sanitiser a refined person takes milliseconds; more of them try nothing new.
const MOST_PEOPLE: usize = 4;

fn reference() -> Config {
    Config { max_centers: MOST_PEOPLE, ..Config::reference(&SIGMAS).unwrap() }
}

fn config(bytes: &[u8]) -> Config {
    let flags = bytes[0];
    Config {
        center_fallback: flags & 1 != 0,
        collapse_ties: flags & 2 != 0,
        zero_kernel: if flags & 4 != 0 { ZeroKernel::KeepInitial } else { ZeroKernel::Reference },
        mesh_radius: usize::from(bytes[1] % 8),
        window_radius: usize::from(bytes[2] % 64),
        max_centers: usize::from(bytes[3]) % (MOST_PEOPLE + 1),
        max_poses: usize::from(bytes[4] % 40),
        nms_keypoints: usize::from(bytes[5] % 8),
        nms_distance: f32::from_le_bytes([bytes[6], bytes[7], bytes[8], bytes[9]]),
        ..reference()
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Some((head, body)) = bytes.split_at_checked(16) else { return };
    if body.is_empty() {
        return;
    }
    // Bits of the first byte that the configuration leaves over choose how the rest is read.
    let config = if head[0] & 8 != 0 { config(head) } else { reference() };
    let Ok(decoder) = Decoder::new(&config) else { return };
    let (height, width) = (1 + usize::from(head[10]) % LARGEST_MAP, 1 + usize::from(head[11]) % LARGEST_MAP);
    // Plausible are -2..14: offsets in cells, heatmaps around 0..1, kernels above 1.
    let mut values = Values { bytes: body, at: 0, raw: head[0] & 16 != 0, least: -2.0 };
    let heatmaps = values.take((SIGMAS.len() + 1) * height * width);
    let offsets = values.take(2 * SIGMAS.len() * height * width);
    let kam = values.take(decoder.kam_len(MOST_PEOPLE));
    let heatmaps = Maps::new("heatmaps", &heatmaps, [SIGMAS.len() + 1, height, width]).unwrap();
    let offsets = Maps::new("offsets", &offsets, [2 * SIGMAS.len(), height, width]).unwrap();
    let inputs = decoder.inputs(heatmaps, offsets).unwrap();
    assert_eq!(inputs.cells(), Size::new(width, height));

    let mut workspace = Box::new(Workspace::new());
    let mut poses = Poses::default();
    decoder.find_centers(&inputs, &mut workspace);
    decoder.initial_poses(&inputs, &mut workspace);
    let people = workspace.centers().len();
    assert!(people <= config.max_centers);
    let mut grid = vec![0.0; decoder.grid_len(people)];
    decoder.write_grid(&inputs, 0..people, &workspace, &mut grid).unwrap();
    let kam = &kam[..decoder.kam_len(people)];
    match head[12] % 3 {
        0 => decoder.score_initial(&inputs, &mut workspace),
        1 => decoder.refine_locally(0..people, kam, &mut workspace).unwrap(),
        _ => decoder.refine(&inputs, 0..people, kam, &mut workspace).unwrap(),
    }
    decoder.finish(&Affine::scale_shift(2.5, -3.0, 7.0), &mut workspace, &mut poses);
    assert!(poses.list.len() <= config.max_poses.min(MAX_POSES));
    for pose in &poses.list {
        assert_eq!(pose.keypoints.len(), SIGMAS.len());
        assert!(pose.score.is_finite());
        assert!(
            pose.keypoints.iter().all(|point| point.x.is_finite() && point.y.is_finite() && point.score.is_finite())
        );
    }
});
