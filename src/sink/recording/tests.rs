//! What is recorded is what is replayed, within its limits.

use std::path::Path;

use super::*;
use crate::estimator::StageTimes;
use crate::geometry::Size;
use crate::pixels::{Colour, ColourMatrix, ColourRange, ImageView, PixelFormat};
use crate::pose::Poses;
use crate::sink::{Live, RgbCache};
use crate::source::{Frame, Replay, Source, SourceError};

const FORMATS: [PixelFormat; 6] =
    [PixelFormat::Rgb, PixelFormat::Grey, PixelFormat::Yuyv, PixelFormat::Uyvy, PixelFormat::Nv12, PixelFormat::I420];

fn recorder(folder: &Path, options: &str) -> Recorder {
    let uri = format!("{}?{options}", folder.display());
    let limits = Limits::of(Parts::of(&uri)).unwrap();
    Recorder::new(folder, limits, &OutputSchema::default(), &Arc::default()).unwrap()
}

/// Records a frame of a camera.
fn put(recorder: &mut Recorder, image: ImageView<'_>, sequence: u64, camera: usize) -> Result<(), SinkError> {
    let captured = Some(Duration::from_nanos(1_000_000_007 * sequence));
    let instant = Some(recorder.begun + Duration::from_millis(sequence));
    let frame = Frame { image, sequence, captured, instant, name: Some("/dev/video0") };
    let (poses, rgb, times) = (Poses::default(), RgbCache::default(), StageTimes::default());
    let live = Some(Live { camera, ..Live::default() });
    recorder.put(&FrameResult { frame, poses: &poses, times, live, zones: None, rgb: &rgb })
}

fn replay(folder: &Path, options: &str) -> Result<Replay, SourceError> {
    Replay::open(&format!("{}?{options}", folder.display()))
}

/// The numbers of the frames that are replayed.
fn sequences(mut replay: Replay) -> Vec<u64> {
    let mut found = Vec::new();
    while let Some(frame) = replay.next_frame().unwrap() {
        found.push(frame.sequence);
    }
    found
}

fn size_of(folder: &Path) -> u64 {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum()
}

#[test]
fn frames_come_back_as_they_were() {
    let folder = tempfile::tempdir().unwrap();
    let mut images = Vec::new();
    for format in FORMATS {
        for (width, height, gap) in [(6, 4, 0), (5, 3, 0), (8, 2, 6)] {
            let size = Size::new(width, height);
            let stride = format.row_bytes(width).unwrap() + gap;
            let bytes = format.image_bytes(size, stride).unwrap();
            // A buffer of a driver may be longer than its image.
            let data: Vec<u8> = (0..bytes + 9).map(|index| (index * 31 + images.len() * 7) as u8).collect();
            images.push((format, size, stride, data, bytes));
        }
    }
    let colour = Colour { matrix: ColourMatrix::Bt709, range: ColourRange::Full };
    let mut recording = recorder(folder.path(), "");
    for (number, (format, size, stride, data, _)) in images.iter().enumerate() {
        let view = ImageView::new(*format, *size, *stride, data).unwrap().with_colour(colour);
        put(&mut recording, view, 3 * number as u64, 0).unwrap();
    }
    drop(recording);
    let mut source = replay(folder.path(), "speed=max").unwrap();
    assert!(source.live_counts().is_none());
    for (number, (format, size, stride, data, bytes)) in images.iter().enumerate() {
        let frame = source.next_frame().unwrap().unwrap();
        let number = 3 * number as u64;
        assert_eq!((frame.sequence, frame.name, frame.instant), (number, Some("/dev/video0"), None));
        assert_eq!(frame.captured, Some(Duration::from_nanos(1_000_000_007 * number)));
        let image = frame.image;
        assert_eq!((image.format(), image.size(), image.stride(), image.colour()), (*format, *size, *stride, colour));
        assert_eq!(image.data(), &data[..*bytes]);
    }
    assert!(source.next_frame().unwrap().is_none());
}

#[test]
fn jpegs_are_smaller_and_nearly_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let size = Size::new(64, 48);
    let pixel = |index: usize| [index % 64 * 3, index / 64 * 4, 90].map(|value| value as u8);
    let data: Vec<u8> = (0..64 * 48).flat_map(pixel).collect();
    let mut recording = recorder(folder.path(), "format=jpeg");
    put(&mut recording, ImageView::new(PixelFormat::Rgb, size, 3 * 64, &data).unwrap(), 0, 0).unwrap();
    drop(recording);
    assert!(fs::metadata(file(folder.path(), 1, FRAMES)).unwrap().len() < data.len() as u64 / 3);
    let mut source = replay(folder.path(), "speed=max").unwrap();
    let image = source.next_frame().unwrap().unwrap().image;
    assert_eq!((image.format(), image.size()), (PixelFormat::Rgb, size));
    let apart = image.data().iter().zip(&data).map(|(found, expected)| found.abs_diff(*expected)).max();
    assert!(apart.is_some_and(|apart| apart <= 12), "{apart:?}");
}

#[test]
fn live_frames_come_when_they_are_due() {
    let folder = tempfile::tempdir().unwrap();
    let mut recording = recorder(folder.path(), "");
    let view = ImageView::new(PixelFormat::Grey, Size::new(1, 1), 1, &[7]).unwrap();
    // 5 ms and 205 ms after the first.
    for sequence in [1000, 1005, 1205] {
        put(&mut recording, view, sequence, 0).unwrap();
    }
    drop(recording);
    let mut source = replay(folder.path(), "").unwrap();
    assert!(source.live_counts().is_some());
    let (mut due, mut waits) = (Vec::new(), 0);
    loop {
        match source.next_frame() {
            Ok(Some(frame)) => due.push(frame.instant.unwrap()),
            Ok(None) => break,
            Err(SourceError::NotYet) => waits += 1,
            Err(error) => panic!("{error}"),
        }
    }
    let since: Vec<_> = due.iter().map(|instant| (*instant - due[0]).as_millis()).collect();
    assert_eq!(since, [0, 5, 205], "frames are as old as they were");
    assert!(waits > 0, "a wait lets its reader stop");
}

#[test]
fn the_oldest_make_room() {
    let folder = tempfile::tempdir().unwrap();
    let mut recording = recorder(folder.path(), "max=16MiB");
    let (size, data) = (Size::new(1024, 500), vec![9; 512_000]);
    let view = ImageView::new(PixelFormat::Grey, size, 1024, &data).unwrap();
    for sequence in 0..100 {
        put(&mut recording, view, sequence, 0).unwrap();
        assert!(size_of(folder.path()) <= 16 << 20, "{sequence}");
    }
    drop(recording);
    let kept = sequences(replay(folder.path(), "speed=max").unwrap());
    assert_eq!(kept.last(), Some(&99));
    assert!(kept.len() >= 28 && kept.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{kept:?}");
    // Another run counts those of the first, and stays apart from it.
    let mut recording = recorder(folder.path(), "max=16MiB");
    for sequence in 0..4 {
        put(&mut recording, view, sequence, 0).unwrap();
    }
    drop(recording);
    assert!(size_of(folder.path()) <= 16 << 20);
    assert_eq!(sequences(replay(folder.path(), "speed=max").unwrap()), [0, 1, 2, 3]);
    let before = sequences(replay(folder.path(), "speed=max&run=1").unwrap());
    assert!(before.len() < kept.len() && before.last() == Some(&99), "{before:?}");
    assert!(
        replay(folder.path(), "run=3").unwrap_err().to_string().contains("run 3 was asked for, the folder holds 2")
    );
}

#[test]
fn frames_grow_old() {
    let folder = tempfile::tempdir().unwrap();
    let mut recording = recorder(folder.path(), "age=1s");
    let view = ImageView::new(PixelFormat::Grey, Size::new(1, 1), 1, &[7]).unwrap();
    put(&mut recording, view, 0, 0).unwrap();
    std::thread::sleep(Duration::from_millis(100));
    put(&mut recording, view, 1, 0).unwrap();
    assert_eq!(recording.complete.len(), 1, "a sixteenth of the age makes a segment");
    recording.complete[0].ended -= Duration::from_secs(2);
    put(&mut recording, view, 2, 0).unwrap();
    drop(recording);
    assert_eq!(sequences(replay(folder.path(), "speed=max").unwrap()), [1, 2]);
}

#[test]
fn cameras_are_replayed_one_by_one() {
    let folder = tempfile::tempdir().unwrap();
    let mut recording = recorder(folder.path(), "");
    for (sequence, camera) in [(0, 0), (0, 1), (1, 1), (1, 0), (5, 1)] {
        let view = ImageView::new(PixelFormat::Grey, Size::new(1, 1), 1, &[7]).unwrap();
        put(&mut recording, view, sequence, camera).unwrap();
    }
    drop(recording);
    assert_eq!(sequences(replay(folder.path(), "speed=max").unwrap()), [0, 1]);
    assert_eq!(sequences(replay(folder.path(), "speed=max&camera=1").unwrap()), [0, 1, 5]);
}

#[test]
fn what_a_power_failure_leaves_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let mut recording = recorder(folder.path(), "");
    let view = ImageView::new(PixelFormat::Grey, Size::new(2, 2), 2, &[7; 4]).unwrap();
    (0..3).for_each(|sequence| put(&mut recording, view, sequence, 0).unwrap());
    drop(recording);
    let (frames, index) = (file(folder.path(), 1, FRAMES), file(folder.path(), 1, INDEX));
    let whole = fs::read(&index).unwrap();
    fs::write(&index, &whole[..whole.len() - 20]).unwrap();
    assert_eq!(sequences(replay(folder.path(), "speed=max").unwrap()), [0, 1]);
    // The line is there, its image is not.
    fs::write(&index, &whole).unwrap();
    fs::write(file(folder.path(), 2, INDEX), "").unwrap();
    fs::write(file(folder.path(), 3, INDEX), "{\"recording\":1,").unwrap();
    fs::write(&frames, [7; 9]).unwrap();
    let mut source = replay(folder.path(), "speed=max").unwrap();
    for sequence in 0..2 {
        assert_eq!(source.next_frame().unwrap().unwrap().sequence, sequence);
    }
    assert!(source.next_frame().unwrap().is_none());
    let warning = source.next_warning().unwrap().to_string();
    assert!(warning.contains("000001.jsonl: line 4: the image is cut off"), "{warning}");
}

#[test]
fn damage_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let mut recording = recorder(folder.path(), "");
    let view = ImageView::new(PixelFormat::Grey, Size::new(2, 2), 2, &[7; 4]).unwrap();
    put(&mut recording, view, 0, 0).unwrap();
    drop(recording);
    let index = file(folder.path(), 1, INDEX);
    let whole = fs::read_to_string(&index).unwrap();
    let first = |text: String| {
        fs::write(&index, text).unwrap();
        let opened = replay(folder.path(), "speed=max");
        opened.and_then(|mut source| source.next_frame().map(|frame| frame.is_some())).unwrap_err().to_string()
    };
    for (from, to, needle) in [
        ("\"recording\":1", "\"recording\":9", "line 1: version 9 of recordings, expected 1"),
        ("\"recording\"", "\"schema\"", "line 1: not the index of a recording"),
        ("GREY", "GRAY", "line 2: unknown variant `GRAY`"),
        ("[2,2]", "[2,200]", "frame 0: "),
        ("[2,2]", "[18446744073709551615,2]", "frame 0: "),
        ("\"bytes\":4", "\"bytes\":99999999999", "an image of 99999999999 bytes"),
        ("GREY", "JPEG", "frame 0: "),
    ] {
        assert!(whole.contains(from), "{from}: {whole}");
        let error = first(whole.replace(from, to));
        assert!(error.contains(needle), "{to}: {error}");
    }
    assert!(first(format!("{{{}", "x".repeat(1 << 20))).contains("line 1: the line has more than"), "it is not read");
    for (options, needle) in [
        ("speed=2", "expected 1 or max"),
        ("camera=x", "expected a number from 0 on"),
        ("run=0", "expected a number from 1 on"),
        ("loop=1", "use speed, camera and run"),
    ] {
        assert!(replay(folder.path(), options).unwrap_err().to_string().contains(needle), "{options}");
    }
    let empty = tempfile::tempdir().unwrap();
    assert!(replay(empty.path(), "").unwrap_err().to_string().contains("no recording in this folder"));
}

#[test]
fn other_files_and_other_programs_are_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let open = |options: &str| {
        open(&format!("{}{options}", folder.path().display()), &OutputSchema::default(), &Arc::default())
    };
    let first = open("").unwrap();
    assert!(matches!(open(""), Err(SinkError::Open { .. } | SinkError::InUse { .. })), "another records into it");
    drop(first);
    open("?max=1GiB&age=2h&format=raw").unwrap();
    for (options, needle) in [
        ("?max=1MiB", "from 16MiB on"),
        ("?age=5", "30min"),
        ("?format=png", "raw or jpeg"),
        ("?keep=1", "no option `keep`"),
    ] {
        assert!(open(options).err().unwrap().to_string().contains(needle), "{options}");
    }
    fs::write(folder.path().join("holiday.jpg"), "").unwrap();
    let error = open("").err().unwrap().to_string();
    assert!(error.contains("holiday.jpg") && error.contains("of no recording"), "{error}");
}

/// A file system of its own, if this machine lets one be mounted.
struct Small(tempfile::TempDir);

impl Small {
    fn mount(size: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mut mount = std::process::Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={size}"), "sinew-test"]).arg(folder.path());
        mount.stderr(std::process::Stdio::null());
        mount.status().is_ok_and(|status| status.success()).then_some(Self(folder))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg(self.0.path()).status();
    }
}

#[test]
fn a_full_disk_ends_nothing() {
    let Some(disk) = Small::mount("2m") else {
        eprintln!("skipped: a full disk needs a file system of its own, which only root may mount");
        return;
    };
    let folder = disk.0.path().join("recording");
    let dropped = Arc::<DroppedLines>::default();
    let limits = Limits { bytes: 16 << 20, age: None, jpeg: false };
    let mut recording = Recorder::new(&folder, limits, &OutputSchema::default(), &dropped).unwrap();
    let (size, data) = (Size::new(1000, 300), vec![9; 300_000]);
    let view = ImageView::new(PixelFormat::Grey, size, 1000, &data).unwrap();
    // The disk is full within a segment; later segments make room for each other.
    (0..20).for_each(|sequence| put(&mut recording, view, sequence, 0).unwrap());
    assert_eq!(dropped.disk(), 0, "the oldest frames make room");
    let kept = sequences(replay(&folder, "speed=max").unwrap());
    assert_eq!(kept.last(), Some(&19));
    // Another program takes the rest.
    recording.end_segment();
    while recording.delete_oldest() {}
    let other = disk.0.path().join("other");
    let mut others = fs::File::create(&other).unwrap();
    while others.write_all(&[1; 4096]).is_ok() {}
    (20..23).for_each(|sequence| put(&mut recording, view, sequence, 0).unwrap());
    assert_eq!(dropped.disk(), 3);
    drop(others);
    fs::remove_file(other).unwrap();
    recording.full_since = None;
    put(&mut recording, view, 23, 0).unwrap();
    drop(recording);
    let kept = sequences(replay(&folder, "speed=max").unwrap());
    assert_eq!(kept, [23]);
    for number in segments(&folder).unwrap() {
        let results = fs::read_to_string(file(&folder, number, RESULTS)).unwrap();
        assert!(results.is_empty() || results.ends_with('\n'), "whole lines only");
    }
}
