//! `sinew eval` and `sinew models`: figures, results, floors, and what is said where something is missing.

mod cli_support;
mod engine_support;

use std::{env, fs};

use cli_support::{ended, root, run, sinew, spots, text, write_png};
use engine_support::{Spots, image, person};
use serde_json::{Value, json};
use sinew::geometry::Size;
use tempfile::TempDir;

const SQUARE: Size = Size::new(64, 64);
/// Where the bundle `spots` puts the keypoints of `person(8, 8)`.
const KEYPOINTS: [f64; 9] = [33.0, 33.0, 2.0, 25.0, 33.0, 2.0, 33.0, 41.0, 2.0];

/// Two images of one person each, annotated where `shift` puts them.
fn annotated(shift: f64) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let somebody = image(SQUARE, &person(8, 8));
    for name in ["a.png", "b.png"] {
        write_png(&folder.path().join(name), SQUARE, somebody.data());
    }
    let mut keypoints = KEYPOINTS;
    keypoints.chunks_exact_mut(3).for_each(|keypoint| keypoint[0] += shift);
    let annotation = |id: u64| {
        json!({"id": id, "image_id": id, "category_id": 1, "keypoints": keypoints, "num_keypoints": 3,
               "area": 1000.0, "bbox": [20.0, 30.0, 20.0, 20.0], "iscrowd": 0})
    };
    let truth = json!({
        "images": [{"id": 1, "file_name": "a.png", "width": 64, "height": 64},
                   {"id": 2, "file_name": "b.png", "width": 64, "height": 64}],
        "annotations": [annotation(1), annotation(2)],
        "categories": [{"id": 1, "name": "person", "keypoints": ["middle", "left", "below"], "skeleton": []}],
    });
    fs::write(folder.path().join("truth.json"), truth.to_string()).unwrap();
    folder
}

fn eval(folder: &TempDir, more: &[&str]) -> cli_support::Ended {
    let (model, truth) = (spots(), folder.path().join("truth.json"));
    let fixed = ["eval", "--model", &model, "--coco", text(&truth), "--images", text(folder.path())];
    run(&[&fixed[..], &["--level", "none"], more].concat())
}

#[test]
fn everybody_found_is_an_ap_of_one_and_nobody_of_nought() {
    let right = eval(&annotated(0.0), &["--json"]).expect(0).json();
    assert_eq!((&right["images"], &right["poses"], &right["skipped"]), (&json!(2), &json!(2), &json!(0)));
    assert!((right["figures"]["ap"].as_f64().unwrap() - 1.0).abs() < 1e-9, "{right}");
    let wrong = eval(&annotated(300.0), &["--json"]).expect(0).json();
    assert_eq!(wrong["figures"]["ap"], 0.0);
    let table = eval(&annotated(0.0), &[]).expect(0);
    assert!(table.stdout.contains("1.0000") && table.stdout.starts_with("FIGURE"), "{}", table.stdout);
}

#[test]
fn a_floor_that_is_missed_is_exit_code_1() {
    eval(&annotated(0.0), &["--min-ap", "0.9"]).expect(0);
    eval(&annotated(300.0), &["--min-ap", "0.1"]).expect(1).says(&["AP is below 0.1"]);
}

#[test]
fn results_are_in_the_format_of_coco() {
    let folder = annotated(0.0);
    let path = folder.path().join("results.json");
    eval(&folder, &["--results", text(&path)]).expect(0);
    let results: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    let results = results.as_array().unwrap();
    assert_eq!(results.len(), 2);
    assert_eq!((&results[0]["image_id"], &results[0]["category_id"]), (&json!(1), &json!(1)));
    assert_eq!(results[0]["keypoints"].as_array().unwrap().len(), 9);
    assert!(results[0]["score"].as_f64().unwrap() > 0.0);
    let inside_a_file = format!("{}/results.json", text(&path));
    eval(&folder, &["--results", &inside_a_file]).expect(2).says(&["results.json", "choose another path"]);
}

#[test]
fn a_missing_image_is_counted_and_the_rest_goes_on() {
    let folder = annotated(0.0);
    fs::remove_file(folder.path().join("a.png")).unwrap();
    let done = eval(&folder, &["--json"]).expect(1).says(&["a.png"]);
    let result = done.json();
    assert_eq!((&result["images"], &result["skipped"]), (&json!(1), &json!(1)));
    // The person in it was not found.
    assert!((result["figures"]["ar"].as_f64().unwrap() - 0.5).abs() < 1e-9, "{result}");
}

#[test]
fn annotations_that_are_wrong_are_refused() {
    let folder = annotated(0.0);
    let truth = folder.path().join("truth.json");
    for (content, needles) in [
        ("", &["truth.json"][..]),
        ("{\"images\": []}", &["truth.json"]),
        ("{\"images\": [], \"annotations\": [], \"categories\": []}", &["truth.json"]),
    ] {
        fs::write(&truth, content).unwrap();
        eval(&folder, &[]).expect(2).says(needles);
    }
    fs::remove_file(&truth).unwrap();
    eval(&folder, &[]).expect(2).says(&["truth.json"]);
}

#[test]
fn bundles_are_listed_shown_and_verified() {
    let listed = run(&["models", "list", "--json"]).expect(0).json();
    let names: Vec<_> = listed.as_array().unwrap().iter().map(|entry| entry["name"].as_str().unwrap()).collect();
    assert!(names.contains(&"logocap-tiny"), "{names:?}");
    let logocap = listed.as_array().unwrap().iter().find(|entry| entry["name"] == "logocap-tiny").unwrap();
    let accuracy = &logocap["accuracy"];
    assert_eq!((&accuracy["metric"], &accuracy["data"]), (&"oks-ap".into(), &"tests/data/people".into()));
    let table = run(&["models", "list"]).expect(0).stdout;
    let row = table.lines().find(|line| line.starts_with("logocap-tiny")).unwrap();
    assert!(row.contains(&format!("oks-ap {:.3}", accuracy["value"].as_f64().unwrap())), "{row}");

    let shown = run(&["models", "show", "logocap-tiny", "--json"]).expect(0).json();
    assert_eq!(shown["manifest"]["bundle"]["name"], "logocap-tiny");
    assert!(run(&["models", "show", "logocap-tiny"]).expect(0).stdout.contains("left_shoulder"));
    run(&["models", "show", "logocap-tinny"]).expect(2).says(&["logocap-tinny", "logocap-tiny"]);

    let verified = run(&["models", "verify", "--json"]).expect(0).json();
    assert!(verified.as_array().unwrap().iter().all(|entry| entry["good"] == true), "{verified}");
    let broken = Spots::with("stride = 4", "stride = 8");
    let done = run(&["models", "verify", text(broken.path()), "--json"]).expect(1).json();
    assert_eq!(done[0]["good"], false);
    assert!(done[0]["error"].as_str().unwrap().contains("stride"), "{done}");
    run(&["models", "verify", "nowhere/at/all"]).expect(2).says(&["nowhere/at/all"]);
}

const ONNXRUNTIME: &str = "SINEW_ONNXRUNTIME_LIBRARY";

/// What `sinew eval` finds with a shipped bundle, on the backend that `SINEW_TEST_BACKEND` names, or on tract.
fn evaluate(bundle: &str, options: &[&str]) -> Value {
    let backend = env::var("SINEW_TEST_BACKEND").unwrap_or_else(|_| "tract".into());
    let mut command = sinew(&[&["eval", "--model", bundle, "--backend", &backend], options].concat());
    command.envs(env::var_os(ONNXRUNTIME).map(|library| (ONNXRUNTIME, library)));
    ended(command.output().unwrap()).expect(0).json()
}

/// The shipped bundle on images that its training never saw: whatever breaks the chain from pixels to poses shows
/// here. The whole set's figures stand in the bundle's report.
#[test]
fn the_shipped_bundle_keeps_its_accuracy() {
    let people = root("tests/data/people");
    let truth = people.join("annotations.json");
    let figures = |level| {
        let of = ["--coco", text(&truth), "--images", text(&people), "--limit", "60", "--json", "--level", level];
        evaluate("logocap-tiny", &of)
    };
    let (none, full) = (figures("none"), figures("full"));
    let value = |of: &Value, figure: &str| of["figures"][figure].as_f64().unwrap();
    let (initial, refined) = (value(&none, "ap"), value(&full, "ap"));
    assert!(refined >= FLOOR, "AP {refined}");
    assert!(value(&full, "ap50") >= FLOOR_50, "AP50 {}", value(&full, "ap50"));
    assert!(refined > initial, "refined poses beat initial ones: {refined}, {initial}");
}

/// A little below what the bundle reaches on the first 60 images.
const FLOOR: f64 = 0.22;
const FLOOR_50: f64 = 0.59;

/// The same for `centergroup-tiny`, AP and AP50, on people and on the first 20 crowds.
const PEOPLE: (f64, f64) = (0.22, 0.565);
const CROWD: (f64, f64) = (0.095, 0.33);

/// The same for `capeformer-tiny`, PCK@0.2 from one example, on kinds that it finds well: in annotated boxes, and in the whole
/// image, which is what is looked at where nobody gives a box.
const THINGS: f64 = 0.82;
const THINGS_WITHOUT_BOXES: f64 = 0.83;

#[test]
fn the_bundle_for_things_keeps_its_accuracy() {
    let folder = root("tests/data/objects");
    let text_of = fs::read_to_string(folder.join("annotations.json")).unwrap();
    let mut truth: Value = serde_json::from_str(&text_of).unwrap();
    let categories = ["bottle", "guitar", "scissors", "umbrella"];
    let is_chosen = |category: &Value| categories.contains(&category["name"].as_str().unwrap());
    truth["categories"].as_array_mut().unwrap().retain(is_chosen);
    let chosen: Vec<Value> = truth["categories"].as_array().unwrap().iter().map(|kind| kind["id"].clone()).collect();
    truth["annotations"].as_array_mut().unwrap().retain(|annotation| chosen.contains(&annotation["category_id"]));
    let mut whole = truth.clone();
    for annotation in whole["annotations"].as_array_mut().unwrap() {
        let images = truth["images"].as_array().unwrap();
        let image = images.iter().find(|image| image["id"] == annotation["image_id"]).unwrap();
        annotation["bbox"] = json!([0, 0, image["width"], image["height"]]);
    }
    for (truth, floor) in [(truth, THINGS), (whole, THINGS_WITHOUT_BOXES)] {
        let shorter = tempfile::tempdir().unwrap();
        let path = shorter.path().join("truth.json");
        fs::write(&path, truth.to_string()).unwrap();
        let report = evaluate("capeformer-tiny", &["--json", "--coco", text(&path), "--images", text(&folder)]);
        assert_eq!(report["results"], 4 * 6 * 5);
        let figure = report["figures"]["pck@0.2"].as_f64().unwrap();
        assert!(figure >= floor, "PCK@0.2 {figure}, at least {floor}");
    }
}

/// The same for `lofr-tiny`, PCK@0.1 in the boxes of the first 60 images; the mean pose, which does not look, reaches 0.37.
const BOXED: f64 = 0.6;

#[test]
fn the_bundle_for_boxes_keeps_its_accuracy() {
    let people = root("tests/data/people");
    let truth = people.join("annotations.json");
    let of = ["--metric", "pck", "--json", "--limit", "60", "--coco", text(&truth), "--images", text(&people)];
    let report = evaluate("lofr-tiny", &of);
    assert_eq!((report["people"].as_u64(), report["skipped"].as_u64()), (Some(118), Some(0)));
    let figure = report["figures"]["pck@0.1"].as_f64().unwrap();
    assert!(figure >= BOXED, "PCK@0.1 {figure}");
}

#[test]
fn the_bundle_for_crowds_keeps_its_accuracy() {
    for (set, limit, floor, floor_50) in
        [("people", "60", PEOPLE.0, PEOPLE.1), ("people-crowd", "20", CROWD.0, CROWD.1)]
    {
        let folder = root("tests/data").join(set);
        let truth = folder.join("annotations.json");
        let of = ["--coco", text(&truth), "--images", text(&folder), "--limit", limit, "--json"];
        let found = evaluate("centergroup-tiny", &of);
        let value = |figure: &str| found["figures"][figure].as_f64().unwrap();
        assert!(value("ap") >= floor && value("ap50") >= floor_50, "{set}: {found}");
    }
}

/// One person per box: the annotations' boxes, or those of a file.
#[test]
fn a_top_down_model_gets_the_annotated_boxes() {
    let folder = tempfile::tempdir().unwrap();
    // Two people of the bundle `painted`, each of whom fills a crop of its own.
    let mut data = vec![0; 3 * 64 * 64];
    for (column, row, colour) in [(2, 3, 0), (5, 12, 2), (10, 8, 0), (13, 2, 2)] {
        for (y, x) in (0..16).map(|pixel| (4 * row + pixel / 4, 4 * column + pixel % 4)) {
            data[3 * (64 * y + x) + colour] = 255;
        }
    }
    write_png(&folder.path().join("a.png"), Size::new(64, 64), &data);
    let person = |id: usize, x: usize, red: [usize; 2], blue: [usize; 2]| {
        let at = |cell: [usize; 2]| [4 * cell[0] + 2, 4 * cell[1] + 2];
        let ([a, b], [c, d]) = (at(red), at(blue));
        json!({"id": id, "image_id": 7, "category_id": 1, "bbox": [x, 0, 32, 64], "area": 2048,
               "keypoints": [a, b, 2, c, d, 2]})
    };
    let truth = json!({
        "images": [{"id": 7, "file_name": "a.png"}],
        "annotations": [person(1, 0, [2, 3], [5, 12]), person(2, 32, [10, 8], [13, 2])],
        "categories": [{"id": 1, "name": "person"}],
    });
    let path = folder.path().join("truth.json");
    fs::write(&path, truth.to_string()).unwrap();
    let (model, images) = (root("tests/data/onnx/painted"), text(folder.path()).to_owned());
    let fixed = ["eval", "--model", text(&model), "--coco", text(&path), "--images", &images, "--json"];
    let found = run(&fixed).expect(0).json();
    assert_eq!((&found["figures"]["ap"], &found["poses"]), (&json!(1.0), &json!(2)));
    let boxes = folder.path().join("boxes.jsonl");
    fs::write(&boxes, "{\"name\": \"a.png\", \"boxes\": [[0, 0, 32, 64]]}\n").unwrap();
    let half = run(&[&fixed[..], &["--boxes", text(&boxes)]].concat()).expect(0).json();
    assert_eq!((&half["figures"]["ar"], &half["poses"]), (&json!(0.5), &json!(1)));
    let people = spots();
    let bottom_up = ["eval", "--model", &people, "--coco", text(&path), "--images", &images, "--boxes", text(&boxes)];
    run(&bottom_up).expect(2).says(&["--boxes", "looks everywhere"]);

    // Shares of correct keypoints, in parts of the box and of the head.
    let share = |more: &[&str]| run(&[&fixed[..], more].concat());
    let found = share(&["--metric", "pck"]).expect(0).json();
    assert_eq!((&found["figures"]["pck@0.2"], &found["people"]), (&json!(1.0), &json!(2)));
    share(&["--metric", "pckh"]).expect(2).says(&["truth.json", "annotation 1", "head_bbox"]);
    share(&["--metric", "pck", "--min-ap", "0.5"]).expect(2).says(&["--min-ap", "pck"]);
    let mut headed = truth;
    for person in headed["annotations"].as_array_mut().unwrap() {
        person["head_bbox"] = json!([0, 0, 30, 40]);
    }
    // The second person's first keypoint lies 20 pixels beside its label: more than half of a head of 30, less than a
    // third of the box.
    let x = headed["annotations"][1]["keypoints"][0].as_f64().unwrap();
    headed["annotations"][1]["keypoints"][0] = json!(x + 20.0);
    fs::write(&path, headed.to_string()).unwrap();
    let found = share(&["--metric", "pckh", "--min-pck", "0.9"]).expect(1);
    assert_eq!(found.says(&["PCKH@0.5 is below"]).json()["figures"]["pckh@0.5"], json!(0.75));
}
