//! CapeFormer from enrolment to poses, with the bundle `colours`, whose results can be worked out by hand.

mod engine_support;

use std::sync::Arc;

use engine_support::{Spots, graphs};
use sinew::bundle::Bundle;
use sinew::bundle::logocap::Refinement;
use sinew::engine::Backend;
use sinew::estimator::{self, EnrolError, Enrolment, Estimator, Options, Request, Shot};
use sinew::geometry::{Rectangle, Size};
use sinew::pixels::{Image, PixelFormat};
use sinew::pose::Poses;
use sinew::template::{Annotation, Point, Template, TemplateError};

/// The image's 8 by 8 cells are those of the network; a crop of the whole is a pixel smaller on every side.
const SIDE: usize = 256;
const CELL: usize = SIDE / 8;
const RED: [u8; 3] = [255, 0, 0];
const BLUE: [u8; 3] = [0, 0, 255];
const GREEN: [u8; 3] = [0, 255, 0];

fn colours() -> Bundle {
    Bundle::open(graphs().join("colours")).unwrap()
}

/// A black image with some cells in colours.
fn image(cells: &[(usize, usize, [u8; 3])]) -> Image {
    let mut data = vec![0; 3 * SIDE * SIDE];
    for &(column, row, colour) in cells {
        for y in CELL * row..CELL * (row + 1) {
            for x in CELL * column..CELL * (column + 1) {
                data[3 * (y * SIDE + x)..][..3].copy_from_slice(&colour);
            }
        }
    }
    Image::new(PixelFormat::Rgb, Size::new(SIDE, SIDE), data).unwrap()
}

/// The middle of a cell.
fn middle(column: usize, row: usize) -> (f32, f32) {
    let along = |cell: usize| (CELL * cell + CELL / 2) as f32 - 0.5;
    (along(column), along(row))
}

fn point(name: &str, (x, y): (f32, f32), visible: bool) -> Point {
    Point { name: name.to_owned(), x, y, visible }
}

fn shot(name: &str, cells: &[(usize, usize, [u8; 3])], points: Vec<Point>) -> Shot {
    let annotation = Annotation { bounds: None, points, edges: vec![(0, 1)] };
    Shot { name: name.to_owned(), image: image(cells), annotation }
}

/// A flag: red at its left, blue at its right.
fn flag_shot() -> Shot {
    let points = vec![point("left", middle(2, 3), true), point("right", middle(5, 3), true)];
    shot("flag.png", &[(2, 3, RED), (5, 3, BLUE)], points)
}

fn enrolled(bundle: &Bundle, shots: &[Shot]) -> Result<Enrolment, EnrolError> {
    estimator::enrol(bundle, Backend::Tract, &Options::default(), "flag", shots)
}

fn flag(bundle: &Bundle) -> Template {
    enrolled(bundle, &[flag_shot()]).unwrap().template
}

fn open(bundle: &Bundle, templates: &[Template]) -> Box<dyn Estimator> {
    let options = Options { threads: 1, templates: Arc::from(templates), ..Options::default() };
    estimator::open(bundle, Backend::Tract, &options, Size::new(SIDE, SIDE), PixelFormat::Rgb).unwrap()
}

fn places(poses: &Poses, pose: usize) -> Vec<(f32, f32)> {
    poses.list[pose].keypoints.iter().map(|keypoint| (keypoint.x, keypoint.y)).collect()
}

#[track_caller]
fn assert_near(found: &[(f32, f32)], expected: &[(f32, f32)], within: f32) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        let distance = (found.0 - expected.0).hypot(found.1 - expected.1);
        assert!(distance < within, "{found:?}, expected {expected:?}");
    }
}

#[test]
fn what_was_enrolled_is_found_elsewhere() {
    let bundle = colours();
    let template = flag(&bundle);
    assert_eq!((template.name(), template.shots(), template.width()), ("flag", 1, 4));
    assert_eq!(template.skeleton().edges, [(0, 1)]);
    let mut estimator = open(&bundle, &[template]);
    let mut poses = Poses::default();
    let seen = image(&[(6, 1, RED), (1, 6, BLUE)]);
    estimator.estimate(&Request::new(seen.view()), &mut poses).unwrap();
    assert_eq!((poses.list.len(), poses.dropped), (1, 0));
    assert_near(&places(&poses, 0), &[middle(6, 1), middle(1, 6)], 3.0);
    assert!(poses.list[0].score > 0.9, "{}", poses.list[0].score);
}

#[test]
fn results_are_in_the_order_of_templates_and_boxes() {
    let bundle = colours();
    let points: Vec<Point> = (0..3).map(|index| point(&index.to_string(), middle(index, index), true)).collect();
    let cells = [(0, 0, RED), (1, 1, GREEN), (2, 2, BLUE)];
    let three =
        estimator::enrol(&bundle, Backend::Tract, &Options::default(), "three", &[shot("c.png", &cells, points)])
            .unwrap();
    let mut estimator = open(&bundle, &[flag(&bundle), three.template]);
    let mut poses = Poses::default();
    // The left half has a flag of its own, a quarter as large; the box is cut to half the cells.
    let seen = image(&[(0, 0, RED), (3, 3, BLUE), (1, 2, GREEN), (6, 6, RED), (7, 7, BLUE)]);
    let half = Rectangle { x: 0.0, y: 0.0, width: 129.0, height: 129.0 };
    let outside = Rectangle { x: 300.0, y: 0.0, width: 50.0, height: 50.0 };
    estimator.estimate(&Request { boxes: Some(&[half, outside]), ..Request::new(seen.view()) }, &mut poses).unwrap();
    assert_eq!(poses.list.iter().map(|pose| pose.template).collect::<Vec<_>>(), [0, 1]);
    assert_eq!(poses.dropped, 2, "a box outside the image, once per template");
    assert_near(&places(&poses, 0), &[middle(0, 0), middle(3, 3)], 18.0);
    assert_near(&places(&poses, 1), &[middle(0, 0), middle(1, 2), middle(3, 3)], 18.0);

    let many = [half; 4];
    estimator.estimate(&Request { boxes: Some(&many), ..Request::new(seen.view()) }, &mut poses).unwrap();
    assert_eq!((poses.list.len(), poses.dropped), (5, 3), "limits.poses is 5");
    estimator.estimate(&Request { boxes: Some(&[]), ..Request::new(seen.view()) }, &mut poses).unwrap();
    assert_eq!((poses.list.len(), poses.dropped), (0, 0));
}

#[test]
fn several_images_are_averaged() {
    let bundle = colours();
    let second = shot(
        "dark.png",
        &[(4, 4, [155, 0, 0])],
        vec![point("left", middle(4, 4), true), point("right", (0.0, 0.0), false)],
    );
    let both = enrolled(&bundle, &[flag_shot(), second]).unwrap();
    assert!(both.omitted.is_empty(), "what one image shows is enrolled from it");
    let one = flag(&bundle);
    assert_eq!(both.template.features(1), one.features(1));
    let red = |template: &Template| template.features(0)[0];
    assert!(red(&both.template) < red(&one) && red(&both.template) > 0.6 * red(&one));

    // As the reference has it, a keypoint must be seen everywhere; the others keep their indices.
    let strict = Spots::of("colours");
    strict.edit("\"average-seen\"", "\"drop\"");
    let hidden = |visible: bool| {
        shot("x.png", &[(4, 4, RED)], vec![point("left", middle(4, 4), visible), point("right", middle(1, 1), true)])
    };
    let dropped = enrolled(&strict.open().unwrap(), &[flag_shot(), hidden(false)]).unwrap();
    assert_eq!(dropped.omitted, ["left"]);
    assert_eq!(dropped.template.keypoints()[0].index, 1);
    assert!(dropped.template.skeleton().edges.is_empty());
}

#[test]
fn what_cannot_be_enrolled_is_refused() {
    let bundle = colours();
    let refused = |shots: &[Shot], needles: &[&str]| {
        let error = enrolled(&bundle, shots).unwrap_err().to_string();
        for needle in needles {
            assert!(error.contains(needle), "no {needle:?} in: {error}");
        }
    };
    refused(&[], &["no image"]);
    let mut outside = flag_shot();
    outside.annotation.points[1].x = 300.0;
    refused(&[outside], &["flag.png", "`right`", "300", "outside"]);
    let mut hidden = flag_shot();
    hidden.annotation.points[0].visible = false;
    // The check before an enrolment refuses what no image shows; the enrolment itself leaves it out.
    let shots = [hidden];
    let error = estimator::check_shots(&bundle, "flag", &shots).unwrap_err().to_string();
    assert!(error.contains("`left`") && error.contains("any of the images"), "{error}");
    assert_eq!(enrolled(&bundle, &shots).unwrap().omitted, ["left"]);
    let mut renamed = flag_shot();
    renamed.annotation.points[0].name = "top".to_owned();
    refused(&[flag_shot(), renamed], &["\"top\"", "\"left\""]);
    for bounds in [(300.0, 0.0, 9.0, 9.0), (0.0, 0.0, 1.0, 9.0), (f32::NAN, 0.0, 9.0, 9.0)] {
        let (x, y, width, height) = bounds;
        let mut boxed = flag_shot();
        boxed.annotation.bounds = Some(Rectangle { x, y, width, height });
        refused(&[boxed], &["flag.png", "box"]);
    }
    let people = Bundle::open(graphs().join("spots")).unwrap();
    let error = enrolled(&people, &[flag_shot()]).unwrap_err().to_string();
    assert!(error.contains("spots") && error.contains("logocap"), "{error}");
}

#[test]
fn a_template_fits_its_own_networks_only() {
    let bundle = colours();
    let template = flag(&bundle);
    // Another manifest with the same networks is as good.
    let measured = Spots::of("colours");
    measured.edit("poses = 5", "poses = 4");
    assert!(template.fits(&measured.open().unwrap()).is_ok());
    let people = Bundle::open(graphs().join("spots")).unwrap();
    let error = template.fits(&people).unwrap_err();
    assert!(matches!(error, TemplateError::OtherBundle { .. }));
    assert!(error.to_string().contains("`spots`") && error.to_string().contains("--model colours"), "{error}");
}

#[test]
fn objects_below_the_threshold_are_no_poses() {
    let bundle = colours();
    let templates: Arc<[Template]> = Arc::from([flag(&bundle)]);
    let seen = image(&[(6, 1, RED), (1, 6, BLUE)]);
    let there = Rectangle { x: 0.0, y: 0.0, width: SIDE as f32, height: SIDE as f32 };
    let empty = Rectangle { x: 0.0, y: 0.0, width: 90.0, height: 90.0 };
    let scores = |score_threshold| {
        let options = Options { threads: 1, templates: Arc::clone(&templates), score_threshold, ..Options::default() };
        let size = Size::new(SIDE, SIDE);
        let mut estimator = estimator::open(&bundle, Backend::Tract, &options, size, PixelFormat::Rgb).unwrap();
        let mut poses = Poses::default();
        let boxes = Some(&[empty, there, empty][..]);
        estimator.estimate(&Request { boxes, ..Request::new(seen.view()) }, &mut poses).unwrap();
        assert_eq!(poses.dropped, 0);
        poses.list.iter().map(|pose| pose.score).collect::<Vec<_>>()
    };
    let all = scores(None);
    assert!(all.len() == 3 && all[0] < all[1] && all[0] == all[2], "{all:?}");
    assert_eq!(scores(Some(all[0])), [all[1]], "scores must lie above it");
    assert!(scores(Some(all[1])).is_empty());
}

#[test]
fn options_are_checked() {
    let bundle = colours();
    let open = |options: Options| {
        estimator::open(&bundle, Backend::Tract, &options, Size::new(SIDE, SIDE), PixelFormat::Rgb)
            .map(|_| ())
            .unwrap_err()
            .to_string()
    };
    assert!(open(Options::default()).contains("template"));
    let templates: Arc<[Template]> = Arc::from([flag(&bundle)]);
    assert!(open(Options { templates, level: Some(Refinement::Full), ..Options::default() }).contains("level"));
    let points: Vec<Point> = (0..9).map(|index| point(&index.to_string(), middle(index % 8, 1), true)).collect();
    let large =
        estimator::enrol(&bundle, Backend::Tract, &Options::default(), "large", &[shot("l.png", &[], points)]).unwrap();
    let error = open(Options { templates: Arc::from([large.template]), ..Options::default() });
    assert!(error.contains("9 keypoints") && error.contains('8'), "{error}");
}

#[test]
fn numbers_that_are_none_give_no_pose() {
    let bundle = colours();
    let mut shot = flag_shot();
    shot.annotation.points.truncate(2);
    let template = flag(&bundle);
    // Infinite colours: a mean of minus infinity would be one.
    let odd = Spots::of("colours");
    odd.edit("std = [1.0, 1.0, 1.0]", "std = [1e-38, 1.0, 1.0]");
    let mut estimator = open(&odd.open().unwrap(), &[template]);
    let mut poses = Poses::default();
    estimator.estimate(&Request::new(image(&[(1, 1, RED)]).view()), &mut poses).unwrap();
    assert_eq!((poses.list.len(), poses.dropped), (0, 1));
}
