//! `sinew eval`: accuracy of a bundle on an annotated set.

mod boxed;
mod calibration;
mod oks;
mod outside;
mod pck;
mod set;
mod track;

use std::path::PathBuf;

use anyhow::bail;
use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{Args, ValueEnum};

use super::backend::BackendArguments;
use super::guard::FileGuard;
use super::log::LogArguments;
use super::{Verdict, value};
use crate::bundle::logocap::Refinement;
use crate::bundle::{Bundle, Model};
use crate::engine::Precision;
use crate::estimator;
use crate::eval::Reach;

/// Measure a bundle's accuracy on annotated images
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sinew eval --model logocap-movenet --coco tests/data/people/annotations.json --images tests/data/people
  sinew eval --metric track --truth gt.txt --tracks tracks.txt
  sinew eval --metric pck --shots 1 --model capeformer-tiny --coco objects/annotations.json --images objects")]
pub struct EvalArguments {
    /// Bundle: a name that `sinew models list` shows, or a folder
    #[arg(long, value_name = "NAME|DIR", default_value = "", hide_default_value = true, value_parser = any_path())]
    model: PathBuf,
    /// Annotations in COCO's format
    #[arg(long, value_name = "ANN.json", default_value = "", hide_default_value = true, value_parser = any_path())]
    coco: PathBuf,
    /// Folder of the images that the annotations name
    #[arg(long, value_name = "DIR", default_value = "", hide_default_value = true, value_parser = any_path())]
    images: PathBuf,
    /// What to measure [default: pck for capeformer bundles, else oks]
    #[arg(long, value_enum)]
    metric: Option<Metric>,
    #[command(flatten)]
    backend: BackendArguments,
    /// Precision of the networks: fp32, fp16 or int8; int8 on tract is exact, and slow [default: fp16 on tensorrt, else fp32]
    #[arg(long, value_name = "NAME")]
    precision: Option<Precision>,
    /// Threads for the CPU; 0 is one per core
    #[arg(long, value_name = "N", default_value_t = 0)]
    threads: usize,
    /// oks, calibration: how far poses are refined: none, partial or full [default: the bundle's]
    #[arg(long, value_parser = value::level)]
    level: Option<Refinement>,
    /// Which of the bundle's sizes: default, or a name of its `input.sizes`
    #[arg(long, value_name = "NAME")]
    size: Option<String>,
    /// oks: write all poses to this file, in COCO's result format
    #[arg(long, value_name = "OUT.json")]
    results: Option<PathBuf>,
    /// Not for capeformer bundles: only the first N images, in the order of their ids
    #[arg(long, value_name = "N", value_parser = value::count)]
    limit: Option<usize>,
    /// oks: exit with code 1 if AP is below this
    #[arg(long, value_name = "AP", value_parser = value::threshold)]
    min_ap: Option<f32>,
    /// oks, calibration, for models of one person per box: a file of JSON lines as for `sinew run` [default: the annotations' boxes]
    #[arg(long, value_name = "FILE")]
    boxes: Option<PathBuf>,
    /// pck of capeformer bundles: enrol from this many images [default: 1]
    #[arg(long, value_name = "N", value_parser = value::count)]
    shots: Option<usize>,
    /// pck, pckh: exit with code 1 if PCK@0.2 or PCKh@0.5 is below this
    #[arg(long, value_name = "PCK", value_parser = value::threshold)]
    min_pck: Option<f32>,
    /// track: true identities: gt.txt in MOTChallenge's format, or annotations.json of a video with `frame_id` and `track_id`
    #[arg(long, value_name = "GT")]
    truth: Option<PathBuf>,
    /// track: tracked identities: MOTChallenge's .txt, or the .jsonl lines of `sinew run` or `sinew track`
    #[arg(long, value_name = "TRACKS")]
    tracks: Option<PathBuf>,
    /// calibration: write the score of every pose and keypoint, and whether it was right, to this file
    #[arg(long, value_name = "OUT.json")]
    outcomes: Option<PathBuf>,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

/// A measure of accuracy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Metric {
    /// COCO's average precision and recall over object keypoint similarity
    Oks,
    /// Share of correct keypoints, relative to the box: of objects that are enrolled from other images of their kind, or of
    /// people in their annotated boxes
    Pck,
    /// The same for people, relative to the head (`head_bbox` of the annotations)
    Pckh,
    /// Expected calibration error: how far scores are from the probability of being right
    Calibration,
    /// Identities of recorded results against known ones: HOTA, MOTA, IDF1; needs no model
    Track,
}

/// A path, or nothing: what is missing depends on the metric.
fn any_path() -> impl TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new().map(PathBuf::from)
}

impl EvalArguments {
    /// Runs the command.
    pub fn run(self, log: &LogArguments) -> anyhow::Result<Verdict> {
        if self.metric == Some(Metric::Track) {
            return track::run(&self);
        }
        if self.truth.is_some() || self.tracks.is_some() {
            bail!("--truth and --tracks are for --metric track");
        }
        for (flag, path) in [("--model", &self.model), ("--coco", &self.coco), ("--images", &self.images)] {
            if path.as_os_str().is_empty() {
                bail!("{flag} is missing: a bundle is measured on images with annotations, see `sinew eval --help`");
            }
        }
        let bundle = Bundle::open(&self.model)?;
        let bundle = match &self.size {
            Some(size) => bundle.with_size(size)?,
            None => bundle,
        };
        if !self.images.is_dir() {
            bail!("{}: not a folder; give the one that holds the images", self.images.display());
        }
        self.guard(&bundle)?;
        let about = &bundle.manifest().about;
        let enrolled = about.model == Model::Capeformer;
        let metric = self.metric.unwrap_or(if enrolled { Metric::Pck } else { Metric::Oks });
        let fitting: &[Metric] = match about.model {
            Model::Capeformer => &[Metric::Pck],
            model if model.takes_boxes() => &[Metric::Oks, Metric::Pck, Metric::Pckh, Metric::Calibration],
            _ => &[Metric::Oks, Metric::Calibration],
        };
        if !fitting.contains(&metric) {
            let names: Vec<_> = fitting.iter().map(|&metric| name(metric)).collect();
            bail!("{} is a {}: measure it with --metric {}", about.name, about.model, names.join(" or "));
        }
        let of_poses = matches!(metric, Metric::Oks | Metric::Calibration);
        let options = [
            ("--level", self.level.is_some(), of_poses),
            ("--results", self.results.is_some(), metric == Metric::Oks),
            ("--min-ap", self.min_ap.is_some(), metric == Metric::Oks),
            ("--boxes", self.boxes.is_some(), of_poses),
            ("--limit", self.limit.is_some(), !enrolled),
            ("--shots", self.shots.is_some(), enrolled),
            ("--min-pck", self.min_pck.is_some(), !of_poses),
            ("--outcomes", self.outcomes.is_some(), metric == Metric::Calibration),
        ];
        if let Some((option, ..)) = options.iter().find(|(_, given, fits)| *given && !fits) {
            bail!("{option} does not apply to --metric {} of a {}", name(metric), about.model);
        }
        match metric {
            Metric::Oks | Metric::Calibration if self.boxes.is_some() && !about.model.takes_boxes() => {
                bail!("--boxes is for models of one person per box; {} looks everywhere", about.name)
            }
            Metric::Oks => oks::run(&self, &bundle, log),
            Metric::Calibration => calibration::run(&self, &bundle, log),
            Metric::Pck if enrolled => pck::run(&self, &bundle, log),
            Metric::Pck => boxed::run(&self, &bundle, Reach::Box, log),
            Metric::Pckh => boxed::run(&self, &bundle, Reach::Head, log),
            Metric::Track => track::run(&self),
        }
    }
}

impl EvalArguments {
    /// Refuses to write the results over an input.
    fn guard(&self, bundle: &Bundle) -> anyhow::Result<()> {
        let mut guard = FileGuard::default();
        [&self.coco, &self.images].into_iter().chain(&self.boxes).for_each(|path| guard.input(path));
        // Images may lie in folders of that folder.
        guard.image_tree(&self.images);
        guard.input_tree(bundle.folder());
        self.results.iter().try_for_each(|path| guard.output("--results", path))?;
        self.outcomes.iter().try_for_each(|path| guard.output("--outcomes", path))
    }

    /// Options of the model, for all metrics.
    fn options(&self) -> estimator::Options {
        estimator::Options { threads: self.threads, precision: self.precision, ..estimator::Options::default() }
    }
}

fn name(metric: Metric) -> &'static str {
    match metric {
        Metric::Oks => "oks",
        Metric::Calibration => "calibration",
        Metric::Pck => "pck",
        Metric::Pckh => "pckh",
        Metric::Track => "track",
    }
}
