//! The program as a client of a real mosquitto: what it says, what it hides, and what is said when it is killed.

mod broker_support;
mod cli_support;
mod common;

use std::fs;
use std::io::Write as _;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use broker_support::{Broker, Subscriber, have, have_mosquitto, wait_until};
use cli_support::{ended, run, sinew, spots};

const PHOTO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/photos/walkers.jpg");
const SECRET: &str = "hunter2-and-more";

fn frames(count: usize) -> Vec<u8> {
    (0..count).flat_map(|_| [&b"FRAME\n"[..], &[128; 64 * 64]].concat()).collect()
}

fn command(uri: &str, more: &[&str]) -> Command {
    let model = spots();
    let fixed = ["run", "--model", &model, "--backend", "tract", "--threads", "1", "--level", "none", "--source", "-"];
    let mut command = sinew(&[&fixed[..], &["--sink", uri], more].concat());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A run that has got some frames, and waits for more.
fn start(mut command: Command, count: usize) -> (Child, ChildStdin) {
    let mut child = command.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(&[&b"YUV4MPEG2 W64 H64 F25:1 Cmono\n"[..], &frames(count)].concat()).unwrap();
    (child, input)
}

fn signal(child: &Child, name: &str) {
    assert!(Command::new("kill").args(["-s", name, &child.id().to_string()]).status().unwrap().success());
}

#[test]
fn the_broker_says_when_the_program_is_gone() {
    if !have_mosquitto() {
        return;
    }
    let broker = Broker::start();
    let subscriber = Subscriber::start(broker.port, "hall", 1, None, &[]);
    let uri = format!("mqtt://127.0.0.1:{}/hall", broker.port);
    let (mut child, input) = start(command(&uri, &[]), 3);
    wait_until("three results", || subscriber.results() == 3);
    subscriber.wait_for("hall/available", "online");
    child.kill().unwrap();
    let begun = Instant::now();
    subscriber.wait_for("hall/available", "offline");
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    child.wait().unwrap();
    drop(input);

    // One that ends by itself at once, and one that is asked to.
    let (child, input) = start(command(&uri, &[]), 2);
    drop(input);
    ended(child.wait_with_output().unwrap()).expect(0);
    wait_until("two more results", || subscriber.results() == 5);
    subscriber.wait_for("hall/available", "offline");
    let (child, input) = start(command(&uri, &[]), 1);
    subscriber.wait_for("hall/available", "online");
    let begun = Instant::now();
    signal(&child, "TERM");
    ended(child.wait_with_output().unwrap()).expect(0);
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    subscriber.wait_for("hall/available", "offline");
    drop(input);
}

#[test]
fn a_password_is_seen_by_nobody() {
    if !have_mosquitto() || !have(&["mosquitto_passwd"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let users = folder.path().join("users");
    fs::write(&users, "board:right\n").unwrap();
    assert!(Command::new("mosquitto_passwd").arg("-U").arg(&users).status().unwrap().success());
    let mut broker = Broker::new("", &format!("allow_anonymous false\npassword_file {}\n", users.display()));
    broker.begin();
    let uri = format!("mqtt://board:${{SECRET}}@127.0.0.1:{}/hall", broker.port);
    let port = broker_support::free_port();
    let mut program = command(&uri, &["--preview", &port.to_string(), "-vvv"]);
    program.env("SECRET", SECRET);
    let (child, input) = start(program, 3);
    thread::sleep(Duration::from_secs(2));
    let arguments = fs::read_to_string(format!("/proc/{}/cmdline", child.id())).unwrap();
    assert!(arguments.contains("${SECRET}") && !arguments.contains(SECRET));
    let metrics = cli_get(port);
    assert!(metrics.contains("sinew_mqtt_connected 0") && metrics.contains("sinew_mqtt_waiting 3"), "{metrics}");
    assert!(!metrics.contains(SECRET));
    let begun = Instant::now();
    signal(&child, "TERM");
    let ended = ended(child.wait_with_output().unwrap()).expect(0);
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    drop(input);
    assert!(!ended.stderr.contains(SECRET), "{}", ended.stderr);
    let ended = ended.says(&[
        "user",
        "password",
        &format!("mqtt://127.0.0.1:{}", broker.port),
        "3 results were dropped (end 3)",
    ]);
    let said = ended.stderr.matches("trying again").count();
    assert_eq!(said, 1, "the same is said once: {}", ended.stderr);

    // In the URI itself it is refused, and not repeated.
    let given = format!("mqtt://board:{SECRET}@127.0.0.1/hall");
    let refused = run(&["run", "--model", &spots(), "--source", "-", "--sink", &given]).expect(2);
    assert!(!refused.stderr.contains(SECRET), "{}", refused.stderr);
    refused.says(&["credentials=FILE", "${MQTT_PASSWORD}", "board:***@127.0.0.1"]);
    let shown = run(&["config", "show", "--sink", &given, "--sink", &uri]).expect(0);
    assert!(shown.stdout.contains("board:***@") && shown.stdout.contains("${SECRET}"), "{}", shown.stdout);
    assert!(!shown.stdout.contains(SECRET));
}

fn cli_get(port: u16) -> String {
    use std::io::Read as _;
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn other_outputs_do_not_replace_what_the_connection_needs() {
    let folder = tempfile::tempdir().unwrap();
    let credentials = folder.path().join("credentials");
    fs::write(&credentials, "a:b\n").unwrap();
    let (uri, file) = (
        format!("mqtt://127.0.0.1:1/hall?credentials={}", credentials.display()),
        format!("jsonl:{}", credentials.display()),
    );
    run(&["run", "--model", &spots(), "--source", "-", "--sink", &uri, "--sink", &file])
        .expect(2)
        .says(&["credentials"]);
    assert_eq!(fs::read_to_string(&credentials).unwrap(), "a:b\n");
    // A spool has its folder for itself.
    let uri = format!("mqtt://127.0.0.1:1/hall?spool={}", folder.path().display());
    run(&["run", "--model", &spots(), "--source", PHOTO, "--sink", &uri]).expect(2).says(&["spool", "credentials"]);
    for (uri, word) in [
        ("mqtt://h/x?qos=3", "0 or 1"),
        ("mqtt:h", "mqtt://HOST/PREFIX"),
        ("mqtt://h/x?credentials=/nowhere/x", "/nowhere/x"),
        ("mqtt://me:${NOT_THERE}@h/x", "NOT_THERE"),
        ("mqtts://h/x?ca=/nowhere/ca.pem", "/nowhere/ca.pem"),
    ] {
        run(&["run", "--model", &spots(), "--source", PHOTO, "--sink", uri]).expect(2).says(&[word]);
    }
}
