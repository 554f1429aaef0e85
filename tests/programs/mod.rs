//! The real programs that sources start, and servers to read from, all on this machine.
#![allow(dead_code)]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::common::skip;

/// Whether all these programs are installed; where one is not, the test says that it is skipped, or fails if `SINEW_REQUIRE_PROGRAMS`
/// is set.
pub fn have(programs: &[&str]) -> bool {
    let missing = programs.iter().find(|program| {
        let question = if **program == "ffmpeg" { "-version" } else { "--version" };
        !Command::new(program)
            .arg(question)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    });
    let Some(missing) = missing else { return true };
    assert!(
        std::env::var_os("SINEW_REQUIRE_PROGRAMS").is_none(),
        "{missing} is not installed (docs/sources.md names the packages)"
    );
    skip(&format!("{missing} is not installed"));
    false
}

/// The processes whose arguments contain `text`, but for those of tests and shells.
pub fn children(text: &str) -> Vec<u32> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let number = |path: PathBuf| path.file_name()?.to_str()?.parse::<u32>().ok();
    let is_one = |&number: &u32| {
        let arguments = fs::read(format!("/proc/{number}/cmdline")).unwrap_or_default();
        arguments.starts_with(b"gst-launch") && String::from_utf8_lossy(&arguments).replace('\0', " ").contains(text)
    };
    entries.filter_map(|entry| number(entry.path())).filter(is_one).collect()
}

/// The ffmpegs that the calling thread has started.
pub fn own_ffmpegs() -> Vec<u32> {
    ffmpegs_in(&fs::read_to_string("/proc/thread-self/children").unwrap())
}

/// The ffmpegs that a program has started.
pub fn ffmpegs_of(program: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{program}/task")).unwrap().flatten();
    let children = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    ffmpegs_in(&children.collect::<String>())
}

fn ffmpegs_in(children: &str) -> Vec<u32> {
    let is_one = |&number: &u32| {
        is_running(number) && fs::read_to_string(format!("/proc/{number}/comm")).is_ok_and(|name| name == "ffmpeg\n")
    };
    children.split_whitespace().map(|number| number.parse().unwrap()).filter(is_one).collect()
}

/// Whether there is such a process, which has not ended.
pub fn is_running(process: u32) -> bool {
    let state = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    state.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

/// A server that takes connections and requests, and never replies: its port. It ends with the test.
pub fn silent_server() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || listener.incoming().collect::<Vec<_>>());
    port
}

/// A video of H.264 whose bytes are damaged: about one in `distance`.
#[track_caller]
pub fn damaged_clip(folder: &Path, size: &str, seconds: u32, distance: u32) -> PathBuf {
    let what = format!("testsrc2=size={size}:rate=30:duration={seconds}");
    let whole = clip(folder, "whole.mp4", &what, &["-c:v", "libx264"]);
    let damaged = folder.join("damaged.mp4");
    let filter = format!("noise=amount={distance}");
    ffmpeg(&["-i", whole.to_str().unwrap(), "-c", "copy", "-bsf:v", &filter, damaged.to_str().unwrap()]);
    damaged
}

/// What ffmpeg itself makes of a file: how many frames it can decode, and what it says of the others.
pub fn decoded_by_ffmpeg(path: &Path) -> (usize, Vec<u8>) {
    let mut command = Command::new("ffmpeg");
    command.args(["-nostdin", "-v", "error", "-i", path.to_str().unwrap(), "-fps_mode", "passthrough"]);
    let output = command.args(["-f", "framemd5", "-"]).output().unwrap();
    let lines = String::from_utf8(output.stdout).unwrap();
    (lines.lines().filter(|line| !line.starts_with('#')).count(), output.stderr)
}

/// What `ps` would show of every ffmpeg.
pub fn arguments_of_all() -> String {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let arguments = entries.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    arguments
        .map(|bytes| String::from_utf8_lossy(&bytes).replace('\0', " "))
        .filter(|line| line.starts_with("ffmpeg"))
        .collect::<Vec<_>>()
        .join("\n")
}

pub fn signal(process: u32, name: &str) {
    assert!(Command::new("kill").args(["-s", name, &process.to_string()]).status().unwrap().success());
}

pub fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(60), "not in time: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Runs ffmpeg.
#[track_caller]
pub fn ffmpeg(arguments: &[&str]) {
    let mut command = Command::new("ffmpeg");
    command.args(["-nostdin", "-v", "error", "-y"]).args(arguments);
    assert!(command.status().unwrap().success(), "{command:?}");
}

/// A video of what ffmpeg generates.
#[track_caller]
pub fn clip(folder: &Path, name: &str, what: &str, options: &[&str]) -> PathBuf {
    let path = folder.join(name);
    let all = [&["-f", "lavfi", "-i", what], options, &["-pix_fmt", "yuv420p", path.to_str().unwrap()]].concat();
    ffmpeg(&all);
    path
}

/// A port without a listener.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// An RTSP camera.
pub struct Server {
    pub port: u16,
    credentials: Option<(&'static str, &'static str)>,
    child: Child,
}

impl Server {
    /// Starts it; `None` where what it needs is missing, which is said.
    pub fn rtsp(credentials: Option<(&'static str, &'static str)>) -> Option<Self> {
        if !have(&["ffmpeg", "gst-launch-1.0"]) {
            return None;
        }
        let check = "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import GstRtspServer";
        let found = Command::new("/usr/bin/python3").args(["-c", check]).stderr(Stdio::null()).status();
        if !found.is_ok_and(|status| status.success()) {
            assert!(std::env::var_os("SINEW_REQUIRE_PROGRAMS").is_none(), "no gir1.2-gst-rtsp-server-1.0");
            skip("GStreamer's RTSP server (gir1.2-gst-rtsp-server-1.0, python3-gi) is not installed");
            return None;
        }
        let port = free_port();
        Some(Self { port, credentials, child: Self::start(port, credentials) })
    }

    fn start(port: u16, credentials: Option<(&str, &str)>) -> Child {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/programs/rtsp_server.py");
        let mut command = Command::new("/usr/bin/python3");
        command.args([script, &port.to_string(), "320x240", "30"]);
        if let Some((user, password)) = credentials {
            command.args([user, password]);
        }
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "listening\n");
        child
    }

    pub fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }

    /// Kills it, and starts it anew.
    pub fn restart(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.child = Self::start(self.port, self.credentials);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A program that ends with its handle.
pub struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A camera that sends JPEGs over HTTP, as network cameras do, and its port.
pub fn mjpeg_server() -> (Running, u16) {
    let port = free_port();
    let child = Command::new("ffmpeg")
        .args([
            "-nostdin",
            "-v",
            "error",
            "-re",
            "-f",
            "lavfi",
            "-i",
            "testsrc=size=96x64:rate=10",
            "-f",
            "mpjpeg",
            "-listen",
            "1",
        ])
        .arg(format!("http://127.0.0.1:{port}/stream"))
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    (Running(child), port)
}
