//! A program that runs is sent SIGHUP: its configuration is read again, and the model replaced.
//!
//! `SINEW_RELOADS=200 cargo test --release --test reload` sends as many signals as `make test-slow` does.

mod cli_support;
mod common;
mod programs;

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use cli_support::{json_lines, sinew};
use programs::{have, signal, wait_until};
use serde_json::Value;

const CAMERA: &str = "gst:videotestsrc is-live=true ! video/x-raw,width=160,height=120,framerate=30/1";

/// The program with a camera, a configuration file and a file of results.
struct Running {
    folder: tempfile::TempDir,
    program: Child,
}

impl Running {
    fn start(config: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("config.toml"), config).unwrap();
        let said = fs::File::create(folder.path().join("said")).unwrap();
        let at = |name: &str| folder.path().join(name).display().to_string();
        let (file, lines) = (at("config.toml"), format!("jsonl:{}", at("poses.jsonl")));
        let mut command = sinew(&["run", "--config", &file, "--source", CAMERA, "--sink", &lines, "--threads", "1"]);
        let program = command.stdout(Stdio::null()).stderr(said).spawn().unwrap();
        let running = Self { folder, program };
        wait_until("the first result is there", || running.lines().len() > 1);
        running
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The complete lines of results so far.
    fn lines(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.path("poses.jsonl")).unwrap_or_default();
        json_lines(text.rsplit_once('\n').map_or("", |(whole, _)| whole))
    }

    /// The bundles of the headers so far.
    fn bundles(&self) -> Vec<String> {
        let bundle = |line: &Value| Some(line.get("bundle")?.as_str()?.to_owned());
        self.lines().iter().filter_map(bundle).collect()
    }

    fn said(&self) -> String {
        fs::read_to_string(self.path("said")).unwrap()
    }

    /// How many configurations were refused so far.
    fn refused(&self) -> usize {
        self.said().matches("the new configuration is not used").count()
    }

    fn reload(&self, config: &str) {
        fs::write(self.path("config.toml"), config).unwrap();
        signal(self.program.id(), "HUP");
    }

    /// This configuration is used from some frame on.
    fn must_use(&self, config: &str, bundle: &str) {
        let text = format!("sinew: the configuration was read again, the model is {bundle} now");
        let (before, said) = (self.bundles().len(), self.said().matches(&text).count());
        self.reload(config);
        wait_until("the model is replaced", || self.bundles().len() > before);
        assert_eq!(self.bundles().last().unwrap(), bundle, "{}", self.said());
        wait_until("the log says so", || self.said().matches(&text).count() > said);
        let lines = self.lines().len();
        wait_until("results go on", || self.lines().len() > lines + 2);
    }

    /// This one is refused for a reason that has these words, and results go on.
    fn must_refuse(&self, config: &str, words: &[&str]) {
        let (refused, bundles) = (self.refused(), self.bundles().len());
        self.reload(config);
        wait_until("the configuration is refused", || self.refused() > refused);
        let said = self.said();
        let last = said.lines().rfind(|line| line.contains("is not used")).unwrap();
        assert!(words.iter().all(|word| last.contains(word)), "{words:?} in {last}");
        let lines = self.lines().len();
        wait_until("results go on", || self.lines().len() > lines + 2);
        assert_eq!(self.bundles().len(), bundles, "no other header");
    }

    /// Open files and memory in kB.
    fn uses(&self) -> (usize, u64) {
        let process = PathBuf::from(format!("/proc/{}", self.program.id()));
        let status = fs::read_to_string(process.join("status")).unwrap();
        let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        let kilobytes = memory.trim().trim_end_matches(" kB").parse().unwrap();
        (fs::read_dir(process.join("fd")).unwrap().count(), kilobytes)
    }

    /// Ends it; returns the lines.
    fn end(mut self) -> Vec<Value> {
        signal(self.program.id(), "TERM");
        let since = Instant::now();
        let status = loop {
            if let Some(status) = self.program.try_wait().unwrap() {
                break status;
            }
            assert!(since.elapsed() < Duration::from_secs(10), "it does not end");
            std::thread::sleep(Duration::from_millis(10));
        };
        assert!(status.success(), "{status}: {}", self.said());
        self.lines()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

fn model(name: &str) -> String {
    format!("[run]\nmodel = \"{name}\"\nbackend = \"tract\"\n")
}

/// A copy of a bundle with one network cut short.
fn broken_bundle(folder: &Path) -> PathBuf {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/bundles/logocap-tiny");
    let to = folder.join("broken");
    fs::create_dir(&to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap).filter(|entry| entry.path().is_file()) {
        let mut bytes = fs::read(entry.path()).unwrap();
        if entry.path().extension().is_some_and(|ending| ending == "onnx") {
            bytes.truncate(bytes.len() / 2);
        }
        fs::write(to.join(entry.file_name()), bytes).unwrap();
    }
    to
}

/// Numbers of the frames of a camera rise, whatever became of the model between them.
fn check_order(lines: &[Value]) {
    let numbers: Vec<u64> = lines.iter().filter_map(|line| line.get("sequence")?.as_u64()).collect();
    assert!(numbers.len() > 10 && numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
    assert!(lines[0].get("bundle").is_some(), "a header comes first");
}

#[test]
fn good_models_replace_the_old_one_and_bad_ones_do_not() {
    if !have(&["gst-launch-1.0"]) {
        return;
    }
    let running = Running::start(&model("logocap-tiny"));
    let broken = broken_bundle(running.folder.path()).display().to_string();
    let (good, bad) = (
        [("logocap-movenet", model("logocap-movenet")), ("logocap-tiny", model("logocap-tiny") + "level = \"none\"\n")],
        [
            (model("nowhere"), vec!["nowhere", "still logocap"]),
            (model(&broken), vec!["broken"]),
            (model("logocap-tiny") + "leevel = \"none\"\n", vec!["leevel", "config.toml"]),
            (model("logocap-tiny") + "preview = \"0\"\n", vec!["`preview` has changed", "restart"]),
            (model("capeformer-tiny"), vec!["--template"]),
            ("[run\n".to_owned(), vec!["config.toml"]),
        ],
    );
    let signals: usize = std::env::var("SINEW_RELOADS").map_or(12, |count| count.parse().unwrap());
    let mut used = Vec::new();
    for round in 0..signals / 2 {
        let (bundle, config) = &good[round % good.len()];
        running.must_use(config, bundle);
        let (config, words) = &bad[round % bad.len()];
        running.must_refuse(config, words);
        if round % good.len() == 1 {
            let (files, memory) = running.uses();
            println!("after {:3} signals: {files} files, {memory} kB", 2 * round + 2);
            used.push((files, memory));
        }
    }
    // What is freed stays with the allocator, which needs some rounds to find its size.
    let (early, late) = used.split_at(used.len().div_ceil(2));
    let most = |used: &[(usize, u64)]| used.iter().fold((0, 0), |most, one| (most.0.max(one.0), most.1.max(one.1)));
    let ((early_files, early_memory), (late_files, late_memory)) = (most(early), most(late));
    assert!(late_files <= early_files, "{late_files} open files, {early_files} before");
    assert!(late_memory <= early_memory + early_memory / 5, "{late_memory} kB, {early_memory} before");
    let lines = running.end();
    check_order(&lines);
    assert_eq!(lines.iter().filter(|line| line.get("bundle").is_some()).count(), 1 + signals / 2);
}

#[test]
fn the_same_configuration_changes_nothing_and_identities_are_not_given_twice() {
    if !have(&["gst-launch-1.0"]) {
        return;
    }
    let running = Running::start(&model("logocap-tiny"));
    running.reload(&model("logocap-tiny"));
    wait_until("the log says so", || {
        running.said().contains("sinew: the configuration was read again, it has not changed")
    });
    running.must_use(&(model("logocap-tiny") + "track_min_hits = 1\n"), "logocap-tiny");
    assert_eq!((running.refused(), running.bundles().len()), (0, 2));
    check_order(&running.end());
}

#[test]
fn what_lies_behind_a_name_may_change() {
    if !have(&["gst-launch-1.0"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let boxes = folder.path().join("boxes.jsonl");
    fs::write(&boxes, "{\"sequence\": 0, \"boxes\": [[1, 1, 50, 50]]}\n").unwrap();
    let config = model("lofr-tiny") + &format!("boxes = {boxes:?}\n");
    let running = Running::start(&config);
    fs::write(&boxes, "{\"sequence\": 0, \"boxes\": [[1, 1, 60, 50]]}\n").unwrap();
    running.must_use(&config, "lofr-tiny");
    fs::remove_file(&boxes).unwrap();
    running.must_refuse(&config, &["boxes.jsonl", "cannot be read"]);
    assert_eq!(running.said().matches("os error").count(), 1, "{}", running.said());
    running.end();
}

#[test]
fn a_service_that_reloads_before_its_first_frame_is_not_ready() {
    if !have(&["gst-launch-1.0"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (socket, config) = (folder.path().join("notify"), folder.path().join("config.toml"));
    let manager = UnixDatagram::bind(&socket).unwrap();
    manager.set_nonblocking(true).unwrap();
    fs::write(&config, model("logocap-tiny")).unwrap();
    let said = folder.path().join("said");
    let mut command = sinew(&["run", "--source", &format!("{CAMERA} ! valve drop=true"), "--sink", "jsonl:/dev/null"]);
    command.arg("--config").arg(&config).env("NOTIFY_SOCKET", &socket);
    let program = command.stderr(fs::File::create(&said).unwrap()).spawn().unwrap();
    let running = Running { folder, program };
    let mut heard = String::new();
    let mut listen = |until: &str| {
        let begun = Instant::now();
        while !heard.contains(until) && begun.elapsed() < Duration::from_secs(20) {
            let mut message = [0; 512];
            match manager.recv(&mut message) {
                Ok(length) => heard += &String::from_utf8_lossy(&message[..length]),
                Err(_) => std::thread::sleep(Duration::from_millis(10)),
            }
        }
        assert!(heard.contains(until), "{heard}");
        heard.clone()
    };
    listen("waiting for the first frame");
    running.reload(&model("nowhere"));
    wait_until("the configuration is refused", || running.refused() == 1);
    running.end();
    let heard = listen("STOPPING=1");
    assert!(!heard.contains("READY=1") && !heard.contains("RELOADING=1"), "{heard}");
}

#[test]
fn without_a_configuration_there_is_nothing_to_reload() {
    let system = "/etc/sinew/config.toml";
    if Path::new(system).exists() {
        return common::skip("this machine has a configuration");
    }
    let done = cli_support::run(&["reload"]).expect(2);
    done.says(&[system, "there is no such file", "make deploy"]);
}
