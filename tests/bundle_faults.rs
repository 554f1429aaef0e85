//! Every way in which a bundle can be wrong has an error with the file, the key, what was found and what was expected.

mod engine_support;

use std::fs;
use std::path::Path;

use engine_support::{Spots, graphs};
use sha2::{Digest as _, Sha256};
use sinew::bundle::{Bundle, BundleError, Manifest};

/// The error of `spots` with one change in its manifest.
fn error_with(from: &str, to: &str) -> String {
    let spots = Spots::with(from, to);
    let error = spots.open().expect_err(to).to_string();
    assert!(error.starts_with(&spots.manifest().display().to_string()), "the manifest comes first: {error}");
    error
}

fn assert_says(error: &str, needles: &[&str]) {
    for needle in needles {
        assert!(error.contains(needle), "no {needle:?} in: {error}");
    }
}

#[test]
fn a_sound_bundle_opens() {
    let spots = Spots::new();
    let bundle = spots.open().unwrap();
    assert_eq!(bundle.manifest().about.name, "spots");
    assert_eq!(bundle.keypoint_names(), ["middle", "left", "below"]);
    assert_eq!(bundle.skeleton().edges, [(0, 1), (0, 2)]);
    assert_eq!(bundle.hash().len(), 64);
    let files = ["bundle.toml", "backbone.onnx", "kam.onnx"];
    let bytes: u64 = files.iter().map(|file| fs::metadata(spots.path().join(file)).unwrap().len()).sum();
    assert_eq!(bundle.bytes(), bytes);
    // By its manifest's path, too.
    assert_eq!(Bundle::open(spots.manifest()).unwrap().hash(), bundle.hash());
}

#[test]
fn a_size_is_chosen_by_name() {
    let spots = Spots::with("short_side = 64", "short_side = 64\nsizes = { small = 32 }");
    let side = |name| spots.open().unwrap().with_size(name).map(|bundle| bundle.manifest().input.short_side);
    assert_eq!((side("default").unwrap(), side("small").unwrap()), (64, 32));
    assert_says(&side("large").unwrap_err().to_string(), &["`large`", "default (64), small (32)"]);
    // Without the table there is one size.
    let plain = Spots::new().open().unwrap();
    assert_says(&plain.with_size("small").unwrap_err().to_string(), &["`small`", "there are default (64)"]);
}

#[test]
fn unknown_keys_are_named_with_the_nearest_valid_one() {
    for (from, to, needles) in [
        (
            "short_side = 64",
            "shortside = 64",
            &["`input.shortside`", "unknown field", "did you mean `short_side`?"][..],
        ),
        ("licence = ", "license = ", &["`bundle.license`", "did you mean `licence`?"]),
        ("[decode]", "[decoder]", &["`decoder`", "did you mean `decode`?"]),
        ("nms_distance = 0.05", "nms_dist = 0.05", &["`decode.nms_dist`", "did you mean `nms_distance`?"]),
        ("batch_sizes = [1, 2]", "batch_size = [1, 2]", &["`engine.kam.batch_size`", "did you mean `batch_sizes`?"]),
        ("{ name = \"image\"", "{ nam = \"image\"", &["`engine.backbone.inputs[0].nam`", "did you mean `name`?"]),
        ("poses = 10", "people = 10", &["`limits.people`", "unknown field `people`"]),
        ("[engine.kam]", "[engine.kan]", &["`engine.kan`", "backbone and kam", "did you mean `kam`?"]),
    ] {
        assert_says(&error_with(from, to), needles);
    }
    // Line numbers, where the parser knows them.
    assert_says(&error_with("short_side = 64", "shortside = 64"), &["bundle.toml:13: "]);
}

#[test]
fn values_outside_a_list_are_named_with_the_nearest_valid_one() {
    for (from, to, needles) in [
        ("rule = \"short-side\"", "rule = \"shortside\"", &["`input.rule`", "did you mean `short-side`?"][..]),
        ("model = \"logocap\"", "model = \"logcap\"", &["`bundle.model`", "did you mean `logocap`?"]),
        ("level = \"full\"", "level = \"fully\"", &["`decode.level`", "did you mean `full`?"]),
        ("\"keep-initial\"", "\"keep\"", &["`decode.zero_kernel`", "did you mean `keep-initial`?"]),
        ("order = \"rgb\"", "order = \"xyz\"", &["`input.order`", "`xyz`", "`rgb`"]),
    ] {
        assert_says(&error_with(from, to), needles);
    }
}

#[test]
fn missing_and_mistyped_keys_are_named() {
    for (from, to, needles) in [
        ("mean = [0.0, 0.0, 0.0]\n", "", &["`input`", "missing field `mean`"][..]),
        ("mean = [0.0, 0.0, 0.0]", "mean = [0.0, 0.0]", &["`input.mean"]),
        ("short_side = 64", "short_side = \"64\"", &["`input.short_side`", "invalid type"]),
        ("short_side = 64", "short_side = -64", &["`input.short_side`"]),
        ("[limits]\nposes = 10\ncenters = 10\n", "", &["missing field `limits`"]),
        ("\"H/4\", \"W/4\"", "\"H/4\", \"W:4\"", &["`engine.backbone.outputs[0].shape[2]`", "`W:4` is not an extent"]),
        ("shape = [4, ", "shape = [0, ", &["`engine.backbone.outputs[0].shape[0]`"]),
        ("format = 1", "format = 2", &["`bundle.format` is 2, expected 1"]),
    ] {
        assert_says(&error_with(from, to), needles);
    }
    let spots = Spots::new();
    spots.edit("[engine.kam]", "[other.kam]");
    assert_says(&spots.open().unwrap_err().to_string(), &["`other`"]);
}

#[test]
fn values_that_do_not_fit_each_other_are_named() {
    for (from, to, needles) in [
        ("sigmas = [0.1, 0.1, 0.1]", "sigmas = [0.1, 0.1]", &["`keypoints.sigmas` is a list of 2", "3 numbers"][..]),
        ("sigmas = [0.1, 0.1, 0.1]", "sigmas = [0.1, 0.1, 0.0]", &["`keypoints.sigmas`", "above 0"]),
        ("[[0, 1], [0, 2]]", "[[0, 1], [0, 3]]", &["`keypoints.edges`", "[0, 3]", "0 to 2"]),
        ("[[0, 1], [0, 2]]", "[[0, 1], [2, 2]]", &["`keypoints.edges`", "[2, 2]", "different"]),
        ("flip_pairs = []", "flip_pairs = [[0, 1], [1, 2]]", &["`keypoints.flip_pairs`", "1 twice"]),
        ("\"left\", \"below\"", "\"left\", \"left\"", &["`keypoints.names`", "\"left\"", "different names"]),
        ("std = [1.0, 1.0, 1.0]", "std = [1.0, 0.0, 1.0]", &["`input.std`", "above 0"]),
        ("mean = [0.0, 0.0, 0.0]", "mean = [nan, 0.0, 0.0]", &["`input.mean`", "finite"]),
        ("multiple = 32", "multiple = 30", &["`input.multiple` is 30", "decode.stride, 4"]),
        ("short_side = 64", "short_side = 0", &["`input.short_side` is 0"]),
        ("short_side = 64", "short_side = 64\nsizes = { default = 32 }", &["`input.sizes.default`", "not `default`"]),
        ("short_side = 64", "short_side = 64\nsizes = { small = 0 }", &["`input.sizes.small` is 0", "1 to "]),
        ("short_side = 64", "short_side = 64000", &["`input.short_side` is 64000"]),
        ("batch_sizes = [1, 2]", "batch_sizes = []", &["`engine.kam.batch_sizes`"]),
        ("batch_sizes = [1, 2]", "batch_sizes = [2, 1]", &["`engine.kam.batch_sizes`", "ascending"]),
        ("batch_sizes = [1, 2]", "batch_sizes = [1, 11]", &["`engine.kam.batch_sizes`", "limits.centers, 10"]),
        ("name = \"spots\"", "name = \"a/b\"", &["`bundle.name`"]),
        ("stride = 4\n", "stride = 8\n", &["`decode.stride` is 8, expected 4"]),
        ("mesh_radius = 5", "mesh_radius = 6", &["`decode.mesh_radius` is 6"]),
        ("mesh_radius = 5", "mesh_radius = 4", &["`engine.kam.inputs.grid`", "[\"27*n\", 9, 2]"]),
        ("window_radius = 48", "window_radius = 49", &["`decode.window_radius` is 49"]),
        ("center_threshold = 0.1", "center_threshold = inf", &["`decode.center_threshold` is inf"]),
        ("poses = 10", "poses = 31", &["`limits.poses` is 31, expected 1 to 30"]),
        ("poses = 10", "poses = 0", &["`limits.poses` is 0"]),
        ("centers = 10", "centers = 1000", &["`limits.centers` is 1000, expected 1 to 30"]),
        ("name = \"heatmaps\"", "name = \"heat\"", &["`engine.backbone.outputs`", "`heat`", "named `heatmaps`"]),
        (
            "shape = [4, \"H/4\"",
            "shape = [18, \"H/4\"",
            &["`engine.backbone.outputs.heatmaps`", "[4, \"H/4\", \"W/4\"]"],
        ),
        ("\"33*n\"", "\"34*n\"", &["`engine.kam.inputs.grid`", "[\"33*n\", 11, 2]"]),
    ] {
        assert_says(&error_with(from, to), needles);
    }
    let spots = Spots::new();
    let names: Vec<String> = (0..101).map(|index| format!("\"k{index}\"")).collect();
    spots.edit("\"middle\", \"left\", \"below\"", &names.join(", "));
    assert_says(&spots.open().unwrap_err().to_string(), &["`keypoints.names` is a list of 101", "1 to 100"]);

    let accuracy = "\n[[accuracy]]\nmetric = \"oks-ap\"\ndata = \"some\"\nprecision = \"fp32\"\nvalue = 45.0\n";
    let spots = Spots::with("centers = 10\n", &format!("centers = 10\n{accuracy}"));
    assert_says(&spots.open().unwrap_err().to_string(), &["`accuracy[0].value` is 45, expected 0 to 1"]);
}

#[test]
fn files_are_the_ones_that_the_manifest_names() {
    let spots = Spots::new();
    let path = spots.path().join("kam.onnx");
    let mut bytes = fs::read(&path).unwrap();
    bytes[100] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let error = spots.open().unwrap_err();
    assert!(matches!(error, BundleError::Hash { .. }));
    assert_says(&error.to_string(), &[&path.display().to_string(), "SHA-256", "`engine.kam.precision.fp32.sha256`"]);

    fs::remove_file(&path).unwrap();
    let error = spots.open().unwrap_err();
    assert!(matches!(error, BundleError::Read { .. }));
    assert_says(&error.to_string(), &[&path.display().to_string(), "`engine.kam.precision.fp32.onnx`"]);

    for name in ["/etc/passwd", "../kam.onnx", "a/../../kam.onnx", ""] {
        let error = error_with("\"kam.onnx\"", &format!("{name:?}"));
        assert_says(&error, &["`engine.kam.precision.fp32.onnx`", "inside the bundle's folder"]);
    }
    let error = error_with("sha256 = \"", "sha256 = \"12");
    assert_says(&error, &["sha256`", "64 hexadecimal digits"]);
    // Upper-case digits are the same hash.
    let spots = Spots::new();
    let text = fs::read_to_string(spots.manifest()).unwrap();
    let hash = text.split("sha256 = \"").nth(1).unwrap()[..64].to_owned();
    spots.edit(&hash, &hash.to_uppercase());
    spots.open().unwrap();
}

#[test]
fn what_is_no_manifest_is_refused() {
    let spots = Spots::new();
    let manifest = spots.manifest();
    for (contents, needles) in [
        (&b""[..], &["missing field `bundle`"][..]),
        (b"[bundle\n", &["bundle.toml:1: "]),
        (b"[bundle]\nname = \"a\"\nname = \"b\"\n", &["bundle.toml:3: ", "duplicate key"]),
        (b"\xff\xfe", &["cannot be read", "UTF-8"]),
        (b"\x7fELF", &["bundle.toml:1: "]),
    ] {
        fs::write(&manifest, contents).unwrap();
        let error = spots.open().unwrap_err().to_string();
        assert!(error.starts_with(&manifest.display().to_string()), "{error}");
        assert_says(&error, needles);
    }
    fs::remove_file(&manifest).unwrap();
    assert_says(&spots.open().unwrap_err().to_string(), &["bundle.toml: cannot be read"]);
    let error = Bundle::open("no/such/folder").unwrap_err().to_string();
    assert_says(&error, &["no/such/folder/bundle.toml", "cannot be read"]);
    let error = Bundle::open("no-such-bundle").unwrap_err();
    assert!(matches!(error, BundleError::NotFound { .. }));
    assert_says(&error.to_string(), &["no bundle named `no-such-bundle`", "models/bundles", "SINEW_BUNDLES"]);
}

#[test]
fn the_manifest_alone_can_be_checked() {
    let text = fs::read_to_string(graphs().join("spots/bundle.toml")).unwrap();
    let manifest = Manifest::parse(Path::new("elsewhere/bundle.toml"), &text).unwrap();
    assert_eq!(manifest.limits.centers, 10);
    // Any cut of it returns.
    for length in (0..text.len()).filter(|&length| text.is_char_boundary(length)) {
        let _ = Manifest::parse(Path::new("elsewhere/bundle.toml"), &text[..length]);
    }
}

#[test]
fn the_documented_manifest_is_a_sound_one() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/bundle.md")).unwrap();
    let example = page.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    // The page shortens lists and hashes; the keys are what must be right.
    let hash = "0".repeat(64);
    let example = example.replace("sha256 = \"...\"", &format!("sha256 = \"{hash}\""));
    let manifest = Manifest::parse(Path::new("docs/bundle.md"), &example).unwrap();
    assert_eq!(manifest.about.name, "logocap-tiny");
}

#[test]
fn what_a_capeformer_bundle_must_be() {
    let refused = |from: &str, to: &str, needles: &[&str]| {
        let broken = Spots::of("colours");
        broken.edit(from, to);
        let error = broken.open().unwrap_err().to_string();
        for needle in needles {
            assert!(error.contains(needle), "no {needle:?} in: {error}");
        }
    };
    refused("rule = \"crop\"", "rule = \"short-side\"", &["input.rule", "\"crop\""]);
    refused("short_side = 256", "short_side = 224", &["input.short_side", "224", "256"]);
    refused("multiple = 256", "multiple = 32", &["input.multiple"]);
    refused("names = []", "names = [\"rim\"]", &["keypoints.names", "templates"]);
    refused("box_padding = 1.0", "box_padding = 0.5", &["decode.box_padding", "0.5"]);
    refused("\"average-seen\"", "\"average\"", &["average-seen"]);
    refused("poses = 5", "poses = 31", &["limits.poses", "31"]);
    refused("poses = 5", "poses = 5\ncenters = 5", &["limits.centers", "no centres"]);
    refused("batch_sizes = [2, 8]", "batch_sizes = [2, 101]", &["engine.match.batch_sizes", "100"]);
    refused("[engine.refine]", "[engine.refined]", &["refined", "refine"]);
    refused(
        "{ name = \"similarity\", shape = [\"n\", 64] }",
        "{ name = \"similarity\", shape = [\"n\", 49] }",
        &["49", "64"],
    );
    // A rule for crops is none for whole images.
    let people = Spots::with("rule = \"short-side\"", "rule = \"crop\"");
    assert!(people.open().unwrap_err().to_string().contains("input.rule"));
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A field of a protocol buffer that holds fewer than 128 bytes.
fn field(key: u8, content: &[u8]) -> Vec<u8> {
    [&[key << 3 | 2, content.len() as u8], content].concat()
}

/// `spots` whose second graph has one more tensor, in another file; `wrap` makes the graph's field of it. Messages that occur
/// twice are merged, so the field can be appended to the file. `listed` is added to the manifest's entry.
fn with_external(location: &str, wrap: impl Fn(&[u8]) -> Vec<u8>, listed: &str) -> Spots {
    let spots = Spots::new();
    let path = spots.path().join("kam.onnx");
    let entry = [field(1, b"location"), field(2, location.as_bytes())].concat();
    // One number of type float.
    let tensor = [&[8, 1, 16, 1][..], &field(8, b"w"), &field(13, &entry), &[112, 1]].concat();
    let old = fs::read(&path).unwrap();
    let new = [&old[..], &field(7, &wrap(&tensor))].concat();
    fs::write(&path, &new).unwrap();
    fs::write(spots.path().join("w.bin"), 1.0_f32.to_le_bytes()).unwrap();
    let sum = sha256(&old);
    spots.edit(&format!("sha256 = \"{sum}\""), &format!("sha256 = \"{}\"{listed}", sha256(&new)));
    spots
}

#[test]
fn files_with_weights_are_listed_and_checked() {
    let initializer = |tensor: &[u8]| field(5, tensor);
    let constant = |tensor: &[u8]| field(1, &field(5, &field(5, tensor)));
    let refused = |spots: &Spots, needles: &[&str]| assert_says(&spots.open().unwrap_err().to_string(), needles);
    let listed = format!(", data = [{{ file = \"w.bin\", sha256 = \"{}\" }}]", sha256(&1.0_f32.to_le_bytes()));

    // As an initializer, and as the value of a node.
    refused(
        &with_external("w.bin", initializer, ""),
        &["kam.onnx", "`w.bin`", "SHA-256", "data = [{ file = \"w.bin\""],
    );
    refused(&with_external("w.bin", constant, ""), &["kam.onnx", "`w.bin`"]);
    // A listed file does not stand for one outside.
    refused(&with_external("../w.bin", initializer, &listed), &["`../w.bin`"]);
    refused(&with_external("/etc/passwd", initializer, &listed), &["`/etc/passwd`"]);
    let elsewhere = listed.replace("w.bin", "../w.bin");
    refused(&with_external("w.bin", initializer, &elsewhere), &["data[0].file", "inside the bundle's folder"]);

    for location in ["w.bin", "./w.bin"] {
        let spots = with_external(location, initializer, &listed);
        let bytes = spots.open().unwrap().bytes();
        fs::write(spots.path().join("w.bin"), 2.0_f32.to_le_bytes()).unwrap();
        let error = spots.open().unwrap_err();
        assert!(matches!(error, BundleError::Hash { .. }));
        assert_says(&error.to_string(), &["w.bin", "`engine.kam.precision.fp32.data[0].sha256`"]);
        fs::remove_file(spots.path().join("w.bin")).unwrap();
        refused(&spots, &["w.bin", "`engine.kam.precision.fp32.data[0].file`"]);
        assert!(bytes > 4);
    }
    // Weights may be in the network's fp32 graph, as those of quantised graphs are.
    with_external("kam.onnx", initializer, "").open().unwrap();
}

#[cfg(unix)]
#[test]
fn endless_files_are_refused() {
    let spots = Spots::new();
    fs::remove_file(spots.manifest()).unwrap();
    std::os::unix::fs::symlink("/dev/zero", spots.manifest()).unwrap();
    assert_says(&spots.open().unwrap_err().to_string(), &["bundle.toml: cannot be read", "not a regular file"]);
}

#[test]
fn pipes_in_the_place_of_files_are_not_waited_for() {
    for name in ["bundle.toml", "kam.onnx"] {
        let spots = Spots::new();
        let path = spots.path().join(name);
        fs::remove_file(&path).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        let error = spots.open().unwrap_err();
        let source = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        assert_says(&format!("{error}: {source}"), &[name, "not a regular file"]);
    }
}
