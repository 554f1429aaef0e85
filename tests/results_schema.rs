//! Every kind of output line, held against `docs/schema/results.schema.json`.

mod cli_support;
mod common;
mod engine_support;
mod sinks_support;

use std::time::Duration;

use cli_support::{root, run, run_with_input, spots, text, write_png};
use common::schema::{assert_valid, faults, schema as json_schema};
use engine_support::{image, person};
use serde_json::{Value, json};
use sinew::estimator::StageTimes;
use sinew::geometry::Size;
use sinew::pose::{Identity, Pose, Poses};
use sinew::sink::jsonl::JsonLines;
use sinew::sink::{
    Category, FrameResult, Live, NamedLine, NamedZone, OutputSchema, RgbCache, Sink as _, ZoneCounter, ZoneSetup,
};
use sinew::source::Frame;
use sinew::track::zones::{Line, Zone};
use sinks_support::{grey, poses, schema};

/// The lines of frames with these properties.
fn lines(
    schema: &OutputSchema,
    poses: &Poses,
    times: StageTimes,
    live: Option<Live>,
    captured: Option<Duration>,
) -> String {
    let mut written = Vec::new();
    let mut sink = JsonLines::new(&mut written, "memory", schema).unwrap();
    let image = grey(Size::new(64, 48), 0);
    for sequence in [3, 4, 9] {
        let name = live.is_none().then_some("a \"quoted\" \u{1b} name.jpg");
        let frame = Frame { image: image.view(), sequence, captured, instant: None, name };
        sink.put(&FrameResult { frame, poses, times, live, zones: None, rgb: &RgbCache::default() }).unwrap();
    }
    sink.finish().unwrap();
    drop(sink);
    String::from_utf8(written).unwrap()
}

/// A line with zones, in one of which everybody is.
fn zone_line(tracked: &Poses) -> String {
    let zone = Zone::new(&[(-9e3, -9e3), (9e3, -9e3), (9e3, 9e3), (-9e3, 9e3)]).unwrap();
    let line = Line::new((0.0, 0.0), (5.0, 5.0)).unwrap();
    let setup = ZoneSetup {
        zones: vec![NamedZone { name: "all".to_owned(), zone }],
        lines: vec![NamedLine { name: "gate".to_owned(), line }],
        ..ZoneSetup::default()
    };
    let mut counter = ZoneCounter::new(&setup.into()).unwrap();
    counter.update(tracked, |_| true);
    let mut written = Vec::new();
    let mut sink = JsonLines::new(&mut written, "memory", &schema()).unwrap();
    let image = grey(Size::new(64, 48), 0);
    let frame = Frame { image: image.view(), sequence: 0, captured: None, instant: None, name: None };
    let (times, rgb) = (StageTimes::default(), RgbCache::default());
    sink.put(&FrameResult { frame, poses: tracked, times, live: None, zones: Some(&counter), rgb: &rgb }).unwrap();
    drop(sink);
    let text = String::from_utf8(written).unwrap();
    assert!(
        text.contains("\"zones\":[{\"name\":\"all\",\"inside\":2,") && text.contains("\"event\":\"enter\""),
        "{text}"
    );
    text
}

#[test]
fn simulated_lines_of_every_kind() {
    use sinew::bundle::logocap::Refinement;

    let times = StageTimes { network: Duration::from_micros(1234), ..StageTimes::default() };
    let second = Some(Duration::from_millis(1001));
    assert_valid(&lines(&schema(), &poses(3), times, None, None));
    assert_valid(&lines(&schema(), &poses(0), times, None, second));
    for age in [None, Some(Duration::from_micros(41_007))] {
        for camera in [0, 7] {
            assert_valid(&lines(&schema(), &poses(1), times, Some(Live { age, camera, captured_utc: age }), second));
        }
    }
    for level in [Refinement::None, Refinement::Partial, Refinement::Full] {
        assert_valid(&lines(&schema(), &poses(1), StageTimes { level: Some(level), ..times }, None, None));
    }
    let mut tracked = poses(2);
    for (number, pose) in tracked.list.iter_mut().enumerate() {
        pose.identity = Some(Identity { id: number as u32 + 1, age: Duration::from_millis(40), seen: 2 });
    }
    assert_valid(&lines(&schema(), &tracked, times, None, None));
    assert_valid(&zone_line(&tracked));
    let mut empty = Poses::default();
    let _ = empty.list.push(Pose::default());
    assert_valid(&lines(&schema(), &empty, times, None, None));
    let category = |name: &str| Category { name: name.to_owned(), ..schema().categories[0].clone() };
    let templates = OutputSchema { templates: true, categories: vec![category("cup"), category("jug")], ..schema() };
    let mut of_templates = poses(2);
    of_templates.list[1].template = 1;
    let text = lines(&templates, &of_templates, times, None, None);
    assert_valid(&text);
    assert!(text.contains("\"template\":\"jug\"") && text.contains("\"templates\":[{"), "{text}");
}

#[test]
fn lines_of_the_program() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.png");
    write_png(&path, Size::new(64, 64), image(Size::new(64, 64), &person(8, 8)).data());
    let (model, source) = (spots(), text(&path));
    let fixed = ["run", "--model", &model, "--threads", "1", "--backend", "tract", "--source"];
    assert_valid(&run(&[&fixed[..], &[source]].concat()).expect(0).stdout);
    assert_valid(&run(&[&fixed[..], &[source, "--deadline", "1000s"]].concat()).expect(0).stdout);
    assert_valid(&run(&[&fixed[..], &[source, "--threshold", "0.99"]].concat()).expect(0).stdout);
    let mut video = b"YUV4MPEG2 W64 H48 F25:1 Cmono\n".to_vec();
    for _ in 0..3 {
        video.extend(b"FRAME\n");
        video.extend([128; 64 * 48]);
    }
    let done = run_with_input(&[&fixed[..], &["-"]].concat(), &video).expect(0);
    assert_valid(&done.stdout);
    let lines = done.lines();
    assert_eq!(lines[0]["units"], json!({"time": "s", "position": "px"}));
    assert_eq!(lines[3]["captured"], json!(0.08), "in the unit that the header names");
    assert!(lines[1..].iter().all(|line| line["times"]["network"].as_f64().unwrap() < 1.0));
}

/// One schema: the same names of stages and reasons wherever they appear.
#[test]
fn names_are_the_same_everywhere() {
    let schema = json_schema();
    let stages: Vec<&str> = schema["$defs"]["frame"]["properties"]["times"]["required"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .collect();
    let metrics = std::fs::read_to_string(root("src/sink/http/metrics.rs")).unwrap();
    let documented = std::fs::read_to_string(root("docs/outputs.md")).unwrap();
    for stage in stages {
        assert!(metrics.contains(&format!("\"{stage}\"")) && documented.contains(&format!("`{stage}`")), "{stage}");
    }
    for (reason, _) in sinew::counts::Dropped::default().by_reason() {
        assert!(documented.contains(&format!("| `{reason}` |")), "{reason} is not in the table of docs/outputs.md");
    }
    for (kind, rule) in schema["$defs"].as_object().unwrap() {
        for name in rule["properties"].as_object().into_iter().flatten().map(|(name, _)| name) {
            assert!(documented.contains(&format!("`{name}`")), "{name} of {kind} is not in docs/outputs.md");
        }
    }
}

#[test]
fn wrong_lines_are_found() {
    let schema = json_schema();
    let good = lines(&sinks_support::schema(), &poses(1), StageTimes::default(), None, None);
    let frame: Value = serde_json::from_str(good.lines().nth(1).unwrap()).unwrap();
    assert_eq!(faults(&schema, &schema["$defs"]["frame"], &frame, ""), [""; 0]);
    let changes: [(&str, Value); 8] = [
        ("/sequence", json!(-1)),
        ("/captured", json!("now")),
        ("/image/1", json!(0)),
        ("/image", json!([1, 2, 3])),
        ("/poses/0/keypoints/0", json!([1.0, 2.0])),
        ("/poses/0/box", json!([1, 2, 3])),
        ("/dropped", json!({"frames": 1})),
        ("/times/network", json!(null)),
    ];
    for (place, value) in changes {
        let mut wrong = frame.clone();
        *wrong.pointer_mut(place).unwrap() = value;
        assert!(!faults(&schema, &schema["$defs"]["frame"], &wrong, "").is_empty(), "{wrong}");
    }
    let mut unknown = frame.clone();
    unknown["surprise"] = json!(1);
    assert!(!faults(&schema, &schema["$defs"]["frame"], &unknown, "").is_empty());
}
