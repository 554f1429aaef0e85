//! `sinew calib record`, and networks of less precision.

mod cli_support;
mod engine_support;

use std::fs;
use std::path::{Path, PathBuf};

use cli_support::{run, spots, text, write_png};
use engine_support::{image, person};
use sinew::geometry::Size;
use sinew::npz::Npz;
use tempfile::TempDir;

const SIZE: Size = Size::new(64, 48);

/// A folder with three images of two people each.
fn images() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let images = folder.path().join("images");
    fs::create_dir(&images).unwrap();
    for number in 0..3 {
        let cells = [person(3 + number, 4), person(9 + number, 7)].concat();
        write_png(&images.join(format!("{number}.png")), SIZE, image(SIZE, &cells).data());
    }
    (folder, images)
}

fn recorded(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn inputs_of_every_network_are_recorded() {
    let (folder, images) = images();
    let out = folder.path().join("recorded");
    let record = ["calib", "record", "--model", &spots(), "--source", text(&images), "--out", text(&out)];
    run(&record).expect(0).says(&["3 frames seen"]);
    assert_eq!(recorded(&out), ["backbone", "kam"]);
    assert_eq!(recorded(&out.join("backbone")), ["0000.npz", "0001.npz", "0002.npz"]);
    let mut image = Npz::open(&out.join("backbone/0001.npz")).unwrap();
    assert_eq!(image.names(), ["image"]);
    let image = image.array("image").unwrap().unwrap();
    assert_eq!(image.shape[..2], [1, 3]);
    assert!(image.to_f32().iter().any(|&value| value != image.to_f32()[0]), "an image with people in it");
    // So are the tensors that come from another network.
    let mut kam = Npz::open(&out.join("kam/0000.npz")).unwrap();
    assert_eq!(kam.names(), ["embedding", "grid"]);
    assert!(kam.array("embedding").unwrap().unwrap().to_f32().iter().any(|&value| value != 0.0));

    // A folder that holds something is left alone.
    run(&record).expect(2).says(&["recorded: it is not empty"]);
    let few = folder.path().join("few");
    run(&["calib", "record", "--model", &spots(), "--source", text(&images), "--out", text(&few), "--limit", "2"])
        .expect(0)
        .says(&["2 frames seen"]);
    assert_eq!(recorded(&few.join("backbone")).len(), 2);
}

#[test]
fn recording_does_not_change_the_results() {
    // The recorder passes tensors on by itself; `run` on the same images detects the same people.
    let (folder, images) = images();
    let out = folder.path().join("recorded");
    run(&["calib", "record", "--model", &spots(), "--source", text(&images), "--out", text(&out)]).expect(0);
    let poses = run(&["run", "--model", &spots(), "--source", text(&images)]).expect(0).lines();
    let people: usize = poses[1..].iter().map(|line| line["poses"].as_array().unwrap().len()).sum();
    let runs = recorded(&out.join("kam")).len();
    assert!(people == 6 && runs >= 3, "{people} people, {runs} runs of the second network");
}

#[test]
fn a_precision_that_is_not_there_says_what_to_do() {
    let (_folder, images) = images();
    let ask = |precision: &str| {
        run(&["run", "--model", &spots(), "--source", text(&images), "--backend", "tract", "--precision", precision])
    };
    ask("int8").expect(2).says(&["`precision`", "spots was not quantised", "make calib"]);
    ask("fp16").expect(2).says(&["tract", "32 bits"]);
    ask("fp8").expect(2).says(&["unknown precision `fp8`", "`fp32`, `fp16` or `int8`"]);
    ask("fp32").expect(0);
}
