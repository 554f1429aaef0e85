//! `sinew run` as its users meet it: what it writes, what it says of bad input, how it ends.

mod cli_support;
mod engine_support;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use cli_support::{Ended, json_lines, root, run, run_with_input, sinew, spots, text, write_png};
use engine_support::{Spots, image, person};
use serde_json::{Value, json};
use sinew::geometry::Size;
use tempfile::TempDir;

const SQUARE: Size = Size::new(64, 64);

/// A folder with images of one person each, for the bundle `spots`.
struct Images(TempDir);

impl Images {
    fn new(names: &[&str]) -> Self {
        let images = Self(tempfile::tempdir().unwrap());
        let shown = image(SQUARE, &person(8, 8));
        for name in names {
            write_png(&images.path(name), SQUARE, shown.data());
        }
        images
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn uri(&self, name: &str) -> String {
        text(&self.path(name)).to_owned()
    }

    fn folder(&self) -> String {
        text(self.0.path()).to_owned()
    }
}

fn on(source: &str, more: &[&str]) -> Ended {
    let model = spots();
    run(&[&["run", "--model", &model, "--threads", "1", "--level", "none", "--source", source], more].concat())
}

/// Frames of one person each, as y4m in 4:2:0.
fn y4m(size: Size, frames: usize) -> Vec<u8> {
    let mut bytes = format!("YUV4MPEG2 W{} H{} F25:1 C420jpeg\n", size.width, size.height).into_bytes();
    for _ in 0..frames {
        bytes.extend(b"FRAME\n");
        bytes.extend(std::iter::repeat_n(128, size.width * size.height * 3 / 2));
    }
    bytes
}

#[test]
fn an_image_becomes_a_header_and_a_line() {
    let images = Images::new(&["one.png"]);
    let done = on(&images.uri("one.png"), &[]).expect(0).says(&["1 frames", "1 poses"]);
    let lines = done.lines();
    assert_eq!(lines.len(), 2);
    let [header, frame] = &lines[..] else { panic!() };
    assert_eq!(header["bundle"], "spots");
    assert_eq!(header["model"], "logocap");
    assert_eq!(header["keypoints"], json!(["middle", "left", "below"]));
    assert_eq!(header["skeleton"], json!([[0, 1], [0, 2]]));
    assert_eq!(frame["sequence"], 0);
    assert_eq!(frame["name"], images.uri("one.png"));
    assert_eq!(frame["image"], json!([64, 64]));
    assert_eq!(frame["captured"], Value::Null);
    assert_eq!(frame["dropped"], json!({"frames": 0, "poses": 0}));
    for stage in ["preprocess", "network", "decode"] {
        assert!(frame["times"][stage].as_f64().unwrap() >= 0.0);
    }
    let poses = frame["poses"].as_array().unwrap();
    assert_eq!(poses.len(), 1);
    let keypoints = poses[0]["keypoints"].as_array().unwrap();
    assert_eq!(keypoints.len(), 3);
    for (keypoint, (x, y)) in keypoints.iter().zip([(33.0, 33.0), (25.0, 33.0), (33.0, 41.0)]) {
        let near = |value: &Value, expected: f64| (value.as_f64().unwrap() - expected).abs() < 1e-3;
        assert!(near(&keypoint[0], x) && near(&keypoint[1], y), "{keypoint}");
    }
    let sides: Vec<f64> = poses[0]["box"].as_array().unwrap().iter().map(|side| side.as_f64().unwrap()).collect();
    assert!(sides.len() == 4 && sides[2] > 0.0 && sides[3] > 0.0, "{sides:?}");
}

#[test]
fn a_bad_image_in_a_folder_costs_only_itself() {
    let images = Images::new(&["a.png", "b.png", "d.png", "e.png"]);
    let whole = fs::read(images.path("a.png")).unwrap();
    fs::write(images.path("b.png"), &whole[..whole.len() / 2]).unwrap();
    fs::write(images.path("c.jpg"), b"").unwrap();
    fs::write(images.path("notes.txt"), b"no image").unwrap();
    let done = on(&images.folder(), &[]).expect(1);
    let done = done.says(&["b.png", "c.jpg", "2 frames could not be read", "5 frames"]);
    let lines = done.lines();
    let names: Vec<_> =
        lines[1..].iter().map(|line| line["name"].as_str().unwrap().rsplit('/').next().unwrap()).collect();
    assert_eq!(names, ["a.png", "d.png", "e.png"]);
    assert!(lines[1..].iter().all(|line| line["poses"].as_array().unwrap().len() == 1));
}

#[test]
fn a_bad_image_alone_is_an_error() {
    let images = Images::new(&["whole.png"]);
    let whole = fs::read(images.path("whole.png")).unwrap();
    fs::write(images.path("short.png"), &whole[..whole.len() - 30]).unwrap();
    fs::write(images.path("empty.jpg"), b"").unwrap();
    fs::write(images.path("prose.jpg"), b"this is no image at all").unwrap();
    // A header that promises 60000x60000 pixels: refused before memory is asked for.
    let mut absurd = whole.clone();
    absurd[16..24].copy_from_slice(&[0, 0, 0xea, 0x60, 0, 0, 0xea, 0x60]);
    let crc = crc32(&absurd[12..29]);
    absurd[29..33].copy_from_slice(&crc.to_be_bytes());
    fs::write(images.path("absurd.png"), &absurd).unwrap();
    for name in ["short.png", "empty.jpg", "prose.jpg", "absurd.png", "missing.png"] {
        on(&images.uri(name), &[]).expect(2).says(&["sinew: ", name]);
    }
    on(&images.uri("absurd.png"), &[]).says(&["60000x60000"]);
}

/// The checksum of PNG's chunks.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc: u32, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 })
    })
}

#[test]
fn sources_that_are_none() {
    let images = Images::new(&[]);
    on(&images.folder(), &[]).expect(2).says(&["no image in this folder", ".jpg"]);
    on(&images.uri("nowhere"), &[]).expect(2).says(&["nowhere", "cannot be opened"]);
    on("gopher://127.0.0.1/x", &[]).expect(2).says(&["gopher://127.0.0.1/x", "is not known"]);
    fs::write(images.path("film.y4m"), "YUV4MPEG2 W64 H64 C444p16\n").unwrap();
    on(&images.uri("film.y4m"), &[]).expect(2).says(&["film.y4m", "444p16"]);
    let model = spots();
    run(&["run", "--model", &model]).expect(2).says(&["--source"]);
    run(&["run", "--source", "x.png"]).expect(2).says(&["--model", "sinew models list"]);
}

#[test]
fn video_from_a_file_and_from_standard_input() {
    let folder = Images::new(&[]);
    let video = y4m(SQUARE, 3);
    fs::write(folder.path("film.y4m"), &video).unwrap();
    let drawn = folder.uri("drawn.y4m");
    let done = on(&folder.uri("film.y4m"), &["--overlay", &drawn]).expect(0);
    let lines = done.lines();
    assert_eq!(lines.len(), 4);
    assert_eq!(lines[3]["sequence"], 2);
    assert_eq!(lines[3]["captured"], json!(0.08));
    let frames = fs::read(drawn).unwrap();
    assert!(frames.starts_with(b"YUV4MPEG2 W64 H64"));
    let starts = frames.windows(5).filter(|bytes| bytes == b"FRAME").count();
    assert_eq!(starts, 3);

    let model = spots();
    let arguments = ["run", "--model", &model, "--source", "-"];
    assert_eq!(run_with_input(&arguments, &video).expect(0).lines().len(), 4);
    // The last frame is cut off: the others' results stay.
    let done = run_with_input(&arguments, &video[..video.len() - 100]).expect(2);
    assert_eq!(done.lines().len(), 3);
    run_with_input(&arguments, b"").expect(2).says(&["standard input"]);
}

#[test]
fn overlays_are_images_of_the_same_name_and_size() {
    let images = Images::new(&["a.png", "b.png"]);
    let drawn = images.uri("drawn");
    on(&images.folder(), &["--overlay", &drawn]).expect(0);
    for name in ["a.png", "b.png"] {
        let path = Path::new(&drawn).join(name);
        let reader = png::Decoder::new(std::io::BufReader::new(fs::File::open(&path).unwrap())).read_info().unwrap();
        assert_eq!((reader.info().width, reader.info().height), (64, 64));
        assert_ne!(fs::read(&path).unwrap(), fs::read(images.path(name)).unwrap(), "something is drawn");
    }
    // Into the folder of the images themselves it would replace them.
    let before = fs::read(images.path("a.png")).unwrap();
    on(&images.folder(), &["--overlay", &images.folder()]).expect(2).says(&["is an input"]);
    assert_eq!(fs::read(images.path("a.png")).unwrap(), before);
}

#[test]
fn outputs_that_cannot_be_written_are_found_out_first() {
    let images = Images::new(&["a.png"]);
    let source = images.uri("a.png");
    let inside_a_file = format!("{source}/poses.jsonl");
    let sink = format!("jsonl:{inside_a_file}");
    let done = on(&source, &["--sink", &sink]).expect(2).says(&[&inside_a_file, "cannot write"]);
    assert_eq!(done.stdout, "");
    on(&source, &["--sink", "printer:x"]).expect(2).says(&["printer:x", "jsonl:PATH"]);
    on(&source, &["--overlay", &format!("{source}/drawn")]).expect(2).says(&["drawn"]);
    on(&source, &["--sink", &format!("jsonl:{source}.jsonl?rotate=often")]).expect(2).says(&["rotate", "64MiB"]);
    on(&source, &["--sink", &format!("unix:{source}")]).expect(2).says(&[&source, "is an input"]);
    fs::write(images.path("file"), "no socket").unwrap();
    on(&source, &["--sink", &format!("unix:{}", images.uri("file"))]).expect(2).says(&["file", "not a socket"]);
    on(&source, &["--preview", "nowhere"]).expect(2).says(&["nowhere", "127.0.0.1:8080"]);
    on(&source, &["--preview", "0?fps=many"]).expect(2).says(&["fps"]);
    if Path::new("/dev/full").exists() {
        on(&source, &["--sink", "jsonl:/dev/full"]).expect(2).says(&["/dev/full", "writing"]);
    }
}

#[test]
fn a_socket_and_a_preview_beside_standard_output() {
    let images = Images::new(&["a.png"]);
    let (source, socket) = (images.uri("a.png"), images.uri("poses.socket"));
    let sinks = ["--preview", "127.0.0.1:0", "--sink", "jsonl:-", "--sink", &format!("unix:{socket}")];
    let done = on(&source, &sinks).expect(0).says(&["preview on http://127.0.0.1:"]);
    assert_eq!(done.lines().len(), 2);
    assert!(!Path::new(&socket).exists(), "the socket is removed");
}

#[test]
fn a_closed_pipe_is_a_quiet_success() {
    let folder = Images::new(&[]);
    fs::write(folder.path("film.y4m"), y4m(SQUARE, 400)).unwrap();
    let (model, source) = (spots(), folder.uri("film.y4m"));
    let mut command = sinew(&["run", "--model", &model, "--source", &source, "--quiet"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut header = String::new();
    // Read one line, then close.
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut header).unwrap();
    assert_eq!(json_lines(&header)[0]["bundle"], "spots");
    let done = cli_support::ended(child.wait_with_output().unwrap()).expect(0);
    assert_eq!(done.stderr, "");
}

#[test]
fn broken_bundles_are_named() {
    let images = Images::new(&["a.png"]);
    let source = images.uri("a.png");
    let with = |bundle: &Spots| run(&["run", "--model", text(bundle.path()), "--source", &source]);

    with(&Spots::with("short_side", "short_sid")).expect(2).says(&["bundle.toml", "short_sid", "did you mean"]);
    let changed = Spots::new();
    let graph = changed.path().join("kam.onnx");
    let mut bytes = fs::read(&graph).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&graph, &bytes).unwrap();
    with(&changed).expect(2).says(&["kam.onnx", "sha256"]);
    let missing = Spots::new();
    fs::remove_file(missing.path().join("backbone.onnx")).unwrap();
    with(&missing).expect(2).says(&["backbone.onnx"]);
    run(&["run", "--model", "logocap-huge", "--source", &source])
        .expect(2)
        .says(&["logocap-huge", "did you mean `logocap-movenet`"]);
}

#[test]
fn flags_win_over_variables_and_variables_over_files() {
    let images = Images::new(&["a.png"]);
    let config = images.path("config.toml");
    let (model, source) = (spots(), images.uri("a.png"));
    fs::write(&config, format!("[run]\nmodel = {model:?}\nsource = {source:?}\nthreshold = 0.99\n")).unwrap();
    let poses = |done: Ended| done.expect(0).lines()[1]["poses"].as_array().unwrap().len();
    let with_config = ["run", "--config", text(&config)];
    assert_eq!(poses(run(&with_config)), 0, "the file's threshold counts");
    let with_variable =
        |arguments: &[&str]| cli_support::ended(sinew(arguments).env("SINEW_THRESHOLD", "0.01").output().unwrap());
    assert_eq!(poses(with_variable(&with_config)), 1, "the variable wins over the file");
    let flag = [&with_config[..], &["--threshold", "0.98"]].concat();
    assert_eq!(poses(with_variable(&flag)), 0, "the flag wins over the variable");
    fs::write(&config, "[run]\nthreshhold = 0.5\n").unwrap();
    run(&with_config).expect(2).says(&["config.toml", "threshhold", "threshold"]);
}

#[test]
fn options_that_make_no_sense() {
    let images = Images::new(&["a.png"]);
    let source = images.uri("a.png");
    let model = spots();
    let fixed = ["run", "--model", &model, "--source", &source];
    run(&[&fixed[..], &["--level", "fulll"]].concat()).expect(2).says(&["fulll", "full"]);
    on(&source, &["--backend", "cuda"]).expect(2).says(&["cuda", "tract"]);
    on(&source, &["--threshold", "NaN"]).expect(2).says(&["NaN"]);
    run(&["run", "--sourc", "x"]).expect(2).says(&["--source"]);
    run(&["--version"]).expect(0);
    run(&["--help"]).expect(0);
}

/// The quantised graph of a shipped bundle holds no weights: they stand in the fp32 graph beside it. A person who is detected
/// well, since rounding decides about the keypoints of who is hardly found.
#[test]
fn a_quantised_network_is_nearly_the_same() {
    let photograph = root("tests/data/photos/astronaut.jpg");
    let find = |precision: &str| {
        let model = text(&root("models/bundles/logocap-tiny")).to_owned();
        let source = text(&photograph).to_owned();
        let arguments = ["run", "--model", &model, "--source", &source, "--backend", "tract", "--precision", precision];
        let pose = run(&arguments).expect(0).lines()[1]["poses"][0].clone();
        let keypoints = pose["keypoints"].as_array().unwrap().clone();
        keypoints.iter().map(|keypoint| [0, 1].map(|axis| keypoint[axis].as_f64().unwrap())).collect::<Vec<_>>()
    };
    let (exact, rounded) = (find("fp32"), find("int8"));
    assert_ne!(exact, rounded);
    for (a, b) in exact.iter().zip(&rounded) {
        assert!((a[0] - b[0]).hypot(a[1] - b[1]) < 8.0, "{a:?} and {b:?}, of 512 pixels");
    }
}

#[test]
fn late_images_are_refined_less_and_say_so() {
    let images = Images::new(&["a.png", "b.png", "c.png"]);
    let (model, folder) = (spots(), images.folder());
    let fixed = ["run", "--model", &model, "--source", &folder, "--backend", "tract", "--threads", "1"];
    let with = |more: &[&str]| run(&[&fixed[..], more].concat());
    let levels = |deadline: &str| -> Vec<Value> {
        let lines = with(&["--deadline", deadline]).expect(0).lines();
        lines[1..].iter().map(|line| line["level"].clone()).collect()
    };
    assert_eq!(levels("1000s"), ["full", "full", "full"]);
    // What was never measured is tried once.
    assert_eq!(levels("0.001ms"), ["full", "partial", "none"]);
    assert!(with(&[]).expect(0).lines()[1].get("level").is_none());
    with(&["--deadline", "30"]).expect(2).says(&["30ms"]);
}

#[test]
fn the_service_manager_hears_of_the_first_frame_and_of_every_later_one() {
    let images = Images::new(&["a.png", "b.png", "c.png"]);
    let socket = images.path("notify");
    let manager = std::os::unix::net::UnixDatagram::bind(&socket).unwrap();
    let (model, source) = (spots(), images.folder());
    let mut command = sinew(&["run", "--model", &model, "--source", &source, "--backend", "tract"]);
    // A microsecond: the watchdog is fed with every frame.
    command.env("NOTIFY_SOCKET", &socket).env("WATCHDOG_USEC", "2").env_remove("WATCHDOG_PID");
    cli_support::ended(command.output().unwrap()).expect(0);
    manager.set_nonblocking(true).unwrap();
    let mut heard = Vec::new();
    let mut message = [0; 512];
    while let Ok(length) = manager.recv(&mut message) {
        heard.push(String::from_utf8(message[..length].to_vec()).unwrap());
    }
    assert!(heard[0].starts_with("READY=1"), "{heard:?}");
    assert_eq!(heard.iter().filter(|message| message.starts_with("WATCHDOG=1")).count(), 3, "{heard:?}");
    assert!(heard.last().unwrap().starts_with("STOPPING=1"), "{heard:?}");
}
