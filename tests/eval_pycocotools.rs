//! The evaluation gives pycocotools' figures (`tests/data/eval/make.py` made them) to 1e-6.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sinew::eval::{Detection, EvalError, Evaluation, GroundTruth, read_results};

const COCO_SIGMAS: [f64; 17] = [
    0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072, 0.062, 0.062, 0.107, 0.107, 0.087, 0.087, 0.089,
    0.089,
];

type Results = BTreeMap<u64, Vec<Detection>>;

fn folder(case: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests/data/eval", case].iter().collect()
}

fn load(folder: &Path) -> (GroundTruth, Results) {
    let truth = GroundTruth::read(&folder.join("annotations.json")).unwrap();
    let results = read_results(&folder.join("results.json"), truth.category_id()).unwrap();
    (truth, results)
}

fn check(folder: &Path, evaluation: &Evaluation<'_>) {
    let text = std::fs::read_to_string(folder.join("pycocotools.json")).unwrap();
    let expected: [f64; 10] = serde_json::from_str(&text).unwrap();
    let case = folder.display();
    for ((name, value), expected) in evaluation.figures().named().into_iter().zip(expected) {
        let value = value.unwrap_or(-1.0);
        assert!((value - expected).abs() < 1e-6, "{case}, {name}: {value}, pycocotools {expected}");
    }
}

#[test]
fn crowds_ignored_people_ties_and_sizes() {
    let (truth, results) = load(&folder("mixed"));
    let annotations: Vec<_> = truth.annotations().iter().flatten().collect();
    assert!(annotations.iter().filter(|person| person.crowd).count() >= 5);
    assert!(annotations.iter().filter(|person| person.ignored && !person.crowd).count() >= 5);
    assert!(results.values().any(|detections| detections.len() > 20));
    let mut evaluation = Evaluation::new(&truth, &COCO_SIGMAS).unwrap();
    // In falling order of ids: the order in which images come must not matter.
    for (&image_id, detections) in results.iter().rev() {
        evaluation.put(image_id, detections).unwrap();
    }
    check(&folder("mixed"), &evaluation);
}

#[test]
fn a_size_that_nobody_has() {
    let (truth, results) = load(&folder("no-large"));
    let mut evaluation = Evaluation::new(&truth, &COCO_SIGMAS).unwrap();
    for image in truth.images() {
        evaluation.put(image.id, results.get(&image.id).map_or(&[], Vec::as_slice)).unwrap();
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
    let mut evaluation = Evaluation::new(&truth, &COCO_SIGMAS).unwrap();
    for (&image_id, detections) in &results {
        evaluation.put(image_id, detections).unwrap();
    }
    check(&folder, &evaluation);
    println!("{}: {:#?}", folder.display(), evaluation.figures());
}

#[test]
fn nothing_put_is_everybody_missed() {
    let (truth, _) = load(&folder("mixed"));
    let figures = Evaluation::new(&truth, &COCO_SIGMAS).unwrap().figures();
    assert!(figures.named().iter().all(|&(_, value)| value == Some(0.0)));
}

#[test]
fn wrong_input_is_refused() {
    let (truth, results) = load(&folder("mixed"));
    let text = Evaluation::new(&truth, &COCO_SIGMAS[..16]).unwrap_err().to_string();
    assert!(text.contains("annotations.json") && text.contains("found 17, expected 16"), "{text}");

    let mut evaluation = Evaluation::new(&truth, &COCO_SIGMAS).unwrap();
    assert!(matches!(evaluation.put(123_456, &[]), Err(EvalError::UnknownImage { image_id: 123_456, .. })));
    let (&image_id, detections) = results.iter().find(|(_, detections)| detections.len() > 1).unwrap();
    let mut broken = detections.clone();
    broken[1].keypoints[3][0] = f64::NAN;
    assert!(matches!(evaluation.put(image_id, &broken), Err(EvalError::NotFinite { index: 1, .. })));
    broken[1].keypoints.pop();
    assert!(matches!(evaluation.put(image_id, &broken), Err(EvalError::Keypoints { found: 16, expected: 17, .. })));
    evaluation.put(image_id, detections).unwrap();
    assert!(matches!(evaluation.put(image_id, detections), Err(EvalError::ImageTwice { .. })));
}
