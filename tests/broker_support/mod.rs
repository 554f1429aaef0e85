//! A real mosquitto, its subscribers, and a network between it and us that can be slow, cut, or gone.
#![allow(dead_code)]

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufRead as _, BufReader, Read, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::common::skip;

/// Whether mosquitto and its clients are installed; otherwise the test says that it is skipped, or fails if `SINEW_REQUIRE_PROGRAMS` is
/// set.
pub fn have(programs: &[&str]) -> bool {
    let folders = ["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from).into_iter();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&path).chain(folders).collect();
    let missing = programs.iter().find(|program| !folders.iter().any(|folder| folder.join(program).is_file()));
    let Some(missing) = missing else { return true };
    assert!(
        std::env::var_os("SINEW_REQUIRE_PROGRAMS").is_none(),
        "{missing} is not installed (sudo apt install mosquitto mosquitto-clients openssl)"
    );
    skip(&format!("{missing} is not installed (sudo apt install mosquitto mosquitto-clients openssl)"));
    false
}

pub fn have_mosquitto() -> bool {
    have(&["mosquitto", "mosquitto_sub"])
}

pub fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    wait_at_most(Duration::from_secs(60), what, is_so);
}

#[track_caller]
pub fn wait_at_most(patience: Duration, what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < patience, "not in time: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

pub fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n")
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// The file of mosquitto's program.
fn mosquitto() -> Command {
    let found = ["/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto"].into_iter().find(|path| Path::new(path).is_file());
    Command::new(found.unwrap_or("mosquitto"))
}

/// A broker, which can be ended and started again with what it has kept.
pub struct Broker {
    pub folder: tempfile::TempDir,
    pub port: u16,
    child: Option<Child>,
}

impl Broker {
    /// One for everybody, that holds back nothing.
    pub fn start() -> Self {
        let mut broker = Self::new("allow_anonymous true\n", "");
        broker.begin();
        broker
    }

    /// One with this configuration, of its own and of its listener; not started.
    pub fn new(configuration: &str, listener: &str) -> Self {
        let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
        let user = if is_root() { "user root\n" } else { "" };
        let text = format!(
            "{user}persistence true\npersistence_location {0}/\nmax_queued_messages 0\nmax_inflight_messages 0\n\
             max_queued_bytes 0\nlog_type error\nlog_type warning\nlog_dest file {0}/log\n{configuration}\
             listener {port} 127.0.0.1\n{listener}",
            folder.path().display()
        );
        fs::write(folder.path().join("mosquitto.conf"), text).unwrap();
        Self { folder, port, child: None }
    }

    pub fn begin(&mut self) {
        let mut command = mosquitto();
        command.arg("-c").arg(self.folder.path().join("mosquitto.conf"));
        let silent = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.child = Some(silent.spawn().unwrap());
        let address = SocketAddr::from(([127, 0, 0, 1], self.port));
        wait_until("mosquitto listens", || TcpStream::connect(address).is_ok());
    }

    pub fn signal(&self, name: &str) {
        let process = self.child.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args(["-s", name, &process]).status().unwrap().success());
    }

    /// Ends it, with a signal.
    pub fn end(&mut self, signal: &str) {
        self.signal(signal);
        self.child.take().unwrap().wait().unwrap();
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A message: its topic, its payload, whether it was kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    pub topic: String,
    pub payload: String,
    pub retained: bool,
}

/// Messages of which all is kept; of later results only their numbers.
const MOST_MESSAGES: usize = 1000;

/// `mosquitto_sub`.
pub struct Subscriber {
    child: Child,
    taken: Arc<Mutex<Taken>>,
}

/// What came.
#[derive(Default)]
struct Taken {
    messages: Vec<Message>,
    /// Camera and sequence number of each result.
    results: Vec<(u32, u64)>,
}

impl Taken {
    fn take(&mut self, message: Message) {
        let is_result = message.topic.ends_with("/poses");
        if is_result {
            let value: Value = serde_json::from_str(&message.payload).expect("a whole object");
            let camera = message.topic.rsplit('/').nth(1).unwrap().parse().unwrap();
            self.results.push((camera, value["sequence"].as_u64().unwrap()));
        }
        if !is_result || self.messages.len() < MOST_MESSAGES {
            self.messages.push(message);
        }
    }
}

impl Subscriber {
    /// Subscribes to everything under `prefix`; `durable` is a name, under which the broker keeps messages while this is away.
    pub fn start(port: u16, prefix: &str, qos: u8, durable: Option<&str>, more: &[&str]) -> Self {
        // Line by line: it buffers what goes into a pipe.
        let mut command = Command::new("stdbuf");
        command.args(["-oL", "mosquitto_sub"]);
        command.args([
            "-h",
            "127.0.0.1",
            "-p",
            &port.to_string(),
            "-t",
            &format!("{prefix}/#"),
            "-q",
            &qos.to_string(),
        ]);
        // A line when it has subscribed, then one per message.
        command.args(["-d", "-F", "|%j"]).args(more);
        if let Some(name) = durable {
            command.args(["-c", "-i", name]);
        }
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("mosquitto_sub");
        let all = Arc::<Mutex<Taken>>::default();
        let (lines, taken) = (BufReader::new(child.stdout.take().unwrap()), Arc::clone(&all));
        let subscribed = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&subscribed);
        thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                if line.starts_with("Subscribed") || line.contains("received SUBACK") {
                    seen.store(true, Ordering::SeqCst);
                }
                let Some(line) = line.strip_prefix('|') else { continue };
                let value: Value = serde_json::from_str(line).expect("JSON of mosquitto_sub");
                let text = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
                let message =
                    Message { topic: text("topic"), payload: text("payload"), retained: value["retain"] == 1 };
                taken.lock().unwrap().take(message);
            }
        });
        wait_until("mosquitto_sub has subscribed", || subscribed.load(Ordering::SeqCst));
        Self { child, taken: all }
    }

    /// Ends it; what it has taken stays.
    pub fn leave(&mut self) {
        // What is in the pipe is still read.
        thread::sleep(Duration::from_millis(200));
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    pub fn messages(&self) -> Vec<Message> {
        self.taken.lock().unwrap().messages.clone()
    }

    /// How many results it has.
    pub fn results(&self) -> usize {
        self.taken.lock().unwrap().results.len()
    }

    /// The last message on a topic.
    pub fn last(&self, topic: &str) -> Option<Message> {
        self.taken.lock().unwrap().messages.iter().rev().find(|message| message.topic == topic).cloned()
    }

    #[track_caller]
    pub fn wait_for(&self, topic: &str, payload: &str) {
        wait_until(&format!("{topic} is {payload}"), || self.last(topic).is_some_and(|last| last.payload == payload));
    }

    /// The sequence numbers of the results of each camera, as they came.
    pub fn sequences(&self) -> BTreeMap<usize, Vec<u64>> {
        let mut cameras = BTreeMap::<usize, Vec<u64>>::new();
        for &(camera, sequence) in &self.taken.lock().unwrap().results {
            cameras.entry(camera as usize).or_default().push(sequence);
        }
        cameras
    }

    /// The results that came, without those that came again, which must all be in order; how many came again.
    #[track_caller]
    pub fn in_order(&self) -> (BTreeMap<usize, Vec<u64>>, usize) {
        let mut again = 0;
        let mut cameras = self.sequences();
        for (camera, sequences) in &mut cameras {
            let (mut seen, mut firsts) = (std::collections::HashSet::new(), Vec::new());
            for &sequence in sequences.iter() {
                if seen.insert(sequence) { firsts.push(sequence) } else { again += 1 }
            }
            assert!(firsts.is_sorted(), "camera {camera}: out of order");
            *sequences = firsts;
        }
        (cameras, again)
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A network: forwards connections to a port.
pub struct Network {
    pub port: u16,
    state: Arc<NetworkState>,
}

struct NetworkState {
    target: u16,
    is_open: AtomicBool,
    /// Bytes a second from us to the broker; 0 for any.
    rate: AtomicU64,
    streams: Mutex<Vec<TcpStream>>,
}

impl Network {
    pub fn to(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(NetworkState {
            target,
            is_open: AtomicBool::new(true),
            rate: AtomicU64::new(0),
            streams: Mutex::default(),
        });
        let serving = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let _ = serving.forward(stream);
            }
        });
        Self { port, state }
    }

    pub fn open(&self) {
        self.state.is_open.store(true, Ordering::SeqCst);
    }

    /// Breaks all connections, and accepts none.
    pub fn cut(&self) {
        self.state.is_open.store(false, Ordering::SeqCst);
        for stream in self.state.streams.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    pub fn limit(&self, rate: u64) {
        self.state.rate.store(rate, Ordering::SeqCst);
    }
}

impl NetworkState {
    fn forward(self: &Arc<Self>, here: TcpStream) -> io::Result<()> {
        if !self.is_open.load(Ordering::SeqCst) {
            return Ok(());
        }
        let there = TcpStream::connect(("127.0.0.1", self.target))?;
        self.streams.lock().unwrap().extend([here.try_clone()?, there.try_clone()?]);
        let (back, forth) = ((there.try_clone()?, here.try_clone()?), (here, there));
        let limited = Arc::clone(self);
        thread::spawn(move || limited.copy(forth.0, forth.1, true));
        let free = Arc::clone(self);
        thread::spawn(move || free.copy(back.0, back.1, false));
        Ok(())
    }

    fn copy(&self, mut from: TcpStream, mut to: TcpStream, is_limited: bool) {
        let mut bytes = [0; 1024];
        while let Ok(count) = from.read(&mut bytes) {
            if count == 0 || to.write_all(&bytes[..count]).is_err() {
                break;
            }
            let rate = self.rate.load(Ordering::SeqCst);
            if is_limited && rate > 0 {
                thread::sleep(Duration::from_secs_f64(count as f64 / rate as f64));
            }
        }
        let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
    }
}

/// Resident memory of this process, bytes.
pub fn resident() -> u64 {
    let text = fs::read_to_string("/proc/self/statm").unwrap();
    text.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}
