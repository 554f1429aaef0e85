//! LOGO-CAP from an image to poses, with the bundle `spots`, whose results can be worked out by hand.

mod engine_support;

use std::time::{Duration, Instant};

use engine_support::{BLUE, GREEN, RED, Spots, graph_files, graphs, image, person};
use sinew::bundle::Bundle;
use sinew::bundle::logocap::Refinement;
use sinew::engine::{Backend, DataType, Memory, Session, Signature, TensorSpec};
use sinew::estimator::{self, EstimateError, Estimator, Options, Request};
use sinew::geometry::Size;
use sinew::npz::{Array, Arrays, Values};
use sinew::pixels::{Image, PixelFormat};
use sinew::pose::Poses;

const SQUARE: Size = Size::new(64, 64);

fn spots() -> Bundle {
    Bundle::open(graphs().join("spots")).unwrap()
}

fn open(bundle: &Bundle, options: &Options) -> Box<dyn Estimator> {
    let options = Options { threads: 1, ..options.clone() };
    estimator::open(bundle, Backend::Tract, &options, SQUARE, PixelFormat::Rgb).unwrap()
}

fn at(level: Refinement) -> Options {
    Options { level: Some(level), ..Options::default() }
}

fn estimate(estimator: &mut dyn Estimator, image: &Image) -> Poses {
    let mut poses = Poses::default();
    estimator.estimate(&Request::new(image.view()), &mut poses).unwrap();
    poses
}

/// The cells of three people who do not touch.
fn three_people() -> Vec<(usize, usize, [u8; 3])> {
    [person(3, 2), person(9, 3), person(6, 10)].concat()
}

#[test]
fn initial_poses_lie_where_the_offsets_say() {
    let bundle = spots();
    let mut estimator = open(&bundle, &at(Refinement::None));
    let poses = estimate(&mut *estimator, &image(SQUARE, &person(8, 8)));
    assert_eq!((poses.list.len(), poses.dropped), (1, 0));
    // The cell's four middle pixels are equally high; of the two middle ones per axis the first counts.
    for (keypoint, expected) in poses.list[0].keypoints.iter().zip([(33.0, 33.0), (25.0, 33.0), (33.0, 41.0)]) {
        assert!((keypoint.x - expected.0).abs() < 1e-4 && (keypoint.y - expected.1).abs() < 1e-4, "{keypoint:?}");
        // An eighth of a cell off the middle in both directions, in the heatmap and in the centre map.
        assert!((keypoint.score - 0.875_f32.powi(4)).abs() < 1e-5, "{keypoint:?}");
    }
}

#[test]
fn kernels_move_keypoints_to_what_attracts_them() {
    let bundle = spots();
    let mut estimator = open(&bundle, &at(Refinement::Partial));
    // Each keypoint's red cell lies one cell away from where the offsets put it.
    let cells = [(8, 8, GREEN), (9, 8, RED), (6, 7, RED), (8, 11, RED)];
    let poses = estimate(&mut *estimator, &image(SQUARE, &cells));
    assert_eq!(poses.list.len(), 1);
    // The embedding is sampled without the half-pixel shift: cell i is at pixel 4i. The mesh has steps of one pixel.
    for (keypoint, (column, row)) in poses.list[0].keypoints.iter().zip([(9, 8), (6, 7), (8, 11)]) {
        let (dx, dy) = (keypoint.x - 4.0 * column as f32, keypoint.y - 4.0 * row as f32);
        assert!(dx.abs() < 0.501 && dy.abs() < 0.501, "{keypoint:?}, not near cell {column}, {row}");
    }
}

#[test]
fn the_order_of_work_does_not_change_the_result() {
    let image = image(SQUARE, &three_people());
    let mut results = Vec::new();
    for batch_sizes in [
        "batch_sizes = [1]",
        "batch_sizes = [1, 2]",
        "batch_sizes = [2]",
        "batch_sizes = [4]",
        "batch_sizes = [2, 3, 7]",
    ] {
        let folder = Spots::with("batch_sizes = [1, 2]", batch_sizes);
        let bundle = folder.open().unwrap();
        for threads in [1, 2] {
            let options = Options { threads, ..at(Refinement::Full) };
            let mut estimator = estimator::open(&bundle, Backend::Auto, &options, SQUARE, PixelFormat::Rgb).unwrap();
            let poses = estimate(&mut *estimator, &image);
            assert_eq!(poses.list.len(), 3, "{batch_sizes}");
            assert_eq!(estimate(&mut *estimator, &image), poses, "{batch_sizes}: a second time");
            results.push(poses);
        }
    }
    assert!(results.iter().all(|poses| *poses == results[0]));
}

#[test]
fn a_frame_that_is_late_is_refined_less_and_says_so() {
    let bundle = spots();
    let image = image(SQUARE, &three_people());
    let mut hurried = open(&bundle, &at(Refinement::Full));
    let mut result = |deadline: Option<Instant>| {
        let mut poses = Poses::default();
        let request = Request { deadline, ..Request::new(image.view()) };
        let times = hurried.estimate(&request, &mut poses).unwrap();
        (times.level, poses)
    };
    let plain = |level| estimate(&mut *open(&bundle, &at(level)), &image);
    assert_eq!(result(None), (None, plain(Refinement::Full)));
    let later = Instant::now() + Duration::from_secs(3600);
    assert_eq!(result(Some(later)), (Some(Refinement::Full), plain(Refinement::Full)));
    // What was never done is tried once.
    let past = Instant::now();
    assert_eq!(result(Some(past)), (Some(Refinement::Partial), plain(Refinement::Partial)));
    assert_eq!(result(Some(past)), (Some(Refinement::None), plain(Refinement::None)));
    assert_eq!(result(Some(later)), (Some(Refinement::Full), plain(Refinement::Full)));
}

#[test]
fn no_person_is_a_result() {
    let bundle = spots();
    for level in [Refinement::None, Refinement::Partial, Refinement::Full] {
        let mut estimator = open(&bundle, &at(level));
        let mut poses = estimate(&mut *estimator, &image(SQUARE, &three_people()));
        assert_eq!(poses.list.len(), 3);
        estimator.estimate(&Request::new(image(SQUARE, &[(3, 3, RED)]).view()), &mut poses).unwrap();
        assert_eq!(poses, Poses::default(), "the last frame's poses are gone");
    }
}

#[test]
fn numbers_that_are_none_give_no_pose_and_are_counted() {
    let bundle = spots();
    for level in [Refinement::None, Refinement::Partial, Refinement::Full] {
        let mut estimator = open(&bundle, &at(level));
        // Blue over the whole image divides every map by zero; in one cell it spoils what lies around it.
        let everywhere: Vec<_> = (0..256).map(|cell| (cell % 16, cell / 16, [255, 255, 255])).collect();
        let on_a_keypoint: Vec<_> = person(8, 8).into_iter().chain([(8, 10, BLUE)]).collect();
        for cells in [everywhere, on_a_keypoint] {
            let poses = estimate(&mut *estimator, &image(SQUARE, &cells));
            assert!(poses.dropped > 0, "{level:?}: {poses:?}");
            let keypoints = poses.list.iter().flat_map(|pose| &pose.keypoints);
            assert!(
                keypoints.clone().all(|point| point.x.is_finite() && point.y.is_finite() && point.score.is_finite())
            );
        }
        // The next frame has its usual result.
        assert_eq!(estimate(&mut *estimator, &image(SQUARE, &three_people())).list.len(), 3);
    }
}

#[test]
fn images_of_mixed_sizes_and_formats() {
    let bundle = spots();
    // A kernel's highest cell is unique here; the windows of `full` would be as high at two neighbours.
    let mut estimator = open(&bundle, &at(Refinement::Partial));
    let first = estimate(&mut *estimator, &image(SQUARE, &person(8, 8)));
    // More network sizes than are kept open, and back again; none is scaled, so that the result is only shifted.
    for _ in 0..2 {
        for (width, height) in [(96, 64), (128, 64), (64, 96), (64, 128), (160, 64), (192, 64), (64, 64)] {
            let poses = estimate(&mut *estimator, &image(Size::new(width, height), &person(8, 8)));
            assert_eq!(poses.list.len(), 1, "{width}x{height}");
            for (found, expected) in poses.list[0].keypoints.iter().zip(&first.list[0].keypoints) {
                assert!((found.x - expected.x).abs() < 1e-3 && (found.y - expected.y).abs() < 1e-3, "{width}x{height}");
            }
        }
    }
    // A grey image is white, and so blue, where there is something.
    let mut grey = vec![0; 64 * 64];
    grey[33 * 64 + 33] = 255;
    let grey = Image::new(PixelFormat::Grey, SQUARE, grey).unwrap();
    estimate(&mut *estimator, &grey);
    assert_eq!(estimate(&mut *estimator, &image(SQUARE, &person(8, 8))), first);
}

#[test]
fn a_image_that_does_not_fit_leaves_everything_as_it_was() {
    let bundle = spots();
    let mut estimator = open(&bundle, &at(Refinement::Full));
    let good = image(SQUARE, &person(8, 8));
    let first = estimate(&mut *estimator, &good);
    let mut poses = first.clone();
    let wide = image(Size::new(900, 100), &[]);
    let error = estimator.estimate(&Request::new(wide.view()), &mut poses).unwrap_err();
    assert!(matches!(error, EstimateError::Image { .. }), "{error}");
    assert!(error.to_string().contains("900x100"), "{error}");
    assert!(poses.list.is_empty());
    assert_eq!(estimate(&mut *estimator, &good), first);
}

#[test]
fn options_count() {
    let bundle = spots();
    let people = image(SQUARE, &three_people());
    let strict = Options { score_threshold: Some(10.0), ..Options::default() };
    assert!(estimate(&mut *open(&bundle, &strict), &people).list.is_empty());
    for (options, needle) in [
        (Options { score_threshold: Some(f32::NAN), ..Options::default() }, "score_threshold"),
        (Options { threads: 1 << 20, ..Options::default() }, "1048576 threads"),
    ] {
        let error = estimator::open(&bundle, Backend::Tract, &options, SQUARE, PixelFormat::Rgb).err().unwrap();
        assert!(error.to_string().contains(needle), "{error}");
    }
    // The reference keeps the best centre whatever its value, and all four pixels of the tie that a lone cell makes.
    let exact = Options { exact: true, ..at(Refinement::None) };
    let poses = estimate(&mut *open(&bundle, &exact), &image(SQUARE, &person(8, 8)));
    assert!(poses.list.iter().all(|pose| pose.keypoints[0].x.fract() == 0.0), "{poses:?}");
}

/// The networks' outputs for an image, as something else would dump them.
fn dump(bundle: &Bundle, image: &Image, grid: &[f32], people: usize) -> Arrays {
    let spec = |name: &str, shape: &[usize], memory| TensorSpec {
        name: name.to_owned(),
        data_type: DataType::F32,
        shape: shape.to_vec(),
        memory,
    };
    let environment = Session::new(Backend::Tract, 1).unwrap();
    let open = |file: &str, inputs, outputs| {
        environment.open(&graph_files(&bundle.folder().join(file)), Signature { inputs, outputs }).unwrap()
    };
    let heatmaps = spec("heatmaps", &[4, 16, 16], Memory::Host);
    let offsets = spec("offsets", &[6, 16, 16], Memory::Host);
    let embedding = spec("embedding", &[2, 18, 18], Memory::Device);
    let input = spec("image", &[1, 3, 64, 64], Memory::Host);
    let mut backbone = open("backbone.onnx", vec![input], vec![heatmaps, offsets, embedding.clone()]);
    for (index, value) in backbone.input(0).iter_mut().enumerate() {
        *value = f32::from(image.data()[index % 4096 * 3 + index / 4096]) / 255.0;
    }
    backbone.run().unwrap();
    let inputs = vec![embedding, spec("grid", &[33 * people, 11, 2], Memory::Host)];
    let mut kam = open("kam.onnx", inputs, vec![spec("kam", &[people, 3, 11, 11], Memory::Host)]);
    kam.bind_input(0, &backbone.export_output(2)).unwrap();
    kam.input(1).copy_from_slice(grid);
    kam.run().unwrap();
    let array = |shape: &[usize], values: &[f32]| Array::from_f32(shape, values.to_vec()).unwrap();
    Arrays::from([
        ("heatmaps".to_owned(), array(&[4, 16, 16], backbone.output(0))),
        ("offsets".to_owned(), array(&[6, 16, 16], backbone.output(1))),
        ("kam".to_owned(), array(&[people, 3, 11, 11], kam.output(0))),
    ])
}

#[test]
fn decoding_dumped_tensors_gives_the_same_poses() {
    let bundle = spots();
    let image = image(SQUARE, &three_people());
    // The grid around three initial poses, best centre first, equal ones in reading order; one position per axis is in
    // cells plus 1 from the last cell on, over 17, times 2, minus 1.
    let mut grid = Vec::new();
    for (column, row) in [(3.0, 2.0), (9.0, 3.0), (6.0, 10.0)] {
        for (dx, dy) in [(0.0, 0.0), (-8.0, 0.0), (0.0, 8.0)] {
            for point in 0..121 {
                let axis = |cell: f32, shift: f32, step: usize| {
                    let position = (4.0 * cell + 1.0 + shift + step as f32 - 5.0) / 4.0;
                    let padded = if position >= 15.0 { position + 1.0 } else { position };
                    (padded / 17.0 * 2.0 - 1.0_f32).clamp(-1.0, 1.0)
                };
                grid.extend([axis(column, dx, point % 11), axis(row, dy, point / 11)]);
            }
        }
    }
    let tensors = dump(&bundle, &image, &grid, 3);
    for level in [Refinement::None, Refinement::Partial, Refinement::Full] {
        let expected = estimate(&mut *open(&bundle, &at(level)), &image);
        let result = estimator::postprocess(&bundle, &at(level), SQUARE, &tensors).unwrap();
        assert_eq!(result["centers"].shape, [3, 3]);
        assert_eq!(result["initial_poses"].shape, [3, 3, 2]);
        assert_eq!(result["refined_poses"].shape, [3, 3, 3]);
        assert_eq!(result["scores"].shape, [3]);
        assert_eq!(result["keep"].values, Values::I64(vec![0, 1, 2]));
        let flat: Vec<f32> = (expected.list.iter().flat_map(|pose| &pose.keypoints))
            .flat_map(|point| [point.x, point.y, point.score])
            .collect();
        for (found, expected) in result["poses"].to_f32().iter().zip(&flat) {
            assert!((found - expected).abs() < 1e-4, "{level:?}: {found}, not {expected}");
        }
    }
}

#[test]
fn dumped_tensors_that_do_not_fit_are_named() {
    let bundle = spots();
    let image = image(SQUARE, &person(8, 8));
    let tensors = dump(&bundle, &image, &[0.0; 726], 1);
    let decode = |tensors: &Arrays, level| estimator::postprocess(&bundle, &at(level), SQUARE, tensors);
    assert!(decode(&tensors, Refinement::Full).is_ok());
    for name in ["heatmaps", "offsets", "kam"] {
        let mut fewer = tensors.clone();
        fewer.remove(name);
        let error = decode(&fewer, Refinement::Full).unwrap_err().to_string();
        assert!(error.starts_with(&format!("array `{name}` is missing, expected [")), "{error}");
    }
    for (name, shape) in [("heatmaps", [3, 16, 16]), ("offsets", [6, 8, 16]), ("offsets", [6, 0, 16])] {
        let mut other = tensors.clone();
        let values = vec![0.0; shape.iter().product()];
        other.insert(name.to_owned(), Array::from_f32(&shape, values).unwrap());
        let error = decode(&other, Refinement::Full).unwrap_err().to_string();
        assert!(error.contains(&format!("`{name}`")), "{error}");
    }
    let mut more = tensors.clone();
    more.insert("kam".to_owned(), Array::from_f32(&[2, 3, 11, 11], vec![0.0; 726]).unwrap());
    let error = decode(&more, Refinement::Full).unwrap_err().to_string();
    assert_eq!(error, "array `kam` is of shape [2, 3, 11, 11], expected [1, 3, 11, 11], one per centre");
    assert!(decode(&more, Refinement::None).is_ok(), "the level does not read it");

    // No person: empty arrays.
    let mut empty = tensors;
    empty.insert("heatmaps".to_owned(), Array::from_f32(&[4, 16, 16], vec![0.0; 1024]).unwrap());
    empty.remove("kam");
    let result = decode(&empty, Refinement::Full).unwrap();
    let shapes: Vec<&[usize]> = result.values().map(|array| &*array.shape).collect();
    assert_eq!(shapes, [&[0, 3][..], &[0, 3, 2], &[0], &[0, 3, 3], &[0, 3, 3], &[0]]);
}

/// A network that is opened after the bundle was checked is the one that was checked.
#[test]
fn a_network_that_was_replaced_after_the_check_is_refused() {
    for name in ["backbone.onnx", "kam.onnx"] {
        let folder = Spots::new();
        let options = Options { threads: 1, ..Options::default() };
        let mut estimator = estimator::LazyEstimator::new(folder.open().unwrap(), Backend::Tract, &options);
        let path = folder.path().join(name);
        let mut bytes = std::fs::read(&path).unwrap();
        // An unknown field: the same graph, other bytes.
        bytes.extend([0xf8, 0x3f, 0]);
        std::fs::write(&path, bytes).unwrap();
        let (image, mut poses) = (image(SQUARE, &person(8, 8)), Poses::default());
        let error = estimator.estimate(&Request::new(image.view()), &mut poses).unwrap_err().to_string();
        assert!(error.contains(name) && error.contains("changed after the bundle was checked"), "{error}");
    }
}

/// Sources of six sizes take turns: every size is opened once.
#[test]
fn one_estimator_serves_sources_that_take_turns() {
    let options = Options { sources: 6, ..at(Refinement::Partial) };
    let images = [(64, 64), (96, 64), (128, 64), (64, 96), (64, 128), (160, 64)]
        .map(|(width, height)| image(Size::new(width, height), &person(8, 8)));
    let alone = images.each_ref().map(|image| estimate(&mut *open(&spots(), &options), image));
    let folder = Spots::new();
    let mut estimator = open(&folder.open().unwrap(), &options);
    for (turn, (image, alone)) in images.iter().zip(&alone).cycle().take(12).enumerate() {
        if turn == 6 {
            // Nothing can be opened any more.
            std::fs::remove_file(folder.path().join("backbone.onnx")).unwrap();
        }
        assert_eq!(estimate(&mut *estimator, image), *alone, "{}", image.size());
    }
}
