//! `sinew eval` and `sinew models`: figures, results, limits, and the messages where something is missing.

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
    let pixels = image(SQUARE, &person(8, 8));
    for name in ["a.png", "b.png"] {
        write_png(&folder.path().join(name), SQUARE, pixels.data());
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
fn all_detected_is_an_ap_of_one_and_none_of_zero() {
    let right = eval(&annotated(0.0), &["--json"]).expect(0).json();
    assert_eq!((&right["images"], &right["poses"], &right["skipped"]), (&json!(2), &json!(2), &json!(0)));
    assert!((right["figures"]["ap"].as_f64().unwrap() - 1.0).abs() < 1e-9, "{right}");
    let wrong = eval(&annotated(30.0), &["--json"]).expect(0).json();
    assert_eq!(wrong["figures"]["ap"], 0.0);
    let table = eval(&annotated(0.0), &[]).expect(0);
    assert!(table.stdout.contains("1.0000") && table.stdout.starts_with("FIGURE"), "{}", table.stdout);
}

#[test]
fn a_figure_below_its_limit_is_exit_code_1() {
    eval(&annotated(0.0), &["--min-ap", "0.9"]).expect(0);
    eval(&annotated(30.0), &["--min-ap", "0.1"]).expect(1).says(&["AP is below 0.1"]);
}

#[test]
fn results_are_in_the_format_of_coco() {
    let folder = annotated(0.0);
    let path = folder.path().join("results.json");
    eval(&folder, &["--results", text(&path)]).expect(0);
    eval(&folder, &["--limit", "0"]).expect(2).says(&["--limit", "not a number of at least 1"]);
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
fn a_missing_image_is_counted_and_the_others_are_measured() {
    let folder = annotated(0.0);
    fs::remove_file(folder.path().join("a.png")).unwrap();
    let done = eval(&folder, &["--json"]).expect(1).says(&["a.png"]);
    let result = done.json();
    assert_eq!((&result["images"], &result["skipped"]), (&json!(1), &json!(1)));
    // The person in it is missed.
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

/// The figures of a shipped bundle, on the backend that `SINEW_TEST_BACKEND` names, or on tract.
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
    assert!(refined >= LEAST, "AP {refined}");
    assert!(value(&full, "ap50") >= LEAST_50, "AP50 {}", value(&full, "ap50"));
    assert!(refined > initial, "refined poses beat initial ones: {refined}, {initial}");
}

/// The bundle to start with, on photographs of real people: AP and AP50, three points below what it reaches (one of the 41 people
/// moves AP by two). Each level beats the one below by more than these photographs' noise.
const PHOTOGRAPHS: (f64, f64) = (0.517, 0.76);

#[test]
fn people_in_photographs_are_detected() {
    let photos = root("tests/data/photos");
    let truth = photos.join("annotations.json");
    let figures = |level| {
        let report = evaluate(
            "logocap-movenet",
            &["--coco", text(&truth), "--images", text(&photos), "--json", "--level", level],
        );
        assert_eq!((report["images"].as_u64(), report["skipped"].as_u64()), (Some(20), Some(0)), "{report}");
        ["ap", "ap50"].map(|figure| report["figures"][figure].as_f64().unwrap())
    };
    let ([initial, _], [kernels, _], [ap, ap50]) = (figures("none"), figures("partial"), figures("full"));
    assert!(ap >= PHOTOGRAPHS.0 && ap50 >= PHOTOGRAPHS.1, "AP {ap}, AP50 {ap50}");
    assert!(ap >= kernels + 0.03, "kernels and heatmaps beat kernels: {ap}, {kernels}");
    assert!(kernels >= initial + 0.08, "kernels beat initial poses: {kernels}, {initial}");
}

/// A little below what the bundle reaches on the first 60 images.
const LEAST: f64 = 0.22;
const LEAST_50: f64 = 0.59;

/// The same for `centergroup-tiny`, AP and AP50, on people and on the first 20 crowds.
const PEOPLE: (f64, f64) = (0.22, 0.565);
const CROWD: (f64, f64) = (0.095, 0.33);

/// The same for `centergroup-movenet`, on all photographs and on the first 20 crowds.
const MOVENET_PHOTOGRAPHS: (f64, f64) = (0.523, 0.806);
const MOVENET_CROWD: (f64, f64) = (0.157, 0.37);

/// The same for `capeformer-tiny`, PCK@0.2 from one example, on categories that it locates well: in annotated boxes, and in the whole
/// image, as where no box is given.
const OBJECTS: f64 = 0.82;
const OBJECTS_WITHOUT_BOXES: f64 = 0.83;

#[test]
fn the_bundle_for_objects_keeps_its_accuracy() {
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
    for (truth, least) in [(truth, OBJECTS), (whole, OBJECTS_WITHOUT_BOXES)] {
        let shorter = tempfile::tempdir().unwrap();
        let path = shorter.path().join("truth.json");
        fs::write(&path, truth.to_string()).unwrap();
        let report = evaluate("capeformer-tiny", &["--json", "--coco", text(&path), "--images", text(&folder)]);
        assert_eq!(report["results"], 4 * 6 * 5);
        let figure = report["figures"]["pck@0.2"].as_f64().unwrap();
        assert!(figure >= least, "PCK@0.2 {figure}, at least {least}");
    }
}

/// `capeformer-lite0` on photographs of animals and tools, PCK@0.2 from one example: a little below what it reaches. Copying the
/// example's places gives 0.33 (`python -m models.evaluate.objects tests/data/photos/objects`).
const THINGS: f64 = 0.67;

#[test]
fn things_in_photographs_are_located() {
    let folder = root("tests/data/photos/objects");
    let truth = folder.join("annotations.json");
    let report = evaluate("capeformer-lite0", &["--json", "--coco", text(&truth), "--images", text(&folder)]);
    assert_eq!(report["results"], 184);
    let figure = report["figures"]["pck@0.2"].as_f64().unwrap();
    assert!(figure >= THINGS, "PCK@0.2 {figure}, at least {THINGS}");
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
fn the_bundles_for_crowds_keep_their_accuracy() {
    for (bundle, set, limit, (least, least_50)) in [
        ("centergroup-tiny", "people", "60", PEOPLE),
        ("centergroup-tiny", "people-crowd", "20", CROWD),
        ("centergroup-movenet", "photos", "20", MOVENET_PHOTOGRAPHS),
        ("centergroup-movenet", "people-crowd", "20", MOVENET_CROWD),
    ] {
        let folder = root("tests/data").join(set);
        let truth = folder.join("annotations.json");
        let of = ["--coco", text(&truth), "--images", text(&folder), "--limit", limit, "--json"];
        let found = evaluate(bundle, &of);
        let value = |figure: &str| found["figures"][figure].as_f64().unwrap();
        assert!(value("ap") >= least && value("ap50") >= least_50, "{bundle}, {set}: {found}");
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

    // Boxes without a size, as programs write them that mark points only.
    let mut pointed = truth.clone();
    for person in pointed["annotations"].as_array_mut().unwrap() {
        person["bbox"] = json!([1, 1, 0, 0]);
    }
    fs::write(&path, pointed.to_string()).unwrap();
    run(&fixed).expect(2).says(&["none of the 2 annotations has a `bbox`"]);
    // Boxes that have left the image.
    let mut left = truth.clone();
    for person in left["annotations"].as_array_mut().unwrap() {
        person["bbox"] = json!([64, 0, 32, 64]);
    }
    fs::write(&path, left.to_string()).unwrap();
    for metric in ["oks", "pck"] {
        run(&[&fixed[..], &["--metric", metric]].concat()).expect(2).says(&[
            "all 2 boxes lie outside their images",
            "[64, 0, 32, 64]",
            "which is 64x64",
        ]);
    }
    fs::write(&path, pointed.to_string()).unwrap();
    run(&[&fixed[..], &["--metric", "pck"]].concat()).expect(2).says(&["annotations[0]", "`bbox`"]);
    fs::write(&path, truth.to_string()).unwrap();
    fs::write(&boxes, "{\"name\": \"other.png\", \"boxes\": [[0, 0, 32, 64]]}\n").unwrap();
    run(&[&fixed[..], &["--boxes", text(&boxes)]].concat())
        .expect(2)
        .says(&["boxes.jsonl", "no box for any of the 1 images"]);

    // Shares of correct keypoints, in parts of the box and of the head.
    let share = |more: &[&str]| run(&[&fixed[..], more].concat());
    let found = share(&["--metric", "pck"]).expect(0).json();
    assert_eq!((&found["figures"]["pck@0.2"], &found["people"]), (&json!(1.0), &json!(2)));
    share(&["--metric", "pckh"]).expect(2).says(&["truth.json", "annotations[0]", "head_bbox"]);
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

/// The annotations of `folder`, changed.
fn rewrite(folder: &TempDir, change: impl FnOnce(&mut Value)) {
    let path = folder.path().join("truth.json");
    let mut truth: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    change(&mut truth);
    fs::write(&path, truth.to_string()).unwrap();
}

/// Calls `change` for each of a list.
fn each(truth: &mut Value, list: &str, change: impl FnMut(&mut Value)) {
    truth[list].as_array_mut().unwrap().iter_mut().for_each(change);
}

/// A figure of 0 is never the only sign that the file is wrong.
#[test]
fn what_cannot_be_measured_is_exit_code_2() {
    type Change = fn(&mut Value);
    let no_area: Change = |truth| each(truth, "annotations", |entry| entry["area"] = json!(0.0));
    let no_keypoints: Change = |truth| {
        each(truth, "annotations", |entry| drop(entry.as_object_mut().unwrap().remove("keypoints")));
        each(truth, "annotations", |entry| drop(entry.as_object_mut().unwrap().remove("num_keypoints")));
    };
    let other_category: Change = |truth| {
        truth["categories"].as_array_mut().unwrap().push(json!({"id": 2, "name": "dog"}));
        each(truth, "annotations", |entry| entry["category_id"] = json!(2));
    };
    let other_names: Change = |truth| truth["categories"][0]["keypoints"] = json!(["middle", "left", "above"]);
    let elsewhere: Change = |truth| each(truth, "images", |image| image["file_name"] = json!("/mnt/set/x.png"));
    let other_sizes: Change = |truth| each(truth, "images", |image| image["width"] = json!(640));
    let scaled: Change = |truth| {
        each(truth, "images", |image| drop(image.as_object_mut().unwrap().remove("width")));
        each(truth, "annotations", |entry| {
            entry["keypoints"]
                .as_array_mut()
                .unwrap()
                .chunks_exact_mut(3)
                .for_each(|keypoint| keypoint[0] = json!(333.5));
        });
    };
    let parts: Change = |truth| {
        each(truth, "annotations", |entry| {
            for keypoint in entry["keypoints"].as_array_mut().unwrap().chunks_exact_mut(3) {
                (keypoint[0], keypoint[1]) = (json!(0.52), json!(0.25));
            }
        });
    };
    for (change, needles) in [
        (no_area, &["truth.json", "area of all 2 annotations is 0"][..]),
        (no_keypoints, &["none of the 2 annotations has a labelled keypoint"]),
        (other_category, &["no annotation of the category `person` in the 2 images"]),
        (other_names, &["[middle, left, above], without below", "[middle, left, below]"]),
        (elsewhere, &["/mnt/set/x.png", "nothing was measured: none of the 2 images"]),
        (other_sizes, &["a.png: the image is 64x64", "640x64", "nothing was measured"]),
        (scaled, &["all 2 annotated people lie outside their images", "annotations[0] of a.png, which is 64x64"]),
        (parts, &["all labelled keypoints lie between 0 and 1"]),
    ] {
        let folder = annotated(0.0);
        rewrite(&folder, change);
        let done = eval(&folder, &[]).expect(2).says(needles);
        assert_eq!(done.stdout, "", "{needles:?}");
    }
}

#[test]
fn odd_images_are_skipped_and_counted() {
    let folder = annotated(0.0);
    let size = Size::new(640, 16);
    write_png(&folder.path().join("panorama.png"), size, &vec![0; 3 * 640 * 16]);
    write_png(&folder.path().join("lying.png"), Size::new(48, 64), &vec![0; 3 * 48 * 64]);
    rewrite(&folder, |truth| {
        let images = truth["images"].as_array_mut().unwrap();
        images.push(json!({"id": 7, "file_name": "panorama.png", "width": 640, "height": 16}));
        images.push(json!({"id": 8, "file_name": "lying.png", "width": 64, "height": 48}));
    });
    let done = eval(&folder, &["--json"]).expect(1);
    let done = done.says(&["panorama.png: skipped", "lying.png: the image is 48x64", "64x48", "EXIF"]);
    let found = done.json();
    assert_eq!((&found["images"], &found["skipped"]), (&json!(2), &json!(2)));
    assert!((found["figures"]["ap"].as_f64().unwrap() - 1.0).abs() < 1e-9, "{found}");
}

/// As programs of other systems write the same annotations.
#[test]
fn tolerated_spellings_have_the_same_figures() {
    let folder = annotated(2.0);
    let expected = eval(&folder, &["--json"]).expect(0).json()["figures"].clone();
    rewrite(&folder, |truth| {
        truth["categories"] = json!([{"id": 5, "name": "ball"},
            {"id": 1.0, "name": "worker", "keypoints": ["Below", "Middle", "neck", "left"]}]);
        each(truth, "images", |image| {
            image["file_name"] = json!(format!(r"C:\set\{}", image["file_name"].as_str().unwrap()));
            image["id"] = json!(format!("image {}", image["id"]));
        });
        each(truth, "annotations", |entry| {
            entry["image_id"] = json!(format!("image {}", entry["image_id"]));
            let at: Vec<Value> = entry["keypoints"].as_array().unwrap().clone();
            entry["keypoints"] =
                json!([&at[6..9], &at[..3], &[Value::Null, Value::Null, json!(0)], &at[3..6]].concat());
        });
        let ball = json!({"id": 0, "image_id": "image 1", "category_id": 5, "bbox": [1, 1, 9, 9]});
        truth["annotations"].as_array_mut().unwrap().push(ball);
    });
    let path = folder.path().join("truth.json");
    fs::write(&path, format!("\u{feff}{}", fs::read_to_string(&path).unwrap())).unwrap();
    let results = folder.path().join("results.json");
    let done = eval(&folder, &["--json", "--results", text(&results)]).expect(0);
    let done = done.says(&["mapped by name, 3 of 4", "2 images were found", "by their file name alone"]);
    assert_eq!(done.json()["figures"], expected);
    // Results are in the file's order, for pycocotools.
    let results: Value = serde_json::from_str(&fs::read_to_string(&results).unwrap()).unwrap();
    assert_eq!(results[0]["image_id"], "image 1");
    let keypoints = results[0]["keypoints"].as_array().unwrap();
    assert_eq!((keypoints.len(), &keypoints[6..9]), (12, &[json!(0.0), json!(0.0), json!(0.0)][..]));
    let near = |value: &Value, expected: f64| (value.as_f64().unwrap() - expected).abs() < 2.0;
    assert!(near(&keypoints[0], 33.0) && near(&keypoints[1], 41.0), "{keypoints:?}");
}

#[test]
fn without_areas_the_box_counts_and_the_user_is_told() {
    let folder = annotated(0.0);
    rewrite(&folder, |truth| each(truth, "annotations", |entry| drop(entry.as_object_mut().unwrap().remove("area"))));
    let done = eval(&folder, &["--json"]).expect(0).says(&["2 annotations have no `area`: 0.53 of the box's area"]);
    assert!((done.json()["figures"]["ap"].as_f64().unwrap() - 1.0).abs() < 1e-9);
}

/// The bundle `spots` with a `[score]` section.
fn scored(section: &str) -> Spots {
    Spots::with("[limits]", &format!("[score]\n{section}\n\n[limits]"))
}

#[test]
fn scores_become_probabilities_and_the_order_stays() {
    let folder = annotated(2.0);
    let of = |model: &str, more: &[&str]| {
        let truth = folder.path().join("truth.json");
        let fixed = ["eval", "--model", model, "--coco", text(&truth), "--images", text(folder.path()), "--json"];
        run(&[&fixed[..], more].concat())
    };
    let bundle = scored("pose = [[0.0, 0.1], [1.0, 0.9]]\nkeypoint = [[0, 0], [0.5, 1]]");
    let (raw, mapped) = (spots(), text(bundle.path()).to_owned());
    let results = |model: &str| {
        let path = folder.path().join("results.json");
        let figures = of(model, &["--results", text(&path)]).expect(0).json()["figures"].clone();
        let results: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        (figures, results[0]["score"].as_f64().unwrap(), results[0]["keypoints"][2].as_f64().unwrap())
    };
    let ((figures, score, keypoint), (again, probability, mapped_keypoint)) = (results(&raw), results(&mapped));
    assert_eq!(figures, again, "a rising map keeps the average precision");
    assert!((probability - (0.1 + 0.8 * score)).abs() < 1e-5, "{score} became {probability}");
    assert!((mapped_keypoint - (2.0 * keypoint).min(1.0)).abs() < 1e-5, "{keypoint} became {mapped_keypoint}");

    // The threshold of `run` is a probability.
    let image = folder.path().join("a.png");
    let poses = |threshold: f64| {
        let threshold = threshold.to_string();
        let shown =
            run(&["run", "--model", &mapped, "--source", text(&image), "--threshold", &threshold]).expect(0).lines();
        shown[1]["poses"].as_array().unwrap().len()
    };
    assert_eq!((poses(0.05), poses(probability - 0.01), poses(probability + 0.01), poses(0.95)), (1, 1, 0, 0));

    let found = of(&mapped, &["--metric", "calibration"]).expect(0).json();
    assert_eq!(
        (&found["calibrated"], &found["pose"]["count"], &found["keypoint"]["count"]),
        (&json!(true), &json!(2), &json!(6))
    );
    let ece = found["figures"]["ece_pose"].as_f64().unwrap();
    assert!((ece - (1.0 - probability)).abs() < 1e-5, "both poses are right: {found}");
    let outcomes = folder.path().join("outcomes.json");
    of(&raw, &["--metric", "calibration", "--outcomes", text(&outcomes)]).expect(0);
    let outcomes: Value = serde_json::from_str(&fs::read_to_string(&outcomes).unwrap()).unwrap();
    assert_eq!((outcomes["pose"].as_array().unwrap().len(), &outcomes["pose"][0][1]), (2, &json!(true)));
    of(&raw, &["--outcomes", "x"]).expect(2).says(&["--outcomes", "oks"]);
}

#[test]
fn sections_of_scores_that_are_wrong_are_refused() {
    for (section, needles) in [
        ("", &["score", "empty section"][..]),
        ("pose = [[0.0, 0.5], [1.0, 0.4]]", &["score.pose", "do not fall"]),
        ("keypoint = [[0.0, 0.5], [0.0, 0.6]]", &["score.keypoint", "scores rise"]),
        ("keypoint = [[0.0, 0.5]]", &["score.keypoint", "2 to 16 pairs"]),
        ("pose = [[0.0, 0.5], [1.0, 1.5]]", &["score.pose", "0 to 1"]),
        ("poses = [[0.0, 0.5], [1.0, 1.0]]", &["poses", "pose"]),
        ("pose = [[0.0, 0.5, 1.0], [1.0, 1.0]]", &["score.pose", "found 3 numbers"]),
    ] {
        let bundle = scored(section);
        run(&["models", "show", text(bundle.path())]).expect(2).says(needles);
    }
}
