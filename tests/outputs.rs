//! Outputs on bad days: paths that are inputs, files that another program moves, readers that leave, streams that take nothing, and
//! signals while the program waits.

mod cli_support;
mod common;
mod engine_support;

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use cli_support::{Ended, ended, run, sinew, spots, text, write_png};
use common::schema::assert_valid;
use engine_support::{Spots, image, person};
use sinew::geometry::Size;
use tempfile::TempDir;

const SQUARE: Size = Size::new(64, 64);

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// With these images of one person each.
    fn of_images(names: &[&str]) -> Self {
        let folder = Self::new();
        for name in names {
            fs::create_dir_all(folder.at(name).parent().unwrap()).unwrap();
            write_png(&folder.at(name), SQUARE, image(SQUARE, &person(8, 8)).data());
        }
        folder
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        text(&self.at(name)).to_owned()
    }
}

fn y4m(frames: usize) -> Vec<u8> {
    let mut bytes = b"YUV4MPEG2 W64 H64 F25:1 Cmono\n".to_vec();
    (0..frames).for_each(|_| bytes.extend(frame()));
    bytes
}

fn frame() -> Vec<u8> {
    [&b"FRAME\n"[..], &[128; 64 * 64]].concat()
}

fn arguments(source: &str, more: &[&str]) -> Vec<String> {
    let model = spots();
    let fixed =
        ["run", "--model", &model, "--backend", "tract", "--threads", "1", "--level", "none", "--source", source];
    fixed.iter().chain(more).map(|&argument| argument.to_owned()).collect()
}

fn command(source: &str, more: &[&str]) -> Command {
    let arguments = arguments(source, more);
    sinew(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
}

fn on(source: &str, more: &[&str]) -> Ended {
    ended(command(source, more).output().unwrap())
}

/// Waits until `done`, for twenty seconds at most.
#[track_caller]
fn until(what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !done() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn lines(path: &Path) -> usize {
    fs::read_to_string(path).map_or(0, |text| text.lines().count())
}

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

/// A run on standard input, to which frames are written one at a time.
struct Live {
    child: Child,
    input: Option<std::process::ChildStdin>,
    sent: usize,
}

impl Live {
    fn new(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        input.write_all(&y4m(0)).unwrap();
        Self { child, input: Some(input), sent: 0 }
    }

    fn send(&mut self, frames: usize) {
        (0..frames).for_each(|_| self.input.as_mut().unwrap().write_all(&frame()).unwrap());
        self.input.as_mut().unwrap().flush().unwrap();
        self.sent += frames;
    }

    /// Sends frames until the file has so many lines.
    fn send_until(&mut self, path: &Path, count: usize) {
        until("lines in the file", || {
            self.send(1);
            lines(path) >= count
        });
    }

    fn end(mut self) -> Ended {
        drop(self.input.take());
        ended(self.child.wait_with_output().unwrap())
    }

    /// How long the program takes to end after a signal, without an end of its input.
    fn ended_by(mut self, name: &str) -> (Duration, Ended) {
        let start = Instant::now();
        signal(&self.child, name);
        until("the program ends", || self.child.try_wait().unwrap().is_some());
        let took = start.elapsed();
        (took, ended(self.child.wait_with_output().unwrap()))
    }
}

// Outputs that would destroy an input or each other.

#[test]
fn outputs_that_are_inputs_are_refused_before_anything_is_written() {
    let folder = Folder::of_images(&["photos/a.png", "photos/b.png"]);
    fs::write(folder.at("v.y4m"), y4m(3)).unwrap();
    symlink(folder.at("v.y4m"), folder.at("link")).unwrap();
    fs::hard_link(folder.at("v.y4m"), folder.at("hard.jsonl.2")).unwrap();
    fs::write(folder.at("config.toml"), "[run]\n").unwrap();
    let bundle = Spots::new();
    let manifest = text(&bundle.path().join("bundle.toml")).to_owned();
    let video = folder.text("v.y4m");
    let config = folder.text("config.toml");
    let contents = |path: &str| fs::read(path).unwrap();
    for (input, sink) in [
        (&video, format!("jsonl:{video}")),
        (&video, format!("y4m:{}", folder.text("link"))),
        (&video, format!("overlay:{video}")),
        (&video, format!("jsonl:{}?rotate=1KiB&keep=3", folder.text("hard.jsonl"))),
        (&video, format!("unix:{video}")),
        (&config, format!("jsonl:{config}")),
        (&manifest, format!("y4m:{manifest}")),
    ] {
        let before = contents(input);
        let model = text(bundle.path()).to_owned();
        let arguments = ["run", "--model", &model, "--source", &video, "--config", &config, "--sink", &sink];
        let done = run(&arguments).expect(2).says(&["--sink", "is an input"]);
        assert_eq!(done.stdout, "");
        assert_eq!(contents(input), before, "{sink}");
    }
    let photos = folder.text("photos");
    let before = contents(&folder.text("photos/b.png"));
    for more in [&["--overlay", &photos][..], &["--sink", &format!("overlay:{photos}/../photos/")]] {
        on(&photos, more).expect(2).says(&["is an input"]);
    }
    on(&folder.text("photos/a.png"), &["--overlay", &photos]).expect(2).says(&["photos/a.png"]);
    assert_eq!(contents(&folder.text("photos/b.png")), before);
}

#[test]
fn standard_streams_are_inputs_and_outputs_too() {
    let folder = Folder::new();
    fs::write(folder.at("v.y4m"), y4m(3)).unwrap();
    let video = folder.text("v.y4m");
    let stdin = || File::open(folder.at("v.y4m")).unwrap();
    let refused = ended(command("-", &["--sink", &format!("jsonl:{video}")]).stdin(stdin()).output().unwrap());
    refused.expect(2).says(&["is an input"]);
    let append = || fs::OpenOptions::new().append(true).open(folder.at("v.y4m")).unwrap();
    let refused = ended(command("-", &[]).stdin(stdin()).stdout(append()).output().unwrap());
    refused.expect(2).says(&["standard output", "is an input"]);
    assert_eq!(fs::read(folder.at("v.y4m")).unwrap(), y4m(3));
    let lines = folder.text("lines.jsonl");
    let sinks = ["--sink", "jsonl:-", "--sink", &format!("jsonl:{lines}")];
    let output = || fs::OpenOptions::new().create(true).append(true).open(&lines).unwrap();
    ended(command(&video, &sinks).stdout(output()).output().unwrap()).expect(2).says(&["the same file"]);
    let mut messages = command(&video, &sinks[2..]);
    assert_eq!(messages.stderr(output()).status().unwrap().code(), Some(2));
    assert!(fs::read_to_string(&lines).unwrap().contains("standard error"));
}

#[test]
fn outputs_that_are_each_other_are_refused() {
    let folder = Folder::of_images(&["a.png"]);
    let source = folder.text("a.png");
    symlink("x", folder.at("link")).unwrap();
    let uri = |kind: &str, name: &str| format!("{kind}:{}", folder.text(name));
    for (one, other) in [
        (uri("jsonl", "x"), uri("y4m", "x")),
        (uri("jsonl", "x"), uri("jsonl", "./x")),
        (uri("jsonl", "link"), uri("jsonl", "x")),
        (uri("jsonl", "x?rotate=1KiB"), uri("jsonl", "x.3")),
        (uri("overlay", "drawn"), uri("overlay", "drawn/")),
    ] {
        on(&source, &["--sink", &one, "--sink", &other]).expect(2).says(&["would write to the same"]);
        assert!(!folder.at("x").exists() && !folder.at("drawn").exists(), "{one} and {other}");
    }
    let null = ["--sink", "jsonl:/dev/null", "--sink", "y4m:/dev/null"];
    on(&source, &null).expect(0);
}

#[test]
fn drawings_keep_the_names_of_their_images() {
    let folder = Folder::new();
    fs::create_dir(folder.at("photos")).unwrap();
    for name in ["a.jpg", "a.jpeg", "a.JPG"] {
        fs::copy(cli_support::root("tests/data/people/000.jpg"), folder.at("photos").join(name)).unwrap();
    }
    on(&folder.text("photos"), &["--overlay", &folder.text("drawn")]).expect(0);
    let mut names: Vec<_> = fs::read_dir(folder.at("drawn")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["a.JPG", "a.jpeg", "a.jpg"]);
    // A drawing's place may be taken by a link to an original.
    fs::remove_file(folder.at("drawn/a.jpg")).unwrap();
    symlink(folder.at("photos/a.jpeg"), folder.at("drawn/a.jpg")).unwrap();
    let before = fs::read(folder.at("photos/a.jpeg")).unwrap();
    on(&folder.text("photos"), &["--overlay", &folder.text("drawn")]).expect(2).says(&["is an input"]);
    assert_eq!(fs::read(folder.at("photos/a.jpeg")).unwrap(), before);
}

#[test]
fn a_file_has_one_writer() {
    let folder = Folder::of_images(&["a.png"]);
    let (path, video) = (folder.at("x.jsonl"), folder.text("x.y4m"));
    let sinks = ["--sink", &format!("jsonl:{}", text(&path)), "--sink", &format!("y4m:{video}")];
    let mut first = Live::new(command("-", &sinks));
    first.send_until(&path, 3);
    let source = folder.text("a.png");
    for sink in [&sinks[..2], &sinks[2..], &["--sink", &format!("jsonl:{}?rotate=1KiB", text(&path))]] {
        on(&source, sink).expect(2).says(&["another program is writing this file"]);
    }
    first.send(2);
    let sent = first.sent;
    first.end().expect(0);
    assert_valid(&fs::read_to_string(&path).unwrap());
    assert_eq!(lines(&path), 1 + sent);
}

#[test]
fn an_earlier_file_stays_where_there_is_no_result() {
    let folder = Folder::new();
    let earlier = "what an earlier run has found\n";
    fs::write(folder.at("bad.png"), "no image").unwrap();
    for (name, sink) in [("x.jsonl", "jsonl"), ("x.y4m", "y4m"), ("drawn.y4m", "overlay")] {
        fs::write(folder.at(name), earlier).unwrap();
        on(&folder.text("bad.png"), &["--sink", &format!("{sink}:{}", folder.text(name))]).expect(2);
        assert_eq!(fs::read_to_string(folder.at(name)).unwrap(), earlier, "{name}");
    }
}

#[test]
fn rotated_files_stay_where_a_link_leads() {
    let folder = Folder::new();
    for name in ["small", "large"] {
        fs::create_dir(folder.at(name)).unwrap();
    }
    symlink("../large/poses.jsonl", folder.at("small/poses.jsonl")).unwrap();
    fs::write(folder.at("v.y4m"), y4m(30)).unwrap();
    let sink = format!("jsonl:{}?rotate=1KiB&keep=3", folder.text("small/poses.jsonl"));
    for _ in 0..2 {
        on(&folder.text("v.y4m"), &["--sink", &sink]).expect(0);
    }
    assert!(folder.at("small/poses.jsonl").is_symlink());
    assert_eq!(fs::read_dir(folder.at("small")).unwrap().count(), 1);
    assert_eq!(fs::read_dir(folder.at("large")).unwrap().count(), 4);
}

#[test]
fn a_file_that_is_moved_or_deleted_is_made_anew() {
    let folder = Folder::new();
    let (path, moved) = (folder.at("x.jsonl"), folder.at("moved.jsonl"));
    let mut live = Live::new(command("-", &["--sink", &format!("jsonl:{}", text(&path))]));
    live.send_until(&path, 3);
    fs::rename(&path, &moved).unwrap();
    live.send_until(&path, 3);
    fs::remove_file(&path).unwrap();
    live.send_until(&path, 3);
    File::create(&path).unwrap();
    live.send_until(&path, 3);
    let done = live.end().expect(0).says(&["it is recreated"]);
    assert_eq!(done.stderr.matches("it is recreated").count(), 3, "{}", done.stderr);
    assert_valid(&fs::read_to_string(&path).unwrap());
    assert_valid(&fs::read_to_string(&moved).unwrap());
}

#[test]
fn a_video_that_is_moved_or_deleted_is_made_anew() {
    let folder = Folder::new();
    let path = folder.at("x.y4m");
    let length = |path: &Path| fs::metadata(path).map_or(0, |found| found.len());
    let whole = fs::read(&{
        fs::write(folder.at("in.y4m"), y4m(2)).unwrap();
        on(&folder.text("in.y4m"), &["--sink", &format!("y4m:{}", folder.text("two.y4m"))]).expect(0);
        folder.at("two.y4m")
    })
    .unwrap();
    for sink in ["y4m", "overlay"] {
        let mut live = Live::new(command("-", &["--sink", &format!("{sink}:{}", text(&path))]));
        let mut send = |least: u64| {
            until("frames in the video", || {
                live.send(1);
                length(&path) >= least
            });
        };
        send(3 * whole.len() as u64);
        fs::rename(&path, folder.at("moved.y4m")).unwrap();
        send(3 * whole.len() as u64);
        fs::remove_file(&path).unwrap();
        send(whole.len() as u64);
        let done = live.end().expect(0).says(&["it is recreated"]);
        assert_eq!(done.stderr.matches("it is recreated").count(), 2, "{}", done.stderr);
        for video in [&path, &folder.at("moved.y4m")] {
            on(text(video), &["--sink", "jsonl:/dev/null"]).expect(0);
        }
        fs::remove_file(&path).unwrap();
    }
}

#[test]
fn templates_and_results_are_no_inputs_either() {
    let folder = Folder::of_images(&["a.png"]);
    let image = folder.text("a.png");
    let keypoints = folder.text("a.json");
    fs::write(&keypoints, r#"{"keypoints": [{"name": "left", "x": 8, "y": 8}], "edges": []}"#).unwrap();
    let model = cli_support::root("tests/data/onnx/spots");
    let before = [fs::read(&image).unwrap(), fs::read(&keypoints).unwrap()];
    for out in [&image, &keypoints, &folder.text("./a.json")] {
        let arguments = ["enrol", "--model", text(&model), "--image", &image, "--keypoints", &keypoints, "--out", out];
        run(&arguments).expect(2).says(&["--out", "is an input"]);
        let arguments =
            ["eval", "--model", text(&model), "--coco", &keypoints, "--images", &folder.text("."), "--results", out];
        run(&arguments).expect(2).says(&["--results", "is an input"]);
    }
    assert_eq!([fs::read(&image).unwrap(), fs::read(&keypoints).unwrap()], before);
}

// Ends that are none.

/// A stream that takes nothing.
fn full() -> Stdio {
    Stdio::from(File::options().write(true).open("/dev/full").unwrap())
}

/// A pipe that its reader has closed.
fn broken() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    Stdio::from(writer)
}

#[test]
fn standard_error_that_takes_nothing_ends_nothing() {
    let folder = Folder::of_images(&["p/a.png", "p/c.png"]);
    fs::write(folder.at("p/b.png"), "no image").unwrap();
    for (stderr, more) in [(full as fn() -> Stdio, &[][..]), (full, &["-q"]), (broken, &[]), (full, &["-vv"])] {
        let mut command = command(&folder.text("p"), more);
        let output = command.stdout(Stdio::piped()).stderr(stderr()).spawn().unwrap().wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(String::from_utf8(output.stdout).unwrap().lines().count(), 3);
    }
    // An error has an exit code also where it cannot be printed.
    let mut command = sinew(&["run", "--model", "no-such-bundle", "--source", "x.png"]);
    assert_eq!(command.stderr(broken()).status().unwrap().code(), Some(2));
}

#[test]
fn standard_output_that_is_closed_ends_commands_quietly_and_one_that_is_full_is_an_error() {
    for arguments in [
        &["doctor"][..],
        &["models", "list"],
        &["models", "list", "--json"],
        &["config", "show"],
        &["man"],
        &["run", "--help"],
    ] {
        let mut command = sinew(arguments);
        let output = command.stdout(broken()).stderr(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap();
        assert!(matches!(output.status.code(), Some(0 | 1)), "{arguments:?}: {}", output.status);
        assert!(!String::from_utf8_lossy(&output.stderr).contains("panicked"));
        let mut command = sinew(arguments);
        assert_eq!(command.stdout(full()).stderr(Stdio::null()).status().unwrap().code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn readers_that_have_left_before_the_first_line() {
    let folder = Folder::of_images(&["a.png"]);
    let (image, record) = (folder.text("a.png"), folder.at("record.jsonl"));
    let gone = |mut command: Command| {
        ended(command.stdout(broken()).stderr(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap())
    };
    assert_eq!(gone(command(&image, &[])).expect(0).stderr, "");
    let sinks = ["--sink", "jsonl:-", "--sink", &format!("jsonl:{}", text(&record))];
    gone(command(&image, &sinks)).expect(0).says(&["standard output", "the other outputs continue"]);
    assert_eq!(lines(&record), 2);
    let mut service = command(&image, &[]);
    service.env("NOTIFY_SOCKET", "@sinew-has-no-manager");
    gone(service).expect(0).says(&["the service continues without", "1 frames"]);
}

#[test]
fn one_of_two_readers_leaves() {
    let folder = Folder::new();
    let record = folder.at("record.jsonl");
    let sinks = ["--sink", "jsonl:-", "--sink", &format!("jsonl:{}", text(&record))];
    let mut command = command("-", &sinks);
    let mut live = Live::new({
        command.stdout(Stdio::piped());
        command
    });
    let mut header = String::new();
    BufReader::new(live.child.stdout.take().unwrap()).read_line(&mut header).unwrap();
    live.send(40);
    live.end().expect(0).says(&["standard output", "the other outputs continue"]);
    assert_eq!(lines(&record), 41);
}

#[test]
fn a_service_goes_on_without_a_reader() {
    let mut command = command("-", &[]);
    command.stdout(Stdio::piped()).env("NOTIFY_SOCKET", "@sinew-has-no-manager");
    let mut live = Live::new(command);
    let mut header = String::new();
    BufReader::new(live.child.stdout.take().unwrap()).read_line(&mut header).unwrap();
    live.send(30);
    live.end().expect(0).says(&["30 frames"]);
}

#[test]
fn signals_end_a_run_whose_input_stalls() {
    for name in ["TERM", "INT"] {
        let folder = Folder::new();
        let (path, socket, video) = (folder.at("x.jsonl"), folder.at("s"), folder.at("x.y4m"));
        let sinks = [
            "--sink",
            &format!("jsonl:{}", text(&path)),
            "--sink",
            &format!("unix:{}", text(&socket)),
            "--sink",
            &format!("y4m:{}", text(&video)),
        ];
        let mut live = Live::new(command("-", &sinks));
        live.send_until(&path, 3);
        assert!(socket.exists());
        let (took, done) = live.ended_by(name);
        done.expect(0);
        assert!(took < Duration::from_secs(3), "{name}: {took:?}");
        assert!(!socket.exists(), "the socket is removed");
        assert_valid(&fs::read_to_string(&path).unwrap());
        // What was in a buffer is written.
        let recorded = fs::read(&video).unwrap().windows(6).filter(|bytes| bytes == b"FRAME\n").count();
        assert_eq!(recorded, lines(&path) - 1);
    }
}

#[test]
fn a_signal_ends_a_run_that_has_not_begun() {
    let mut command = command("-", &[]);
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let status = PathBuf::from(format!("/proc/{}/status", child.id()));
    let catches = |mask: &str| u64::from_str_radix(mask.trim(), 16).unwrap() >> 14 & 1 == 1;
    until("signals are caught", || {
        let text = fs::read_to_string(&status).unwrap();
        text.lines().find_map(|line| line.strip_prefix("SigCgt:")).is_some_and(catches)
    });
    let (took, done) = Live { child, input: None, sent: 0 }.ended_by("TERM");
    done.expect(0);
    assert!(took < Duration::from_secs(3), "{took:?}");
}

#[test]
fn a_signal_ends_a_run_whose_reader_sleeps() {
    let folder = Folder::new();
    let record = folder.at("record.jsonl");
    fs::write(folder.at("v.y4m"), y4m(3000)).unwrap();
    let sinks = ["--sink", &format!("jsonl:{}", text(&record)), "--sink", "jsonl:-"];
    let mut command = command(&folder.text("v.y4m"), &sinks);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let sleeping = child.stdout.take();
    // The pipe is full when nothing is recorded any more.
    let mut before = 0;
    until("the run stalls", || {
        std::thread::sleep(Duration::from_millis(300));
        let now = lines(&record);
        now > 1 && std::mem::replace(&mut before, now) == now
    });
    let (took, done) = Live { child, input: None, sent: 0 }.ended_by("TERM");
    done.expect(0);
    assert!(took < Duration::from_secs(3), "{took:?}");
    assert_valid(&fs::read_to_string(&record).unwrap());
    drop(sleeping);
}

#[test]
fn a_hangup_ends_nothing_and_moved_files_are_made_anew() {
    let folder = Folder::new();
    let (path, socket) = (folder.at("x.jsonl"), folder.at("s"));
    let sinks = ["--sink", &format!("jsonl:{}", text(&path)), "--sink", &format!("unix:{}", text(&socket))];
    let mut live = Live::new(command("-", &sinks));
    live.send_until(&path, 3);
    fs::rename(&path, folder.at("x.jsonl.old")).unwrap();
    signal(&live.child, "HUP");
    live.send_until(&path, 3);
    signal(&live.child, "HUP");
    live.send(3);
    live.end().expect(0);
    assert!(!socket.exists());
    assert_valid(&fs::read_to_string(&path).unwrap());
    assert_valid(&fs::read_to_string(folder.at("x.jsonl.old")).unwrap());
}

#[test]
fn drawings_that_cannot_be_written_are_errors() {
    let folder = Folder::of_images(&["p/a.png", "q/a.png"]);
    fs::copy(cli_support::root("tests/data/people/000.jpg"), folder.at("p/b.jpg")).unwrap();
    fs::remove_file(folder.at("p/a.png")).unwrap();
    for name in ["p", "q"] {
        let drawn = folder.text(&format!("drawn-{name}"));
        let arguments = arguments(&folder.text(name), &["--sink", "jsonl:/dev/null", "--overlay", &drawn]);
        // Files of no byte at most, as on a full disk.
        let mut shell = Command::new("bash");
        shell.args(["-c", "trap '' XFSZ; ulimit -f 0; exec \"$@\" 2>/dev/null", "sh", env!("CARGO_BIN_EXE_sinew")]);
        assert_eq!(shell.args(&arguments).status().unwrap().code(), Some(2), "{name}");
        let left: Vec<_> = fs::read_dir(&drawn).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

// What terminals and the network see.

#[test]
fn control_characters_of_names_are_escaped() {
    let folder = Folder::of_images(&["p/a.png"]);
    let name = "b\u{1b}]0;owned\u{7}\u{9b}31m\r.png";
    fs::write(folder.at("p").join(name), "no image").unwrap();
    let done = on(&folder.text("p"), &[]).expect(1).says(&["\\u{1b}]0;owned\\u{7}"]);
    assert!(!done.stderr.chars().any(|letter| letter.is_control() && letter != '\n'), "{:?}", done.stderr);
    let done = on(&folder.text("p/\u{1b}[31m.png"), &["-vv"]).expect(2);
    assert!(!done.stderr.contains('\u{1b}'), "{:?}", done.stderr);
    let bundles = folder.at("bundles/\u{1b}[2Jbundle");
    fs::create_dir_all(&bundles).unwrap();
    fs::write(bundles.join("bundle.toml"), "").unwrap();
    for arguments in [&["models", "list"][..], &["models", "verify"], &["doctor"]] {
        let output = sinew(arguments).env("SINEW_BUNDLES", folder.at("bundles")).output().unwrap();
        let printed = [output.stdout, output.stderr].concat();
        assert!(!printed.contains(&0x1b), "{arguments:?}: {}", String::from_utf8_lossy(&printed));
    }
}

#[test]
fn a_preview_for_the_network_is_pointed_out_once() {
    let folder = Folder::new();
    fs::write(folder.at("v.y4m"), y4m(5)).unwrap();
    let listening = |address: &str| on(&folder.text("v.y4m"), &["--preview", address]).expect(0).stderr;
    assert_eq!(listening("0.0.0.0:0").matches("no password").count(), 1);
    assert_eq!(listening("[::]:0").matches("no password").count(), 1);
    for local in ["0", "127.0.0.1:0", "localhost:0"] {
        assert!(!listening(local).contains("no password"), "{local}");
    }
}

#[test]
fn the_service_manager_of_a_container_is_heard() {
    use std::os::linux::net::SocketAddrExt as _;
    use std::os::unix::net::{SocketAddr, UnixDatagram};

    let folder = Folder::of_images(&["a.png"]);
    let name = format!("sinew-outputs-{}", std::process::id());
    let manager = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    let mut command = command(&folder.text("a.png"), &[]);
    command.env("NOTIFY_SOCKET", format!("@{name}")).env_remove("WATCHDOG_USEC");
    ended(command.output().unwrap()).expect(0);
    let mut message = [0; 512];
    let length = manager.recv(&mut message).unwrap();
    assert!(message[..length].starts_with(b"READY=1\n"));
}
