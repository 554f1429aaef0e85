//! Runs the program itself and looks at what it says.
#![allow(dead_code)]

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use sinew::geometry::Size;

/// The program, without the variables and the configuration of the person who runs the tests.
pub fn sinew(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sinew"));
    for (name, _) in std::env::vars() {
        if name.starts_with("SINEW_") {
            command.env_remove(name);
        }
    }
    command.args(arguments).stdin(Stdio::null());
    command
}

/// What came of it.
pub struct Ended {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self
    }

    /// That standard error says all of this, and no panic.
    #[track_caller]
    pub fn says(self, needles: &[&str]) -> Self {
        for needle in needles {
            assert!(self.stderr.contains(needle), "no {needle:?} in: {}", self.stderr);
        }
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
        self
    }

    pub fn lines(&self) -> Vec<Value> {
        json_lines(&self.stdout)
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {}", self.stdout))
    }
}

pub fn ended(output: Output) -> Ended {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ended {
        code: output.status.code().expect("ended by a signal"),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    }
}

pub fn run(arguments: &[&str]) -> Ended {
    ended(sinew(arguments).output().unwrap())
}

/// Runs with `input` on standard input.
pub fn run_with_input(arguments: &[&str], input: &[u8]) -> Ended {
    let mut command = sinew(arguments);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // The program may have had enough before the end.
    let _ = child.stdin.take().unwrap().write_all(input);
    ended(child.wait_with_output().unwrap())
}

pub fn json_lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

pub fn text(path: &Path) -> &str {
    path.to_str().expect("paths of tests are UTF-8")
}

/// The bundle `spots`.
pub fn spots() -> String {
    root("tests/data/onnx/spots").to_str().unwrap().to_owned()
}

pub fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Writes 8-bit RGB as PNG.
pub fn write_png(path: &Path, size: Size, rgb: &[u8]) {
    let mut encoder = png::Encoder::new(File::create(path).unwrap(), size.width as u32, size.height as u32);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.write_header().unwrap().write_image_data(rgb).unwrap();
}
