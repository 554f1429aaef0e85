//! Files that commands write besides the sinks of a run: none of them destroys an input, and an earlier file stays as it is
//! until there is something to replace it.

mod cli_support;

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use cli_support::{ended, root, run, sinew, spots, text, write_png};
use serde_json::{Value, json};
use sinew::geometry::Size;

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        text(&self.at(name)).to_owned()
    }

    fn write(&self, name: &str, contents: impl AsRef<[u8]>) -> String {
        fs::write(self.at(name), contents).unwrap();
        self.text(name)
    }
}

const EARLIER: &str = "what was there before\n";

/// Result lines of one pose with an identity in every frame.
fn lines(frames: u64) -> String {
    let header = json!({"schema": 1, "sinew": "0"});
    let line = |frame: u64| {
        let keypoints: Vec<[f64; 3]> =
            (0..17).map(|k| [50.0 + f64::from(k) + frame as f64, 9.0 * f64::from(k), 0.9]).collect();
        json!({"sequence": frame, "captured": 0.04 * frame as f64, "poses": [{"score": 0.9, "id": 1, "keypoints": keypoints}]})
    };
    std::iter::once(header).chain((0..frames).map(line)).map(|line| format!("{line}\n")).collect()
}

#[test]
fn tracked_lines_destroy_nothing() {
    let folder = Folder::new();
    let input = folder.write("in.jsonl", lines(3));
    fs::hard_link(&input, folder.at("hard.jsonl")).unwrap();
    symlink("hard.jsonl", folder.at("link.jsonl")).unwrap();
    for out in ["in.jsonl", "hard.jsonl", "link.jsonl", "./in.jsonl"] {
        run(&["track", &input, "--out", &folder.text(out)]).expect(2).says(&["--out", "is an input"]);
        let from_standard_input =
            sinew(&["track", "-", "--out", &folder.text(out)]).stdin(File::open(&input).unwrap()).output().unwrap();
        ended(from_standard_input).expect(2).says(&["is an input"]);
    }
    assert_eq!(fs::read_to_string(&input).unwrap(), lines(3));
    // Nothing came of it: the earlier file stays.
    let out = folder.write("out.jsonl", EARLIER);
    run(&["track", &folder.write("bad.jsonl", "{"), "--out", &out]).expect(2).says(&["bad.jsonl:1"]);
    assert_eq!(fs::read_to_string(&out).unwrap(), EARLIER);
    // Another program writes it.
    let other = File::options().append(true).open(&out).unwrap();
    other.lock().unwrap();
    run(&["track", &input, "--out", &out]).expect(2).says(&["another program is writing this file"]);
    drop(other);
    run(&["track", &input, "--out", &out]).expect(0);
    assert_eq!(fs::read_to_string(&out).unwrap().lines().count(), 4);
}

#[test]
fn lines_without_an_end_are_refused() {
    run(&["config", "show", "--config", "/dev/zero"]).expect(2).says(&["/dev/zero", "more than the"]);
    run(&["track", "/dev/zero"]).expect(2).says(&["/dev/zero:1", "4194304 bytes"]);
    let folder = Folder::new();
    let mut many = lines(0);
    for camera in 0..70 {
        many += &format!("{}\n", json!({"sequence": 1, "camera": camera, "poses": []}));
    }
    run(&["track", &folder.write("cameras.jsonl", many)]).expect(2).says(&["cameras.jsonl:66", "more than 64"]);
    let with_mark = folder.write("mark.jsonl", format!("\u{feff}{}", lines(2).replace('\n', "\r\n")));
    let done = run(&["track", &with_mark]).expect(0);
    assert_eq!(done.lines().len(), 3);
}

#[test]
fn standard_output_that_is_appended_to_stays() {
    let folder = Folder::new();
    let input = folder.write("in.jsonl", lines(1));
    let image = folder.text("a.png");
    write_png(&folder.at("a.png"), Size::new(32, 32), &[90; 3 * 32 * 32]);
    for arguments in [
        &["track", &input, "--out", "/dev/stdout"][..],
        &["run", "--model", &spots(), "--source", &image, "--sink", "jsonl:/dev/stdout"],
        &["run", "--model", &spots(), "--source", &image, "--sink", "y4m:-"],
    ] {
        let log = folder.write("log", EARLIER);
        let append = File::options().append(true).open(&log).unwrap();
        assert!(sinew(arguments).stdout(append).stderr(Stdio::null()).status().unwrap().success(), "{arguments:?}");
        let found = fs::read(&log).unwrap();
        assert!(found.starts_with(EARLIER.as_bytes()) && found.len() > EARLIER.len(), "{arguments:?}");
    }
    let both = ["run", "--model", &spots(), "--source", &image, "--sink", "y4m:-", "--sink", "jsonl:-"];
    run(&both).expect(2).says(&["two sinks would write to standard output"]);
}

#[test]
fn dumps_are_whole_or_not_there() {
    let folder = Folder::new();
    let tensors = folder.text("in.npz");
    fs::copy(root("tests/golden/logocap/one_person.npz"), &tensors).unwrap();
    let before = fs::read(&tensors).unwrap();
    let dump = |out: &str| {
        sinew(&["decode", "--model", "logocap-tiny", "--tensors", &tensors, "--image-size", "640x480", "--dump", out])
    };
    symlink("in.npz", folder.at("link.npz")).unwrap();
    for out in ["in.npz", "link.npz"] {
        ended(dump(&folder.text(out)).output().unwrap()).expect(2).says(&["--dump", "is an input"]);
    }
    assert_eq!(fs::read(&tensors).unwrap(), before);
    // Through a pipe, which cannot be rewound, and into a file: the same.
    let piped = dump("/dev/stdout").output().unwrap();
    let out = folder.write("out.npz", EARLIER);
    ended(dump(&out).output().unwrap()).expect(0);
    assert_eq!(piped.stdout, fs::read(&out).unwrap());
    assert!(piped.stdout.starts_with(b"PK"));
    ended(dump("/dev/full").output().unwrap()).expect(2).says(&["/dev/full", "cannot be written"]);
    ended(dump(&folder.text("nowhere/out.npz")).output().unwrap()).expect(2).says(&["nowhere/out.npz"]);
}

/// An annotated image, or none where the file is missing.
fn annotated(folder: &Folder) -> [String; 2] {
    let truth = json!({
        "images": [{"id": 1, "file_name": "sub/a.png"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "keypoints": [20, 20, 2, 30, 30, 2, 40, 40, 2],
                         "num_keypoints": 3, "area": 900.0, "bbox": [10, 10, 40, 40], "iscrowd": 0}],
        "categories": [{"id": 1, "name": "person"}],
    });
    fs::create_dir(folder.at("sub")).unwrap();
    [folder.write("truth.json", truth.to_string()), folder.text(".")]
}

#[test]
fn results_of_an_evaluation_replace_earlier_ones_at_its_end() {
    let folder = Folder::new();
    let [truth, images] = annotated(&folder);
    let results = folder.write("results.json", EARLIER);
    let model = spots();
    let evaluate =
        |results: &str| run(&["eval", "--model", &model, "--coco", &truth, "--images", &images, "--results", results]);
    // No image: nothing was measured.
    evaluate(&results).expect(2).says(&["nothing was measured"]);
    assert_eq!(fs::read_to_string(&results).unwrap(), EARLIER);
    evaluate(&folder.text("new.json")).expect(2).says(&["nothing was measured"]);
    assert!(!folder.at("new.json").exists());
    // A pipe in the place of the image is not waited for.
    assert!(Command::new("mkfifo").arg(folder.at("sub/a.png")).status().unwrap().success());
    evaluate(&results).expect(2).says(&["it is not a regular file"]);
    fs::remove_file(folder.at("sub/a.png")).unwrap();
    symlink("a.png", folder.at("sub/a.png")).unwrap();
    evaluate(&results).expect(2).says(&["a.png"]);
    fs::remove_file(folder.at("sub/a.png")).unwrap();
    write_png(&folder.at("sub/a.png"), Size::new(64, 64), &[128; 3 * 64 * 64]);
    let image = fs::read(folder.at("sub/a.png")).unwrap();
    evaluate(&folder.text("sub/a.png")).expect(2).says(&["--results", "is an input"]);
    assert_eq!(fs::read(folder.at("sub/a.png")).unwrap(), image);
    evaluate(&results).expect(0);
    let found: Value = serde_json::from_slice(&fs::read(&results).unwrap()).unwrap();
    assert!(found.is_array());
    let outcomes = ["--metric", "calibration", "--outcomes", &truth];
    let arguments = ["eval", "--model", &model, "--coco", &truth, "--images", &images];
    run(&[&arguments[..], &outcomes].concat()).expect(2).says(&["--outcomes", "is an input"]);
}

#[test]
fn tracks_that_cannot_be_compared_are_no_figures_of_0() {
    let folder = Folder::new();
    let keypoints: Vec<f64> = (0..17).flat_map(|k| [50.0 + f64::from(k), 9.0 * f64::from(k), 2.0]).collect();
    // Tolerated spellings: text ids, whole floats, no `area`, a byte order mark.
    let video = json!({
        "images": [{"id": "f0", "file_name": "0.jpg", "frame_id": 0.0}],
        "annotations": [{"image_id": "f0", "category_id": 1, "track_id": 7.0, "bbox": [40, 0, 40, 150], "keypoints": keypoints}],
        "categories": [{"id": 1, "name": "person"}, {"id": 2, "name": "ball"}],
    });
    let truth = folder.write("truth.json", format!("\u{feff}{video}"));
    let measure = |tracks: &str| run(&["eval", "--metric", "track", "--json", "--truth", &truth, "--tracks", tracks]);
    // Not named after their kinds.
    let tracks = folder.write("tracks.log", lines(1));
    assert_eq!(measure(&tracks).expect(0).json()["idf1"], 1.0);
    let without = lines(1).replace("\"id\":1,", "");
    measure(&folder.write("without.jsonl", without)).expect(2).says(&["no pose in it has an `id`", "sinew track"]);
    let other = lines(1).replace("\"sequence\":0", "\"sequence\":5");
    measure(&folder.write("other.jsonl", other)).expect(2).says(&["none of the 1 frames"]);
    let twice = lines(1) + lines(1).lines().nth(1).unwrap();
    measure(&folder.write("twice.jsonl", twice)).expect(2).says(&["line 3", "a second line of frame 0"]);
    measure(&folder.write("empty", "\n")).expect(2).says(&["nothing in it"]);
    measure(&folder.write("mot.txt", "1,1,0,0,5,5,1\n")).expect(2).says(&["two MOT files"]);
    let untracked = folder.write("video.json", video.to_string().replace("track_id", "track"));
    let done = run(&["eval", "--metric", "track", "--truth", &untracked, "--tracks", &tracks]);
    done.expect(2).says(&["annotations[0].track_id", "found nothing"]);
    let elsewhere = folder.write("mot-truth.txt", "1,1,0,0,5,5,1\n");
    let away = folder.write("mot-tracks.txt", "\u{feff}900,1,500,0,5,5,1\r\n");
    let done = run(&["eval", "--metric", "track", "--truth", &elsewhere, "--tracks", &away]).expect(0);
    done.says(&["none of the 1 people"]);
}

#[test]
fn images_without_an_ending_are_inputs_too() {
    let folder = Folder::new();
    fs::create_dir(folder.at("frames")).unwrap();
    write_png(&folder.at("frames/a"), Size::new(32, 32), &[90; 3 * 32 * 32]);
    let before = fs::read(folder.at("frames/a")).unwrap();
    let sink = format!("jsonl:{}", folder.text("frames/a"));
    run(&["run", "--model", &spots(), "--source", &folder.text("frames"), "--sink", &sink])
        .expect(2)
        .says(&["is an input"]);
    assert_eq!(fs::read(folder.at("frames/a")).unwrap(), before);
    // A file there that is no image may be written.
    let sink = format!("jsonl:{}", folder.text("frames/poses.jsonl"));
    run(&["run", "--model", &spots(), "--source", &folder.text("frames"), "--sink", &sink]).expect(0);
}

#[test]
fn drawings_of_names_that_are_no_text_stay_apart() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;
    let folder = Folder::new();
    fs::create_dir(folder.at("photos")).unwrap();
    for (name, grey) in [(&b"\xff.png"[..], 10), (b"\xfe.png", 20), (b"two\nlines.png", 30)] {
        write_png(&folder.at("photos").join(OsStr::from_bytes(name)), Size::new(32, 32), &[grey; 3 * 32 * 32]);
    }
    let drawn = folder.text("drawn");
    let done = run(&["run", "--model", &spots(), "--source", &folder.text("photos"), "--overlay", &drawn]).expect(0);
    assert_eq!(fs::read_dir(&drawn).unwrap().count(), 3);
    assert_eq!(done.lines().len(), 4, "one line for each, whatever their names");
}

/// A signal ends the tracker that waits for lines, which has written what it had.
#[test]
fn the_tracker_writes_what_it_has_read() {
    let mut child =
        sinew(&["track", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(lines(200).as_bytes()).unwrap();
    let mut output = child.stdout.take().unwrap();
    let mut some = [0; 1000];
    output.read_exact(&mut some).unwrap();
    // The reader goes: that is an end without an error.
    drop(output);
    for _ in 0..50 {
        if input.write_all(lines(200).lines().nth(7).unwrap().as_bytes()).is_err() || input.write_all(b"\n").is_err() {
            break;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    drop(input);
    ended(child.wait_with_output().unwrap()).expect(0);
}
