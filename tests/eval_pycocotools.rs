//! The evaluation gives pycocotools' figures (`tests/data/eval/make.py` made them) to 1e-6, for every spelling of the same
//! annotations, and xtcocotools' where there is no `area` (`make_no_area.py`).

#[path = "common/sigmas.rs"]
mod sigmas;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sinew::coco::Id;
use sinew::eval::{Detection, EvalError, Evaluation, GroundTruth, read_results};

fn coco_sigmas() -> [f64; 17] {
    // As they are written, not as their roundings to 32 bits.
    sigmas::SIGMAS.map(|sigma| (f64::from(sigma) * 1e3).round() / 1e3)
}

type Results = BTreeMap<Id, Vec<Detection>>;

fn folder(case: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests/data/eval", case].iter().collect()
}

fn load(folder: &Path) -> (GroundTruth, Results) {
    let truth = GroundTruth::read(&folder.join("annotations.json")).unwrap();
    let results = read_results(&folder.join("results.json"), truth.category()).unwrap();
    (truth, results)
}

fn check(folder: &Path, evaluation: &Evaluation<'_>) {
    compare(&folder.join("pycocotools.json"), evaluation);
}

fn compare(figures: &Path, evaluation: &Evaluation<'_>) {
    let text = std::fs::read_to_string(figures).unwrap();
    let expected: [f64; 10] = serde_json::from_str(&text).unwrap();
    let case = figures.display();
    for ((name, value), expected) in evaluation.figures().named().into_iter().zip(expected) {
        let value = value.unwrap_or(-1.0);
        assert!((value - expected).abs() < 1e-6, "{case}, {name}: {value}, expected {expected}");
    }
}

#[test]
fn crowds_ignored_people_ties_and_sizes() {
    let (truth, results) = load(&folder("mixed"));
    let annotations: Vec<_> = truth.annotations().iter().flatten().collect();
    assert!(annotations.iter().filter(|person| person.crowd).count() >= 5);
    assert!(annotations.iter().filter(|person| person.ignored && !person.crowd).count() >= 5);
    assert!(results.values().any(|detections| detections.len() > 20));
    let mut evaluation = Evaluation::new(&truth, &coco_sigmas()).unwrap();
    // In falling order of ids: the order of the images must not matter.
    for (image_id, detections) in results.iter().rev() {
        evaluation.put(image_id, detections).unwrap();
    }
    check(&folder("mixed"), &evaluation);
}

#[test]
fn a_size_that_no_person_has() {
    let (truth, results) = load(&folder("no-large"));
    let mut evaluation = Evaluation::new(&truth, &coco_sigmas()).unwrap();
    for image in truth.images() {
        evaluation.put(&image.id, results.get(&image.id).map_or(&[], Vec::as_slice)).unwrap();
    }
    check(&folder("no-large"), &evaluation);
    assert_eq!(evaluation.figures().ap_large, None);
}

/// The folder that `make check-eval` makes: the held-out images' annotations, their poses perturbed.
#[test]
#[ignore = "reads the folder in SINEW_EVAL_CASE: run `make check-eval`"]
fn a_folder_made_outside() {
    let folder = PathBuf::from(std::env::var_os("SINEW_EVAL_CASE").expect("SINEW_EVAL_CASE names no folder"));
    let (truth, results) = load(&folder);
    let mut evaluation = Evaluation::new(&truth, &coco_sigmas()).unwrap();
    for (image_id, detections) in &results {
        evaluation.put(image_id, detections).unwrap();
    }
    check(&folder, &evaluation);
    println!("{}: {:#?}", folder.display(), evaluation.figures());
}

#[test]
fn without_detections_all_are_missed() {
    let (truth, _) = load(&folder("mixed"));
    let figures = Evaluation::new(&truth, &coco_sigmas()).unwrap().figures();
    assert!(figures.named().iter().all(|&(_, value)| value == Some(0.0)));
}

#[test]
fn wrong_input_is_refused() {
    let (truth, results) = load(&folder("mixed"));
    let text = Evaluation::new(&truth, &coco_sigmas()[..16]).unwrap_err().to_string();
    assert!(text.contains("annotations.json") && text.contains("found 17 keypoints, expected 16"), "{text}");

    let mut evaluation = Evaluation::new(&truth, &coco_sigmas()).unwrap();
    assert!(matches!(
        evaluation.put(&123_456.into(), &[]),
        Err(EvalError::UnknownImage { image_id: Id::Number(123_456), .. })
    ));
    let (image_id, detections) = results.iter().find(|(_, detections)| detections.len() > 1).unwrap();
    let mut broken = detections.clone();
    broken[1].keypoints[3][0] = f64::NAN;
    assert!(matches!(evaluation.put(image_id, &broken), Err(EvalError::NotFinite { index: 1, .. })));
    broken[1].keypoints.pop();
    assert!(matches!(evaluation.put(image_id, &broken), Err(EvalError::Keypoints { found: 16, expected: 17, .. })));
    evaluation.put(image_id, detections).unwrap();
    assert!(matches!(evaluation.put(image_id, detections), Err(EvalError::ImageTwice { .. })));
}

/// The annotations of `mixed` as `spell` writes them, with every detection of its results.
fn spelled(spell: impl FnOnce(&mut Value), id: impl Fn(&Id) -> Id, names: &[&str], before: &str) {
    let text = std::fs::read_to_string(folder("mixed").join("annotations.json")).unwrap();
    let mut truth: Value = serde_json::from_str(&text).unwrap();
    spell(&mut truth);
    let temporary = tempfile::tempdir().unwrap();
    let path = temporary.path().join("annotations.json");
    // JSON has no NaN: what stands for it here is written as Python does.
    std::fs::write(&path, format!("{before}{}", truth.to_string().replace("\"NaN\"", "NaN"))).unwrap();
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let truth = GroundTruth::read_for(&path, &names).unwrap();
    let results = read_results(&folder("mixed").join("results.json"), &1.into()).unwrap();
    let mut evaluation = Evaluation::new(&truth, &coco_sigmas()).unwrap();
    for (image, detections) in &results {
        evaluation.put(&id(image), detections).unwrap();
    }
    check(&folder("mixed"), &evaluation);
}

/// Calls `change` for every entry of a list.
fn each(truth: &mut Value, list: &str, change: impl FnMut(&mut Value)) {
    truth[list].as_array_mut().unwrap().iter_mut().for_each(change);
}

/// The same number as a float.
fn as_float(value: &mut Value) {
    *value = json!(value.as_f64().unwrap());
}

#[test]
fn every_spelling_has_the_same_figures() {
    let same = Id::clone;
    spelled(|_| {}, same, &[], "\u{feff}");
    let floats = |truth: &mut Value| {
        each(truth, "images", |image| as_float(&mut image["id"]));
        each(truth, "annotations", |entry| {
            for key in ["id", "image_id", "category_id", "num_keypoints", "iscrowd"] {
                as_float(&mut entry[key]);
            }
            each(entry, "keypoints", as_float);
        });
    };
    spelled(floats, same, &[], "");
    let nothing_where_nothing_is_labelled = |truth: &mut Value| {
        let mut number = 0;
        each(truth, "annotations", |entry| {
            entry["iscrowd"] = json!(entry["iscrowd"] == 1);
            for triple in entry["keypoints"].as_array_mut().unwrap().chunks_exact_mut(3).filter(|triple| triple[2] == 0)
            {
                number += 1;
                triple[..2].fill(if number % 2 == 0 { json!("NaN") } else { Value::Null });
            }
        });
    };
    spelled(nothing_where_nothing_is_labelled, same, &[], "");
    let texts = |truth: &mut Value| {
        let text = |value: &mut Value| *value = json!(format!("{:0>6}", value.to_string()));
        each(truth, "images", |image| text(&mut image["id"]));
        each(truth, "annotations", |entry| text(&mut entry["image_id"]));
    };
    // Texts sort by their letters: as many digits keep the order of the images, and with it that of equal scores.
    spelled(texts, |id| Id::from(format!("{id:0>6}").as_str()), &[], "");
    let less = |truth: &mut Value| {
        each(truth, "annotations", |entry| {
            let entry = entry.as_object_mut().unwrap();
            // Not counted: it is, by the visibilities.
            assert!(entry.remove("num_keypoints").is_some() && entry.remove("id").is_some());
        });
    };
    spelled(less, same, &[], "");
}

#[test]
fn other_categories_change_nothing() {
    let others = |truth: &mut Value| {
        let first = truth["annotations"][0]["image_id"].clone();
        truth["categories"] = json!([{"id": 0, "name": "ball"}, {"id": 1, "name": "person", "keypoints": []},
            {"id": 9, "name": "dog", "keypoints": ["nose", "tail"], "skeleton": "none"}]);
        let list = truth["annotations"].as_array_mut().unwrap();
        list.insert(0, json!({"id": 1, "image_id": first, "category_id": 0, "bbox": [0, 0, 10, 10]}));
        list.push(json!({"image_id": first, "category_id": 9, "keypoints": [1, 1, 2, 3, 3, 2], "bbox": [0, 0, 9, 9], "area": 81}));
        // Of an image that was left out of the set.
        list.push(json!({"image_id": -5, "category_id": 1, "keypoints": vec![1; 51], "area": 9, "bbox": [0, 0, 3, 3]}));
    };
    spelled(others, Id::clone, &[], "");
}

#[test]
fn keypoints_in_another_order_are_mapped() {
    let names: Vec<String> = (0..17).map(|number| format!("left_part{number}")).collect();
    let turned = |truth: &mut Value| {
        // Backwards, with one more keypoint in front, in another spelling.
        let other: Vec<String> = (0..17).rev().map(|number| format!("Part{number} L")).collect();
        truth["categories"][0]["keypoints"] = json!([&["neck".to_owned()], &other[..]].concat());
        each(truth, "annotations", |entry| {
            let values = entry["keypoints"].as_array().unwrap();
            let turned: Vec<Value> = values.chunks_exact(3).rev().flatten().cloned().collect();
            entry["keypoints"] = json!([&[json!(5), json!(5), json!(0)], &turned[..]].concat());
        });
    };
    spelled(turned, Id::clone, &names.iter().map(String::as_str).collect::<Vec<_>>(), "");
}

/// CrowdPose's form, with ids from 0: xtcocotools' `use_area=False`.
#[test]
fn without_areas_the_boxes_count() {
    let (truth, results) = load(&folder("no-area"));
    let mut evaluation = Evaluation::new(&truth, &coco_sigmas()).unwrap();
    for (image, detections) in &results {
        evaluation.put(image, detections).unwrap();
    }
    compare(&folder("no-area").join("xtcocotools.json"), &evaluation);
    let notes = truth.notes().join("\n");
    assert!(notes.contains("0.53 of the box's area"), "{notes}");
    assert!(truth.images()[0].id == Id::Number(0));
}
