//! The tract backend on graphs whose results are known.

mod engine_support;

use std::path::Path;

use engine_support::{Spots, graph_files, graphs};
use sinew::bundle::Bundle;
use sinew::engine::{
    Backend, DataType, Engine, EngineError, Memory, Precision, Provider, Session, Signature, TensorSpec,
};
use sinew::estimator::{self, Options, Request};
use sinew::pixels::{Limits, read_image};
use sinew::pose::{Pose, Poses};

fn spec(name: &str, shape: &[usize], memory: Memory) -> TensorSpec {
    TensorSpec { name: name.to_owned(), data_type: DataType::F32, shape: shape.to_vec(), memory }
}

/// The first network of `spots` for an image of `4 * columns` by `4 * rows` pixels.
fn backbone(environment: &Session, rows: usize, columns: usize) -> Box<dyn Engine> {
    let signature = Signature {
        inputs: vec![spec("image", &[1, 3, 4 * rows, 4 * columns], Memory::Host)],
        // Not the order of the file.
        outputs: vec![
            spec("embedding", &[2, rows + 2, columns + 2], Memory::Device),
            spec("offsets", &[6, rows, columns], Memory::Host),
            spec("heatmaps", &[4, rows, columns], Memory::Host),
        ],
    };
    environment.open(&graph_files(&graphs().join("spots/backbone.onnx")), signature).unwrap()
}

fn kam(environment: &Session, rows: usize, columns: usize, people: usize) -> Box<dyn Engine> {
    let signature = Signature {
        inputs: vec![
            spec("grid", &[33 * people, 11, 2], Memory::Host),
            spec("embedding", &[2, rows + 2, columns + 2], Memory::Device),
        ],
        outputs: vec![spec("kam", &[people, 3, 11, 11], Memory::Host)],
    };
    environment.open(&graph_files(&graphs().join("spots/kam.onnx")), signature).unwrap()
}

/// Values that differ from cell to cell.
fn fill(image: &mut [f32]) {
    let area = image.len() / 3;
    for (index, value) in image.iter_mut().enumerate() {
        *value = if index < 2 * area { (index % 97) as f32 / 97.0 } else { 0.0 };
    }
}

fn environment(threads: usize) -> Session {
    Session::new(Backend::Tract, threads).unwrap()
}

#[test]
fn outputs_are_found_by_name_and_hold_what_the_graph_computes() {
    let mut engine = backbone(&environment(1), 3, 5);
    assert!(engine.output(2).iter().all(|&value| value == 0.0), "zeros before the first run");
    fill(engine.input(0));
    let image = engine.input(0).to_vec();
    engine.run().unwrap();

    let cell = |channel: usize, row: usize, column: usize| {
        let pixels = (0..16).map(|pixel| image[(channel * 12 + 4 * row + pixel / 4) * 20 + 4 * column + pixel % 4]);
        pixels.sum::<f32>() / 16.0
    };
    for row in 0..3 {
        for column in 0..5 {
            let heatmap = |map: usize| engine.output(2)[(map * 3 + row) * 5 + column];
            let embedding = |map: usize, row: usize, column: usize| engine.output(0)[(map * 5 + row) * 7 + column];
            assert!((heatmap(0) - cell(0, row, column)).abs() < 1e-6);
            assert!((heatmap(3) - cell(1, row, column)).abs() < 1e-6);
            assert!((embedding(1, row, column) - cell(1, row, column)).abs() < 1e-6);
            assert_eq!(embedding(0, 3, column), 0.0, "a row of zeros");
            assert_eq!(embedding(0, 4, column), embedding(0, 2, column), "then a copy of the last row");
        }
    }
    let offsets: Vec<f32> = engine.output(1).chunks(15).map(|map| map[7]).collect();
    assert_eq!(offsets, [0.0, 0.0, 2.0, 0.0, 0.0, -2.0]);
}

#[test]
fn inputs_keep_their_place_and_their_values() {
    let mut engine = backbone(&environment(1), 4, 4);
    fill(engine.input(0));
    let before = engine.input(0).to_vec();
    let address = engine.input(0).as_ptr();
    for _ in 0..3 {
        engine.run().unwrap();
        assert_eq!(engine.input(0).as_ptr(), address, "the input was copied");
        assert_eq!(engine.input(0), before);
    }
    let first = engine.output(2).to_vec();
    engine.input(0).fill(0.0);
    engine.run().unwrap();
    assert_ne!(engine.output(2), first);
}

#[test]
fn threads_do_not_change_the_result() {
    let results = [1, 2, 0].map(|threads| {
        let mut engine = backbone(&environment(threads), 16, 16);
        fill(engine.input(0));
        engine.run().unwrap();
        engine.output(2).to_vec()
    });
    assert_eq!(results[0], results[1]);
    assert_eq!(results[0], results[2]);
    let error = Session::new(Backend::Tract, 100_000).unwrap_err();
    assert!(error.to_string().starts_with("100000 threads for the engines: expected 0"), "{error}");
}

#[test]
fn an_output_reaches_another_engine_without_a_copy() {
    let environment = environment(1);
    let (mut first, mut second) = (backbone(&environment, 4, 4), kam(&environment, 4, 4, 1));
    let error = second.run().unwrap_err();
    assert!(matches!(&error, EngineError::DeviceTensor { tensor, .. } if tensor == "embedding"), "{error}");

    fill(first.input(0));
    first.run().unwrap();
    second.bind_input(1, &first.export_output(0)).unwrap();
    // The top-left cell of the embedding, whatever the padding.
    second.input(0).fill(-1.0);
    second.run().unwrap();
    let expected = first.output(0)[0];
    assert!(expected != 0.0);
    assert!(second.output(0).iter().all(|value| (value - expected).abs() < 1e-6));

    // What was handed over stays until the next one, though the first engine goes on.
    first.input(0).fill(0.0);
    first.run().unwrap();
    second.run().unwrap();
    assert!(second.output(0).iter().all(|value| (value - expected).abs() < 1e-6));
    second.bind_input(1, &first.export_output(0)).unwrap();
    second.run().unwrap();
    assert!(second.output(0).iter().all(|&value| value == 0.0));

    let other_size = backbone(&environment, 4, 6);
    let error = second.bind_input(1, &other_size.export_output(0)).unwrap_err();
    assert!(error.to_string().contains("`embedding`") && error.to_string().contains("[2, 6, 8]"), "{error}");
}

#[test]
fn backends_have_names() {
    assert_eq!("auto".parse::<Backend>().unwrap(), Backend::Auto);
    assert_eq!("tensorrt".parse::<Backend>().unwrap(), Backend::TensorRt);
    assert_eq!("tract".parse::<Backend>().unwrap(), Backend::Tract);
    assert_eq!(Backend::Tract.to_string(), "tract");
    let error = "tensorflow".parse::<Backend>().unwrap_err();
    assert!(error.to_string().starts_with("unknown backend `tensorflow`, expected `auto`"), "{error}");
    assert_eq!("onnxruntime".parse::<Backend>().unwrap(), Backend::OnnxRuntime(Provider::Cpu));
    assert_eq!(Session::new(Backend::Auto, 1).unwrap().backend(), Backend::Tract);
}

/// What `spots` expects of its first network for 16x16 pixels.
fn expected() -> Signature {
    Signature {
        inputs: vec![spec("image", &[1, 3, 16, 16], Memory::Host)],
        outputs: vec![
            spec("heatmaps", &[4, 4, 4], Memory::Host),
            spec("offsets", &[6, 4, 4], Memory::Host),
            spec("embedding", &[2, 6, 6], Memory::Device),
        ],
    }
}

#[test]
fn other_graphs_are_refused_by_file_and_tensor() {
    let environment = environment(1);
    for (file, needles) in [
        ("foreign.onnx", &["input `image` is not in the graph, which has `x`", "float32 [1, 3, 16, 16]"][..]),
        ("other-name.onnx", &["output `heatmaps` is not in the graph", "`heat_maps`, `offsets`, `embedding`"]),
        ("fixed-height.onnx", &["input `image` is float32 [1, 3, 48, W]", "float32 [1, 3, 16, 16]"]),
        ("five-keypoints.onnx", &["output `heatmaps`", "6,4,4", "says float32 [4, 4, 4]"]),
        ("whole-numbers.onnx", &["output `heatmaps` is int64 [?, ?, ?]", "float32 [4, 4, 4]"]),
        ("whole-numbers-undeclared.onnx", &["heatmaps"]),
        ("nothing-made.onnx", &["not a complete graph: no node makes the output `heatmaps`"]),
        ("unknown-operator.onnx", &["Guess"]),
        ("bad-weights.onnx", &[]),
        ("spots/kam.onnx", &["input `image` is not in the graph, which has `embedding`, `grid`"]),
        ("spots/bundle.toml", &["not an ONNX model"]),
        ("missing.onnx", &["cannot be read"]),
    ] {
        let path = graphs().join(file);
        let error = environment.open(&graph_files(&path), expected()).unwrap_err().to_string();
        assert!(error.starts_with(&path.display().to_string()), "{file}: the file comes first: {error}");
        for needle in needles {
            assert!(error.contains(needle), "{file}: no {needle:?} in: {error}");
        }
    }
}

#[test]
fn every_truncation_and_many_corruptions_are_read_or_refused() {
    let environment = environment(1);
    let spots = Spots::new();
    let path = spots.path().join("backbone.onnx");
    let whole = std::fs::read(&path).unwrap();
    let open = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        environment.open(&graph_files(&path), expected())
    };
    assert!(open(&whole).is_ok());
    let mut refused = 0;
    for length in (0..whole.len()).step_by(7) {
        refused += usize::from(open(&whole[..length]).is_err());
    }
    assert!(refused >= whole.len() / 7 - 8, "only {refused} truncations were refused");
    // Whatever a flipped byte does, it is an engine or an error.
    for index in (0..whole.len()).step_by(5) {
        let mut bytes = whole.clone();
        bytes[index] ^= 0xff;
        if let Ok(mut engine) = open(&bytes) {
            let _ = engine.run();
        }
    }
}

/// Runs a graph with one input and one output.
fn run(graph: &str, shape: &[usize], values: &[f32], result: &[usize]) -> Vec<f32> {
    let signature = Signature {
        inputs: vec![spec("input", shape, Memory::Host)],
        outputs: vec![spec("output", result, Memory::Host)],
    };
    let mut engine = environment(1).open(&graph_files(&graphs().join(graph)), signature).unwrap();
    engine.input(0).copy_from_slice(values);
    engine.run().unwrap();
    engine.output(0).to_vec()
}

fn quantised(value: f32, step: f32) -> f32 {
    (value / step).round_ties_even().clamp(-128.0, 127.0) * step
}

/// Between two quantised tensors stand a Relu and a Softmax: tract would make a table of their results for 256 inputs, which
/// a Softmax does not have.
#[test]
fn a_softmax_between_quantised_tensors_is_computed_in_floating_point() {
    let input: Vec<f32> = (0..128).map(|index| (index * 37 % 101) as f32 * 0.07 - 2.0).collect();
    let found = run("quantised-softmax.onnx", &[2, 64], &input, &[2, 64]);
    for (row, found) in input.chunks(64).zip(found.chunks(64)) {
        let row: Vec<f32> = row.iter().map(|&value| quantised(value, 1.0 / 16.0).max(0.0)).collect();
        let highest = row.iter().copied().fold(0.0, f32::max);
        let sum: f32 = row.iter().map(|value| (value - highest).exp()).sum();
        for (&found, value) in found.iter().zip(&row) {
            let expected = quantised((value - highest).exp() / sum, 1.0 / 128.0);
            assert!((found - expected).abs() < 1e-6, "{found}, not {expected}");
        }
    }
}

/// The place of a pixel of an axis of 16 between 8 cells, with half-pixel centres.
fn between(pixel: usize) -> (usize, usize, f32) {
    let place = ((pixel as f32 + 0.5) / 2.0 - 0.5).clamp(0.0, 7.0);
    let near = place as usize;
    (near, (near + 1).min(7), place - near as f32)
}

fn enlarged(cells: &[f32], x: usize, y: usize) -> f32 {
    let ((left, right, across), (top, bottom, down)) = (between(x), between(y));
    let row = |row: usize| cells[8 * row + left] * (1.0 - across) + cells[8 * row + right] * across;
    row(top) * (1.0 - down) + row(bottom) * down
}

#[test]
fn a_bilinear_resize_between_quantised_tensors_is_computed_in_floating_point() {
    let input: Vec<f32> = (0..64).map(|index| (index * 29 % 61) as f32 / 30.0 - 1.0).collect();
    let cells: Vec<f32> = input.iter().map(|&value| quantised(value, 1.0 / 16.0)).collect();
    let found = run("quantised-resize.onnx", &[1, 1, 8, 8], &input, &[1, 1, 16, 16]);
    for (index, &found) in found.iter().enumerate() {
        let expected = quantised(enlarged(&cells, index % 16, index / 16), 1.0 / 128.0);
        assert!((found - expected).abs() < 1e-6, "pixel {index}: {found}, not {expected}");
    }
}

/// The best pose of a shipped bundle's quantised graph lies where that of the original does.
#[test]
fn a_shipped_quantised_bundle_keeps_its_results() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let bundle = Bundle::open(root.join("models/bundles/logocap-tiny")).unwrap();
    let image = read_image(&root.join("tests/data/people/000.jpg"), &Limits::default()).unwrap();
    let [exact, quantised] = [Precision::Fp32, Precision::Int8].map(|precision| {
        let options = Options { precision: Some(precision), score_threshold: Some(0.0), ..Options::default() };
        let mut estimator = estimator::open(&bundle, Backend::Tract, &options, image.size(), image.format()).unwrap();
        let mut poses = Poses::default();
        estimator.estimate(&Request::new(image.view()), &mut poses).unwrap();
        poses
    });
    let best = &exact.list[0];
    let bounds = best.bounds().unwrap();
    let apart = |other: &Pose| {
        let pairs = best.keypoints.iter().zip(&other.keypoints);
        pairs.map(|(a, b)| (a.x - b.x).hypot(a.y - b.y)).sum::<f32>() / best.keypoints.len() as f32
    };
    let nearest = quantised.list.iter().map(apart).fold(f32::INFINITY, f32::min);
    assert!(nearest > 0.0, "it is another graph");
    assert!(nearest < 0.03 * bounds.width.max(bounds.height), "{nearest} pixels of {bounds:?}");
}

/// Of whole numbers tract cuts off what lies between two of them, where ONNX leaves the rounding open.
#[test]
fn a_bilinear_resize_of_whole_numbers_is_refused_by_name() {
    let signature = Signature {
        inputs: vec![spec("input", &[1, 1, 8, 8], Memory::Host)],
        outputs: vec![spec("output", &[1, 1, 16, 16], Memory::Host)],
    };
    let files = graph_files(&graphs().join("quantised-resize-whole.onnx"));
    let error = environment(1).open(&files, signature).unwrap_err().to_string();
    assert!(error.contains("Resize") && error.contains("8-bit") && error.contains("--precision fp32"), "{error}");
}
