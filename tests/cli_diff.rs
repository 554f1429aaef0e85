//! `sinew diff`.

mod cli_support;

use cli_support::{ended, sinew};

const HEADER: &str = r#"{"schema":1,"sinew":"0","units":{"time":"s","position":"px"},"model":"m","bundle":"b","keypoints":["nose","ear"],"skeleton":[]}"#;

fn line(sequence: u64, poses: &str) -> String {
    format!(r#"{{"sequence":{sequence},"image":[9,9],"poses":[{poses}]}}"#)
}

fn pose(x: f32, score: f32, id: &str) -> String {
    format!(r#"{{"score":{score},"keypoints":[[{x},1,0.5],[3,4,0.5]],"id":{id}}}"#)
}

#[test]
fn what_differs_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, lines: &[String]| {
        let path = folder.path().join(name);
        std::fs::write(&path, [&[HEADER.to_owned()], lines].concat().join("\n") + "\n").unwrap();
        path.display().to_string()
    };
    let first = write(
        "a",
        &[line(0, &[pose(1.0, 0.9, "1"), pose(50.0, 0.8, "2")].join(",")), line(1, &pose(1.0, 0.9, "1")), line(2, "")],
    );
    let compare = |lines: &[String], more: &[&str]| {
        let second = write("b", lines);
        ended(sinew(&[&["diff", &first, &second], more].concat()).output().unwrap())
    };
    // In another order, by other numbers, a little apart.
    let same =
        [line(0, &[pose(50.2, 0.801, "7"), pose(1.1, 0.9, "8")].join(",")), line(1, &pose(1.0, 0.9, "8")), line(2, "")];
    let good = compare(&same, &[]).expect(0);
    assert!(good.stdout.contains("3 frames and 3 poses compared, 0 differences"), "{}", good.stdout);
    for (changed, needle) in [
        (line(1, &pose(2.0, 0.9, "8")), "frame 1: pose 0: nose is 1.000 px apart"),
        (line(1, &pose(1.0, 0.7, "8")), "frame 1: pose 0: the pose scores 0.9, and 0.7"),
        (line(1, &pose(1.0, 0.9, "7")), "frame 1: pose 0: identity 1, and 7, which is another one"),
        (line(1, &pose(1.0, 0.9, "null")), "one has an identity"),
        (line(1, ""), "frame 1: 1 poses, and 0"),
        (line(5, ""), "frame 5: only in"),
    ] {
        let lines = [same[0].clone(), changed, same[2].clone()];
        let negative = compare(&lines, &[]).expect(1);
        assert!(negative.stdout.contains(needle), "{needle}: {}", negative.stdout);
    }
    let lines = [same[0].clone(), line(1, &pose(2.0, 0.9, "7")), same[2].clone()];
    let json = compare(&lines, &["--pixels", "1", "--no-ids", "--json"]).expect(0).json();
    assert_eq!((json["differences"].as_u64(), json["largest_distance"].as_f64()), (Some(0), Some(1.0)));
    // As an editor on another system leaves it.
    let marked = [line(0, ""), String::new(), line(1, ""), line(2, "")];
    let path = write("marked", &marked);
    std::fs::write(&path, format!("\u{feff}{}", std::fs::read_to_string(&path).unwrap().replace('\n', "\r\n")))
        .unwrap();
    ended(sinew(&["diff", &path, &path]).output().unwrap()).expect(0);
    let endless = folder.path().join("endless");
    std::fs::write(&endless, vec![b'['; 5 << 20]).unwrap();
    ended(sinew(&["diff", &path, &endless.display().to_string()]).output().unwrap())
        .expect(2)
        .says(&["line 1", "bytes that are read"]);
    // Nothing is never the same as nothing.
    compare(&[], &[]).expect(2).says(&["no result in it"]);
    compare(&[line(0, ""), line(0, "")], &[]).expect(2).says(&["line 3", "a second result of frame 0"]);
    compare(&["{}".to_owned()], &[]).expect(2).says(&["neither a header nor a frame"]);
}

#[test]
fn files_of_other_writers_are_read_and_endless_ones_refused() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let lines = format!("{HEADER}\n{}\n{}\n", line(0, &pose(1.0, 0.9, "1")), line(1, ""));
    let first = write("a", &lines);
    let compare = |second: &str| ended(sinew(&["diff", &first, second]).output().unwrap());
    // A byte order mark, ends of lines of another system, lines without anything.
    compare(&write("b", &format!("\u{feff}{}\r\n\r\n", lines.replace('\n', "\r\n")))).expect(0);
    let done = compare(&write("c", &lines.replace("[9,9]", "[18,9]"))).expect(1);
    assert!(done.stdout.contains("frame 0: images of 9x9 and of 18x9"), "{}", done.stdout);
    compare("/dev/zero").expect(2).says(&["/dev/zero: line 1", "4194304 bytes"]);
    // Poses that take more memory than a file's may, in lines that are short enough each.
    let keypoints = vec!["null"; 500_000].join(",");
    let poses = format!(r#"{{"score":0.5,"keypoints":[{keypoints}]}}"#);
    let many: String = (0..20).map(|number| line(number, &poses) + "\n").collect();
    compare(&write("d", &many)).expect(2).says(&["d: line ", "more than 120 MB"]);
}
