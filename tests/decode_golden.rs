//! LOGO-CAP's post-processing against `tests/golden/logocap`, which plain NumPy made (`models/reference/`).

mod arrays;

use std::path::{Path, PathBuf};

use arrays::{SIGMAS, array, maps, numbers};
use sinew::decode::logocap::{Config, Decoder, Refinement, Workspace};
use sinew::geometry::{Centre, ShortSideLayout, Size};
use sinew::npz::Npz;
use sinew::pose::{Keypoint, Poses};

fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/logocap");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "npz"));
    files.sort();
    assert!(files.len() >= 10, "golden arrays are missing: {} found", files.len());
    files
}

fn assert_close(path: &Path, name: &str, found: &[f32]) {
    // In pixels and in score.
    arrays::assert_close(path, name, found, &numbers(path, name), 1e-5);
}

#[test]
fn golden_arrays_agree_at_every_level() {
    let decoder = Decoder::new(&Config::reference(&SIGMAS).unwrap()).unwrap();
    // One workspace for all, so that nothing of one frame may leak into the next.
    let mut workspace = Box::new(Workspace::new());
    let mut poses = Poses::default();
    for path in files() {
        let [heatmaps, offsets, kernels, size] =
            ["heatmaps", "offsets", "kam", "image_size"].map(|name| array(&path, name));
        let (heatmap_values, offset_values, kernels) = (heatmaps.to_f32(), offsets.to_f32(), kernels.to_f32());
        let heatmaps_view = maps("heatmaps", &heatmaps, heatmap_values.as_slice());
        let offsets_view = maps("offsets", &offsets, offset_values.as_slice());
        let size = size.to_f32();
        let layout = ShortSideLayout::with_network(
            Size::new(size[0] as usize, size[1] as usize),
            Size::new(heatmaps.shape[2] * 4, heatmaps.shape[1] * 4),
            Centre::RoundedUp,
        )
        .unwrap();

        let inputs = decoder.inputs(heatmaps_view, offsets_view).unwrap();
        decoder.find_centers(&inputs, &mut workspace);
        decoder.initial_poses(&inputs, &mut workspace);
        let count = workspace.centers().len();
        let centers: Vec<f32> = workspace.centers().iter().flat_map(|c| [c.x, c.y, c.value]).collect();
        assert_close(&path, "centers", &centers);
        let initial: Vec<f32> = workspace.initial_poses().flatten().flatten().copied().collect();
        assert_close(&path, "initial_poses", &initial);
        if Npz::open(&path).unwrap().array("grid").unwrap().is_some() {
            // Beyond -1..1 the nearest cell is meant.
            let expected: Vec<f32> = numbers(&path, "grid").iter().map(|v| v.clamp(-1.0, 1.0)).collect();
            let mut grid = vec![7.0; decoder.grid_len(count + 1)];
            decoder.write_grid(&inputs, 0..count, &workspace, &mut grid).unwrap();
            let (written, rest) = grid.split_at(decoder.grid_len(count));
            let difference = written.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(written.len() == expected.len() && difference <= 1e-6, "{}: grid: {difference}", path.display());
            assert!(rest.iter().all(|value| *value == 0.0));
        }

        for (level, ending) in [(Refinement::None, "_none"), (Refinement::Partial, "_partial"), (Refinement::Full, "")]
        {
            match level {
                Refinement::None => decoder.score_initial(&inputs, &mut workspace),
                Refinement::Partial => decoder.refine_locally(0..count, &kernels, &mut workspace).unwrap(),
                Refinement::Full => decoder.refine(&inputs, 0..count, &kernels, &mut workspace).unwrap(),
            }
            decoder.finish(&layout.image_from_network, &mut workspace, &mut poses);
            let flatten = |keypoint: &Keypoint| [keypoint.x, keypoint.y, keypoint.score];
            let refined: Vec<f32> = workspace.refined_poses().flatten().flat_map(flatten).collect();
            assert_close(&path, &format!("refined_poses{ending}"), &refined);
            let scores: Vec<f32> = workspace.people().iter().map(|pose| pose.score).collect();
            assert_close(&path, &format!("scores{ending}"), &scores);
            let keep: Vec<f32> = workspace.keep().iter().map(|row| *row as f32).collect();
            assert_close(&path, &format!("keep{ending}"), &keep);
            let found: Vec<f32> = poses.list.iter().flat_map(|pose| pose.keypoints.iter().flat_map(flatten)).collect();
            assert_close(&path, &format!("poses{ending}"), &found);
        }
    }
}
