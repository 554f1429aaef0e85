//! Expected calibration error: whether a bundle's scores are probabilities.

use std::path::Path;

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use super::{EvalArguments, oks};
use crate::bundle::Bundle;
use crate::cli::log::LogArguments;
use crate::cli::{Verdict, output};
use crate::eval::{Calibration, Evaluation, Outcomes};
use crate::write::whole;

pub(super) fn run(arguments: &EvalArguments, bundle: &Bundle, log: &LogArguments) -> anyhow::Result<Verdict> {
    let truth = oks::read_truth(arguments, bundle)?;
    let sigmas: Vec<f64> = bundle.manifest().keypoints.sigmas.iter().map(|&sigma| f64::from(sigma)).collect();
    let mut evaluation = Evaluation::new(&truth, &sigmas)?.recording_outcomes();
    let tally = oks::process_all(arguments, bundle, &truth, &mut evaluation, None, log)?;
    let figures = evaluation.figures();
    let outcomes = evaluation.into_outcomes();
    let Some(pose) = Calibration::new(&outcomes.poses) else {
        bail!("nothing was measured: no pose was detected in the {} images", tally.images);
    };
    let keypoint = Calibration::new(&outcomes.keypoints);
    if keypoint.is_none() {
        tracing::warn!("keypoints were not measured: no pose matches a person with a `bbox`");
    }
    if let Some(path) = &arguments.outcomes {
        write(path, &outcomes)?;
    }
    if arguments.json {
        output::print_json(&json!({
            "bundle": bundle.manifest().about.name,
            "hash": bundle.hash(),
            "metric": "calibration",
            "calibrated": bundle.manifest().score.is_some(),
            "images": tally.images,
            "skipped": tally.skipped,
            "figures": { "ece_pose": pose.ece, "ece_keypoint": keypoint.as_ref().map(|keypoint| keypoint.ece), "ap": figures.ap },
            "pose": pose,
            "keypoint": keypoint.as_ref().map_or(Value::Null, |keypoint| json!(keypoint)),
        }))?;
    } else {
        let mut rows = table("pose", &pose);
        rows.extend(keypoint.iter().flat_map(|keypoint| table("keypoint", keypoint)));
        output::print_table(["OF", "SCORES", "COUNT", "MEAN SCORE", "RIGHT"], &rows)?;
        output::print_line(format_args!("ECE of poses: {:.4}", pose.ece))?;
        if let Some(keypoint) = &keypoint {
            output::print_line(format_args!("ECE of keypoints: {:.4}", keypoint.ece))?;
        }
    }
    Ok(if tally.skipped > 0 { Verdict::Negative } else { Verdict::Good })
}

fn table(of: &str, calibration: &Calibration) -> Vec<[String; 5]> {
    let row = |bin: &crate::eval::Bin| {
        let range = format!("{:.1}-{:.1}", bin.from, bin.to);
        [of.to_owned(), range, bin.count.to_string(), format!("{:.3}", bin.score), format!("{:.3}", bin.right)]
    };
    calibration.bins.iter().map(row).collect()
}

fn write(path: &Path, outcomes: &Outcomes) -> anyhow::Result<()> {
    let text = serde_json::to_string(outcomes)?;
    whole(path, text.as_bytes()).with_context(|| format!("cannot write the outcomes to {}", path.display()))
}
