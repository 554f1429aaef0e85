//! `sinew eval --metric track`: identities against known ones.

use std::path::Path;

use anyhow::bail;
use serde_json::json;

use super::EvalArguments;
use crate::cli::track::COCO_SIGMAS;
use crate::cli::{Verdict, output};
use crate::eval::track::{TrackedBoxes, figures, keypoint_frames};

/// Runs the command.
pub fn run(arguments: &EvalArguments) -> anyhow::Result<Verdict> {
    let (Some(truth), Some(tracks)) = (&arguments.truth, &arguments.tracks) else {
        bail!("--metric track compares two files: give --truth and --tracks");
    };
    let is = |path: &Path, extension: &str| path.extension().is_some_and(|found| found == extension);
    let frames = if is(truth, "txt") && is(tracks, "txt") {
        TrackedBoxes::read(truth, true)?.frames(&TrackedBoxes::read(tracks, false)?)
    } else if is(truth, "json") && is(tracks, "jsonl") {
        keypoint_frames(truth, tracks, &COCO_SIGMAS.map(f64::from))?
    } else {
        bail!(
            "{} and {}: give two MOT files, gt.txt and tracks.txt, or annotations.json of a video and result lines, \
             tracks.jsonl",
            truth.display(),
            tracks.display()
        );
    };
    let found = figures(&frames);
    if found.truths == 0 {
        bail!("{}: nobody in it to evaluate", truth.display());
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
