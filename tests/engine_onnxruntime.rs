//! ONNX Runtime as a backend. Its library is not part of the project: without `SINEW_ONNXRUNTIME_LIBRARY` the tests that need
//! it say so and pass; `make python-test` sets it.

mod cli_support;
mod common;
mod engine_support;

use cli_support::{Ended, ended, sinew, spots, text, write_png};
use engine_support::{Spots, graph_files, graphs, image, person};
use sinew::bundle::Bundle;
use sinew::engine::{Backend, DataType, EngineFiles, Memory, Precision, Provider, Session, Signature, TensorSpec};
use sinew::estimator::{self, Options, Request};
use sinew::geometry::Size;
use sinew::pixels::PixelFormat;
use sinew::pose::Poses;

const SQUARE: Size = Size::new(64, 64);
const CPU: Backend = Backend::OnnxRuntime(Provider::Cpu);
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
    let why = "cannot open shared object file: No such file or directory";
    ended(output).expect(2).says(&["backend `onnxruntime`", "no-such-library.so", why, VARIABLE]);
}

/// Runs `sinew run` on one image with more flags.
fn run(flags: &[&str]) -> Ended {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.png");
    write_png(&path, SQUARE, image(SQUARE, &person(8, 8)).data());
    let model = spots();
    let mut command = sinew(&["run", "--model", &model, "--source", text(&path)]);
    command.args(flags);
    if let Some(library) = std::env::var_os(VARIABLE) {
        command.env(VARIABLE, library);
    }
    ended(command.output().unwrap())
}

#[test]
fn a_provider_needs_onnx_runtime() {
    run(&["--provider", "cuda"]).expect(2).says(&["provider `cuda`", "--backend onnxruntime, not auto"]);
    run(&["--backend", "tract", "--provider", "cpu"]).expect(2).says(&["provider `cpu`", "not tract"]);
    run(&["--backend", "onnxruntime", "--provider", "rocm"]).expect(2).says(&["`rocm`", "`cpu`, `cuda` or `tensorrt`"]);
}

/// The library for CPUs has no other provider: it says which library is missing, and what names another one.
#[test]
fn what_the_library_was_not_built_with_is_refused() {
    if !has_library() {
        return;
    }
    if Session::new(Backend::OnnxRuntime(Provider::Cuda), 1).is_ok() {
        return common::skip("this ONNX Runtime computes on a GPU");
    }
    run(&["--backend", "onnxruntime", "--provider", "cpu"]).expect(0);
    for provider in ["cuda", "tensorrt"] {
        let refused = run(&["--backend", "onnxruntime", "--provider", provider]).expect(2);
        let missing = format!("provider `{provider}`");
        refused.says(&["backend `onnxruntime`", &missing, "libonnxruntime_providers_"]);
    }
}

#[test]
fn its_results_are_those_of_tract() {
    if !has_library() {
        return;
    }
    let bundle = Bundle::open(graphs().join("spots")).unwrap();
    let options = Options { threads: 1, ..Options::default() };
    let cells = [person(3, 2), person(9, 3), person(6, 10)].concat();
    let [expected, found] = [Backend::Tract, CPU].map(|backend| {
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
    let environment = Session::new(CPU, 1).unwrap();
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
    assert!(cut.contains("backbone.onnx") && cut.contains("it is cut off"), "{cut}");
    std::fs::remove_file(&onnx).unwrap();
    assert!(open(spec("image", &[1, 3, 64, 64])).contains("backbone.onnx"));
}

/// On x86-64 without VNNI, ONNX Runtime by itself cuts off sums of two products at 16 bits: here 0 comes out.
#[test]
fn sums_of_eight_bit_products_are_not_cut_off() {
    if !has_library() {
        return;
    }
    let spec = |name: &str, shape: &[usize]| TensorSpec {
        name: name.to_owned(),
        data_type: DataType::F32,
        shape: shape.to_vec(),
        memory: Memory::Host,
    };
    let signature =
        Signature { inputs: vec![spec("input", &[1, 64, 1, 1])], outputs: vec![spec("output", &[1, 1, 1, 1])] };
    let files = graph_files(&graphs().join("quantised-sum.onnx"));
    let mut engine = Session::new(CPU, 1).unwrap().open(&files, signature).unwrap();
    engine.input(0).fill(127.0 / 16.0);
    engine.run().unwrap();
    // 64 * 127 / 16 * 127 / 128 in steps of 8.
    assert_eq!(engine.output(0), [504.0]);
}

#[test]
fn of_eight_bits_it_takes_the_graph_that_is_for_cpus() {
    if !has_library() {
        return;
    }
    let environment = Session::new(CPU, 1).unwrap();
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
