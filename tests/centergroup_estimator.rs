//! CenterGroup from an image to poses, with the bundle `nearest`, whose results can be worked out by hand.

mod engine_support;

use engine_support::{BLUE, GREEN, RED, Spots, graphs, image};
use sinew::bundle::Bundle;
use sinew::bundle::logocap::Refinement;
use sinew::engine::Backend;
use sinew::estimator::{self, Estimator, Options, Request};
use sinew::geometry::Size;
use sinew::pixels::{Image, PixelFormat};
use sinew::pose::Poses;

const SQUARE: Size = Size::new(64, 64);

fn nearest() -> Bundle {
    Bundle::open(graphs().join("nearest")).unwrap()
}

fn open(options: &Options) -> Box<dyn Estimator> {
    let options = Options { threads: 1, ..options.clone() };
    estimator::open(&nearest(), Backend::Tract, &options, SQUARE, PixelFormat::Rgb).unwrap()
}

fn estimate(estimator: &mut dyn Estimator, image: &Image) -> Poses {
    let mut poses = Poses::default();
    estimator.estimate(&Request::new(image.view()), &mut poses).unwrap();
    poses
}

/// The two keypoints of every pose, by column of the first.
fn places(poses: &Poses) -> Vec<[(f32, f32); 2]> {
    let mut places: Vec<_> =
        poses.list.iter().map(|pose| [0, 1].map(|index| (pose.keypoints[index].x, pose.keypoints[index].y))).collect();
    places.sort_by(|a, b| a[0].0.total_cmp(&b[0].0));
    places
}

/// Where the cell `(column, row)` is found: the first of its two middle pixels on either axis, a quarter pixel towards
/// the second, and half a pixel.
fn cell(column: usize, row: usize) -> (f32, f32) {
    (4.0 * column as f32 + 1.75, 4.0 * row as f32 + 1.75)
}

/// Two people who are too far from each other to be confused.
fn two_people() -> Vec<(usize, usize, [u8; 3])> {
    vec![(4, 4, GREEN), (3, 4, RED), (5, 5, BLUE), (13, 13, GREEN), (12, 13, RED), (13, 12, BLUE)]
}

#[test]
fn every_centre_takes_its_nearest_keypoints() {
    let mut estimator = open(&Options::default());
    let poses = estimate(&mut *estimator, &image(SQUARE, &two_people()));
    assert_eq!(places(&poses), [[cell(3, 4), cell(5, 5)], [cell(12, 13), cell(13, 12)]]);
    assert_eq!(poses.dropped, 0);
    assert!(poses.list.iter().all(|pose| pose.score > 0.9), "{poses:?}");
}

#[test]
fn more_tokens_take_the_larger_engine() {
    // Five red cells; the manifest's smallest chunk has room for two.
    let mut cells = two_people();
    cells.extend([(9, 1, RED), (1, 9, RED), (9, 9, RED)]);
    let poses = estimate(&mut *open(&Options::default()), &image(SQUARE, &cells));
    assert_eq!(places(&poses), [[cell(3, 4), cell(5, 5)], [cell(12, 13), cell(13, 12)]]);
}

#[test]
fn an_empty_image_has_no_pose() {
    let mut estimator = open(&Options::default());
    for cells in [vec![], vec![(3, 3, RED), (5, 5, BLUE)], vec![(4, 4, GREEN)]] {
        let poses = estimate(&mut *estimator, &image(SQUARE, &cells));
        assert_eq!((poses.list.len(), poses.dropped), (0, 0), "{cells:?}");
    }
}

#[test]
fn padding_is_left_out() {
    // 96x48 becomes 128x64: nothing is padded; 64x48 becomes 85x64 in the middle of 96x64.
    let mut estimator = open(&Options::default());
    for size in [Size::new(64, 48), Size::new(48, 64), Size::new(96, 48)] {
        let cells = [(5, 5, GREEN), (4, 5, RED), (6, 6, BLUE)];
        let poses = estimate(&mut *estimator, &image(size, &cells));
        let found = places(&poses);
        assert_eq!(found.len(), 1, "{size}: {poses:?}");
        for ((x, y), (column, row)) in found[0].into_iter().zip([(4, 5), (6, 6)]) {
            let (wanted_x, wanted_y) = cell(column, row);
            assert!((x - wanted_x).abs() < 1.0 && (y - wanted_y).abs() < 1.0, "{size}: ({x}, {y})");
        }
    }
}

#[test]
fn images_of_several_sizes_do_not_disturb_each_other() {
    let mut estimator = open(&Options::default());
    let square = image(SQUARE, &two_people());
    let first = estimate(&mut *estimator, &square);
    for size in [Size::new(96, 64), Size::new(64, 48), Size::new(60, 48)] {
        estimate(&mut *estimator, &image(size, &[(5, 5, GREEN), (4, 5, RED), (6, 6, BLUE)]));
        assert_eq!(estimate(&mut *estimator, &square), first);
    }
}

#[test]
fn options_count() {
    let threshold = Options { score_threshold: Some(1.0), ..Options::default() };
    assert_eq!(estimate(&mut *open(&threshold), &image(SQUARE, &two_people())).list.len(), 0);
    // As the reference: four tied centres a person, none dropped.
    let exact = Options { exact: true, ..Options::default() };
    assert_eq!(estimate(&mut *open(&exact), &image(SQUARE, &two_people())).list.len(), 8);
    let level = Options { level: Some(Refinement::None), ..Options::default() };
    let error = estimator::open(&nearest(), Backend::Tract, &level, SQUARE, PixelFormat::Rgb).err().unwrap();
    assert_eq!(error.to_string(), "option `level`: CenterGroup has no levels");
}

#[test]
fn a_wrong_bundle_is_explained() {
    for (from, to, needles) in [
        (
            "data_type = \"i32\"",
            "data_type = \"f32\"",
            &["engine.grouping.inputs.idx.data_type", "float32", "int32"][..],
        ),
        ("batch_sizes = [2, 10]", "batch_sizes = [2, 8]", &["engine.grouping.batch_sizes", "limits.centers, 10"]),
        ("\"H*W/16\"", "\"H*W/8\"", &["engine.grouping.inputs.pos_rows", "H*W/16"]),
        ("least_tokens = 0", "least_tokens = 11", &["decode.least_tokens", "11"]),
        ("least_tokens = 0", "least_token = 0", &["decode.least_token", "did you mean `least_tokens`?"]),
        ("attention_ties = \"highest\"", "attention_ties = \"best\"", &["decode.attention_ties", "highest"]),
        ("multiple = 32", "multiple = 12", &["input.multiple", "a multiple of 8"]),
        ("[engine.grouping]", "[engine.grouped]", &["engine.grouped", "did you mean `grouping`?"]),
    ] {
        let bundle = Spots::of("nearest");
        bundle.edit(from, to);
        let error = bundle.open().expect_err(to).to_string();
        for needle in needles {
            assert!(error.contains(needle), "no {needle:?} in: {error}");
        }
    }
}
