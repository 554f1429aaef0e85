//! `sinew enrol` and its templates, as users meet them, with the bundle `colours`.

mod cli_support;
mod engine_support;

use std::fs;
use std::path::{Path, PathBuf};

use cli_support::{Ended, root, run, spots, text, write_png};
use serde_json::{Value, json};
use sinew::geometry::Size;
use tempfile::TempDir;

const SIDE: usize = 256;
const CELL: usize = SIDE / 8;
const SIZE: Size = Size::new(SIDE, SIDE);
const RED: [u8; 3] = [255, 0, 0];
const BLUE: [u8; 3] = [0, 0, 255];

fn colours() -> String {
    text(&root("tests/data/onnx/colours")).to_owned()
}

/// A folder with two flags: red where the left end is, blue at the right.
struct Flags(TempDir);

impl Flags {
    fn new() -> Self {
        let flags = Self(tempfile::tempdir().unwrap());
        flags.write("a", (2, 3), (5, 3));
        flags.write("b", (6, 1), (1, 6));
        flags
    }

    fn write(&self, name: &str, left: (usize, usize), right: (usize, usize)) {
        let mut data = vec![0; 3 * SIDE * SIDE];
        for ((column, row), colour) in [(left, RED), (right, BLUE)] {
            for y in CELL * row..CELL * (row + 1) {
                for x in CELL * column..CELL * (column + 1) {
                    data[3 * (y * SIDE + x)..][..3].copy_from_slice(&colour);
                }
            }
        }
        write_png(&self.path(&format!("{name}.png")), SIZE, &data);
        let keypoint = |name: &str, (column, row)| {
            let [x, y] = [column, row].map(|cell: usize| cell * CELL + CELL / 2);
            json!({"name": name, "x": x, "y": y})
        };
        let annotation =
            json!({"keypoints": [keypoint("left", left), keypoint("right", right)], "edges": [["left", "right"]]});
        fs::write(self.path(&format!("{name}.json")), annotation.to_string()).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn uri(&self, name: &str) -> String {
        text(&self.path(name)).to_owned()
    }

    /// Enrols the flags of these names.
    fn enrol(&self, names: &[&str], more: &[&str]) -> Ended {
        let mut arguments: Vec<String> = ["enrol", "--model", &colours(), "--threads", "1"].map(str::to_owned).to_vec();
        for name in names {
            arguments.extend(["--image".to_owned(), self.uri(&format!("{name}.png"))]);
            arguments.extend(["--keypoints".to_owned(), self.uri(&format!("{name}.json"))]);
        }
        arguments.extend(["--out".to_owned(), self.uri("flag.template")]);
        arguments.extend(more.iter().map(|&argument| argument.to_owned()));
        run(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
    }

    fn run(&self, more: &[&str]) -> Ended {
        let (model, template) = (colours(), self.uri("flag.template"));
        run(&[&["run", "--model", &model, "--threads", "1", "--template", &template], more].concat())
    }
}

fn place(pose: &Value, keypoint: usize) -> (f64, f64) {
    let value = |axis: usize| pose["keypoints"][keypoint][axis].as_f64().unwrap();
    (value(0), value(1))
}

#[track_caller]
fn assert_near(found: (f64, f64), cell: (usize, usize)) {
    let middle = |cell: usize| (CELL * cell + CELL / 2) as f64;
    let distance = (found.0 - middle(cell.0)).hypot(found.1 - middle(cell.1));
    assert!(distance < 4.0, "{found:?}, expected the middle of {cell:?}");
}

#[test]
fn enrolled_objects_are_located_drawn_and_named() {
    let flags = Flags::new();
    let done = flags.enrol(&["a"], &[]).expect(0);
    assert!(done.stdout.contains("`flag`, 2 keypoints from 1 image: left right"), "{}", done.stdout);
    let drawn = flags.uri("drawn");
    let lines = flags.run(&["--source", &flags.uri("b.png"), "--overlay", &drawn]).expect(0).lines();
    assert_eq!(lines[0]["templates"], json!([{"name": "flag", "keypoints": ["left", "right"], "skeleton": [[0, 1]]}]));
    assert_eq!(lines[0]["keypoints"], json!(["left", "right"]));
    let pose = &lines[1]["poses"][0];
    assert_eq!(pose["template"], "flag");
    assert_near(place(pose, 0), (6, 1));
    assert_near(place(pose, 1), (1, 6));
    assert!(Path::new(&drawn).join("b.png").is_file());
}

#[test]
fn several_images_and_several_templates() {
    let flags = Flags::new();
    let both = flags.enrol(&["a", "b"], &["--json", "--name", "banner"]).expect(0).json();
    assert_eq!((&both["shots"], &both["omitted"], &both["name"]), (&json!(2), &json!([]), &json!("banner")));
    fs::rename(flags.path("flag.template"), flags.path("banner.template")).unwrap();
    flags.enrol(&["a"], &[]).expect(0);
    let banner = flags.uri("banner.template");
    let source = flags.uri("b.png");
    let lines = flags.run(&["--source", &source, "--template", &banner]).expect(0).lines();
    let names: Vec<_> = lines[1]["poses"].as_array().unwrap().iter().map(|pose| pose["template"].clone()).collect();
    assert_eq!(names, ["flag", "banner"]);
    flags.run(&["--source", &source, "--template", &flags.uri("flag.template")]).expect(2).says(&["second", "`flag`"]);
}

#[test]
fn boxes_come_from_a_file() {
    let flags = Flags::new();
    flags.enrol(&["a"], &[]).expect(0);
    let boxes = flags.path("boxes.jsonl");
    fs::write(&boxes, "{\"name\": \"b.png\", \"boxes\": [[0, 0, 256, 256], [128, 0, 128, 128]]}\n").unwrap();
    let images = flags.0.path().join("images");
    fs::create_dir(&images).unwrap();
    for name in ["a.png", "b.png"] {
        fs::copy(flags.path(name), images.join(name)).unwrap();
    }
    let listed = flags.run(&["--source", text(&images), "--boxes", text(&boxes)]).expect(0);
    let listed = listed.says(&["lists 1 frames; 1 of the 2 frames"]).lines();
    assert_eq!(listed[1]["poses"], json!([]), "a.png is not listed");
    assert_eq!(listed[2]["poses"].as_array().unwrap().len(), 2);

    fs::write(&boxes, "{\"name\": \"other.png\", \"boxes\": [[0, 0, 9, 9]]}\n").unwrap();
    let lost = flags.run(&["--source", text(&images), "--boxes", text(&boxes)]).expect(0);
    lost.says(&["lists 1 frames; 0 of the 2 frames"]);

    fs::write(&boxes, "{\"name\": \"b.png\", \"boxes\": [[0, 0, 0, 9]]}\n").unwrap();
    let wrong = flags.run(&["--source", text(&images), "--boxes", text(&boxes)]);
    wrong.expect(2).says(&["boxes.jsonl:1", "empty"]);
    let (people, source) = (spots(), flags.uri("a.png"));
    flags.run(&["--source", &source, "--boxes-from", &people]).expect(0);
    let itself = colours();
    flags.run(&["--source", &source, "--boxes-from", &itself]).expect(2).says(&["detects people by itself"]);
    run(&["run", "--model", &people, "--source", &source, "--boxes", text(&boxes)])
        .expect(2)
        .says(&["searches the whole image"]);
}

#[test]
fn a_dry_run_draws_and_writes_no_template() {
    let flags = Flags::new();
    let done = flags.enrol(&["a", "b"], &["--dry-run"]).expect(0);
    for name in ["flag-1.jpg", "flag-2.jpg"] {
        assert!(flags.path(name).is_file() && done.stdout.contains(name), "{}", done.stdout);
    }
    assert!(!flags.path("flag.template").exists());
}

#[test]
fn bad_annotations_are_refused() {
    let flags = Flags::new();
    let with = |text: &str| {
        fs::write(flags.path("a.json"), text).unwrap();
        flags.enrol(&["a"], &["--dry-run"]).expect(2)
    };
    with("{").says(&["a.json", "EOF", "docs/enrol.md"]);
    with("").says(&["a.json", "empty"]);
    with(r#"{"keypoints": []}"#).says(&["a.json", "0 keypoints"]);
    with(r#"{"keypoints": [{"name": "x", "x": 300, "y": 10}]}"#).says(&["a.png", "`x`", "outside"]);
    with(r#"{"keypoints": [{"name": "x", "x": 9, "y": 10, "visible": false}]}"#).says(&["`x`", "any of the images"]);
    with(r#"{"box": [9, 9, 0, 9], "keypoints": [{"name": "x", "x": 9, "y": 10}]}"#).says(&["empty"]);
    with(r#"{"box": [900, 9, 20, 9], "keypoints": [{"name": "x", "x": 9, "y": 10}]}"#).says(&["box", "256x256"]);
}

#[test]
fn pairs_must_match_and_models_fit() {
    let flags = Flags::new();
    let (image, keypoints, out) = (flags.uri("a.png"), flags.uri("a.json"), flags.uri("x.template"));
    let model = colours();
    let ended = run(&[
        "enrol",
        "--model",
        &model,
        "--image",
        &image,
        "--image",
        &image,
        "--keypoints",
        &keypoints,
        "--out",
        &out,
    ]);
    ended.expect(2).says(&["2 --image", "1 --keypoints"]);
    let people = spots();
    let ended = run(&["enrol", "--model", &people, "--image", &image, "--keypoints", &keypoints, "--out", &out]);
    ended.expect(2).says(&["spots", "capeformer"]);
    run(&["run", "--model", &model, "--source", &image]).expect(2).says(&["--template", "sinew enrol"]);
    run(&["run", "--model", &people, "--source", &image, "--template", &out]).expect(2).says(&["capeformer"]);
}

#[test]
fn foreign_and_damaged_templates_are_refused() {
    let flags = Flags::new();
    flags.enrol(&["a"], &[]).expect(0);
    let good = fs::read(flags.path("flag.template")).unwrap();
    let source = flags.uri("b.png");
    let with = |bytes: &[u8]| {
        fs::write(flags.path("flag.template"), bytes).unwrap();
        flags.run(&["--source", &source]).expect(2)
    };
    for at in [0, 20, good.len() / 2, good.len() - 1] {
        let mut bytes = good.clone();
        bytes[at] ^= 4;
        with(&bytes).says(&["flag.template", "enrol it again"]);
    }
    with(&good[..good.len() - 7]).says(&["damaged"]);
    with(b"").says(&["something else"]);
    fs::remove_file(flags.path("flag.template")).unwrap();
    flags.run(&["--source", &source]).expect(2).says(&["flag.template", "cannot be read"]);
}

#[test]
fn the_share_of_correct_keypoints() {
    let flags = Flags::new();
    let bbox = [0, 0, SIDE, SIDE];
    let keypoints = |left: (usize, usize), right: (usize, usize)| {
        let at = |cell: usize| cell * CELL + CELL / 2;
        json!([at(left.0), at(left.1), 2, at(right.0), at(right.1), 2])
    };
    let truth = json!({
        "images": [{"id": 1, "file_name": "a.png"}, {"id": 2, "file_name": "b.png"}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 3, "bbox": bbox, "keypoints": keypoints((2, 3), (5, 3))},
            // The second flag's right end is annotated 40 pixels off.
            {"id": 2, "image_id": 2, "category_id": 3, "bbox": bbox, "keypoints": [208, 48, 2, 88, 208, 2]},
        ],
        "categories": [{"id": 3, "name": "flag", "keypoints": ["left", "right"]}],
    });
    let path = flags.path("truth.json");
    fs::write(&path, truth.to_string()).unwrap();
    let (model, folder) = (colours(), text(flags.0.path()).to_owned());
    let eval = |more: &[&str]| {
        let fixed = ["eval", "--model", &model, "--coco", text(&path), "--images", &folder, "--threads", "1"];
        run(&[&fixed[..], more].concat())
    };
    let found = eval(&["--json", "--metric", "pck"]).expect(0).json();
    assert_eq!((&found["shots"], &found["results"]), (&json!(1), &json!(2)));
    // Enrolled from the second flag, the right end is black: located anywhere. From the first, it is 40 pixels off.
    let figure = |name: &str| found["categories"]["flag"][name].as_f64().unwrap();
    assert!(figure("pck@0.1") <= 0.75 && figure("pck@0.2") >= 0.75, "{found}");
    assert_eq!(found["figures"], found["categories"]["flag"]);
    assert!(eval(&[]).expect(0).stdout.contains("flag"));
    eval(&["--min-pck", "1.1"]).expect(1).says(&["below 1.1"]);
    eval(&["--shots", "2"]).expect(2).says(&["more than 2 images"]);
    eval(&["--metric", "oks"]).expect(2).says(&["--metric pck"]);
    eval(&["--min-ap", "0.5"]).expect(2).says(&["--min-ap", "--metric pck"]);

    // Other categories, an image that cannot be read and an annotation without a box are skipped, and the last two counted.
    let mut more = truth.clone();
    more["categories"].as_array_mut().unwrap().push(json!({"id": 4, "name": "pole"}));
    for id in [8, 9] {
        more["images"].as_array_mut().unwrap().push(json!({"id": id, "file_name": format!("{id}.png")}));
    }
    let entries = more["annotations"].as_array_mut().unwrap();
    entries.push(json!({"id": 3, "image_id": 1, "category_id": 4, "bbox": [1, 1, 9, 9]}));
    entries
        .push(json!({"id": 4, "image_id": 9, "category_id": 3, "bbox": bbox, "keypoints": keypoints((2, 3), (5, 3))}));
    entries.push(json!({"id": 5, "image_id": 8, "category_id": 3, "bbox": [], "keypoints": keypoints((2, 3), (5, 3))}));
    fs::write(&path, more.to_string()).unwrap();
    let done = eval(&["--json"]).expect(1).says(&["9.png", "1 annotations have no `bbox`"]);
    let again = done.json();
    assert_eq!((&again["figures"], &again["skipped"]), (&found["figures"], &json!(1)));
    let elsewhere = more.to_string().replace("a.png", "c.png").replace("b.png", "d.png");
    fs::write(&path, elsewhere).unwrap();
    eval(&[]).expect(2).says(&["nothing was measured", "none of the 3 images"]);

    // What the enrolled image does not show counts for nothing, and is no error.
    let mut hidden = truth;
    hidden["annotations"][0]["keypoints"][5] = json!(0);
    fs::write(&path, hidden.to_string()).unwrap();
    let found = eval(&["--json"]).expect(0).json();
    assert_eq!(found["results"], json!(2));
    assert!(found["figures"]["pck@0.2"].as_f64().unwrap() > 0.9, "{found}");
}

/// One image is enough for the example of docs/enrol.md: a copy of it must not be refused.
#[test]
fn the_documented_annotation_can_be_enrolled_alone() {
    let page = fs::read_to_string(root("docs/enrol.md")).unwrap();
    let example = page.split("```json\n").nth(1).unwrap().split("```").next().unwrap();
    let flags = Flags::new();
    fs::write(flags.path("a.json"), example).unwrap();
    let found = flags.enrol(&["a"], &["--json"]).expect(0).json();
    assert_eq!((&found["keypoints"], &found["omitted"]), (&json!(["rim", "handle", "foot"]), &json!([])));
}

#[test]
fn annotations_of_another_image_are_refused() {
    let flags = Flags::new();
    let coco = |name: &str, width: usize| {
        let text = json!({
            "images": [{"id": "x", "file_name": name, "width": width, "height": SIDE}],
            "annotations": [{"image_id": "x", "category_id": 1.0, "keypoints": [80, 112, 2, 176, 112, 2], "bbox": [0, 0, 256, 256]},
                {"image_id": "x", "category_id": 2, "bbox": [0, 0, 9, 9]}],
            "categories": [{"id": 1, "name": "flag", "keypoints": ["left", "right"]}, {"id": 2, "name": "pole"}],
        });
        // As a program on Windows saves it.
        fs::write(flags.path("a.json"), format!("\u{feff}{text}")).unwrap();
        flags.enrol(&["a"], &["--dry-run"])
    };
    coco(r"D:\set\A.PNG", SIDE).expect(0);
    coco("b.png", SIDE).expect(2).says(&["a.json", "annotation of b.png, not of a.png"]);
    coco("a.png", 2 * SIDE).expect(2).says(&["an image of 512x256, but a.png is 256x256"]);
    // Two images whose annotations are given in the other order.
    for (name, other) in [("a", "b"), ("b", "a")] {
        let text = json!({"keypoints": [{"name": "left", "x": 9, "y": 9}], "image": format!("{other}.png")});
        fs::write(flags.path(&format!("{name}.json")), text.to_string()).unwrap();
    }
    flags.enrol(&["a", "b"], &["--dry-run"]).expect(2).says(&["annotation of b.png, not of a.png"]);
}

#[test]
fn boxes_outside_the_image_are_called_that() {
    let flags = Flags::new();
    flags.enrol(&["a"], &[]).expect(0);
    let boxes = flags.path("boxes.jsonl");
    let line = "\u{feff}{\"name\": \"b.png\", \"boxes\": [[300, 0, 50, 50], [0, 0, 256, 256]], \"track\": 7}\n";
    fs::write(&boxes, line).unwrap();
    let done = flags.run(&["--source", &flags.uri("b.png"), "--boxes", text(&boxes)]).expect(0);
    let done = done.says(&["1 boxes lie outside their image", "[300, 0, 50, 50]"]);
    assert!(!done.stderr.contains("not finite"), "{}", done.stderr);
    assert_eq!(done.lines()[1]["poses"].as_array().unwrap().len(), 1);
    fs::write(&boxes, line.replace("300", "NaN")).unwrap();
    let wrong = flags.run(&["--source", &flags.uri("b.png"), "--boxes", text(&boxes)]).expect(2);
    wrong.says(&["boxes.jsonl:1", "the box [NaN, 0, 50, 50] is not finite"]);
    let source = flags.uri("b.png");
    flags.run(&["--source", &source, "--boxes", "/dev/zero"]).expect(2).says(&["/dev/zero:1", "longer than"]);
}
