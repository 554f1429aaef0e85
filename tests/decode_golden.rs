//! LOGO-CAP's post-processing against `tests/golden/logocap`, which plain NumPy made (`models/reference/`).

use std::path::{Path, PathBuf};

use sinew::decode::Maps;
use sinew::decode::logocap::{Config, Decoder, Level, Workspace};
use sinew::geometry::{ShortSideLayout, Size};
use sinew::npz::{Array, Npz};
use sinew::pose::Poses;

const SIGMAS: [f32; 17] = [
    0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072, 0.062, 0.062, 0.107, 0.107, 0.087, 0.087, 0.089,
    0.089,
];

fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/logocap");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "npz"));
    files.sort();
    assert!(files.len() >= 10, "golden arrays are missing: {} found", files.len());
    files
}

fn array(path: &Path, name: &str) -> Array {
    Npz::open(path).unwrap().array(name).unwrap().unwrap_or_else(|| panic!("{}: no `{name}`", path.display()))
}

/// Largest difference allowed, in pixels and in score.
const TOLERANCE: f32 = 1e-5;

fn assert_close(path: &Path, name: &str, found: &[f32]) {
    let expected = array(path, name).to_f32();
    assert_eq!(found.len(), expected.len(), "{}: `{name}`", path.display());
    for (index, (found, expected)) in found.iter().zip(&expected).enumerate() {
        assert!(
            (found - expected).abs() <= TOLERANCE,
            "{}: `{name}`[{index}]: {found}, not {expected}",
            path.display()
        );
    }
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
        let maps = |name, array: &Array, values| {
            Maps::new(name, values, array.shape[0], array.shape[1], array.shape[2]).unwrap()
        };
        let heatmaps_view = maps("heatmaps", &heatmaps, heatmap_values.as_slice());
        let offsets_view = maps("offsets", &offsets, offset_values.as_slice());
        let size = size.to_f32();
        let layout = ShortSideLayout::with_network(
            Size::new(size[0] as usize, size[1] as usize),
            Size::new(heatmaps.shape[2] * 4, heatmaps.shape[1] * 4),
        )
        .unwrap();

        decoder.find_candidates(&heatmaps_view, &offsets_view, &mut workspace).unwrap();
        let candidates = workspace.candidates();
        let centers: Vec<f32> = candidates.iter().flat_map(|c| [c.x, c.y, c.value]).collect();
        assert_close(&path, "centers", &centers);
        let initial: Vec<f32> =
            candidates.iter().flat_map(|c| c.initial()[..17].iter().flat_map(|(x, y)| [*x, *y])).collect();
        assert_close(&path, "initial_poses", &initial);

        for (level, ending) in [(Level::None, "_none"), (Level::Partial, "_partial"), (Level::Full, "")] {
            let count = workspace.candidates().len();
            decoder.refine(level, &heatmaps_view, 0..count, &kernels, &mut workspace).unwrap();
            decoder.finish(&layout.network_to_picture, &mut workspace, &mut poses);
            let flatten = |k: &sinew::decode::logocap::RefinedKeypoint| [k.x, k.y, k.score];
            let refined: Vec<f32> =
                workspace.candidates().iter().flat_map(|c| c.refined()[..17].iter().flat_map(flatten)).collect();
            assert_close(&path, &format!("refined_poses{ending}"), &refined);
            assert_close(&path, &format!("scores{ending}"), workspace.scores());
            let keep: Vec<f32> = workspace.keep().iter().map(|row| f32::from(*row)).collect();
            assert_close(&path, &format!("keep{ending}"), &keep);
            let found: Vec<f32> =
                poses.list.iter().flat_map(|pose| pose.keypoints.iter().flat_map(|k| [k.x, k.y, k.score])).collect();
            assert_close(&path, &format!("poses{ending}"), &found);
        }
    }
}
