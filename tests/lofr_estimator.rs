//! LOFR from boxes to poses, with the bundle `painted`, whose results can be worked out by hand.

mod engine_support;

use engine_support::{Spots, graphs};
use sinew::bundle::Bundle;
use sinew::bundle::logocap::Refinement;
use sinew::engine::Backend;
use sinew::estimator::{self, Estimator, Options, Request};
use sinew::geometry::{Rectangle, Size};
use sinew::pixels::{Image, PixelFormat};
use sinew::pose::Poses;

/// Two crops of the network's size, side by side.
const SIZE: Size = Size::new(64, 64);
const RED: [u8; 3] = [255, 0, 0];
const BLUE: [u8; 3] = [0, 0, 255];
const LEFT: Rectangle = Rectangle { x: 0.0, y: 0.0, width: 32.0, height: 64.0 };
const RIGHT: Rectangle = Rectangle { x: 32.0, y: 0.0, width: 32.0, height: 64.0 };

fn painted() -> Bundle {
    Bundle::open(graphs().join("painted")).unwrap()
}

/// A black image with cells of 4x4 pixels in colours.
fn image(cells: &[(usize, usize, [u8; 3])]) -> Image {
    engine_support::image(SIZE, cells)
}

fn open(options: &Options) -> Box<dyn Estimator> {
    let options = Options { threads: 1, ..options.clone() };
    estimator::open(&painted(), Backend::Tract, &options, SIZE, PixelFormat::Rgb).unwrap()
}

fn places(poses: &Poses) -> Vec<[(f32, f32); 2]> {
    let place = |pose: &sinew::pose::Pose, index: usize| (pose.keypoints[index].x, pose.keypoints[index].y);
    poses.list.iter().map(|pose| [place(pose, 0), place(pose, 1)]).collect()
}

/// The middle of a cell; crop pixels are image pixels.
fn cell(column: usize, row: usize) -> (f32, f32) {
    (4.0 * column as f32 + 2.0, 4.0 * row as f32 + 2.0)
}

#[test]
fn every_box_has_its_own_person() {
    let mut poses = Poses::default();
    let seen = image(&[(2, 3, RED), (5, 12, BLUE), (10, 8, RED), (13, 2, BLUE)]);
    open(&Options::default())
        .estimate(&Request { boxes: Some(&[LEFT, RIGHT]), ..Request::new(seen.view()) }, &mut poses)
        .unwrap();
    assert_eq!(places(&poses), [[cell(2, 3), cell(5, 12)], [cell(10, 8), cell(13, 2)]]);
    assert_eq!(poses.dropped, 0);
    assert!(poses.list.iter().all(|pose| pose.score > 0.99));
}

#[test]
fn without_boxes_the_whole_image_is_one() {
    let mut poses = Poses::default();
    // The crop has the network's aspect: as wide as the image and twice as high, black above and below.
    let seen = image(&[
        (4, 4, RED),
        (5, 4, RED),
        (4, 5, RED),
        (5, 5, RED),
        (10, 10, BLUE),
        (11, 10, BLUE),
        (10, 11, BLUE),
        (11, 11, BLUE),
    ]);
    open(&Options::default()).estimate(&Request::new(seen.view()), &mut poses).unwrap();
    let [[red, blue]] = places(&poses)[..] else { panic!("{poses:?}") };
    assert!((red.0 - 20.0).abs() < 4.0 && (red.1 - 20.0).abs() < 4.0, "{red:?}");
    assert!((blue.0 - 44.0).abs() < 4.0 && (blue.1 - 44.0).abs() < 4.0, "{blue:?}");
}

#[test]
fn no_person_and_no_box_are_told_apart() {
    let mut estimator = open(&Options::default());
    let mut poses = Poses::default();
    let seen = image(&[(2, 3, RED)]);
    estimator.estimate(&Request { boxes: Some(&[LEFT, RIGHT]), ..Request::new(seen.view()) }, &mut poses).unwrap();
    assert_eq!((poses.list.len(), poses.dropped), (1, 0), "the right half is empty, which is no fault");
    assert!(poses.list[0].keypoints[1].score < 0.01);
    for (x, y, width, height) in
        [(0.0, 0.0, 0.0, 9.0), (0.0, 0.0, -4.0, 9.0), (f32::NAN, 0.0, 9.0, 9.0), (99.0, 0.0, 9.0, 9.0)]
    {
        estimator
            .estimate(
                &Request { boxes: Some(&[Rectangle { x, y, width, height }]), ..Request::new(seen.view()) },
                &mut poses,
            )
            .unwrap();
        assert_eq!((poses.list.len(), poses.dropped), (0, 1), "{x} {y} {width} {height}");
    }
    estimator.estimate(&Request { boxes: Some(&[LEFT; 5]), ..Request::new(seen.view()) }, &mut poses).unwrap();
    assert_eq!((poses.list.len(), poses.dropped), (3, 2), "limits.poses is 3");
}

#[test]
fn options_are_checked() {
    let refused = |options: Options| {
        let opened = estimator::open(&painted(), Backend::Tract, &options, SIZE, PixelFormat::Rgb);
        opened.map(|_| ()).unwrap_err().to_string()
    };
    assert!(refused(Options { level: Some(Refinement::Full), ..Options::default() }).contains("level"));
    assert!(refused(Options { score_threshold: Some(2.0), ..Options::default() }).contains("score_threshold"));
    let mut poses = Poses::default();
    let sure = Options { score_threshold: Some(0.0), ..Options::default() };
    open(&sure).estimate(&Request { boxes: Some(&[LEFT]), ..Request::new(image(&[]).view()) }, &mut poses).unwrap();
    assert_eq!(poses.list.len(), 1, "from 0 on every box shows a person");
}

#[test]
fn numbers_that_are_none_give_no_pose() {
    let odd = Spots::of("painted");
    odd.edit("std = [1.0, 1.0, 1.0]", "std = [1e-38, 1.0, 1.0]");
    let options = Options { threads: 1, ..Options::default() };
    let mut estimator =
        estimator::open(&odd.open().unwrap(), Backend::Tract, &options, SIZE, PixelFormat::Rgb).unwrap();
    let mut poses = Poses::default();
    estimator
        .estimate(&Request { boxes: Some(&[LEFT]), ..Request::new(image(&[(1, 1, RED)]).view()) }, &mut poses)
        .unwrap();
    assert_eq!((poses.list.len(), poses.dropped), (0, 1));
}

#[test]
fn what_a_lofr_bundle_must_be() {
    let refused = |from: &str, to: &str, needles: &[&str]| {
        let broken = Spots::of("painted");
        broken.edit(from, to);
        let error = broken.open().unwrap_err().to_string();
        for needle in needles {
            assert!(error.contains(needle), "no {needle:?} in: {error}");
        }
    };
    refused("rule = \"crop\"", "rule = \"short-side\"", &["input.rule", "\"crop\""]);
    refused("short_side = 32", "short_side = 64", &["input.short_side", "32"]);
    refused("multiple = 32", "multiple = 48", &["input.multiple", "32x64"]);
    refused("shape = [1, 3, 64, 32]", "shape = [1, 3, \"H\", \"W\"]", &["engine.pose.inputs.image"]);
    refused("shape = [2, 16, 8]", "shape = [3, 16, 8]", &["response", "3", "2"]);
    refused("visible_threshold = 0.5", "visible_threshold = 1.5", &["decode.visible_threshold", "0 to 1"]);
    refused("box_padding = 1.0", "box_padding = nan", &["decode.box_padding"]);
    refused("poses = 3", "poses = 3\ncenters = 3", &["limits.centers", "no centres"]);
    refused("[engine.pose]", "[engine.poses]", &["poses", "pose"]);
}
