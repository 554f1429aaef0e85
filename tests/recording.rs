//! `sinew run --record` and `--source replay:`: the same frames give the same results, and `sinew diff` sees what changed.

mod cli_support;

use std::fs;
use std::path::Path;

use cli_support::{Ended, json_lines, root, run, text};
use serde_json::{Value, json};
use sinew::geometry::Size;
use sinew::pixels::{Limits, read_image};
use sinew::pixels::{PixelFormat, to_rgb};

const FRAMES: usize = 8;
const SIZE: Size = Size::new(240, 240);

/// A grey video in which a photograph moves.
fn clip(path: &Path) {
    let image = read_image(&root("tests/data/people/000.jpg"), &Limits::default()).unwrap();
    let mut rgb = Vec::new();
    to_rgb(image.view(), &mut rgb);
    let whole = image.size();
    assert!(whole.width >= SIZE.width + 2 * FRAMES && whole.height >= SIZE.height, "{whole}");
    let mut bytes = format!("YUV4MPEG2 W{} H{} F10:1 Cmono\n", SIZE.width, SIZE.height).into_bytes();
    for frame in 0..FRAMES {
        bytes.extend(b"FRAME\n");
        for row in 0..SIZE.height {
            let start = row * whole.width + 2 * frame;
            bytes.extend((start..start + SIZE.width).map(|pixel| rgb[3 * pixel + 1]));
        }
    }
    fs::write(path, bytes).unwrap();
    assert_eq!(image.format(), PixelFormat::Rgb);
}

fn poses(source: &str, out: &Path, more: &[&str]) -> Ended {
    let sink = format!("jsonl:{}", out.display());
    run(&[&["run", "--model", "logocap-tiny", "--source", source, "--sink", &sink], more].concat())
}

fn frames(path: &Path) -> Vec<Value> {
    let lines = json_lines(&fs::read_to_string(path).unwrap());
    lines.into_iter().filter(|line| line.get("sequence").is_some()).collect()
}

#[test]
fn a_replay_gives_the_results_of_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let (film, first, again) = (at("film.y4m"), at("first.jsonl"), at("again.jsonl"));
    clip(&film);
    let recording = at("recording");
    poses(text(&film), &first, &["--record", text(&recording)]).expect(0);
    let expected = frames(&first);
    assert_eq!(expected.len(), FRAMES);
    assert!(expected.iter().any(|frame| frame["poses"][0]["id"].is_number()), "there is someone to follow");

    let fast = format!("replay:{}?speed=max", recording.display());
    poses(&fast, &again, &[]).expect(0);
    let found = frames(&again);
    for (found, expected) in found.iter().zip(&expected) {
        for key in ["sequence", "name", "captured", "image", "poses"] {
            assert_eq!(found[key], expected[key], "{key}");
        }
    }
    run(&["diff", text(&first), text(&again)]).expect(0);
    let kept = recording.join("000001.results.jsonl");
    run(&["diff", text(&first), text(&kept), "--pixels", "0", "--score", "0"]).expect(0);

    // One keypoint is elsewhere.
    let mut lines = json_lines(&fs::read_to_string(&again).unwrap());
    let line = lines.iter_mut().find(|line| line["poses"][0]["keypoints"][3].is_array()).unwrap();
    let x = &mut line["poses"][0]["keypoints"][3][0];
    *x = json!(x.as_f64().unwrap() + 2.0);
    fs::write(&again, lines.iter().map(|line| format!("{line}\n")).collect::<String>()).unwrap();
    let done = run(&["diff", text(&first), text(&again)]).expect(1);
    assert!(
        done.stdout.contains("left_ear is 2.000 px apart") && done.stdout.contains("1 differences"),
        "{}",
        done.stdout
    );

    // A recording is not recorded into itself, nor are results written over it.
    poses(&fast, &at("other.jsonl"), &["--record", text(&recording)]).expect(2).says(&["is an input"]);
    poses(&fast, &kept, &[]).expect(2).says(&["is an input"]);
    let inside = recording.join("000002.jsonl");
    poses(text(&film), &inside, &["--record", text(&recording)]).expect(2);
    run(&["diff", text(&first), text(&kept)]).expect(0);
}

#[test]
fn a_replay_may_be_live() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let (film, first, again, recording) = (at("film.y4m"), at("first.jsonl"), at("again.jsonl"), at("recording"));
    clip(&film);
    poses(text(&film), &first, &["--no-track", "--record", text(&recording)]).expect(0);
    let expected = frames(&first);
    poses(&format!("replay:{}", recording.display()), &again, &["--no-track"]).expect(0);
    let found = frames(&again);
    assert!(!found.is_empty());
    for line in found {
        let sequence = line["sequence"].as_u64().unwrap() as usize;
        assert_eq!(line["poses"], expected[sequence]["poses"]);
        assert_eq!(line["camera"], 0);
        assert!(line["age"].as_f64().unwrap() < 60.0);
        // After 2020, and before 2100.
        assert!((1.577e9..4.1e9).contains(&line["captured_utc"].as_f64().unwrap()));
    }
    let header = json_lines(&fs::read_to_string(&again).unwrap()).remove(0);
    assert!(header["host"].is_string(), "{header}");
}
