//! `sinew engine` and `--backend` with doubles of TensorRT, of the CUDA driver and of trtexec.

mod cli_support;
mod common;
mod engine_support;
mod tensorrt_support;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use cli_support::{Ended, ended, sinew, text, write_png};
use engine_support::{image, person};
use sinew::bundle::Bundle;
use sinew::engine::tensorrt::Sidecar;
use sinew::engine::{Network, Precision};
use sinew::estimator;
use sinew::geometry::Size;
use tempfile::TempDir;
use tensorrt_support::{Doubles, VERSIONS, can_compile, plan_of};

const IMAGE: Size = Size::new(64, 48);

/// A board with everything on it, the bundle `spots`, and an image.
struct Board {
    doubles: Doubles,
    folder: TempDir,
}

/// What trtexec of a version does with words that another one knows, from NVIDIA's samples: it ends.
fn refused_words(version: i32) -> &'static str {
    match version {
        ..=8599 => "--skipInference",
        8600..100_000 => "--stronglyTyped",
        100_000..110_000 => "--buildOnly",
        _ => "--buildOnly|--fp16|--int8|--best|--stronglyTyped",
    }
}

impl Board {
    fn new() -> Self {
        Self::with(Doubles::new(VERSIONS[1], &["INTEGRATED=1"]))
    }

    fn with(doubles: Doubles) -> Self {
        let board = Self { doubles, folder: tempfile::tempdir().unwrap() };
        fs::create_dir(board.path("images")).unwrap();
        let grey = vec![90; 3 * IMAGE.width * IMAGE.height];
        write_png(&board.path("images/a.png"), IMAGE, &grey);
        board.trtexec("");
        board
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn bundle() -> String {
        format!("{}/tests/data/onnx/spots", env!("CARGO_MANIFEST_DIR"))
    }

    fn networks() -> Vec<Network> {
        estimator::networks(&Bundle::open(Self::bundle()).unwrap(), IMAGE, None).unwrap()
    }

    /// A builder that says two lines, writes the double's plan for the shapes that it is asked for, and then does `more`. It
    /// refuses what the real one of the double's version refuses: words that it does not know, and shapes for a graph of
    /// fixed shapes.
    fn trtexec(&self, more: &str) {
        let refused = refused_words(self.doubles.number);
        let mut cases = String::new();
        for (number, Network { files, signature }) in Self::networks().iter().enumerate() {
            let plan = self.path(&format!("plan-{number}"));
            fs::write(&plan, plan_of(signature)).unwrap();
            let shapes: Vec<String> = (signature.inputs.iter())
                .map(|spec| {
                    let extents: Vec<_> = spec.shape.iter().map(ToString::to_string).collect();
                    format!("{}:{}", spec.name, extents.join("x"))
                })
                .collect();
            let onnx = files.fp32.onnx.file_name().unwrap().to_str().unwrap();
            cases += &format!("*{onnx},{}) cp {} \"$plan\";;\n", shapes.join(","), plan.display());
        }
        let script = format!(
            "#!/bin/sh\nfor word; do case $word in --onnx=*) onnx=${{word#*=}};; --saveEngine=*) plan=${{word#*=}};; \
             --shapes=*) shapes=${{word#*=}};; {refused}) echo \"Unknown option: $word\"; exit 1;; \
             --fp16|--int8|--skipInference|--buildOnly|--timingCacheFile=*|--memPoolSize=*) ;; \
             *) echo \"Unknown option: $word\"; exit 1;; esac; done\necho building; echo tactics >&2\n\
             case $onnx in *features.onnx|*pose.onnx) test -z \"$shapes\" || {{ \
             echo 'Static model does not take explicit shapes since the shape of inference tensors will be determined by the model \
             itself'; exit 1; }};; esac\n\
             case $onnx,$shapes in\n{cases}*) echo \"unexpected: $onnx $shapes\"; exit 9;; esac\n{more}\n"
        );
        let path = self.path("trtexec");
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn run(&self, arguments: &[&str]) -> Ended {
        let installation = &self.doubles.installation;
        let mut command = sinew(arguments);
        command
            .env("SINEW_TENSORRT_LIBRARY", installation.library.as_ref().unwrap())
            .env("SINEW_CUDA_LIBRARY", installation.driver.as_ref().unwrap())
            .env("SINEW_ENGINES", self.path("engines"))
            .env("SINEW_TRTEXEC", self.path("trtexec"))
            .env("SINEW_PROBE_SECONDS", "2");
        ended(command.output().unwrap())
    }

    fn build(&self, more: &[&str]) -> Ended {
        let model = Self::bundle();
        self.run(&[&["engine", "build", "--model", &model, "--image-size", "64x48"], more].concat())
    }

    fn find(&self, more: &[&str]) -> Ended {
        let (model, images) = (Self::bundle(), self.path("images"));
        self.run(&[&["run", "--model", &model, "--source", text(&images)], more].concat())
    }

    fn files(&self) -> Vec<String> {
        let mut names: Vec<_> = (fs::read_dir(self.path("engines")).unwrap())
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

#[test]
fn without_a_model_the_configuration_says_what_is_built() {
    if !can_compile() {
        return;
    }
    let board = Board::new();
    let (model, config) = (Board::bundle(), board.path("config.toml"));
    let source = "v4l2:/dev/video7?size=128x64&fps=30";
    fs::write(&config, format!("[run]\nmodel = {model:?}\nprecision = \"fp32\"\nsource = {source:?}\n")).unwrap();
    let configured = ["engine", "build", "--dry-run", "--config", text(&config)];
    let given = ["engine", "build", "--dry-run", "--model", &model];
    let same = board.run(&[&given[..], &["--image-size", "128x64", "--precision", "fp32"]].concat()).expect(0).stdout;
    let other = board.run(&[&given[..], &["--image-size", "64x48", "--precision", "fp32"]].concat()).expect(0).stdout;
    assert_eq!(board.run(&configured).expect(0).stdout, same);
    assert_ne!(same, other, "the size makes a difference");
    fs::write(&config, "[run]\nprecision = \"fp32\"\n").unwrap();
    board.run(&configured).expect(2).says(&["no model"]);
}

#[test]
fn engines_are_built_listed_and_used() {
    if !can_compile() {
        return;
    }
    let board = Board::new();
    let commands = board.build(&["--dry-run"]).expect(0).stdout;
    assert_eq!(commands.lines().count(), Board::networks().len());
    for word in
        ["trtexec --onnx=", "backbone.onnx", "--shapes=image:1x3x", "--fp16", "--skipInference", "--saveEngine="]
    {
        assert!(commands.contains(word), "no {word} in {commands}");
    }
    assert!(!board.path("engines").exists(), "a dry run does nothing");

    let built = board.build(&["--workspace", "512"]).expect(0).stdout;
    assert_eq!(built.lines().count(), Board::networks().len(), "{built}");
    assert!(board.files().iter().all(|name| !name.ends_with("partial")), "{:?}", board.files());
    assert!(board.build(&[]).expect(0).stdout.lines().all(|line| line.ends_with("is built already")));
    assert!(!board.build(&["--force"]).expect(0).stdout.contains("is built already"));
    assert!(!board.build(&["--precision", "fp32"]).expect(0).stdout.contains("is built already"), "another precision");

    let listed = board.run(&["engine", "list", "--json"]).expect(0).json();
    assert_eq!(listed.as_array().unwrap().len(), 2 * Board::networks().len());
    assert!(listed.as_array().unwrap().iter().all(|entry| entry["state"] == "ok"), "{listed}");
    assert_eq!(listed[0]["sidecar"]["precision"], "fp16");
    assert_eq!(listed[1]["sidecar"]["precision"], "fp32");
    board.build(&["--precision", "int8"]).expect(2).says(&["spots was not quantised", "make calib"]);
    board.find(&["--backend", "tensorrt", "--precision", "fp32"]).expect(0);
    let first = PathBuf::from(listed[0]["file"].as_str().unwrap());
    assert_eq!(board.run(&["engine", "inspect", text(&first)]).expect(0).json()["trt_version"], "10.3.0.26");
    assert!(board.run(&["engine", "list"]).expect(0).stdout.contains("10.3.0"));

    // What the double computes is no pose, but it runs from the image to the end.
    board.find(&["--backend", "tensorrt"]).expect(0);
    let said = board.find(&["-v"]).expect(0).says(&["backend auto: taking tensorrt"]);
    assert_eq!(said.lines().len(), 2);
    assert!(first.with_file_name(format!("{}.probed", first.file_name().unwrap().to_str().unwrap())).exists());
    // It differs from tract, and `verify` says so.
    let model = Board::bundle();
    let images = board.path("images");
    write_png(&board.path("images/a.png"), IMAGE, image(IMAGE, &person(8, 6)).data());
    let verify = ["engine", "verify", "--model", &model, "--images", text(&images), "--json"];
    assert!(board.run(&verify).expect(1).json()["different"].as_u64().unwrap() > 0);

    // Of another library nothing is taken.
    let sidecar = Sidecar::path(&first);
    let changed = fs::read_to_string(&sidecar).unwrap().replace("10.3.0", "10.7.0");
    fs::write(&sidecar, changed).unwrap();
    let listed = board.run(&["engine", "list", "--json"]).expect(0).json();
    assert!(listed[0]["state"].as_str().unwrap().contains("10.7.0"), "{listed}");
    board.find(&["--backend", "tensorrt"]).expect(2).says(&["10.7.0", "10.3.0", "sinew engine build --model spots"]);
}

#[test]
fn without_engines_auto_takes_tract_and_says_why() {
    if !can_compile() {
        return;
    }
    let board = Board::new();
    board.find(&["--backend", "tensorrt"]).expect(2).says(&["no such engine", "sinew engine build --model spots"]);
    let said = board.find(&["-v"]).expect(0).says(&["backend auto: taking tract, because", "no such engine"]);
    assert_eq!(said.stderr.matches("backend auto").count(), 1, "{}", said.stderr);
    // On a machine without the libraries.
    let (model, images) = (Board::bundle(), board.path("images"));
    let mut command = sinew(&["run", "--model", &model, "--source", text(&images), "--backend", "tensorrt"]);
    command.env("SINEW_CUDA_LIBRARY", "/nowhere/libcuda.so.1");
    ended(command.output().unwrap()).expect(2).says(&["tensorrt", "/nowhere/libcuda.so.1"]);
}

#[test]
fn a_failed_build_leaves_nothing_and_says_what_the_builder_said() {
    if !can_compile() {
        return;
    }
    let board = Board::new();
    board.trtexec("echo 'out of workspace' >&2; exit 3");
    board.build(&[]).expect(2).says(&["trtexec", "exit status: 3", "out of workspace", "tactics"]);
    assert!(board.files().is_empty(), "{:?}", board.files());
    board.trtexec("kill -9 $$");
    board.build(&[]).expect(2).says(&["signal: 9"]);
    assert!(board.files().is_empty(), "{:?}", board.files());
    // What an interrupted build left is removed by the next.
    fs::write(board.path("engines/old.engine.partial"), "half").unwrap();
    board.trtexec("");
    board.build(&[]).expect(0);
    assert!(!board.files().contains(&"old.engine.partial".to_owned()));

    board.build(&["--trtexec", "/nowhere/trtexec", "--force"]).expect(2).says(&["/nowhere/trtexec", "--trtexec"]);
    fs::remove_dir_all(board.path("engines")).unwrap();
    fs::write(board.path("engines"), "a file where the folder should be").unwrap();
    board.build(&[]).expect(2).says(&["engines", "SINEW_ENGINES"]);
}

/// The boot service builds, and somebody by hand: neither removes what the other is building.
#[test]
fn two_builds_in_one_folder_do_not_disturb_each_other() {
    if !can_compile() {
        return;
    }
    let board = Board::new();
    board.trtexec("sleep 1");
    std::thread::scope(|scope| {
        let build = |precision: &'static str| scope.spawn(|| board.build(&["--precision", precision, "--force"]));
        let builds = [build("fp32"), build("fp16"), build("fp16")];
        builds.into_iter().for_each(|build| drop(build.join().unwrap().expect(0)));
    });
    let names = board.files();
    assert!(!names.iter().any(|name| name.ends_with("partial")), "{names:?}");
    let listed = board.run(&["engine", "list", "--json"]).expect(0).json();
    assert_eq!(listed.as_array().unwrap().len(), 2 * Board::networks().len());
    assert!(listed.as_array().unwrap().iter().all(|entry| entry["state"] == "ok"), "{listed}");
}

/// The builder reads graphs by their paths: one that is exchanged after it was hashed gives no plan.
#[test]
fn a_graph_that_is_replaced_while_it_is_built_gives_no_plan() {
    if !can_compile() {
        return;
    }
    let board = Board::new();
    let copy = board.path("copy");
    fs::create_dir(&copy).unwrap();
    for entry in fs::read_dir(Board::bundle()).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), copy.join(entry.file_name())).unwrap();
    }
    board.trtexec("printf x >> \"$onnx\"");
    board
        .run(&["engine", "build", "--model", text(&copy), "--image-size", "64x48"])
        .expect(2)
        .says(&[".onnx", "SHA-256"]);
    assert!(board.files().is_empty(), "{:?}", board.files());
}

/// The library crashes or hangs on a plan: that happens to a child, and the frame is processed all the same.
#[test]
fn a_library_that_dies_is_an_error_and_a_fallback() {
    if !can_compile() {
        return;
    }
    let board = Board::new();
    board.build(&[]).expect(0);
    for (deed, said) in [("crash", "signal"), ("hang", "did not end within")] {
        let network = &Board::networks()[0];
        let mut installation = board.doubles.installation.clone();
        installation.engines = board.path("engines");
        let path = installation.plan(&network.files, &network.signature);
        let plan = plan_of(&network.signature).replace("double", deed);
        fs::write(&path, &plan).unwrap();
        let sidecar = board.doubles.sidecar(&network.files, &network.signature, plan.as_bytes());
        fs::write(Sidecar::path(&path), serde_json::to_string(&sidecar).unwrap()).unwrap();
        board.find(&["--backend", "tensorrt"]).expect(2).says(&["child process", said]);
        let ended = board.find(&["-v"]).expect(0).says(&["taking tract", said]);
        assert_eq!(ended.lines().len(), 2);
    }
}

/// The library is there, but its runtime refuses this machine's driver, and what it returns then is not null: every command says
/// the library's own reason, and `auto` takes tract.
#[test]
fn a_driver_too_old_for_the_library_is_told_in_the_librarys_words() {
    if !can_compile() {
        return;
    }
    let words = ["CUDA initialization failure with error: 35"];
    for version in VERSIONS {
        let board = Board::with(Doubles::with_library(version, &["NO_RUNTIME"], &["INTEGRATED=1"]));
        board.build(&[]).expect(2).says(&words).says(&["engines are built on the board"]);
        let listed = board.run(&["engine", "list", "--json"]);
        assert!(listed.stdout.trim() == "[]" || listed.stdout.contains(words[0]), "{}", listed.stdout);
        let mut installation = board.doubles.installation.clone();
        installation.engines = board.path("engines");
        fs::create_dir_all(&installation.engines).unwrap();
        // In 32 bits: from 11 on, 16 bits want a graph of that type, which this bundle has not.
        let networks =
            estimator::networks(&Bundle::open(Board::bundle()).unwrap(), IMAGE, Some(Precision::Fp32)).unwrap();
        for network in &networks {
            let path = installation.plan(&network.files, &network.signature);
            let plan = plan_of(&network.signature);
            fs::write(&path, &plan).unwrap();
            let sidecar = board.doubles.sidecar(&network.files, &network.signature, plan.as_bytes());
            fs::write(Sidecar::path(&path), serde_json::to_string(&sidecar).unwrap()).unwrap();
        }
        let listed = board.run(&["engine", "list", "--json"]).expect(0).json();
        assert!(listed[0]["state"].as_str().unwrap().contains(words[0]), "{listed}");
        board.find(&["--backend", "tensorrt", "--precision", "fp32"]).expect(2).says(&words);
        let said = board.find(&["-v", "--precision", "fp32"]).expect(0).says(&["taking tract"]);
        assert_eq!(said.lines().len(), 2);
        let doctor = board.run(&["doctor"]);
        assert!(doctor.stdout.contains(words[0]) || doctor.stderr.contains(words[0]), "{}", doctor.stdout);
    }
}

/// `--skipInference` came with 8.6, where `--buildOnly` went later; 11 has no flags of precision.
#[test]
fn the_builder_of_every_version_takes_what_it_is_told() {
    if !can_compile() {
        return;
    }
    for version in [(8502, "8.5.2"), VERSIONS[0], VERSIONS[1], VERSIONS[2]] {
        let board = Board::with(Doubles::new(version, &["INTEGRATED=1"]));
        // From 11 on, 16 bits want a graph of that type, which this bundle has not.
        let precisions = if version.0 < 110_000 { &["fp32", "fp16"][..] } else { &["fp32"] };
        for precision in precisions {
            board.build(&["--precision", precision, "--workspace", "512"]).expect(0);
        }
        let listed = board.run(&["engine", "list", "--json"]).expect(0).json();
        let entries = listed.as_array().unwrap();
        assert_eq!(entries.len(), precisions.len() * Board::networks().len(), "{version:?}");
        assert!(entries.iter().all(|entry| entry["state"] == "ok"), "{version:?}: {listed}");
    }
}

/// Graphs of fixed shapes are built without `--shapes`, which the real builder refuses for them.
#[test]
fn fixed_graphs_are_built_without_shapes() {
    for (bundle, fixed) in [("capeformer-tiny", "features"), ("capeformer-lite0", "features"), ("lofr-tiny", "pose")] {
        let model = format!("{}/models/bundles/{bundle}", env!("CARGO_MANIFEST_DIR"));
        let commands =
            ended(sinew(&["engine", "build", "--dry-run", "--model", &model]).output().unwrap()).expect(0).stdout;
        let of_fixed: Vec<&str> = commands.lines().filter(|line| line.contains(&format!("/{fixed}."))).collect();
        assert!(!of_fixed.is_empty(), "{commands}");
        assert!(of_fixed.iter().all(|line| !line.contains("--shapes")), "{commands}");
        let open = commands.lines().filter(|line| !of_fixed.contains(line)).all(|line| line.contains("--shapes="));
        assert!(open, "{commands}");
    }
}
