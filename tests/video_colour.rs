//! The colours of videos that ffmpeg decodes, whatever matrix they have, and poses in them compared with those in images.

mod common;
mod programs;

use std::path::Path;
use std::process::Command;

use programs::{ffmpeg, have};
use serde_json::Value;
use sinew::source::{self, SourceError};

/// Every frame as RGB.
fn rgb_frames(uri: &str) -> Vec<Vec<u8>> {
    let (mut source, mut frames) = (source::open(uri).unwrap(), Vec::new());
    loop {
        match source.next_frame() {
            Ok(Some(frame)) => {
                let mut rgb = Vec::new();
                sinew::pixels::to_rgb(frame.image, &mut rgb);
                frames.push(rgb);
            }
            Ok(None) => return frames,
            Err(SourceError::NotYet) => {}
            Err(error) => panic!("{uri}: {error}"),
        }
    }
}

/// The colour in the middle of the first frame.
fn colour(uri: &str) -> [u8; 3] {
    let frame = rgb_frames(uri).swap_remove(0);
    let middle = frame.len() / 6 * 3;
    [frame[middle], frame[middle + 1], frame[middle + 2]]
}

#[test]
fn a_video_has_the_colours_that_it_was_made_of() {
    if !have(&["ffmpeg"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    // As far apart in the two matrices as a colour gets: the wrong one is off by 20 and more.
    let expected = [230, 40, 60];
    let h264 = |matrix: &'static str| ["-c:v", "libx264", "-crf", "1", "-pix_fmt", "yuv420p", "-colorspace", matrix];
    let smpte = h264("smpte170m");
    let bt709 = h264("bt709");
    let untagged = ["-c:v", "libx264", "-crf", "1", "-pix_fmt", "yuv420p"];
    let jpeg = ["-c:v", "mjpeg", "-q:v", "1", "-pix_fmt", "yuvj420p"];
    let red_green_blue = ["-c:v", "libx264rgb", "-crf", "1"];
    for (what, size, matrix, options, file) in [
        ("low definition in BT.709", "320x240", "bt709", &bt709[..], "a.mp4"),
        ("low definition in BT.601", "320x240", "bt601", &smpte[..], "a.mp4"),
        ("high definition in BT.709", "1280x720", "bt709", &bt709[..], "a.mp4"),
        ("high definition in BT.601", "1280x720", "bt601", &smpte[..], "a.mp4"),
        ("low definition without a tag", "320x240", "bt601", &untagged[..], "a.mp4"),
        ("high definition without a tag", "1280x720", "bt709", &untagged[..], "a.mp4"),
        ("JPEGs in high definition", "1280x720", "bt601", &jpeg[..], "a.avi"),
        ("red, green and blue in high definition", "1280x720", "bt601", &red_green_blue[..], "a.mkv"),
    ] {
        let path = folder.path().join(file);
        let made = format!("color=c=0xe6283c:size={size}:rate=5:duration=0.4,format=rgb24");
        let scale = format!("scale=out_color_matrix={matrix}");
        let to = path.to_str().unwrap();
        ffmpeg(&[&["-f", "lavfi", "-i", &made, "-vf", &scale], options, &[to]].concat());
        let found = colour(to);
        let most = found.iter().zip(expected).map(|(&found, expected)| found.abs_diff(expected)).max().unwrap();
        assert!(most <= 4, "{what}: {found:?} in place of {expected:?}");
    }
}

/// The poses of each line of a file of results: score, and keypoints with their scores.
fn poses(path: &Path) -> Vec<Vec<(f64, Vec<[f64; 3]>)>> {
    let text = std::fs::read_to_string(path).unwrap();
    let pose = |pose: &Value| {
        let number = |value: &Value| value.as_f64().unwrap();
        let point = |point: &Value| [number(&point[0]), number(&point[1]), number(&point[2])];
        (number(&pose["score"]), pose["keypoints"].as_array().unwrap().iter().map(point).collect())
    };
    let lines = text.lines().skip(1).map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.map(|line| line["poses"].as_array().unwrap().iter().map(pose).collect()).collect()
}

/// H.264 is 4:2:0: an image with the same pixels has RGB made of it, by repeating chroma, with 8 bits. What differs is that rounding,
/// by half a level at most, which moves half of the keypoints by less than a third of a pixel, and a few that have two places of
/// almost equal score from one to the other. As much does rounding the same images otherwise ([docs/sources.md]).
#[test]
fn h264_has_the_poses_of_its_frames_as_images() {
    if !have(&["ffmpeg"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for (number, name) in ["mariachi", "opera", "band", "oath", "phone", "conductor"].iter().enumerate() {
        let photograph = format!("{}/tests/data/photos/{name}.jpg", env!("CARGO_MANIFEST_DIR"));
        let fit = "scale=640:480:force_original_aspect_ratio=decrease,pad=640:480:-1:-1";
        ffmpeg(&["-i", &photograph, "-vf", fit, path(&format!("{number}.png")).to_str().unwrap()]);
    }
    let (video, images) = (path("a.mp4"), path("images"));
    let (from, video) = (path("%d.png"), video.to_str().unwrap());
    let encoded = ["-c:v", "libx264", "-crf", "18", "-pix_fmt", "yuv420p", video];
    ffmpeg(&[&["-framerate", "5", "-i", from.to_str().unwrap()], &encoded[..]].concat());
    std::fs::create_dir(&images).unwrap();
    // By default ffmpeg's conversion is a level too dark on average, and three at most.
    let precise = "neighbor+accurate_rnd+full_chroma_int+full_chroma_inp";
    let to = images.join("%02d.png");
    let options = ["-vf", "scale", "-sws_flags", precise, "-pix_fmt", "rgb24"];
    ffmpeg(&[&["-i", video, "-fps_mode", "passthrough"], &options[..], &[to.to_str().unwrap()]].concat());

    let images = images.to_str().unwrap();
    let (ours, theirs) = (rgb_frames(video), rgb_frames(images));
    assert_eq!((ours.len(), theirs.len()), (6, 6));
    for (number, (our, their)) in ours.iter().zip(&theirs).enumerate() {
        let differences = || our.iter().zip(their).map(|(&our, &their)| our.abs_diff(their));
        let mean = differences().map(f64::from).sum::<f64>() / our.len() as f64;
        assert!(differences().max().unwrap() <= 1 && mean < 0.02, "frame {number}: {mean}");
    }

    let run = |uri: &str, results: &str| {
        let results = path(results);
        let sink = format!("jsonl:{}", results.display());
        let mut command = Command::new(env!("CARGO_BIN_EXE_sinew"));
        command.args(["run", "--model", concat!(env!("CARGO_MANIFEST_DIR"), "/models/bundles/logocap-movenet")]);
        command.args(["--backend", "tract", "--no-track", "--source", uri, "--sink", &sink]);
        assert!(command.output().unwrap().status.success(), "{command:?}");
        poses(&results)
    };
    let (ours, theirs) = (run(video, "video.jsonl"), run(images, "images.jsonl"));
    let (mut distances, mut scores) = (Vec::new(), Vec::new());
    for (number, (our, their)) in ours.iter().zip(&theirs).enumerate() {
        assert_eq!(our.len(), their.len(), "frame {number}");
        for ((our_score, our), (their_score, their)) in our.iter().zip(their) {
            scores.push((our_score - their_score).abs());
            let sure = our.iter().zip(their).filter(|(our, their)| our[2].min(their[2]) > 0.3);
            distances.extend(sure.map(|(our, their)| (our[0] - their[0]).hypot(our[1] - their[1])));
        }
    }
    distances.sort_by(f64::total_cmp);
    scores.sort_by(f64::total_cmp);
    println!(
        "{} poses, {} keypoints: {:?}",
        scores.len(),
        distances.len(),
        [0.5, 0.9].map(|part| distances[(part * distances.len() as f64) as usize])
    );
    assert!(scores.len() >= 12 && distances.len() >= 150, "{} poses, {} keypoints", scores.len(), distances.len());
    assert!(distances[distances.len() / 2] < 0.5, "half are {} pixels apart", distances[distances.len() / 2]);
    assert!(distances[distances.len() * 4 / 5] < 1.5, "a fifth is {} pixels apart", distances[distances.len() * 4 / 5]);
    assert!(scores.last().is_some_and(|&most| most < 0.1), "scores: {scores:?}");
}
