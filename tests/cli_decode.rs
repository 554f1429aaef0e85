//! `sinew decode`: the golden arrays through the program, and files that it must refuse.

mod arrays;
mod cli_support;

use std::fs;
use std::path::{Path, PathBuf};

use arrays::{array, assert_close, numbers};
use cli_support::{Ended, root, run, text};
use sinew::npz::{self, Array, Arrays, Npz};

fn golden(name: &str) -> PathBuf {
    root("tests/golden/logocap").join(name)
}

fn decode(tensors: &Path, size: &str, more: &[&str]) -> Ended {
    run(&[&["decode", "--model", "logocap-tiny", "--tensors", text(tensors), "--image-size", size], more].concat())
}

/// The size that `image_size` of a golden file says.
fn size_of(path: &Path) -> String {
    let size = numbers(path, "image_size");
    format!("{}x{}", size[0], size[1])
}

#[test]
fn golden_arrays_come_out_as_numpy_made_them() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out.npz");
    let files: Vec<_> =
        fs::read_dir(root("tests/golden/logocap")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(files.len() >= 10);
    for path in files {
        for (level, suffix) in [("full", ""), ("partial", "_partial"), ("none", "_none")] {
            decode(&path, &size_of(&path), &["--exact", "--level", level, "--dump", text(&out)]).expect(0);
            for name in ["refined_poses", "scores", "poses", "keep"] {
                let expected = array(&path, &format!("{name}{suffix}"));
                let found = array(&out, name);
                assert_eq!(found.shape, expected.shape, "{}: `{name}` at {level}", path.display());
                assert_close(&path, name, &found.to_f32(), &expected.to_f32(), 1e-5);
            }
            for name in ["centers", "initial_poses"] {
                assert_close(&path, name, &numbers(&out, name), &numbers(&path, name), 1e-5);
            }
        }
    }
}

#[test]
fn without_a_dump_it_prints_json() {
    let path = golden("empty.npz");
    let answer = decode(&path, &size_of(&path), &["--exact"]).expect(0).json();
    // Without a peak the reference takes the first pixel for a centre, and drops its pose at the end.
    for (name, rows) in
        [("centers", 1), ("initial_poses", 1), ("refined_poses", 1), ("scores", 0), ("poses", 0), ("keep", 0)]
    {
        assert_eq!(answer[name].as_array().map(Vec::len), Some(rows), "{name}");
    }
    let path = golden("one_person.npz");
    let answer = decode(&path, &size_of(&path), &["--exact"]).expect(0).json();
    assert_eq!(answer["poses"][0].as_array().unwrap().len(), 17);
    assert_eq!(answer["poses"][0][0].as_array().unwrap().len(), 3);
}

#[test]
fn wrong_arrays_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("wrong.npz");
    let source = golden("one_person.npz");
    let read_all = || -> Arrays {
        let mut file = Npz::open(&source).unwrap();
        ["heatmaps", "offsets", "kam"].map(|name| (name.to_owned(), file.array(name).unwrap().unwrap())).into()
    };
    let refused = |arrays: &Arrays, needles: &[&str]| {
        npz::write(&path, arrays).unwrap();
        decode(&path, "64x64", &["--exact"]).expect(2).says(&[&["wrong.npz"], needles].concat());
    };
    for name in ["heatmaps", "offsets", "kam"] {
        let mut arrays = read_all();
        arrays.remove(name);
        refused(&arrays, &[name]);
        let mut arrays = read_all();
        arrays.insert(name.to_owned(), Array::from_f32(&[2, 3], vec![0.0; 6]).unwrap());
        refused(&arrays, &[name]);
    }
    // One channel too few.
    let mut arrays = read_all();
    let heatmaps = &arrays["heatmaps"];
    let [channels, height, width] = heatmaps.shape[..] else { panic!() };
    let fewer = heatmaps.to_f32()[..(channels - 1) * height * width].to_vec();
    arrays.insert("heatmaps".into(), Array::from_f32(&[channels - 1, height, width], fewer).unwrap());
    refused(&arrays, &["heatmaps", "17", "18"]);
}

#[test]
fn files_that_are_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.npz");
    decode(&path, "64x64", &[]).expect(2).says(&["x.npz"]);
    fs::write(&path, b"PK not really").unwrap();
    decode(&path, "64x64", &[]).expect(2).says(&["x.npz"]);
    let whole = fs::read(golden("one_person.npz")).unwrap();
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    decode(&path, "64x64", &[]).expect(2).says(&["x.npz"]);
    let source = golden("one_person.npz");
    decode(&source, "64", &[]).expect(2).says(&["640x480"]);
    decode(&source, "0x64", &[]).expect(2).says(&["640x480"]);
    let inside_a_file = format!("{}/out.npz", text(&source));
    decode(&source, "64x64", &["--dump", &inside_a_file]).expect(2).says(&["out.npz"]);
}

#[test]
fn numbers_that_are_none_give_no_pose() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("nan.npz");
    let source = golden("one_person.npz");
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut arrays = Arrays::new();
        for name in ["heatmaps", "offsets", "kam"] {
            let like = array(&source, name);
            let count = like.shape.iter().product();
            arrays.insert(name.to_owned(), Array::from_f32(&like.shape, vec![value; count]).unwrap());
        }
        npz::write(&path, &arrays).unwrap();
        let answer = decode(&path, &size_of(&source), &["--exact"]).expect(0).json();
        assert_eq!(answer["poses"].as_array().map(Vec::len), Some(0), "{value}");
    }
}
