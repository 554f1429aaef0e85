//! The TensorRT backend on doubles of the library, in all three layouts, and of the CUDA driver. What this cannot show:
//! whether NVIDIA's own libraries are as their headers say, and how fast anything is.

mod common;
mod counting;
mod tensorrt_support;

use std::fs;
use std::time::{Duration, Instant};

use counting::allocations;
use sinew::engine::tensorrt::Sidecar;
use sinew::engine::{Backend, DataType, Engine, EngineError, Memory, Session, Signature};
use tensorrt_support::{Doubles, VERSIONS, can_compile, compile, files, plan_of, spec};

const GPUS: [&str; 2] = ["INTEGRATED=1", "INTEGRATED=0"];

/// Two inputs, one of them indices, and two outputs.
fn signature() -> Signature {
    Signature {
        inputs: vec![
            spec("image", DataType::F32, &[1, 2, 3], Memory::Host),
            spec("idx", DataType::I32, &[2], Memory::Host),
        ],
        outputs: vec![
            spec("maps", DataType::F32, &[6], Memory::Host),
            spec("rows", DataType::F32, &[2, 2], Memory::Host),
        ],
    }
}

fn open(doubles: &Doubles, signature: Signature) -> Result<Box<dyn Engine>, EngineError> {
    doubles.environment().open(&files("backbone"), signature)
}

/// Fills the inputs with numbers that depend on `frame`, runs, and compares with what the double computes.
fn run_and_check(engine: &mut Box<dyn Engine>, frame: i32) {
    for (value, number) in engine.input(0).iter_mut().zip(0..) {
        *value = (10 * frame + number) as f32;
    }
    engine.indices(1).copy_from_slice(&[100 * frame, 1000]);
    engine.run().unwrap();
    let sum = |place: i32| (10 * frame + place) as f32 + [100 * frame, 1000][place as usize % 2] as f32;
    let expected = |factor: f32, count| (0..count).map(|place| factor * sum(place)).collect::<Vec<_>>();
    assert_eq!(engine.output(0), expected(2.0, 6));
    assert_eq!(engine.output(1), expected(4.0, 4));
}

#[test]
fn every_layout_runs_on_both_kinds_of_memory() {
    if !can_compile() {
        return;
    }
    for version in VERSIONS {
        for gpu in GPUS {
            let doubles = Doubles::new(version, &[gpu]);
            doubles.build(&files("backbone"), &signature(), &plan_of(&signature()));
            {
                let mut engine = open(&doubles, signature()).unwrap();
                assert!(engine.output(0).iter().all(|&value| value == 0.0), "zeros before the first run");
                for frame in 0..5 {
                    run_and_check(&mut engine, frame);
                }
                // The first run is plain, the second is recorded, and recorded work is started from there on.
                assert_eq!(doubles.launches(), 4, "{version:?} {gpu}");
            }
            assert_eq!(doubles.live(), (0, 0), "everything is given back: {version:?} {gpu}");
        }
    }
}

#[test]
fn open_extents_are_fixed_when_a_plan_is_opened() {
    if !can_compile() {
        return;
    }
    for version in VERSIONS {
        let doubles = Doubles::new(version, &GPUS[..1]);
        let wanted = Signature {
            inputs: vec![spec("grid", DataType::F32, &[3, 2], Memory::Host)],
            outputs: vec![spec("kam", DataType::F32, &[3, 2], Memory::Host)],
        };
        doubles.build(&files("backbone"), &wanted, "double\ninput grid 0 -1 2\noutput kam 0 -1 2\n");
        let mut engine = open(&doubles, wanted).unwrap();
        engine.input(0).copy_from_slice(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        engine.run().unwrap();
        assert_eq!(engine.output(0), [2.0, 4.0, 6.0, 8.0, 10.0, 12.0]);
    }
}

#[test]
fn tensors_between_engines_stay_on_the_gpu() {
    if !can_compile() {
        return;
    }
    for (version, gpu) in VERSIONS.into_iter().zip(["INTEGRATED=0", "INTEGRATED=1", "INTEGRATED=0"]) {
        let doubles = Doubles::new(version, &[gpu]);
        let first = Signature {
            inputs: vec![spec("image", DataType::F32, &[4], Memory::Host)],
            outputs: vec![spec("embedding", DataType::F32, &[4], Memory::Device)],
        };
        let second = Signature {
            inputs: vec![
                spec("embedding", DataType::F32, &[4], Memory::Device),
                spec("grid", DataType::F32, &[4], Memory::Host),
            ],
            outputs: vec![spec("kam", DataType::F32, &[4], Memory::Host)],
        };
        doubles.build(&files("backbone"), &first, &plan_of(&first));
        doubles.build(&files("kam"), &second, &plan_of(&second));
        let environment = doubles.environment();
        let mut one = environment.open(&files("backbone"), first.clone()).unwrap();
        let mut other = environment.open(&files("backbone"), first).unwrap();
        let mut kam = environment.open(&files("kam"), second).unwrap();
        let error = kam.run().unwrap_err().to_string();
        assert!(error.contains("embedding") && error.contains("never received"), "{error}");
        for frame in 0..8 {
            // From the fifth frame on it comes from elsewhere: what was recorded must not be used any more.
            let source = if frame < 4 { &mut one } else { &mut other };
            source.input(0).fill(frame as f32);
            source.run().unwrap();
            kam.bind_input(0, &source.export_output(0)).unwrap();
            kam.input(1).copy_from_slice(&[0.5, 1.5, 2.5, 3.5]);
            kam.run().unwrap();
            let expected: Vec<f32> = [0.5, 1.5, 2.5, 3.5].map(|grid| 2.0 * (2.0 * frame as f32 + grid)).to_vec();
            assert_eq!(kam.output(0), expected, "{version:?} frame {frame}");
        }
        drop((one, other, kam, environment));
        assert_eq!(doubles.live(), (0, 0));
    }
}

#[test]
fn a_frame_allocates_nothing() {
    if !can_compile() {
        return;
    }
    let doubles = Doubles::new(VERSIONS[1], &GPUS[..1]);
    doubles.build(&files("backbone"), &signature(), &plan_of(&signature()));
    let mut engine = open(&doubles, signature()).unwrap();
    for _ in 0..3 {
        engine.run().unwrap();
    }
    let count = allocations(|| {
        for frame in 0..1000 {
            engine.input(0).fill(frame as f32);
            engine.indices(1).fill(frame);
            engine.run().unwrap();
            std::hint::black_box(engine.output(0));
        }
    });
    assert_eq!(count, 0);
}

#[test]
fn work_that_cannot_be_recorded_runs_without() {
    if !can_compile() {
        return;
    }
    let doubles = Doubles::new(VERSIONS[1], &["INTEGRATED=0", "UNRECORDABLE=1"]);
    doubles.build(&files("backbone"), &signature(), &plan_of(&signature()));
    let mut engine = open(&doubles, signature()).unwrap();
    for frame in 0..4 {
        run_and_check(&mut engine, frame);
    }
    assert_eq!(doubles.launches(), 0);
}

#[test]
fn libraries_that_do_not_fit_are_refused_with_a_reason() {
    if !can_compile() {
        return;
    }
    let doubles = Doubles::new(VERSIONS[1], &GPUS[..1]);
    let with = |change: &dyn Fn(&mut sinew::engine::tensorrt::Installation)| {
        let mut installation = doubles.installation.clone();
        change(&mut installation);
        Session::tensorrt(installation).unwrap_err().to_string()
    };
    let version = |number: i32, name: &str| compile("nvinfer.cpp", &[format!("-DTRT_VERSION={number}")], name);
    let says = |text: String, needles: &[&str]| {
        for needle in needles.iter().chain(&["tensorrt"]) {
            assert!(text.contains(needle), "no {needle:?} in {text}");
        }
    };
    for unknown in [8201, 90_000, 120_000] {
        let library = version(unknown, "libnvinfer.so");
        let text = with(&|installation| installation.library = Some(library.clone()));
        says(text, &["libnvinfer.so", &unknown.to_string(), "8.5"]);
    }
    let misnamed = version(100_300, "libnvinfer.so.8");
    says(with(&|installation| installation.library = Some(misnamed.clone())), &["libnvinfer.so.8", "100300"]);
    let driver = doubles.installation.driver.clone();
    says(with(&|installation| installation.library = driver.clone()), &["getInferLibVersion"]);
    let library = doubles.installation.library.clone();
    says(with(&|installation| installation.driver = library.clone()), &["cuInit"]);
    says(with(&|installation| installation.driver = Some("/nowhere/libcuda.so.1".into())), &["/nowhere/libcuda.so.1"]);
    says(with(&|installation| installation.library = Some("/nowhere/nv.so".into())), &["/nowhere/nv.so"]);
    let empty = compile("cuda.c", &["-DINTEGRATED=1".to_owned(), "-DGPUS=0".to_owned()], "libcuda.so.1");
    says(with(&|installation| installation.driver = Some(empty.clone())), &["no GPU"]);
}

#[test]
fn plans_that_do_not_fit_are_refused_with_both_values() {
    if !can_compile() {
        return;
    }
    let doubles = Doubles::new(VERSIONS[2], &GPUS[1..]);
    let says = |plan: &str, needles: &[&str]| {
        let path = doubles.build(&files("backbone"), &signature(), plan);
        let text = open(&doubles, signature()).unwrap_err().to_string();
        for needle in needles.iter().chain(&[path.file_name().unwrap().to_str().unwrap()]) {
            assert!(text.contains(needle), "no {needle:?} in {text}");
        }
    };
    let plan = plan_of(&signature());
    says("something else", &["refused the engine", "magicTag"]);
    says("null", &["refused the engine"]);
    says(&plan.replace("image", "photo"), &["photo", "no such tensor"]);
    says(&plan.replace("output rows", "input rows"), &["output `rows` is an input"]);
    says(&plan.replace("input image 0", "input image 1"), &["image", "float16", "float32 [1, 2, 3]"]);
    says(&plan.replace("image 0 1 2 3", "image 0 1 2 4"), &["image", "[1, 2, 4]", "[1, 2, 3]"]);
    says(&plan.replace("rows 0 2 2", "rows 0 -1 2"), &["rows", "[1, 2]", "[2, 2]"]);
    says(&plan.replace("output maps 0 6\n", ""), &["maps", "not there"]);

    // A plan that opens but does not run. The inputs' copies, which were put into the stream before, are waited for.
    doubles.build(&files("backbone"), &signature(), &plan.replace("double", "fail"));
    let mut engine = open(&doubles, signature()).unwrap();
    let text = engine.run().unwrap_err().to_string();
    assert!(text.contains("refuses to run"), "{text}");
    assert_eq!(doubles.pending(), 0, "memory that is still read could be given back");
    drop(engine);

    // Memory that is not there.
    doubles.build(&files("backbone"), &signature(), &plan);
    doubles.limit(16);
    let text = open(&doubles, signature()).unwrap_err().to_string();
    assert!(text.contains("CUDA_ERROR_OUT_OF_MEMORY"), "{text}");
    doubles.limit(1 << 20);
    assert!(open(&doubles, signature()).is_ok());
    assert_eq!(doubles.live(), (0, 0));
}

#[test]
fn without_a_plan_the_command_that_builds_it_is_named() {
    if !can_compile() {
        return;
    }
    let doubles = Doubles::new(VERSIONS[0], &GPUS[..1]);
    let error = open(&doubles, signature()).unwrap_err();
    assert!(matches!(error, EngineError::NoEngine { .. }), "{error}");
    assert!(error.to_string().contains("sinew engine build --model doubled"), "{error}");
    let path = doubles.build(&files("backbone"), &signature(), &plan_of(&signature()));
    fs::remove_file(Sidecar::path(&path)).unwrap();
    assert!(open(&doubles, signature()).unwrap_err().to_string().contains(".engine.json"));
}

/// Whatever happens to a byte of the plan or of its side-car: it is refused, or nothing that counts has changed.
#[test]
fn damaged_files_are_refused() {
    if !can_compile() {
        return;
    }
    let doubles = Doubles::new(VERSIONS[1], &GPUS[..1]);
    let path = doubles.build(&files("backbone"), &signature(), &plan_of(&signature()));
    let good = doubles.sidecar(&files("backbone"), &signature(), plan_of(&signature()).as_bytes());
    let environment = doubles.environment();
    let (mut tried, mut refused) = (0, 0);
    for file in [path.clone(), Sidecar::path(&path)] {
        let bytes = fs::read(&file).unwrap();
        for at in 0..bytes.len() {
            let flipped = |bit: usize| {
                let mut damaged = bytes.clone();
                damaged[at] ^= 1 << bit;
                damaged
            };
            let mut damaged: Vec<Vec<u8>> = (0..8).map(flipped).collect();
            damaged.push([&bytes[..at], &bytes[at + 1..]].concat());
            damaged.push([&bytes[..at], b"0", &bytes[at..]].concat());
            damaged.extend([b'9', b'"', 0].map(|byte| [&bytes[..at], &[byte], &bytes[at + 1..]].concat()));
            for damaged in damaged {
                tried += 1;
                fs::write(&file, &damaged).unwrap();
                match environment.open(&files("backbone"), signature()) {
                    Err(error) => {
                        refused += 1;
                        assert!(error.to_string().contains("doubled-backbone"), "{error}");
                    }
                    // Facts that say nothing about whether the plan fits, such as the GPU's name.
                    Ok(_) => {
                        let read = Sidecar::read(&path).unwrap();
                        assert_eq!(
                            (&read.engine_sha256, &read.onnx_sha256, &read.trt_version, &read.inputs, &read.outputs),
                            (&good.engine_sha256, &good.onnx_sha256, &good.trt_version, &good.inputs, &good.outputs)
                        );
                        assert_eq!(
                            (read.precision, read.weights_sha256),
                            (good.precision.clone(), good.weights_sha256.clone())
                        );
                    }
                }
            }
            tried += 1;
            fs::write(&file, &bytes[..at]).unwrap();
            assert!(environment.open(&files("backbone"), signature()).is_err(), "cut at {at}");
        }
        fs::write(&file, &bytes).unwrap();
    }
    assert!(tried >= 10_000 && refused > 8 * tried / 10, "{refused} of {tried}");
    assert!(environment.open(&files("backbone"), signature()).is_ok());
}

#[test]
fn without_a_library_the_backend_says_so() {
    let error = Backend::TensorRt.open_with_fallback(|backend| Session::new(backend, 1).map(|_| ()), |_| None);
    if let Err(error) = error {
        assert!(matches!(error, EngineError::Unavailable { .. }), "{error}");
    }
    if !cfg!(feature = "tract") {
        return;
    }
    let taken =
        Backend::Auto.open_with_fallback(|backend| Session::new(backend, 1), |error| Some(error.to_string())).unwrap();
    assert!(matches!(taken.backend(), Backend::Tract | Backend::TensorRt));
}

/// A first network that takes `time` microseconds, and a second one that takes its output.
fn pair(doubles: &Doubles, session: &Session, time: u32) -> [Box<dyn Engine>; 2] {
    let first = Signature {
        inputs: vec![spec("image", DataType::F32, &[4], Memory::Host)],
        outputs: vec![
            spec("embedding", DataType::F32, &[4], Memory::Device),
            spec("maps", DataType::F32, &[4], Memory::Host),
        ],
    };
    let second = Signature {
        inputs: vec![spec("embedding", DataType::F32, &[4], Memory::Device)],
        outputs: vec![spec("kam", DataType::F32, &[4], Memory::Host)],
    };
    doubles.build(&files("backbone"), &first, &format!("{}time {time}\n", plan_of(&first)));
    doubles.build(&files("kam"), &second, &format!("{}time 1000\n", plan_of(&second)));
    [("backbone", first), ("kam", second)].map(|(role, signature)| session.open(&files(role), signature).unwrap())
}

#[test]
fn networks_of_two_frames_run_one_after_the_other_and_a_second_network_beside_them() {
    if !can_compile() {
        return;
    }
    const TIME: Duration = Duration::from_millis(200);
    for (version, gpu) in VERSIONS.into_iter().zip(["INTEGRATED=0", "INTEGRATED=1", "INTEGRATED=0"]) {
        let doubles = Doubles::new(version, &[gpu]);
        let session = doubles.environment();
        let (twin, _) = session.twin().unwrap();
        let [[mut one, mut kam], [mut other, _]] =
            [&session, &twin].map(|session| pair(&doubles, session, TIME.as_micros() as u32));
        let begun = Instant::now();
        one.input(0).fill(1.0);
        one.run().unwrap();
        assert!(begun.elapsed() >= TIME && one.waited() < TIME / 2, "{:?}", one.waited());
        kam.bind_input(0, &one.export_output(0)).unwrap();
        let (second, last) = std::thread::scope(|scope| {
            let run = |engine: &mut Box<dyn Engine>, value: f32| {
                engine.input(0).fill(value);
                engine.run().unwrap();
                Instant::now()
            };
            let begun = Instant::now();
            let others = scope.spawn(move || (run(&mut other, 2.0), other.waited(), other.output(1).to_vec()));
            std::thread::sleep(TIME / 10);
            kam.run().unwrap();
            let continued = begun.elapsed();
            assert_eq!(kam.output(0), [4.0; 4]);
            assert!(continued < TIME, "{continued:?}: the second network waited for the next frame's first");
            one.input(0).fill(3.0);
            one.run().unwrap();
            let took = begun.elapsed();
            assert_eq!(one.output(1), [12.0; 4]);
            assert!(took >= 2 * TIME, "{took:?}: both ran at once");
            assert!(one.waited() > TIME / 4, "{:?} behind the other", one.waited());
            (others.join().unwrap(), took)
        });
        assert_eq!(second.2, [8.0; 4], "{last:?}");
        assert!(second.1 < TIME / 2, "the first in the queue waited {:?}", second.1);
    }
}

#[test]
fn without_priorities_and_events_frames_take_turns() {
    if !can_compile() {
        return;
    }
    let doubles = Doubles::new(VERSIONS[1], &["INTEGRATED=1", "ONE_FRAME"]);
    let session = doubles.environment();
    assert!(session.twin().is_none() && !session.is_asynchronous());
    doubles.build(&files("backbone"), &signature(), &plan_of(&signature()));
    let mut engine = session.open(&files("backbone"), signature()).unwrap();
    for frame in 0..4 {
        run_and_check(&mut engine, frame);
    }
    drop((engine, session));
    assert_eq!(doubles.live(), (0, 0));
}

#[test]
fn two_engines_of_one_network_share_its_weights_where_the_library_allows_it() {
    if !can_compile() {
        return;
    }
    let objects = |definitions: &[&str]| {
        let doubles = Doubles::with_library(VERSIONS[0], definitions, &GPUS[..1]);
        let wanted = Signature {
            inputs: vec![spec("grid", DataType::F32, &[3, 2], Memory::Host)],
            outputs: vec![spec("kam", DataType::F32, &[3, 2], Memory::Host)],
        };
        doubles.build(&files("backbone"), &wanted, "double\ninput grid 0 -1 2\noutput kam 0 -1 2\n");
        let session = doubles.environment();
        let (twin, _) = session.twin().unwrap();
        let one = session.open(&files("backbone"), wanted.clone()).unwrap();
        let before = doubles.live().0;
        let mut other = twin.open(&files("backbone"), wanted).unwrap();
        let more = doubles.live().0 - before;
        other.input(0).fill(1.0);
        other.run().unwrap();
        assert_eq!(other.output(0), [2.0; 6]);
        drop((one, other));
        assert_eq!(doubles.live().0, 0);
        (before, more)
    };
    // A context of its own is two objects of the double; a runtime and an engine are two each.
    assert_eq!(objects(&[]), (6, 2));
    assert_eq!(objects(&["EXCLUSIVE_SHAPES"]), (6, 6), "open shapes of 8.6 belong to one context");
}
