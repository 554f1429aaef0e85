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
    let result = decode(&path, &size_of(&path), &["--exact"]).expect(0).json();
    // Without a peak the reference takes the first pixel for a centre, and drops its pose at the end.
    for (name, rows) in
        [("centers", 1), ("initial_poses", 1), ("refined_poses", 1), ("scores", 0), ("poses", 0), ("keep", 0)]
    {
        assert_eq!(result[name].as_array().map(Vec::len), Some(rows), "{name}");
    }
    let path = golden("one_person.npz");
    let result = decode(&path, &size_of(&path), &["--exact"]).expect(0).json();
    assert_eq!(result["poses"][0].as_array().unwrap().len(), 17);
    assert_eq!(result["poses"][0][0].as_array().unwrap().len(), 3);
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
        let result = decode(&path, &size_of(&source), &["--exact"]).expect(0).json();
        assert_eq!(result["poses"].as_array().map(Vec::len), Some(0), "{value}");
    }
}

/// A CenterGroup bundle with 17 keypoints whose graphs are never opened.
fn centergroup_bundle(folder: &Path) -> String {
    const NOTHING: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let nearest = fs::read_to_string(root("tests/data/onnx/nearest/bundle.toml")).unwrap();
    let names: Vec<String> = (0..17).map(|number| format!("\"keypoint {number}\"")).collect();
    let sigmas = vec!["0.05"; 17].join(", ");
    let mut manifest = nearest
        .replace("[\"red\", \"blue\"]", &format!("[{}]", names.join(", ")))
        .replace("[0.1, 0.1]", &format!("[{sigmas}]"))
        .replace("[3, \"H/2\", \"W/2\"]", "[18, \"H/2\", \"W/2\"]")
        .replace("3*n", "18*n")
        .replace("[2, \"n\"", "[17, \"n\"")
        .replace("\"2*n\"", "\"17*n\"");
    for role in ["backbone", "grouping"] {
        fs::write(folder.join(format!("{role}.onnx")), b"").unwrap();
        let hash = manifest.split(&format!("\"{role}.onnx\", sha256 = \"")).nth(1).unwrap()[..64].to_owned();
        manifest = manifest.replace(&hash, NOTHING);
    }
    fs::write(folder.join("bundle.toml"), manifest).unwrap();
    folder.to_str().unwrap().to_owned()
}

fn decode_centergroup(model: &str, tensors: &Path, size: &str, more: &[&str]) -> Ended {
    run(&[&["decode", "--model", model, "--tensors", text(tensors), "--image-size", size], more].concat())
}

#[test]
fn centergroup_s_golden_arrays_come_out_as_numpy_made_them() {
    let folder = tempfile::tempdir().unwrap();
    let model = centergroup_bundle(folder.path());
    let dumps = tempfile::tempdir().unwrap();
    let out = dumps.path().join("out.npz");
    for entry in fs::read_dir(root("tests/golden/centergroup")).unwrap() {
        let path = entry.unwrap().path();
        decode_centergroup(&model, &path, &size_of(&path), &["--exact", "--dump", text(&out)]).expect(0);
        let names = ["peaks_xy", "peaks_score", "peaks_keep", "idx", "wgt", "bias", "poses", "scores"];
        for name in names {
            let (found, expected) = (array(&out, name), array(&path, name));
            assert_eq!(found.shape, expected.shape, "{}: `{name}`", path.display());
            let tolerance = if ["poses", "scores"].contains(&name) { 1e-5 } else { 0.0 };
            assert_close(&path, name, &found.to_f32(), &expected.to_f32(), tolerance);
        }
    }
}

#[test]
fn centergroup_s_tokens_need_no_grouping() {
    let folder = tempfile::tempdir().unwrap();
    let model = centergroup_bundle(folder.path());
    let tensors = folder.path().join("in.npz");
    let heat_half = Array::from_f32(&[18, 8, 8], vec![0.25; 18 * 64]).unwrap();
    npz::write(&tensors, &Arrays::from([("heat_half".to_owned(), heat_half)])).unwrap();
    // A flat map: by our own rule one token of every type, by the reference's as many as there is room for.
    for (more, most, count) in [(&[][..], 10, 1), (&["--exact"], 30, 30)] {
        let result = decode_centergroup(&model, &tensors, "16x16", more).expect(0).json();
        assert!(result.get("poses").is_none());
        for keep in result["peaks_keep"].as_array().unwrap() {
            let keep: Vec<i64> = keep.as_array().unwrap().iter().map(|keep| keep.as_i64().unwrap()).collect();
            assert_eq!((keep.len(), keep.iter().sum::<i64>()), (most, count));
        }
    }
}

#[test]
fn wrong_arrays_of_centergroup_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let model = centergroup_bundle(folder.path());
    let path = folder.path().join("wrong.npz");
    let zeros = |shape: &[usize]| Array::from_f32(shape, vec![0.0; shape.iter().product()]).unwrap();
    let sound = || -> Arrays {
        [
            ("heat_half", zeros(&[18, 8, 8])),
            ("mask", zeros(&[16, 16])),
            ("attn", zeros(&[17, 30, 510])),
            ("vis", zeros(&[17, 30])),
            ("center", zeros(&[30])),
        ]
        .map(|(name, array)| (name.to_owned(), array))
        .into()
    };
    npz::write(&path, &sound()).unwrap();
    // Padding everywhere: no token, no person.
    let result = decode_centergroup(&model, &path, "16x16", &["--exact"]).expect(0).json();
    assert_eq!(result["poses"].as_array().map(Vec::len), Some(0));
    for (name, array, needles) in [
        ("heat_half", None, &["heat_half", "missing"][..]),
        ("heat_half", Some(zeros(&[17, 8, 8])), &["heat_half", "[17, 8, 8]", "[18, h, w]"]),
        ("heat_half", Some(zeros(&[18, 8, 7])), &["mask", "[16, 14]"]),
        ("mask", Some(zeros(&[16, 15])), &["mask", "[16, 15]", "[16, 16]"]),
        ("attn", None, &["attn", "missing"]),
        ("attn", Some(zeros(&[17, 30, 500])), &["attn", "[17, 30, 510]"]),
        ("vis", Some(zeros(&[16, 30])), &["vis", "[17, 30]"]),
        ("center", Some(zeros(&[29])), &["center", "[30]"]),
    ] {
        let mut arrays = sound();
        arrays.remove(name);
        arrays.extend(array.map(|array| (name.to_owned(), array)));
        npz::write(&path, &arrays).unwrap();
        let needles = [&["wrong.npz"], needles].concat();
        decode_centergroup(&model, &path, "16x16", &["--exact"]).expect(2).says(&needles);
    }
}

fn decode_with(model: &str, arrays: Arrays, out: &Path) -> Ended {
    let folder = tempfile::tempdir().unwrap();
    let tensors = folder.path().join("in.npz");
    npz::write(&tensors, &arrays).unwrap();
    let model = root(model);
    run(&[
        "decode",
        "--model",
        text(&model),
        "--tensors",
        text(&tensors),
        "--image-size",
        "640x480",
        "--dump",
        text(out),
    ])
}

fn named(arrays: &[(&str, &[usize], Vec<f32>)]) -> Arrays {
    let named = |(name, shape, values): &(&str, &[usize], Vec<f32>)| {
        ((*name).to_owned(), Array::from_f32(shape, values.clone()).unwrap())
    };
    arrays.iter().map(named).collect()
}

#[test]
fn capeformers_proposals_and_poses() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out.npz");
    let golden = root("tests/golden/capeformer/parts.npz");
    let similarity = array(&golden, "similarity");
    let count = similarity.shape[0];
    let values = similarity.to_f32();
    let colours = "tests/data/onnx/colours";
    for shape in [vec![count, 64], vec![count, 8, 8]] {
        decode_with(colours, named(&[("similarity", &shape, values.clone())]), &out).expect(0);
        assert_close(&golden, "proposals", &numbers(&out, "proposals"), &numbers(&golden, "proposals"), 1e-6);
    }
    let keypoints: Vec<f32> = (0..2 * count).map(|value| value as f32 / (2 * count) as f32).collect();
    let crop = vec![100.0, 60.0, 80.0];
    let full = |keypoints: &[f32], crop: &[f32]| {
        named(&[
            ("similarity", &[count, 64], values.clone()),
            ("keypoints", &[keypoints.len() / 2, 2], keypoints.to_vec()),
            ("crop", &[crop.len()], crop.to_vec()),
        ])
    };
    decode_with(colours, full(&keypoints, &crop), &out).expect(0);
    let poses = numbers(&out, "poses");
    for (pose, place) in poses.as_chunks::<3>().0.iter().zip(keypoints.as_chunks::<2>().0) {
        assert!((pose[0] - (60.0 + 80.0 * place[0])).abs() < 1e-4 && (pose[1] - (20.0 + 80.0 * place[1])).abs() < 1e-4);
        assert!((0.0..=1.0).contains(&pose[2]));
    }
    let mut broken = values.clone();
    broken[5] = f32::NAN;
    decode_with(colours, named(&[("similarity", &[count, 64], broken)]), &out).expect(0);
    assert_eq!(array(&out, "proposals").shape, [0, 2]);
    decode_with(colours, named(&[("similarity", &[0, 64], vec![])]), &out).expect(0);
    assert_eq!(array(&out, "proposals").shape, [0, 2]);
    decode_with(colours, full(&keypoints[2..], &crop), &out).expect(2).says(&["keypoints", "one per row"]);
    decode_with(colours, full(&keypoints, &[1.0, 2.0, 0.0]), &out).expect(2).says(&["crop", "side"]);
    decode_with(colours, named(&[("similarity", &[1, 63], vec![0.0; 63])]), &out).expect(2).says(&["similarity", "64"]);
    decode_with(colours, Arrays::new(), &out).expect(2).says(&["similarity", "missing"]);
}

#[test]
fn lofrs_poses() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out.npz");
    // Two boxes; the second is none.
    let mut response = vec![0.0; 2 * 2 * 16 * 8];
    response[3 * 8 + 2] = 1.0;
    let arrays = |boxes: usize| {
        named(&[
            ("response", &[2, 2, 16, 8], response.clone()),
            ("presence", &[2, 2], vec![2.0, -2.0, 1.0, 1.0]),
            ("boxes", &[boxes, 4], [[10.0, 20.0, 32.0, 64.0], [0.0, 0.0, 0.0, 0.0]].concat()[..4 * boxes].to_vec()),
        ])
    };
    decode_with("tests/data/onnx/painted", arrays(2), &out).expect(0);
    assert_eq!(array(&out, "poses").shape, [2, 2, 3]);
    let poses = numbers(&out, "poses");
    assert_eq!(&poses[..2], [10.0 + 10.0, 20.0 + 14.0]);
    assert_eq!(&poses[3..5], [26.0, 52.0], "a flat map says the middle");
    assert!((poses[2] - 0.880_797).abs() < 1e-5);
    assert_eq!(&poses[6..], [0.0; 6]);
    decode_with("tests/data/onnx/painted", arrays(1), &out).expect(2).says(&["boxes", "one row per crop"]);
}

#[test]
fn numbers_that_are_none_are_said() {
    let folder = tempfile::tempdir().unwrap();
    let path = golden("one_person.npz");
    let mut npz = Npz::open(&path).unwrap();
    let mut arrays = Arrays::new();
    for name in npz.names() {
        arrays.insert(name.clone(), npz.array(&name).unwrap().unwrap());
    }
    let heatmaps = &arrays["heatmaps"];
    let values = vec![f32::NAN; heatmaps.to_f32().len()];
    let count = values.len();
    let nothing = Array::from_f32(&heatmaps.shape.clone(), values).unwrap();
    arrays.insert("heatmaps".to_owned(), nothing);
    let changed = folder.path().join("nan.npz");
    npz::write(&changed, &arrays).unwrap();
    let done = decode(&changed, &size_of(&path), &["--exact"]).expect(0);
    done.says(&["array 'heatmaps'", &format!("{count} values are not finite")]);
    let done = decode(&path, &size_of(&path), &["--exact"]).expect(0);
    assert!(!done.stderr.contains("not finite"), "{}", done.stderr);
}
