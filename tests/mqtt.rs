//! Results through a real mosquitto, which starts late, restarts, is killed, refuses, or is no broker at all.

mod broker_support;
mod common;
mod sinks_support;

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use broker_support::{Broker, Network, Subscriber, have_mosquitto, resident, wait_at_most, wait_until};
use serde_json::Value;
use sinew::sink::{self, BrokerCounts, Live, Sink};
use sinks_support::{Shown, poses, schema};

/// A sink and what it counts.
struct Sending {
    sink: Box<dyn Sink>,
    counts: Arc<BrokerCounts>,
    /// The number of the next result, by camera.
    next: BTreeMap<usize, u64>,
}

impl Sending {
    #[track_caller]
    fn to(uri: &str) -> Self {
        let options = sink::Options::default();
        let counts = Arc::clone(&options.broker);
        let sink = sink::open(uri, &schema(), &options).unwrap_or_else(|error| panic!("{error}"));
        Self { sink, counts, next: BTreeMap::new() }
    }

    /// Puts in a result of a camera, with so many poses.
    fn put(&mut self, camera: usize, people: usize) {
        let sequence = self.next.entry(camera).or_default();
        let live = Some(Live { age: Some(Duration::from_millis(40)), camera, ..Live::default() });
        Shown { poses: &poses(people), live, ..Shown::default() }.put(self.sink.as_mut(), *sequence);
        *sequence += 1;
    }

    /// Puts in results of two cameras in turn, at most so many a second.
    fn put_many(&mut self, count: u64, rate: u64) {
        let begun = Instant::now();
        for number in 0..count {
            self.put(number as usize % 2, 0);
            if number % 10 == 0 {
                let due = begun + Duration::from_secs_f64(number as f64 / rate as f64);
                thread::sleep(due.saturating_duration_since(Instant::now()));
            }
        }
    }

    #[track_caller]
    fn wait_until_empty(&self) {
        wait_until("nothing waits", || self.counts.waiting() == 0);
    }

    /// Ends it, which must be quick.
    #[track_caller]
    fn finish(&mut self) {
        let begun = Instant::now();
        self.sink.finish().unwrap();
        assert!(begun.elapsed() < Duration::from_millis(1500), "the end took {:?}", begun.elapsed());
    }

    fn dropped(&self, reason: &str) -> u64 {
        self.counts.by_loss().into_iter().find(|(name, _)| *name == reason).unwrap().1
    }
}

/// Of each camera the numbers from 0 to `count`, shared by two.
#[track_caller]
fn assert_all(cameras: &BTreeMap<usize, Vec<u64>>, count: u64) {
    for camera in 0..2 {
        let found = &cameras[&camera];
        let gap = found.iter().zip(0..).find(|(found, expected)| **found != *expected);
        assert!(gap.is_none() && found.len() as u64 == count / 2, "camera {camera}: {} results, {gap:?}", found.len());
    }
}

#[test]
fn a_broker_is_told_everything_and_keeps_what_others_need() {
    if !have_mosquitto() {
        return;
    }
    let broker = Broker::start();
    let early = Subscriber::start(broker.port, "hall", 1, None, &[]);
    let uri = format!("mqtt://127.0.0.1:{}/hall?discovery=homeassistant", broker.port);
    let mut sending = Sending::to(&uri);
    let discovered = Subscriber::start(broker.port, "homeassistant", 0, None, &[]);
    (0..5).for_each(|number| sending.put(number % 2, number));
    wait_until("all results", || early.results() == 5);
    sending.wait_until_empty();
    early.wait_for("hall/0/count", "4");
    early.wait_for("hall/1/count", "3");

    // One that comes later.
    let late = Subscriber::start(broker.port, "hall", 1, None, &[]);
    late.wait_for("hall/available", "online");
    late.wait_for("hall/0/count", "4");
    wait_until("the header", || late.last("hall/header").is_some());
    assert!(late.messages().iter().all(|message| message.retained) && late.results() == 0);
    let object = |topic: &str| -> Value { serde_json::from_str(&late.last(topic).unwrap().payload).unwrap() };
    let status = object("hall/status");
    assert_eq!((&status["bundle"], &status["host"]), (&"played".into(), &"gate".into()));
    assert_eq!(status["device"], "1421622012345");
    assert!(status["started"].as_f64().unwrap() > 1.5e9 && status["sinew"].is_string());

    // The header and the results are the lines of a file.
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut lines = Sending::to(&format!("jsonl:{}", file.path().display()));
    (0..5).for_each(|number| lines.put(number % 2, number));
    lines.sink.finish().unwrap();
    let lines = fs::read_to_string(file.path()).unwrap();
    let mut lines = lines.lines();
    assert_eq!(late.last("hall/header").unwrap().payload, lines.next().unwrap());
    let poses: Vec<_> = early.messages().into_iter().filter(|message| message.topic.ends_with("poses")).collect();
    for (number, (message, line)) in poses.iter().zip(lines).enumerate() {
        assert_eq!((&message.topic, message.payload.as_str()), (&format!("hall/{}/poses", number % 2), line));
        assert!(!message.retained);
    }

    let config = discovered.messages().into_iter().find(|message| message.topic.ends_with("/camera_1/config")).unwrap();
    let config: Value = serde_json::from_str(&config.payload).unwrap();
    assert_eq!(config["state_topic"], "hall/1/count");

    sending.finish();
    early.wait_for("hall/available", "offline");
    assert_eq!((sending.counts.sent(), sending.counts.dropped(), sending.counts.connections()), (5, 0, 1));
    assert_eq!(sending.counts.connected(), 0);
}

#[test]
fn a_broker_may_start_late_and_stop_for_a_while() {
    if !have_mosquitto() {
        return;
    }
    let mut broker = Broker::new("allow_anonymous true\n", "");
    let network = Network::to(broker.port);
    network.cut();
    let mut sending = Sending::to(&format!("mqtt://127.0.0.1:{}/hall", network.port));
    sending.put_many(1000, 10_000);
    assert_eq!((sending.counts.sent(), sending.counts.waiting()), (0, 1000));
    broker.begin();
    let subscriber = Subscriber::start(broker.port, "hall", 1, None, &[]);
    network.open();
    sending.wait_until_empty();
    sending.put_many(1000, 10_000);
    // The network breaks while results are on their way.
    network.cut();
    sending.put_many(1000, 10_000);
    network.open();
    sending.put_many(1000, 10_000);
    sending.wait_until_empty();
    // Frozen for a while.
    broker.signal("STOP");
    sending.put_many(1000, 10_000);
    thread::sleep(Duration::from_secs(1));
    broker.signal("CONT");
    sending.wait_until_empty();
    wait_until("all results", || subscriber.in_order().0.values().map(Vec::len).sum::<usize>() == 5000);
    let (cameras, again) = subscriber.in_order();
    assert_all(&cameras, 5000);
    eprintln!("{again} results came twice");
    assert!(again <= 2 * 512, "{again} came twice");
    assert_eq!((sending.counts.sent(), sending.counts.dropped()), (5000, 0));
    sending.finish();
}

/// A broker that ends with a signal and comes back while results flow; what came, in order, and how often something came twice.
fn restarts(signal: &str, qos: u8) -> (Sending, BTreeMap<usize, Vec<u64>>, usize) {
    let mut broker = Broker::start();
    let network = Network::to(broker.port);
    // A broker keeps for those who are away only what came with QoS 1, and only where it can write it down before it ends.
    let is_kept = signal == "TERM" && qos == 1;
    let mut first = Subscriber::start(broker.port, "hall", 1, is_kept.then_some("durable"), &[]);
    let mut sending = Sending::to(&format!("mqtt://127.0.0.1:{}/hall?qos={qos}", network.port));
    sending.put_many(1000, 2000);
    if signal == "KILL" {
        // What a broker has acknowledged and not delivered when it is killed is lost by it, not by us.
        network.cut();
        let received = || first.in_order().0.values().map(Vec::len).sum::<usize>() as u64;
        wait_until("what was acknowledged is there", || received() >= sending.counts.sent());
    }
    broker.end(signal);
    network.cut();
    let mut second = None;
    if !is_kept {
        first.leave();
    }
    sending.put_many(500, 2000);
    broker.begin();
    if !is_kept {
        second = Some(Subscriber::start(broker.port, "hall", 1, None, &[]));
    }
    network.open();
    sending.put_many(1500, 2000);
    sending.wait_until_empty();
    let all = || -> (BTreeMap<usize, Vec<u64>>, usize) {
        let (mut cameras, mut again) = first.in_order();
        if let Some(second) = &second {
            let (more, more_again) = second.in_order();
            again += more_again;
            for (camera, sequences) in more {
                let known = cameras.entry(camera).or_default();
                let last = known.last().copied();
                let new = sequences.iter().filter(|&&sequence| last.is_none_or(|last| sequence > last));
                let before = known.len();
                known.extend(new);
                again += sequences.len() - (known.len() - before);
            }
        }
        (cameras, again)
    };
    let expected = (sending.counts.accepted() - sending.counts.dropped()) as usize;
    wait_until("all results", || all().0.values().map(Vec::len).sum::<usize>() >= expected);
    let (cameras, again) = all();
    (sending, cameras, again)
}

#[test]
fn a_broker_that_restarts_loses_nothing() {
    if !have_mosquitto() {
        return;
    }
    let (mut sending, cameras, again) = restarts("TERM", 1);
    assert_all(&cameras, 3000);
    assert!(again <= 512, "{again} came twice");
    assert_eq!((sending.counts.sent(), sending.counts.dropped(), sending.counts.connections()), (3000, 0, 2));
    sending.finish();
}

#[test]
fn a_broker_that_is_killed_loses_nothing_of_ours() {
    if !have_mosquitto() {
        return;
    }
    let (mut sending, cameras, _) = restarts("KILL", 1);
    assert_all(&cameras, 3000);
    assert_eq!((sending.counts.sent(), sending.counts.dropped(), sending.counts.connections()), (3000, 0, 2));
    sending.finish();
}

#[test]
fn without_acknowledgements_what_may_be_lost_is_counted() {
    if !have_mosquitto() {
        return;
    }
    let (mut sending, cameras, again) = restarts("TERM", 0);
    let received: u64 = cameras.values().map(|sequences| sequences.len() as u64).sum();
    let (sent, unconfirmed) = (sending.counts.sent(), sending.dropped("unconfirmed"));
    eprintln!("received {received}, sent {sent}, unconfirmed {unconfirmed}");
    assert_eq!((sent + unconfirmed, sending.counts.dropped()), (3000, unconfirmed));
    assert!(received >= sent && received <= 3000 && unconfirmed <= 512, "{received} of {sent}");
    assert_eq!(again, 0, "never twice");
    sending.finish();
}

#[test]
fn a_refused_password_can_be_mended_while_running() {
    if !have_mosquitto() || !broker_support::have(&["mosquitto_passwd"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (users, credentials) = (folder.path().join("users"), folder.path().join("credentials"));
    fs::write(&users, "board:right\n").unwrap();
    let hashed = std::process::Command::new("mosquitto_passwd").arg("-U").arg(&users).status().unwrap();
    assert!(hashed.success());
    let mut broker = Broker::new("", &format!("allow_anonymous false\npassword_file {}\n", users.display()));
    broker.begin();
    fs::write(&credentials, "board:wrong\n").unwrap();
    let uri = format!("mqtt://127.0.0.1:{}/hall?credentials={}", broker.port, credentials.display());
    let mut sending = Sending::to(&uri);
    sending.put_many(100, 1000);
    thread::sleep(Duration::from_secs(1));
    assert_eq!((sending.counts.connections(), sending.counts.waiting()), (0, 100));
    fs::write(&credentials, "board:right\n").unwrap();
    let subscriber = Subscriber::start(broker.port, "hall", 1, None, &["-u", "board", "-P", "right"]);
    sending.wait_until_empty();
    wait_until("all results", || subscriber.results() == 100);
    assert_all(&subscriber.in_order().0, 100);
    sending.finish();
}

#[test]
fn a_slow_network_drops_the_oldest_and_keeps_nobody_waiting() {
    if !have_mosquitto() {
        return;
    }
    let broker = Broker::start();
    let network = Network::to(broker.port);
    network.limit(60_000);
    let subscriber = Subscriber::start(broker.port, "hall", 1, None, &[]);
    let mut sending = Sending::to(&format!("mqtt://127.0.0.1:{}/hall?queue=256KiB", network.port));
    let mut slowest = Duration::ZERO;
    // 3 KB each: 25 times of what the network takes.
    for number in 0..1500 {
        let begun = Instant::now();
        sending.put(number % 3, 4);
        slowest = slowest.max(begun.elapsed());
        thread::sleep(Duration::from_millis(2));
    }
    network.limit(0);
    sending.wait_until_empty();
    let dropped = sending.counts.dropped();
    wait_until("all results", || subscriber.results() as u64 + dropped == 1500);
    let (cameras, again) = subscriber.in_order();
    assert_eq!((again, cameras.len()), (0, 3));
    assert_eq!((sending.counts.sent(), sending.dropped("queue")), (1500 - dropped, dropped));
    assert!(dropped > 500, "the network was not slow: {dropped} dropped");
    // The newest are there.
    assert!(cameras.values().all(|sequences| sequences.last() == Some(&499)));
    eprintln!("{dropped} dropped; the slowest put took {slowest:?}");
    assert!(slowest < Duration::from_millis(100), "{slowest:?}");
    sending.finish();
}

#[test]
fn a_result_that_a_broker_refuses_does_not_stop_the_others() {
    if !have_mosquitto() {
        return;
    }
    let mut broker = Broker::new("allow_anonymous true\nmax_packet_size 2000\n", "");
    broker.begin();
    let subscriber = Subscriber::start(broker.port, "hall", 1, None, &[]);
    let mut sending = Sending::to(&format!("mqtt://127.0.0.1:{}/hall", broker.port));
    for number in 0..100 {
        // Ten poses have more than 2000 bytes.
        sending.put(0, if number == 50 { 10 } else { 0 });
    }
    sending.wait_until_empty();
    assert_eq!((sending.counts.sent(), sending.dropped("refused")), (99, 1));
    wait_until("all results", || subscriber.in_order().0[&0].len() == 99);
    assert!(!subscriber.in_order().0[&0].contains(&50));
    sending.finish();
}

/// A server on a port of this machine that does something to every client.
fn server(serve: impl Fn(std::net::TcpStream) + Send + Sync + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let serve = Arc::new(serve);
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let serve = Arc::clone(&serve);
            thread::spawn(move || serve(stream));
        }
    });
    port
}

#[test]
fn what_is_no_broker_does_no_harm() {
    let accept = b"\x20\x02\x00\x00";
    let sends = |bytes: Vec<u8>| {
        move |mut stream: std::net::TcpStream| {
            while stream.write_all(&bytes).is_ok() {
                thread::sleep(Duration::from_millis(1));
            }
        }
    };
    let noise: Vec<u8> =
        (0..65_536_u64).map(|number| (number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect();
    let servers = [
        ("noise", server(sends(noise))),
        ("silence", server(|_| thread::sleep(Duration::from_secs(30)))),
        ("a packet of 256 MB", server(sends(b"\x30\xff\xff\xff\x7f".to_vec()))),
        ("a web server", server(sends(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()))),
        ("closes", server(drop)),
        ("accepts again and again", server(sends(accept.to_vec()))),
        ("accepts and closes", server(move |mut stream| drop(stream.write_all(accept)))),
        (
            "acknowledges everything",
            server(sends([accept.to_vec(), b"\x40\x02\x00\x09\x40\x02\xff\xf0".repeat(100)].concat())),
        ),
        ("answers to nothing", server(sends([&accept[..], b"\xd0\x00"].concat()))),
        (
            "accepts and never reads",
            server(move |mut stream| {
                let _ = stream.write_all(accept);
                thread::sleep(Duration::from_secs(30));
            }),
        ),
        (
            "reads and never acknowledges",
            server(move |mut stream| {
                let _ = stream.write_all(accept);
                let mut bytes = [0; 4096];
                while stream.read(&mut bytes).is_ok_and(|count| count > 0) {}
            }),
        ),
    ];
    let before = resident();
    let begun = Instant::now();
    let mut all: Vec<(&str, Sending)> = servers
        .iter()
        .map(|(name, port)| (*name, Sending::to(&format!("mqtt://127.0.0.1:{port}/hall?queue=256KiB"))))
        .collect();
    for _ in 0..1000 {
        all.iter_mut().for_each(|(_, sending)| sending.put(0, 1));
        thread::sleep(Duration::from_millis(2));
    }
    for (name, sending) in &mut all {
        sending.finish();
        let counts = &sending.counts;
        eprintln!("{name}: {} connections, sent {}, dropped {}", counts.connections(), counts.sent(), counts.dropped());
        assert_eq!((counts.accepted(), counts.waiting()), (1000, 0), "{name}");
        assert_eq!(counts.sent() + counts.dropped(), 1000, "{name}");
        if *name != "acknowledges everything" {
            assert_eq!(counts.sent(), 0, "{name}");
        }
    }
    let grown = resident().saturating_sub(before) >> 20;
    eprintln!("{grown} MiB more after {:?}", begun.elapsed());
    assert!(grown < 32, "{grown} MiB");
}

/// A spool of results that were put in while there was no broker, and what became of them.
fn away(results: u64, options: &str, folder: &Path, room: impl Fn()) -> (Sending, BTreeMap<usize, Vec<u64>>) {
    let broker = Broker::start();
    let network = Network::to(broker.port);
    network.cut();
    let uri = format!("mqtt://127.0.0.1:{}/hall?spool={}&{options}", network.port, folder.display());
    let mut sending = Sending::to(&uri);
    sending.put_many(results, 20_000);
    room();
    let subscriber = Subscriber::start(broker.port, "hall", 1, None, &[]);
    network.open();
    sending.wait_until_empty();
    let expected = results - sending.counts.dropped();
    wait_until("all results", || subscriber.results() as u64 >= expected);
    thread::sleep(Duration::from_millis(200));
    let (cameras, _) = subscriber.in_order();
    assert_eq!(cameras.values().map(|sequences| sequences.len() as u64).sum::<u64>(), expected);
    assert_eq!(sending.counts.sent(), expected);
    (sending, cameras)
}

#[test]
fn an_hour_without_a_broker_is_on_disk() {
    if !have_mosquitto() {
        return;
    }
    // 30 frames a second.
    const HOUR: u64 = 30 * 3600;
    let folder = tempfile::tempdir().unwrap();
    let (mut sending, cameras) = away(HOUR, "spool_mb=100", folder.path(), || {});
    assert_all(&cameras, HOUR);
    assert_eq!(sending.counts.dropped(), 0);
    assert!(sending.counts.spooled() >= HOUR * 9 / 10);
    // A spool that holds only a part of it: the newest.
    let folder = tempfile::tempdir().unwrap();
    let (mut part, cameras) = away(HOUR, "spool_mb=8", folder.path(), || {});
    assert!(part.dropped("spool") > HOUR / 2 && part.dropped("spool") == part.counts.dropped());
    assert!(cameras.values().all(|sequences| *sequences.last().unwrap() == HOUR / 2 - 1));
    let (first, last) = (cameras[&0][0], *cameras[&0].last().unwrap());
    assert_eq!(cameras[&0].len() as u64, last + 1 - first, "no gap");
    sending.finish();
    part.finish();
}

#[test]
fn the_next_run_sends_what_this_one_could_not() {
    if !have_mosquitto() {
        return;
    }
    let broker = Broker::start();
    let network = Network::to(broker.port);
    network.cut();
    let folder = tempfile::tempdir().unwrap();
    let uri = format!("mqtt://127.0.0.1:{}/hall?spool={}", network.port, folder.path().display());
    let mut first = Sending::to(&uri);
    first.put_many(1000, 20_000);
    first.finish();
    assert_eq!((first.counts.waiting(), first.counts.dropped()), (1000, 0));
    let refused = sink::open(&format!("{uri}&spool_mb=0"), &schema(), &sink::Options::default()).err().unwrap();
    assert!(refused.to_string().contains("spool_mb"), "{refused}");
    let subscriber = Subscriber::start(broker.port, "hall", 1, None, &[]);
    network.open();
    let mut second = Sending { next: first.next.clone(), ..Sending::to(&uri) };
    assert!(sink::open(&uri, &schema(), &sink::Options::default()).is_err(), "the spool is in use");
    second.put_many(500, 1000);
    second.wait_until_empty();
    wait_until("all results", || subscriber.results() == 1500);
    assert_all(&subscriber.in_order().0, 1500);
    assert_eq!((second.counts.accepted(), second.counts.sent(), second.counts.dropped()), (1500, 1500, 0));
    second.finish();
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "position and lock: {left:?}");
}

#[test]
fn a_full_disk_drops_the_oldest_and_counts_them() {
    if !have_mosquitto() {
        return;
    }
    if !broker_support::is_root() {
        common::skip("only root can make a small disk");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mount = |arguments: &[&str]| std::process::Command::new("mount").args(arguments).arg(folder.path()).status();
    if !mount(&["-t", "tmpfs", "-o", "size=2m", "tmpfs"]).is_ok_and(|status| status.success()) {
        common::skip("no tmpfs can be mounted here");
        return;
    }
    let unmount = || std::process::Command::new("umount").arg("-l").arg(folder.path()).status().unwrap();
    let filler = folder.path().join("filler");
    let spool = folder.path().join("spool");
    fs::create_dir(&spool).unwrap();
    // Another program has half of the disk, and frees it later.
    fs::write(&filler, vec![0; 1 << 20]).unwrap();
    let result = std::panic::catch_unwind(|| {
        away(40_000, "spool_mb=100&queue=256KiB", &spool, || fs::remove_file(&filler).unwrap())
    });
    unmount();
    let (mut sending, cameras) = result.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    let (dropped, last) = (sending.counts.dropped(), |camera| *cameras[&camera].last().unwrap());
    eprintln!("{:?}", sending.counts.by_loss());
    assert!(dropped > 20_000 && sending.dropped("spool") > 0);
    assert_eq!((last(0), last(1)), (19_999, 19_999), "the newest are there");
    sending.finish();
}

#[test]
#[ignore = "minutes: make test-mqtt"]
fn a_million_results_and_three_restarts() {
    if !have_mosquitto() {
        return;
    }
    const RESULTS: u64 = 1_000_000;
    let mut broker = Broker::start();
    let subscriber = Subscriber::start(broker.port, "hall", 1, Some("durable"), &[]);
    let spool = tempfile::tempdir().unwrap();
    let uri = format!("mqtt://127.0.0.1:{}/hall?spool={}", broker.port, spool.path().display());
    let mut sending = Sending::to(&uri);
    let begun = Instant::now();
    let mut memory = Vec::new();
    for part in 0..20 {
        sending.put_many(if part % 5 == 0 && part > 0 { 40_000 } else { 50_000 }, 20_000);
        if part % 5 == 4 && part < 19 {
            broker.end("TERM");
            sending.put_many(10_000, 20_000);
            broker.begin();
        }
        // Without the numbers that the subscriber's thread has collected.
        let collected = subscriber.results() as u64 * 16;
        memory.push((resident().saturating_sub(collected) >> 10, sending.counts.waiting()));
    }
    wait_at_most(Duration::from_secs(900), "nothing waits", || sending.counts.waiting() == 0);
    let (sent, dropped) = (sending.counts.sent(), sending.counts.dropped());
    let spooled = sending.counts.spooled();
    wait_at_most(Duration::from_secs(900), "all results", || {
        subscriber.in_order().0.values().map(|sequences| sequences.len() as u64).sum::<u64>() + dropped >= RESULTS
    });
    let (cameras, again) = subscriber.in_order();
    let received: u64 = cameras.values().map(|sequences| sequences.len() as u64).sum();
    eprintln!(
        "{RESULTS} results in {:?}: received {received}, dropped {dropped}, sent {sent}, spooled {spooled}, {again} came twice, \
         {} connections; KiB of memory and results that wait, by the twentieth: {memory:?}",
        begun.elapsed(),
        sending.counts.connections()
    );
    assert_eq!((received + dropped, sent), (RESULTS, received));
    assert_eq!(sending.counts.connections(), 4);
    sending.finish();
}
