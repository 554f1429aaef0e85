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
