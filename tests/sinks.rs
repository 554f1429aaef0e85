//! Sinks with readers that connect, leave, sleep and misbehave.

mod counting;
mod sinks_support;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::thread;
use std::time::Duration;

use counting::allocations;
use serde_json::Value;
use sinew::geometry::Size;
use sinew::sink::{self, OutputSchema, Sink, SinkError};
use sinks_support::{Shown, grey, poses, put, schema};

const SMALL: Size = Size::new(16, 8);

fn open(uri: &str) -> Result<Box<dyn Sink>, SinkError> {
    sink::open(uri, &schema(), &sink::Options::default())
}

fn uri(kind: &str, path: &Path) -> String {
    format!("{kind}:{}", path.display())
}

/// The numbers of the frames in these lines, all of which must be whole; a header comes first.
#[track_caller]
fn numbers(text: &str) -> Vec<u64> {
    assert!(text.ends_with('\n'), "half a line at the end");
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0]["bundle"], "played");
    lines[1..].iter().map(|line| line["sequence"].as_u64().unwrap()).collect()
}

fn rest(mut stream: impl std::io::Read) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn readers_get_the_same_lines_from_when_they_come() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("poses");
    let mut sink = open(&uri("unix", &path)).unwrap();
    put(sink.as_mut(), 0..2, 1);
    let early = [UnixStream::connect(&path).unwrap(), UnixStream::connect(&path).unwrap()];
    put(sink.as_mut(), 2..6, 1);
    let late = UnixStream::connect(&path).unwrap();
    put(sink.as_mut(), 6..9, 1);
    let last = UnixStream::connect(&path).unwrap();
    sink.finish().unwrap();
    drop(sink);
    assert!(!path.exists(), "the socket is removed");
    let [first, second] = early.map(rest);
    assert_eq!(first, second);
    assert_eq!(numbers(&first), [2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(numbers(&rest(late)), [6, 7, 8]);
    assert!(numbers(&rest(last)).is_empty(), "a reader that connects at the end still gets the header");
}

#[test]
fn a_reader_that_sleeps_loses_whole_lines_and_others_none() {
    const FRAMES: u64 = 150;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("poses");
    let mut sink = open(&uri("unix", &path)).unwrap();
    let sleeping = UnixStream::connect(&path).unwrap();
    let mut awake = BufReader::new(UnixStream::connect(&path).unwrap());
    let mut read = String::new();
    // Thirty poses are a line of 10 kB or more: together more than any buffer holds.
    for number in 0..FRAMES {
        put(sink.as_mut(), number..number + 1, 30);
        for _ in 0..if number == 0 { 2 } else { 1 } {
            awake.read_line(&mut read).unwrap();
        }
    }
    assert!(read.len() > 1 << 20, "{} bytes", read.len());
    assert_eq!(numbers(&read), (0..FRAMES).collect::<Vec<_>>());
    // It wakes up.
    let woken = thread::spawn(move || rest(sleeping));
    for number in FRAMES..FRAMES + 20 {
        thread::sleep(Duration::from_millis(10));
        put(sink.as_mut(), number..number + 1, 1);
    }
    drop(sink);
    let seen = numbers(&woken.join().unwrap());
    assert!(seen.is_sorted_by(|a, b| a < b));
    assert!(seen.len() < FRAMES as usize, "lines were dropped");
    assert_eq!(seen[..5], [0, 1, 2, 3, 4], "what fitted was kept");
    assert_eq!(seen.last(), Some(&(FRAMES + 19)), "it goes on when the reader has woken up");
}

#[test]
fn a_reader_that_sleeps_through_another_header_gets_it_before_the_next_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("poses");
    let mut sink = open(&uri("unix", &path)).unwrap();
    let sleeping = UnixStream::connect(&path).unwrap();
    put(sink.as_mut(), 0..150, 30);
    // Its name makes this header longer than the room that the lines have left.
    for bundle in ["passed over", "new"] {
        let name = format!("{bundle} {}", "-".repeat(20_000));
        sink.describe(&OutputSchema { bundle: name, ..schema() }).unwrap();
    }
    let woken = thread::spawn(move || rest(sleeping));
    for number in 150..170 {
        thread::sleep(Duration::from_millis(10));
        put(sink.as_mut(), number..number + 1, 1);
    }
    drop(sink);
    let text = woken.join().unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let is_old = |line: &&Value| line["sequence"].as_u64().is_some_and(|number| number < 150);
    let old = lines[1..].iter().take_while(is_old).count();
    let bundles: Vec<_> = lines.iter().filter_map(|line| line["bundle"].as_str()).collect();
    assert!(bundles.len() == 2 && bundles[1].starts_with("new"), "{} headers", bundles.len());
    assert!(lines[old + 1].get("bundle").is_some(), "it precedes the first line that it describes");
}

#[test]
fn a_socket_that_is_moved_or_deleted_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let (path, moved) = (folder.path().join("poses"), folder.path().join("moved"));
    let mut sink = open(&uri("unix", &path)).unwrap();
    let first = UnixStream::connect(&path).unwrap();
    put(sink.as_mut(), 0..2, 1);
    fs::remove_file(&path).unwrap();
    put(sink.as_mut(), 2..3, 1);
    let second = UnixStream::connect(&path).unwrap();
    put(sink.as_mut(), 3..4, 1);
    fs::rename(&path, &moved).unwrap();
    // A file of another program is left alone.
    fs::write(&path, "another's").unwrap();
    put(sink.as_mut(), 4..5, 1);
    assert_eq!(fs::read(&path).unwrap(), b"another's");
    fs::remove_file(&path).unwrap();
    put(sink.as_mut(), 5..6, 1);
    let third = UnixStream::connect(&path).unwrap();
    put(sink.as_mut(), 6..8, 1);
    drop(sink);
    assert!(!path.exists());
    assert_eq!(numbers(&rest(first)), (0..8).collect::<Vec<_>>());
    assert_eq!(numbers(&rest(second)), (3..8).collect::<Vec<_>>());
    assert_eq!(numbers(&rest(third)), [6, 7]);
}

#[test]
fn a_reader_that_dies_ends_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("poses");
    let mut sink = open(&uri("unix", &path)).unwrap();
    let dying = UnixStream::connect(&path).unwrap();
    let other = UnixStream::connect(&path).unwrap();
    put(sink.as_mut(), 0..3, 1);
    drop(dying);
    put(sink.as_mut(), 3..9, 1);
    sink.finish().unwrap();
    drop(sink);
    assert_eq!(numbers(&rest(other)), (0..9).collect::<Vec<_>>());
}

#[test]
fn so_many_readers_and_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("poses");
    let mut sink = open(&uri("unix", &path)).unwrap();
    let readers: Vec<_> = (0..20).map(|_| UnixStream::connect(&path).unwrap()).collect();
    put(sink.as_mut(), 0..3, 1);
    drop(sink);
    let texts: Vec<_> = readers.into_iter().map(rest).collect();
    assert!(texts[..16].iter().all(|text| numbers(text) == [0, 1, 2]));
    assert!(texts[16..].iter().all(String::is_empty));
}

#[test]
fn only_a_dead_socket_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("poses");
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists(), "it was not removed");
    let sink = open(&uri("unix", &path)).unwrap();
    UnixStream::connect(&path).unwrap();
    let refused = open(&uri("unix", &path)).err().unwrap();
    assert!(matches!(refused, SinkError::SocketInUse { .. }), "{refused}");
    // Another file takes its place: that is not removed.
    fs::remove_file(&path).unwrap();
    fs::write(&path, "mine").unwrap();
    drop(sink);
    assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
    let refused = open(&uri("unix", &path)).err().unwrap();
    assert!(matches!(refused, SinkError::NoSocket { .. }), "{refused}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
    assert!(matches!(open("unix:/no/such/folder/x").err().unwrap(), SinkError::Open { .. }));
}

#[test]
fn lines_for_readers_and_files_allocate_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("poses");
    let mut sink = open(&uri("unix", &path)).unwrap();
    let _sleeping = UnixStream::connect(&path).unwrap();
    let awake = UnixStream::connect(&path).unwrap();
    let reading = thread::spawn(move || rest(awake));
    let (image, poses) = (grey(SMALL, 0), poses(30));
    let shown = Shown { image: &image, poses: &poses, ..Shown::default() };
    (0..50).for_each(|number| shown.put(sink.as_mut(), number));
    assert_eq!(allocations(|| (50..150).for_each(|number| shown.put(sink.as_mut(), number))), 0);
    drop(sink);
    assert!(!reading.join().unwrap().is_empty());

    let mut sink = open(&uri("jsonl", &folder.path().join("poses.jsonl"))).unwrap();
    (0..3).for_each(|number| shown.put(sink.as_mut(), number));
    assert_eq!(allocations(|| (3..150).for_each(|number| shown.put(sink.as_mut(), number))), 0);
}

#[test]
fn files_rotate_between_lines() {
    const FRAMES: u64 = 200;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("poses.jsonl");
    let read = |suffix: &str| fs::read_to_string(format!("{}{suffix}", path.display())).ok();
    let mut sink = open(&format!("{}?rotate=4KiB&keep=100", uri("jsonl", &path))).unwrap();
    put(sink.as_mut(), 0..FRAMES, 2);
    sink.finish().unwrap();
    drop(sink);
    let mut files: Vec<String> = (1..).map_while(|number| read(&format!(".{number}"))).collect();
    files.reverse();
    files.push(read("").unwrap());
    assert!(files.len() > 10, "{} files", files.len());
    assert!(files.iter().all(|file| file.len() <= 4096));
    assert!(files[..files.len() - 1].iter().all(|file| file.len() > 4096 / 2), "files are filled");
    let all: Vec<u64> = files.iter().flat_map(|file| numbers(file)).collect();
    assert_eq!(all, (0..FRAMES).collect::<Vec<_>>());

    // Another run rotates what is there with its first line, and keeps less.
    let mut sink = open(&format!("{}?rotate=4KiB&keep=2", uri("jsonl", &path))).unwrap();
    assert_eq!(read(""), files.last().cloned());
    put(sink.as_mut(), 0..1, 2);
    assert_eq!(read(".1"), files.last().cloned());
    put(sink.as_mut(), 1..FRAMES, 2);
    drop(sink);
    let kept: Vec<u64> = [".2", ".1", ""].iter().flat_map(|suffix| numbers(&read(suffix).unwrap())).collect();
    assert_eq!(kept, (FRAMES - kept.len() as u64..FRAMES).collect::<Vec<_>>());
    assert_eq!(read(".3").as_ref(), files.get(files.len() - 4), "files beyond the number are left alone");
}

#[test]
fn without_rotation_a_file_is_written_anew() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("poses.jsonl");
    for frames in [5, 3] {
        let mut sink = open(&uri("jsonl", &path)).unwrap();
        put(sink.as_mut(), 0..frames, 1);
        drop(sink);
        assert_eq!(numbers(&fs::read_to_string(&path).unwrap()), (0..frames).collect::<Vec<_>>());
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    for wrong in ["rotate=x", "keep=2", "rotate=1MiB&keep=0", "size=3"] {
        let refused = open(&format!("{}?{wrong}", uri("jsonl", &path))).err().unwrap();
        assert!(matches!(refused, SinkError::Option { .. }), "{refused}");
    }
    assert!(matches!(open("jsonl:-?rotate=1MiB").err().unwrap(), SinkError::Option { .. }));
    assert!(matches!(open("jsonl:/dev/null?rotate=1MiB").err().unwrap(), SinkError::Option { .. }));
}
