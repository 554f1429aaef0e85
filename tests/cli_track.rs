//! `sinew track` and `sinew eval --metric track` from outside.

mod cli_support;
mod engine_support;

use std::fmt::Write as _;
use std::path::Path;

use cli_support::{ended, sinew, spots, text};
use engine_support::{image, person};
use serde_json::{Value, json};
use sinew::geometry::Size;

/// Two people that walk towards each other, as result lines without identities.
fn lines() -> String {
    let mut text = "{\"schema\":1,\"sinew\":\"0\",\"keypoints\":[\"a\",\"b\",\"c\",\"d\"]}\n".to_owned();
    for frame in 0..30 {
        let pose = |x: f64, height: f64| {
            let points: Vec<String> =
                (0..4).map(|k| format!("[{},{},0.9]", x + f64::from(k % 2) * 20.0, height * f64::from(k))).collect();
            format!("{{\"score\":0.8,\"keypoints\":[{}],\"box\":[0,0,1,1]}}", points.join(","))
        };
        let step = f64::from(frame);
        let poses = format!("{},{}", pose(100.0 + 9.0 * step, 30.0), pose(400.0 - 9.0 * step, 60.0));
        let _ = writeln!(text, "{{\"sequence\":{frame},\"captured\":{},\"poses\":[{poses}],\"more\":1}}", 0.1 * step);
    }
    text
}

#[test]
fn lines_get_identities_and_the_same_again() {
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (folder.path().join("in.jsonl"), folder.path().join("out.jsonl"));
    std::fs::write(&input, lines()).unwrap();
    let run = || {
        let arguments = ["track", input.to_str().unwrap(), "--out", output.to_str().unwrap()];
        ended(sinew(&arguments).output().unwrap()).expect(0).says(&["30 frames, 2 identities"]);
        std::fs::read_to_string(&output).unwrap()
    };
    let first = run();
    assert_eq!(first, run(), "deterministic");
    let found: Vec<Value> = first.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(found.len(), 31);
    for line in &found[3..] {
        let ids: Vec<u64> = line["poses"].as_array().unwrap().iter().map(|pose| pose["id"].as_u64().unwrap()).collect();
        assert_eq!(ids, [1, 2], "they pass each other");
        assert_eq!(line["more"], 1);
    }
    assert_eq!(found[30]["poses"][0]["seen"], 30);
}

#[test]
fn zones_and_lines_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("in.jsonl");
    std::fs::write(&input, lines()).unwrap();
    // One walks from 100 to 381 with feet at 90, the other from 420 to 139 with feet at 180.
    let (zone, line) = ("left=0,0,200,0,200,400,0,400", "middle=250,400,250,0");
    let arguments = ["track", input.to_str().unwrap(), "--no-smooth", "--zone", zone, "--line", line];
    let text = ended(sinew(&arguments).output().unwrap()).expect(0).stdout;
    let found: Vec<Value> = text.lines().skip(1).map(|line| serde_json::from_str(line).unwrap()).collect();
    let last = &found[29];
    assert_eq!(last["zones"], serde_json::json!([{"name": "left", "inside": 1, "entered": 2, "left": 1, "lost": 0}]));
    assert_eq!(last["lines"], serde_json::json!([{"name": "middle", "right": 1, "left": 1}]));
    let events: Vec<&Value> = found.iter().flat_map(|line| line["events"].as_array().unwrap()).collect();
    let of = |event: &str| {
        events.iter().filter(|found| found["event"] == event).map(|found| found["id"].as_u64()).collect::<Vec<_>>()
    };
    // Seen upwards, the right-hand side has the larger columns.
    assert_eq!(
        [of("enter"), of("leave"), of("right"), of("left")],
        [vec![Some(1), Some(2)], vec![Some(1)], vec![Some(1)], vec![Some(2)]]
    );
    // Tracked again, the old counts do not stay.
    std::fs::write(&input, &text).unwrap();
    let again = ended(sinew(&arguments).output().unwrap()).expect(0).stdout;
    assert_eq!(again, text);
    let wrong = ["track", input.to_str().unwrap(), "--zone", "a=1,2,3"];
    ended(sinew(&wrong).output().unwrap()).expect(2).says(&["--zone a=1,2,3", "every point has two"]);
}

/// A frame of y4m in 4:2:0, BT.601 in limited range. Colours change at even columns and rows only.
fn y4m_frame(size: Size, rgb: &[u8]) -> Vec<u8> {
    let pixel = |x: usize, y: usize| [0, 1, 2].map(|channel| f32::from(rgb[3 * (y * size.width + x) + channel]));
    let plane = |step: usize, [r, g, b]: [f32; 3], base: f32| {
        let value = move |x, y| {
            let [red, green, blue] = pixel(x, y);
            (base + (r * red + g * green + b * blue) / 255.0).round() as u8
        };
        let rows = (0..size.height).step_by(step);
        rows.flat_map(|y| (0..size.width).step_by(step).map(move |x| value(x, y))).collect::<Vec<u8>>()
    };
    let luma = plane(1, [65.481, 128.553, 24.966], 16.0);
    let chroma = [plane(2, [-37.797, -74.203, 112.0], 128.0), plane(2, [112.0, -93.786, -18.214], 128.0)];
    [b"FRAME\n".to_vec(), luma, chroma.concat()].concat()
}

/// From frames to counts: a person who stands for a while, walks to the right out of a zone and over a line, and is gone.
#[test]
fn a_run_counts_zones_and_lines() {
    let (folder, size) = (tempfile::tempdir().unwrap(), Size::new(128, 64));
    let mut film = b"YUV4MPEG2 W128 H64 F5:1 C420jpeg\n".to_vec();
    for frame in 0..40 {
        let column = 6 + frame.clamp(6, 36) / 2;
        let shown = if frame < 36 { image(size, &person(column, 8)) } else { image(size, &[]) };
        film.extend(y4m_frame(size, shown.data()));
    }
    let path = folder.path().join("film.y4m");
    std::fs::write(&path, film).unwrap();
    let (model, zone, line) = (spots(), "left=0,0,64,0,64,64,0,64", "gate=80,64,80,0");
    let run = |more: &[&str]| {
        let arguments = ["run", "--model", &model, "--level", "none", "--threads", "1", "--source", text(&path)];
        ended(sinew(&[&arguments, more].concat()).output().unwrap())
    };
    let lines = run(&["--zone", zone, "--line", line, "--track-max-missing", "2"]).expect(0).lines();
    assert_eq!(lines.len(), 41);
    let events: Vec<&Value> = lines[1..].iter().flat_map(|line| line["events"].as_array().unwrap()).collect();
    let expected = [
        json!({"zone": "left", "id": 1, "event": "enter"}),
        json!({"zone": "left", "id": 1, "event": "leave"}),
        json!({"line": "gate", "id": 1, "event": "right"}),
    ];
    assert_eq!(events, expected.iter().collect::<Vec<_>>());
    assert_eq!(lines[40]["zones"], json!([{"name": "left", "inside": 0, "entered": 1, "left": 1, "lost": 0}]));
    assert_eq!(lines[40]["lines"], json!([{"name": "gate", "right": 1, "left": 0}]));
    assert!(lines[1..37].iter().all(|line| line["poses"].as_array().unwrap().len() == 1), "one person");
    // Without tracking nobody has an identity, so there is nothing to count.
    run(&["--zone", zone, "--no-track"]).expect(2).says(&["--no-track"]);
}

#[test]
fn what_is_wrong_is_said_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("in.jsonl");
    let input_name = input.to_str().unwrap();
    std::fs::write(&input, format!("{}{{\"poses\":[{{}}]}}\n", lines())).unwrap();
    ended(sinew(&["track", input_name]).output().unwrap()).expect(2).says(&["in.jsonl:32:", "keypoints"]);
    ended(sinew(&["track", input_name, "--out", input_name]).output().unwrap()).expect(2).says(&["is an input"]);
    ended(sinew(&["track", input_name, "--track-iou-thr", "3"]).output().unwrap()).expect(2).says(&["track_iou_thr"]);
    ended(sinew(&["track", "nowhere.jsonl"]).output().unwrap()).expect(2).says(&["nowhere.jsonl", "cannot be read"]);
    std::fs::write(&input, "{\"sinew\":\"0\"}\n").unwrap();
    ended(sinew(&["track", input_name]).output().unwrap()).expect(2).says(&["no line with poses"]);
}

#[test]
fn tracks_are_measured_against_known_ones() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/track");
    let file = |name: &str| data.join(name).to_str().unwrap().to_owned();
    let (truth, tracks) = (file("mixed-gt.txt"), file("mixed-tracks.txt"));
    let of = ["eval", "--metric", "track", "--json", "--truth", &truth, "--tracks", &tracks];
    let report = ended(sinew(&of).output().unwrap()).expect(0).json();
    let expected: Value = serde_json::from_str(&std::fs::read_to_string(data.join("expected.json")).unwrap()).unwrap();
    for key in ["hota", "mota", "idf1"] {
        let (found, expected) = (report[key].as_f64().unwrap(), expected["mixed"][key].as_f64().unwrap());
        assert!((found - expected).abs() < 1e-6, "{key}: {found}, {expected}");
    }
    ended(sinew(&of[..4]).output().unwrap()).expect(2).says(&["--truth"]);
}
