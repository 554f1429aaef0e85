//! LOGO-CAP's post-processing against arrays that the reference implementation computed. They are not part of the
//! project: the environment variable `SINEW_FIXTURES` names the folder, and without it nothing is compared.

mod arrays;
mod common;

use std::path::{Path, PathBuf};

use arrays::{SIGMAS, array, assert_close, maps, numbers};
use sinew::decode::logocap::{Config, Decoder, Workspace};
use sinew::geometry::{Centre, ShortSideLayout, Size};
use sinew::pose::{Keypoint, Poses};

/// Largest differences, in pixels and in score: rounding.
const PIXELS: f32 = 4e-5;
const SCORES: f32 = 1e-6;

fn cases() -> Vec<PathBuf> {
    let Some(root) = std::env::var_os("SINEW_FIXTURES") else {
        common::skip("SINEW_FIXTURES does not name the folder of the reference arrays");
        return Vec::new();
    };
    let folder = Path::new(&root).join("logocap");
    let files = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<_> = files.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("case")));
    files.sort();
    assert!(files.len() >= 3, "{}: {} cases found, expected 3", folder.display(), files.len());
    files
}

/// The reference's centres in its own order, those that count.
fn centers(path: &Path) -> Vec<[f32; 3]> {
    let (centers, mask) = (numbers(path, "out_centers_top30"), numbers(path, "out_mask_top30"));
    let (centers, _) = centers.as_chunks::<3>();
    centers.iter().zip(mask).filter(|(_, counts)| *counts > 0.0).map(|(center, _)| *center).collect()
}

/// Splits `values` into rows of `length` and takes them in the given order.
fn reordered(values: &[f32], length: usize, order: &[usize]) -> Vec<f32> {
    order.iter().flat_map(|&row| values[row * length..][..length].iter().copied()).collect()
}

fn positions_and_scores(values: &[f32]) -> (Vec<f32>, Vec<f32>) {
    let (points, _) = values.as_chunks::<3>();
    (points.iter().flat_map(|point| [point[0], point[1]]).collect(), points.iter().map(|point| point[2]).collect())
}

fn assert_keypoints_close(path: &Path, name: &str, found: &[f32], expected: &[f32]) {
    let ((found, found_scores), (expected, scores)) = (positions_and_scores(found), positions_and_scores(expected));
    assert_close(path, name, &found, &expected, PIXELS);
    assert_close(path, name, &found_scores, &scores, SCORES);
}

#[test]
fn the_reference_implementation_agrees() {
    let decoder = Decoder::new(&Config::reference(&SIGMAS).unwrap()).unwrap();
    let mut workspace = Box::new(Workspace::new());
    let mut poses = Poses::default();
    for path in &cases() {
        let (heatmaps, offsets) = (array(path, "in_heatmaps_lr"), array(path, "in_offsets_lr"));
        let (heatmap_values, offset_values) = (heatmaps.to_f32(), offsets.to_f32());
        let inputs = decoder
            .inputs(maps("heatmaps", &heatmaps, &heatmap_values), maps("offsets", &offsets, &offset_values))
            .unwrap();

        decoder.find_centers(&inputs, &mut workspace);
        let expected = centers(path);
        // The reference leaves the order of equal centres open: each of ours is looked up in its list.
        let order: Vec<usize> = workspace
            .centers()
            .iter()
            .map(|center| {
                let same = |expected: &[f32; 3]| expected[..2] == [center.x, center.y];
                expected.iter().position(same).unwrap_or_else(|| panic!("{}: {center:?}", path.display()))
            })
            .collect();
        assert_eq!(order.len(), expected.len(), "{}: centres", path.display());
        let values: Vec<f32> = workspace.centers().iter().map(|center| center.value).collect();
        let expected: Vec<f32> = order.iter().map(|&row| expected[row][2]).collect();
        assert_close(path, "out_centers_top30", &values, &expected, SCORES);

        decoder.initial_poses(&inputs, &mut workspace);
        let initial: Vec<f32> = workspace.initial_poses().flatten().flatten().copied().collect();
        let expected = reordered(&numbers(path, "out_initial_poses"), 34, &order);
        assert_close(path, "out_initial_poses", &initial, &expected, PIXELS);

        let kam = reordered(&numbers(path, "in_kam_raw"), decoder.kam_len(1), &order);
        // In batches, as the second network runs, the last one padded.
        for (chunk, kernels) in kam.chunks(4 * decoder.kam_len(1)).enumerate() {
            let mut padded = kernels.to_vec();
            padded.resize(4 * decoder.kam_len(1), 0.25);
            decoder.refine(&inputs, 4 * chunk..4 * chunk + 4, &padded, &mut workspace).unwrap();
        }
        let flatten = |keypoint: &Keypoint| [keypoint.x, keypoint.y, keypoint.score];
        let refined: Vec<f32> = workspace.refined_poses().flatten().flat_map(flatten).collect();
        let expected = reordered(&numbers(path, "out_poses_net"), 51, &order);
        assert_keypoints_close(path, "out_poses_net", &refined, &expected);

        let size = |name| {
            let [width, height] = numbers(path, name)[..] else { panic!("{}: {name}", path.display()) };
            Size::new(width as usize, height as usize)
        };
        let layout = ShortSideLayout::with_network(size("in_image_wh"), size("in_net_wh"), Centre::RoundedUp).unwrap();
        decoder.finish(&layout.image_from_network, &mut workspace, &mut poses);
        let scores: Vec<f32> = workspace.people().iter().map(|pose| pose.score).collect();
        let expected = reordered(&numbers(path, "out_scores"), 1, &order);
        assert_close(path, "out_scores", &scores, &expected, SCORES);
        let kept: Vec<usize> = workspace.keep().iter().map(|&row| order[row]).collect();
        let expected: Vec<usize> = numbers(path, "out_nms_keep").iter().map(|&row| row as usize).collect();
        assert_eq!(kept, expected, "{}: out_nms_keep", path.display());
        let found: Vec<f32> = poses.list.iter().flat_map(|pose| pose.keypoints.iter().flat_map(flatten)).collect();
        assert_keypoints_close(path, "out_final_poses_img", &found, &numbers(path, "out_final_poses_img"));
        let scores: Vec<f32> = poses.list.iter().map(|pose| pose.score).collect();
        assert_close(path, "out_final_scores", &scores, &numbers(path, "out_final_scores"), SCORES);
        let identity = order.iter().enumerate().all(|(ours, &theirs)| ours == theirs);
        println!(
            "{}: {} candidates, {} poses agree{}",
            path.display(),
            order.len(),
            kept.len(),
            if identity { "" } else { "; equal centres come in another order" }
        );
    }
}
