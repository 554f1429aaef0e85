//! ONNX Runtime as a backend. Its library is not part of the project: without `SINEW_ONNXRUNTIME_LIBRARY` the tests that need
//! it say so and pass; `make python-test` sets it.

mod cli_support;
mod common;
mod engine_support;

use cli_support::{ended, sinew, spots, text, write_png};
use engine_support::{Spots, graph_files, graphs, image, person};
use sinew::bundle::Bundle;
use sinew::engine::{Backend, DataType, EngineFiles, Memory, Precision, Session, Signature, TensorSpec};
use sinew::estimator::{self, Options, Request};
use sinew::geometry::Size;
use sinew::pixels::PixelFormat;
use sinew::pose::Poses;

const SQUARE: Size = Size::new(64, 64);
const VARIABLE: &str = "SINEW_ONNXRUNTIME_LIBRARY";

fn has_library() -> bool {
    let has = std::env::var_os(VARIABLE).is_some();
    if !has {
        common::skip(&format!("{VARIABLE} does not name ONNX Runtime's library"));
    }
    has
}

#[test]
fn without_the_library_it_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.png");
    write_png(&path, SQUARE, image(SQUARE, &person(8, 8)).data());
    let mut command = sinew(&["run", "--model", &spots(), "--source", text(&path), "--backend", "onnxruntime"]);
    let output = command.env(VARIABLE, folder.path().join("no-such-library.so")).output().unwrap();
    ended(output).expect(2).says(&["backend `onnxruntime`", "no-such-library.so", VARIABLE]);
}

#[test]
fn its_results_are_those_of_tract() {
    if !has_library() {
        return;
    }
    let bundle = Bundle::open(graphs().join("spots")).unwrap();
    let options = Options { threads: 1, ..Options::default() };
    let cells = [person(3, 2), person(9, 3), person(6, 10)].concat();
    let [expected, found] = [Backend::Tract, Backend::OnnxRuntime].map(|backend| {
        let mut estimator = estimator::open(&bundle, backend, &options, SQUARE, PixelFormat::Rgb).unwrap();
        let mut poses = Poses::default();
        // The second frame shows whether anything is kept that must not be.
        for _ in 0..2 {
            estimator.estimate(&Request::new(image(SQUARE, &cells).view()), &mut poses).unwrap();
        }
        poses
    });
    assert_eq!((expected.list.len(), found.list.len()), (3, 3));
    for (expected, found) in expected.list.iter().zip(&found.list) {
        assert!((expected.score - found.score).abs() < 1e-4);
        for (expected, found) in expected.keypoints.iter().zip(&found.keypoints) {
            assert!((expected.x - found.x).abs() < 1e-3 && (expected.y - found.y).abs() < 1e-3);
        }
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    if !has_library() {
        return;
    }
    let environment = Session::new(Backend::OnnxRuntime, 1).unwrap();
    let spec = |name: &str, shape: &[usize]| TensorSpec {
        name: name.to_owned(),
        data_type: DataType::F32,
        shape: shape.to_vec(),
        memory: Memory::Host,
    };
    let spots = Spots::new();
    let onnx = spots.path().join("backbone.onnx");
    let open = |input: TensorSpec| {
        let signature = Signature { inputs: vec![input], outputs: Vec::new() };
        environment.open(&graph_files(&onnx), signature).unwrap_err().to_string()
    };
    let missing = open(spec("photo", &[1, 3, 64, 64]));
    assert!(missing.contains("`photo`") && missing.contains("not in the graph"), "{missing}");
    let flat = open(spec("image", &[3, 64, 64]));
    assert!(flat.contains("`image`") && flat.contains("[3, 64, 64]"), "{flat}");
    let whole = std::fs::read(&onnx).unwrap();
    std::fs::write(&onnx, &whole[..whole.len() / 2]).unwrap();
    let cut = open(spec("image", &[1, 3, 64, 64]));
    assert!(cut.contains("backbone.onnx") && cut.contains("cannot read"), "{cut}");
    std::fs::remove_file(&onnx).unwrap();
    assert!(open(spec("image", &[1, 3, 64, 64])).contains("backbone.onnx"));
}

#[test]
fn of_eight_bits_it_takes_the_graph_that_is_for_cpus() {
    if !has_library() {
        return;
    }
    let environment = Session::new(Backend::OnnxRuntime, 1).unwrap();
    let spots = Spots::new();
    let mut files = graph_files(&spots.path().join("backbone.onnx"));
    files.int8 = Some(files.fp32.clone());
    let for_cpus = spots.path().join("backbone.int8-cpu.onnx");
    files.int8_cpu = graph_files(&for_cpus).fp32.into();
    let open = |files: &EngineFiles| {
        let signature = Signature { inputs: Vec::new(), outputs: Vec::new() };
        environment.open(files, signature).map(drop).map_err(|error| error.to_string())
    };
    open(&files).unwrap();
    files.precision = Some(Precision::Int8);
    // The file is not there, and the error names it.
    let said = open(&files).unwrap_err();
    assert!(said.contains("backbone.int8-cpu.onnx"), "{said}");
    files.int8_cpu = None;
    open(&files).unwrap();
}
