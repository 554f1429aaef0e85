//! Standard streams, pipes and ends of runs on bad days: streams that somebody else has made non-blocking, pipes that nobody opens,
//! drawings into whatever is there.

mod cli_support;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use cli_support::{ended, run, sinew, spots, text, write_png};
use sinew::geometry::Size;

fn y4m(frames: usize) -> Vec<u8> {
    let mut bytes = b"YUV4MPEG2 W64 H64 F25:1 Cmono\n".to_vec();
    (0..frames).for_each(|_| bytes.extend([&b"FRAME\n"[..], &[128; 64 * 64]].concat()));
    bytes
}

fn command(source: &str, more: &[&str]) -> Command {
    let model = spots();
    let fixed = ["run", "--model", &model, "--backend", "tract", "--threads", "1", "--level", "none"];
    sinew(&[&fixed[..], &["--source", source], more].concat())
}

/// Both ends of a stream, of which the first is non-blocking, as programs leave the pipes and terminals that they share.
fn hasty() -> (Stdio, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    theirs.set_nonblocking(true).unwrap();
    (Stdio::from(OwnedFd::from(theirs)), ours)
}

#[test]
fn standard_streams_that_are_not_ready_are_waited_for() {
    const FRAMES: usize = 1500;
    let (input, mut to_program) = hasty();
    let (output, mut from_program) = hasty();
    let mut program = command("-", &[]);
    let child = program.stdin(input).stdout(output).stderr(Stdio::piped()).spawn().unwrap();
    // The program's ends are closed with these.
    drop(program);
    let writer = thread::spawn(move || {
        // A part of a frame, and nothing for a while.
        let video = y4m(FRAMES);
        to_program.write_all(&video[..5000]).unwrap();
        thread::sleep(Duration::from_millis(200));
        to_program.write_all(&video[5000..]).unwrap();
    });
    // Until the lines fill what the stream holds.
    thread::sleep(Duration::from_secs(2));
    let mut lines = String::new();
    from_program.read_to_string(&mut lines).unwrap();
    writer.join().unwrap();
    ended(child.wait_with_output().unwrap()).expect(0);
    assert_eq!(lines.lines().count(), 1 + FRAMES);
    assert!(cli_support::json_lines(&lines).len() > FRAMES);

    // Other commands print more than the stream holds at once as well.
    for arguments in [&["man"][..], &["completions", "bash"]] {
        let (output, mut from_program) = hasty();
        let mut program = sinew(arguments);
        let mut child = program.stdout(output).spawn().unwrap();
        drop(program);
        thread::sleep(Duration::from_millis(300));
        let mut printed = Vec::new();
        from_program.read_to_end(&mut printed).unwrap();
        assert!(child.wait().unwrap().success());
        assert_eq!(printed, sinew(arguments).output().unwrap().stdout, "{arguments:?}");
    }
}

#[test]
fn nothing_is_read_from_a_closed_standard_input() {
    ended(command("-", &[]).output().unwrap()).expect(2).says(&["standard input"]);
}

fn fifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

/// How long a program takes to end after a signal, and its exit code.
fn ended_by(mut child: Child, name: &str) -> (Duration, Option<i32>) {
    // Signals are caught once SIGTERM is among those that the kernel says so of.
    let status = PathBuf::from(format!("/proc/{}/status", child.id()));
    let catches = |mask: &str| u64::from_str_radix(mask.trim(), 16).unwrap() >> 14 & 1 == 1;
    let start = Instant::now();
    while !fs::read_to_string(&status).unwrap().lines().any(|line| line.strip_prefix("SigCgt:").is_some_and(catches)) {
        assert!(start.elapsed() < Duration::from_secs(20), "no signal is caught");
        thread::sleep(Duration::from_millis(5));
    }
    thread::sleep(Duration::from_millis(100));
    let start = Instant::now();
    assert!(Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status().unwrap().success());
    while child.try_wait().unwrap().is_none() {
        if start.elapsed() > Duration::from_secs(20) {
            child.kill().unwrap();
            panic!("it goes on after SIG{name}");
        }
        thread::sleep(Duration::from_millis(5));
    }
    (start.elapsed(), child.wait().unwrap().code())
}

#[test]
fn signals_end_what_waits_for_a_pipe_that_nobody_opens() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    fifo(&pipe);
    let image = folder.path().join("a.png");
    write_png(&image, Size::new(64, 64), &[90; 3 * 64 * 64]);
    let (pipe, image, recorded) = (text(&pipe), text(&image), folder.path().join("recorded"));
    let model = spots();
    for name in ["TERM", "INT"] {
        for (arguments, code) in [
            (vec!["run", "--model", &model, "--source", pipe], 0),
            (vec!["run", "--model", &model, "--source", image, "--sink", &format!("jsonl:{pipe}")], 0),
            (vec!["run", "--model", &model, "--source", image, "--overlay", pipe], 0),
            // No result: not a success.
            (vec!["bench", "--model", &model, "--source", pipe], if name == "TERM" { 143 } else { 130 }),
            (
                vec!["calib", "record", "--model", &model, "--source", pipe, "--out", text(&recorded)],
                if name == "TERM" { 143 } else { 130 },
            ),
        ] {
            let mut program = sinew(&arguments);
            let child = program.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            let (took, found) = ended_by(child, name);
            assert!(took < Duration::from_secs(3), "{arguments:?}, {name}: {took:?}");
            assert_eq!(found, Some(code), "{arguments:?}, {name}");
        }
    }
}

#[test]
fn drawings_go_to_what_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let image = at("a.png");
    write_png(&image, Size::new(64, 64), &[90; 3 * 64 * 64]);
    let draw = |overlay: &str| {
        let mut program = command(text(&image), &["--sink", "jsonl:/dev/null", "--overlay", overlay]);
        ended(program.stdout(File::create(at("out")).unwrap()).output().unwrap())
    };
    // A folder that is named like a video.
    fs::create_dir(at("frames.y4m")).unwrap();
    draw(text(&at("frames.y4m"))).expect(0);
    assert!(at("frames.y4m/a.png").is_file());
    // A pipe, and standard output.
    fifo(&at("pipe"));
    let reader = thread::spawn({
        let pipe = at("pipe");
        move || fs::read(pipe).unwrap()
    });
    draw(text(&at("pipe"))).expect(0);
    let piped = reader.join().unwrap();
    assert!(piped.starts_with(b"YUV4MPEG2 W64 H64 "));
    for standard in ["-", "/dev/stdout"] {
        draw(standard).expect(0);
        assert_eq!(fs::read(at("out")).unwrap(), piped, "{standard}");
    }
    run(&["run", "--model", &spots(), "--source", text(&image), "--overlay", "-"])
        .expect(2)
        .says(&["two sinks would write to standard output"]);
    // What is named like a video or an image would have become a folder.
    draw(text(&at("drawn.mp4"))).expect(2).says(&["drawn.mp4", "ends in .y4m"]);
    draw(text(&at("drawn.jpg"))).expect(2).says(&["drawn.jpg", "give a folder"]);
    assert!(!at("drawn.mp4").exists() && !at("drawn.jpg").exists());
    // The longest name that a file can have.
    let long = at(&format!("{}.png", "x".repeat(251)));
    fs::rename(&image, &long).unwrap();
    run(&["run", "--model", &spots(), "--source", text(&long), "--overlay", text(&at("drawn"))]).expect(0);
    assert_eq!(fs::read_dir(at("drawn")).unwrap().count(), 1);
}

/// As a program that cleans up does it.
#[test]
fn a_folder_of_drawings_that_is_deleted_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let drawn = folder.path().join("drawn");
    let mut program = command("-", &["--sink", "jsonl:/dev/null", "--overlay", text(&drawn)]);
    let mut child = program.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let (header, frames) = (y4m(0).len(), y4m(3));
    let one = (frames.len() - header) / 3;
    input.write_all(&frames[..header + one]).unwrap();
    let start = Instant::now();
    while !drawn.join("frame-000000.jpg").exists() {
        assert!(start.elapsed() < Duration::from_secs(20));
        thread::sleep(Duration::from_millis(5));
    }
    fs::remove_dir_all(&drawn).unwrap();
    input.write_all(&frames[header + one..]).unwrap();
    drop(input);
    let done =
        ended(child.wait_with_output().unwrap()).expect(0).says(&["drawn: another program has moved or deleted"]);
    assert_eq!(done.stderr.matches("it is recreated").count(), 1);
    assert!(drawn.join("frame-000001.jpg").exists() && drawn.join("frame-000002.jpg").exists());
}

/// What a service may take of a board, and which calls what builds engines may make.
#[test]
fn services_are_bounded() {
    for (unit, keys) in [
        ("sinew.service", &["MemoryMax=", "TasksMax=", "SystemCallFilter="][..]),
        ("sinew-engines.service", &["MemoryMax=", "TasksMax=", "SystemCallFilter="]),
    ] {
        let path = cli_support::root("board/rootfs/usr/lib/systemd/system").join(unit);
        let lines = fs::read_to_string(&path).unwrap();
        for key in keys {
            assert!(lines.lines().any(|line| line.starts_with(key) && line.len() > key.len()), "{unit}: no {key}");
        }
    }
}
