//! `sinew bench`, `doctor`, `config show`, `completions` and `man`.

mod cli_support;
mod engine_support;

use std::fs;

use cli_support::{Ended, ended, run, sinew, spots, text, write_png};
use engine_support::{image, person};
use serde_json::Value;
use sinew::geometry::Size;
use tempfile::TempDir;

const SQUARE: Size = Size::new(64, 64);

/// Two images of one person each.
fn images() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a.png", "b.png"] {
        write_png(&folder.path().join(name), SQUARE, image(SQUARE, &person(8, 8)).data());
    }
    folder
}

fn bench(folder: &TempDir, more: &[&str]) -> Ended {
    let model = spots();
    let fixed = ["bench", "--model", &model, "--source", text(folder.path()), "--backend", "tract", "--level", "none"];
    run(&[&fixed[..], &["--frames", "6", "--warm-up", "1", "--threads", "1"], more].concat())
}

#[test]
fn a_bench_says_what_was_measured_and_how_long_it_took() {
    let folder = images();
    let report = bench(&folder, &["--json"]).expect(0).json();
    assert_eq!((&report["frames"], &report["warm_up"]), (&6.into(), &1.into()));
    assert_eq!(report["poses"], 1.0);
    assert_eq!(report["source"]["size"], serde_json::json!([64, 64]));
    assert_eq!((&report["model"]["backend"], &report["model"]["precision"]), (&"tract".into(), &"fp32".into()));
    let stages = report["milliseconds"].as_object().unwrap();
    assert_eq!(stages.len(), 7);
    for (name, stage) in stages {
        let [p50, p90, p99, max] = ["p50", "p90", "p99", "max"].map(|key| stage[key].as_f64().unwrap());
        assert!(p50 <= p90 && p90 <= p99 && p99 <= max, "{name}: {stage}");
    }
    let p50 = |stage: &str| stages[stage]["p50"].as_f64().unwrap();
    assert!(p50("network") > 0.0 && p50("emit") > 0.0 && p50("preprocess") > 0.0);
    assert_eq!(p50("wait"), 0.0, "files are processed one at a time");
    assert!(p50("end_to_end") >= p50("network").max(p50("overhead")), "{report}");
    assert!(report["frames_per_second"].as_f64().unwrap() > 0.0);
}

#[test]
fn images_can_be_given_a_cameras_layout() {
    let report = bench(&images(), &["--json", "--as-camera", "128x64"]).expect(0).json();
    assert_eq!(
        (&report["source"]["size"], &report["source"]["format"]),
        (&serde_json::json!([128, 64]), &"YUYV".into())
    );
    assert_eq!(report["poses"], 1.0);
    bench(&images(), &["--as-camera", "127x64"]).expect(2).says(&["even width"]);
}

#[test]
fn reports_are_compared_and_differences_said() {
    let folder = images();
    let earlier = folder.path().join("earlier.json");
    fs::write(&earlier, bench(&folder, &["--json"]).expect(0).stdout).unwrap();
    let compared = bench(&folder, &["--compare", text(&earlier)]).expect(0);
    assert!(compared.stdout.contains("P50 BY EARLIER"), "{}", compared.stdout);
    assert!(!compared.stderr.contains("not the same"), "{}", compared.stderr);
    bench(&folder, &["--compare", text(&earlier), "--as-camera", "64x64"])
        .expect(0)
        .says(&["format is YUYV, was RGB: not the same measurement"]);
    fs::write(&earlier, "{}").unwrap();
    bench(&folder, &["--compare", text(&earlier)]).expect(2).says(&["earlier.json", "not a report"]);
}

#[test]
fn one_size_is_measured_at_a_time() {
    let folder = images();
    let wide = Size::new(96, 64);
    write_png(&folder.path().join("c.png"), wide, image(wide, &person(8, 8)).data());
    bench(&folder, &[]).expect(2).says(&["64x64", "96x64", "--as-camera"]);
    bench(&folder, &["--as-camera", "64x64"]).expect(0);
}

fn doctor(bundles: &str) -> (i32, Vec<Value>) {
    let output = sinew(&["doctor", "--json"]).env("SINEW_BUNDLES", bundles).output().unwrap();
    let ended = ended(output);
    (ended.code, ended.json().as_array().unwrap().clone())
}

#[test]
fn the_doctor_finds_a_broken_bundle_and_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("spots");
    fs::create_dir(&copy).unwrap();
    for entry in fs::read_dir(spots()).unwrap().flatten() {
        fs::copy(entry.path(), copy.join(entry.file_name())).unwrap();
    }
    let state = |findings: &[Value], what: &str| {
        let found = findings.iter().find(|finding| finding["what"].as_str().unwrap().starts_with(what));
        found.unwrap_or_else(|| panic!("nothing about {what}"))["state"].as_str().unwrap().to_owned()
    };
    let (code, findings) = doctor(text(folder.path()));
    assert_eq!((state(&findings, "bundle spots"), state(&findings, "backend tract")), ("ok".into(), "ok".into()));
    let failed = findings.iter().any(|finding| finding["state"] == "fail");
    assert_eq!(code, i32::from(failed));
    for finding in &findings {
        assert_eq!(finding["state"] == "ok", finding["remedy"].is_null(), "{finding}");
    }

    let network =
        fs::read_dir(&copy).unwrap().flatten().find(|entry| entry.path().extension().is_some_and(|e| e == "onnx"));
    let network = network.unwrap().path();
    let mut bytes = fs::read(&network).unwrap();
    bytes[20] ^= 1;
    fs::write(&network, bytes).unwrap();
    let (code, findings) = doctor(text(folder.path()));
    assert_eq!((code, state(&findings, "bundle spots")), (1, "fail".into()));
}

#[test]
fn the_doctor_has_a_list_for_a_first_board() {
    let list = run(&["doctor", "--board-check"]).expect(0);
    assert!(list.stdout.contains("sinew engine verify"), "{}", list.stdout);
}

#[test]
fn every_option_says_where_it_comes_from() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.toml");
    fs::write(&path, "[run]\nthreads = 3\nlevel = \"none\"\n").unwrap();
    let arguments = ["config", "show", "--config", text(&path), "--model", "x", "--json"];
    let output = sinew(&arguments).env("SINEW_BACKEND", "tract").output().unwrap();
    let shown = ended(output).expect(0).json();
    let of = |key: &str| {
        let shown = shown.as_array().unwrap().iter().find(|shown| shown["key"] == key).unwrap();
        (shown["value"].clone(), shown["origin"].as_str().unwrap().to_owned())
    };
    assert_eq!(of("model"), ("x".into(), "--model".into()));
    assert_eq!(of("backend"), ("tract".into(), "SINEW_BACKEND".into()));
    assert_eq!(of("threads"), (3.into(), path.display().to_string()));
    assert_eq!(of("precision"), (Value::Null, "default".into()));
    let table = run(&["config", "show", "--config", text(&path), "--origin"]).expect(0);
    assert!(table.stdout.starts_with("OPTION"), "{}", table.stdout);
    // What is shown is a configuration file that says the same.
    let again = folder.path().join("again.toml");
    fs::write(&again, run(&["config", "show", "--config", text(&path)]).expect(0).stdout).unwrap();
    assert_eq!(fs::read_to_string(&again).unwrap(), "[run]\nlevel = \"none\"\nthreads = 3\n");
    run(&["config", "show", "--config", text(&again)]).expect(0);
}

#[test]
fn completions_and_manual_pages_know_the_commands() {
    for (shell, option) in [("bash", "--as-camera"), ("zsh", "--as-camera"), ("fish", "-l as-camera")] {
        let script = run(&["completions", shell]).expect(0);
        assert!(script.stdout.contains("bench") && script.stdout.contains(option), "{shell}");
    }
    let page = run(&["man"]).expect(0);
    assert!(page.stdout.contains(".TH sinew 1"), "{}", page.stdout);
    let folder = tempfile::tempdir().unwrap();
    run(&["man", "--out", text(folder.path())]).expect(0);
    let page = fs::read_to_string(folder.path().join("sinew-bench.1")).unwrap();
    assert!(page.contains("as\\-camera"), "{page}");
}

#[test]
fn what_is_logged_can_be_chosen() {
    let list = |filter: &str| sinew(&["models", "list"]).env("SINEW_LOG", filter).output().unwrap();
    ended(list("=x=")).expect(2).says(&["SINEW_LOG", "'=x='", "try 'debug'"]);
    ended(list("sinew::bundle=trace,warn")).expect(0);
}
