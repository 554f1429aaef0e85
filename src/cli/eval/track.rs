//! `sinew eval --metric track`: identities against known ones.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, bail};
use serde_json::json;

use super::EvalArguments;
use crate::cli::track::COCO_SIGMAS;
use crate::cli::{Verdict, output};
use crate::eval::track::{TrackedBoxes, figures, keypoint_frames};
use crate::write::is_special;

/// Runs the command.
pub fn run(arguments: &EvalArguments) -> anyhow::Result<Verdict> {
    let (Some(truth), Some(tracks)) = (&arguments.truth, &arguments.tracks) else {
        bail!("--metric track compares two files: give --truth and --tracks");
    };
    let frames = match (is_json(truth)?, is_json(tracks)?) {
        (false, false) => TrackedBoxes::read(truth, true)?.frames(&TrackedBoxes::read(tracks, false)?),
        (true, true) => keypoint_frames(truth, tracks, &COCO_SIGMAS.map(f64::from))?,
        _ => bail!(
            "{} and {}: give two MOT files, gt.txt and tracks.txt, or annotations.json of a video and result lines, \
             tracks.jsonl",
            truth.display(),
            tracks.display()
        ),
    };
    let found = figures(&frames);
    if found.truths == 0 {
        bail!("{}: nothing to measure: no person in it counts", truth.display());
    }
    if found.misses == found.truths {
        tracing::warn!(
            "{}: none of the {} people of {} was found: are both of the same video, and frames counted alike?",
            tracks.display(),
            found.truths,
            truth.display()
        );
    }
    if arguments.json {
        output::print_json(&json!({
            "metric": "track", "hota": found.hota, "det_a": found.det_a, "ass_a": found.ass_a, "mota": found.mota,
            "idf1": found.idf1, "switches": found.switches, "misses": found.misses,
            "false_positives": found.false_positives, "truths": found.truths, "frames": frames.len(),
        }))?;
    } else {
        let rows = [
            ("HOTA", format!("{:.4}", found.hota)),
            ("DetA", format!("{:.4}", found.det_a)),
            ("AssA", format!("{:.4}", found.ass_a)),
            ("MOTA", format!("{:.4}", found.mota)),
            ("IDF1", format!("{:.4}", found.idf1)),
            ("switches", found.switches.to_string()),
            ("misses", found.misses.to_string()),
            ("false positives", found.false_positives.to_string()),
            ("people", found.truths.to_string()),
            ("frames", frames.len().to_string()),
        ];
        output::print_table(["METRIC", "VALUE"], &rows.map(|(name, value)| [name.to_owned(), value]))?;
    }
    Ok(Verdict::Good)
}

/// Whether a file is JSON, by its first byte other than a space.
fn is_json(path: &Path) -> anyhow::Result<bool> {
    let start = read_start(path).with_context(|| format!("cannot read {}", path.display()))?;
    let text = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&start);
    match text.iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(&byte) => Ok(byte == b'{'),
        None => bail!("{}: nothing in it", path.display()),
    }
}

fn read_start(path: &Path) -> std::io::Result<Vec<u8>> {
    // A pipe gives each byte once, and these are read again.
    if is_special(path) {
        let reason = "it is not a regular file; write its content to one";
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, reason));
    }
    let mut start = Vec::new();
    File::open(path)?.take(256).read_to_end(&mut start)?;
    Ok(start)
}
