//! `sinew enrol`: from a few images of an object to a template, by which `sinew run` locates its keypoints.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::json;

use super::backend::BackendArguments;
use super::guard::FileGuard;
use super::{Verdict, output};
use crate::bundle::Bundle;
use crate::engine::Precision;
use crate::estimator::{self, Shot};
use crate::pixels::{Limits, read_image};
use crate::pose::{Keypoint, Pose, Skeleton};
use crate::sink::{Category, OutputSchema, overlay};
use crate::template::Annotation;

/// Learn the keypoints of an object from a few images
///
/// Give one to five images of the object, each with a JSON file that says where its keypoints are (docs/enrol.md).
/// `sinew run --template` then locates them in other images.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  sinew enrol --model capeformer-tiny --image a.jpg --keypoints a.json --image b.jpg --keypoints b.json --out cup.template
  sinew run --model capeformer-tiny --template cup.template --source photos --overlay drawn")]
pub struct EnrolArguments {
    /// Bundle: a name that `sinew models list` shows, or a folder
    #[arg(long, value_name = "NAME|DIR")]
    model: PathBuf,
    /// An image of the object; may be repeated
    #[arg(long, value_name = "A.jpg", required = true)]
    image: Vec<PathBuf>,
    /// The JSON file with its keypoints in that image; once for every --image, in the same order
    #[arg(long, value_name = "A.json", required = true)]
    keypoints: Vec<PathBuf>,
    /// The template to write
    #[arg(long, value_name = "OUT.template")]
    out: PathBuf,
    /// Name of the object [default: the template's file name]
    #[arg(long)]
    name: Option<String>,
    /// Only check the annotations, and draw the keypoints onto copies of the images next to OUT.template
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    backend: BackendArguments,
    /// Precision of the networks: fp32, fp16 or int8 [default: fp16 on tensorrt, else fp32]
    #[arg(long, value_name = "NAME")]
    precision: Option<Precision>,
    /// Threads for the CPU; 0 is one per core
    #[arg(long, value_name = "N", default_value_t = 0)]
    threads: usize,
    /// Print JSON instead of text
    #[arg(long)]
    json: bool,
}

impl EnrolArguments {
    /// Runs the command.
    pub fn run(self) -> anyhow::Result<Verdict> {
        let (images, annotations) = (self.image.len(), self.keypoints.len());
        if images != annotations {
            bail!("{images} --image but {annotations} --keypoints: give one of each for every image");
        }
        let stem = self.out.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let name = self.name.clone().unwrap_or(stem);
        if name.is_empty() {
            bail!("{}: no name in it; give one with --name", self.out.display());
        }
        let bundle = Bundle::open(&self.model)?;
        self.guard(&bundle)?;
        let mut shots = Vec::new();
        for (path, keypoints) in self.image.iter().zip(&self.keypoints) {
            let image = read_image(path, &Limits::default())?;
            let annotation = Annotation::read(keypoints, path, image.view().size())?;
            shots.push(Shot { name: path.display().to_string(), image, annotation });
        }
        estimator::check_shots(&bundle, &name, &shots)?;
        if self.dry_run {
            return self.draw(&name, &shots);
        }
        let options =
            estimator::Options { threads: self.threads, precision: self.precision, ..estimator::Options::default() };
        let enrolment = estimator::enrol(&bundle, self.backend.chosen()?, &options, &name, &shots)?;
        enrolment.template.write(&self.out)?;
        let names: Vec<&str> = enrolment.template.keypoints().iter().map(|keypoint| &*keypoint.name).collect();
        if self.json {
            output::print_json(&json!({
                "template": self.out,
                "name": name,
                "bundle": bundle.manifest().about.name,
                "shots": shots.len(),
                "keypoints": names,
                "omitted": enrolment.omitted,
            }))?;
        } else {
            let images = if shots.len() == 1 { "image" } else { "images" };
            let (path, count) = (self.out.display(), names.len());
            output::print_line(format_args!(
                "{path}: `{name}`, {count} keypoints from {} {images}: {}",
                shots.len(),
                names.join(" ")
            ))?;
            if !enrolment.omitted.is_empty() {
                output::print_line(format_args!(
                    "omitted, because some images do not show them: {}",
                    enrolment.omitted.join(" ")
                ))?;
            }
        }
        Ok(Verdict::Good)
    }

    /// Refuses to write over an image, an annotation or a file of the bundle.
    fn guard(&self, bundle: &Bundle) -> anyhow::Result<()> {
        let mut guard = FileGuard::default();
        self.image.iter().chain(&self.keypoints).for_each(|path| guard.input(path));
        guard.input_tree(bundle.folder());
        if self.dry_run {
            return (0..self.image.len()).try_for_each(|number| guard.output("--out", &self.drawing(number)));
        }
        guard.output("--out", &self.out)
    }

    /// Where a dry run draws the image with this number.
    fn drawing(&self, number: usize) -> PathBuf {
        let stem = self.out.file_stem().unwrap_or_default().to_string_lossy();
        self.out.with_file_name(format!("{stem}-{}.jpg", number + 1))
    }

    /// Draws the annotations onto copies of the images, next to the template.
    fn draw(&self, name: &str, shots: &[Shot]) -> anyhow::Result<Verdict> {
        let mut drawn = Vec::new();
        for (number, shot) in shots.iter().enumerate() {
            let path = self.drawing(number);
            draw(&path, name, shot).with_context(|| format!("cannot draw {}", shot.name))?;
            drawn.push(path);
        }
        if self.json {
            output::print_json(&json!({ "name": name, "drawn": drawn }))?;
        } else {
            output::print_line(format_args!(
                "the annotations are valid; check that the keypoints are where they should be:"
            ))?;
            for path in &drawn {
                output::print_line(format_args!("{}", path.display()))?;
            }
        }
        Ok(Verdict::Good)
    }
}

fn draw(path: &Path, name: &str, shot: &Shot) -> anyhow::Result<()> {
    let Annotation { points, edges, .. } = &shot.annotation;
    let kind = Category {
        name: name.to_owned(),
        keypoints: points.iter().map(|point| point.name.clone()).collect(),
        skeleton: Skeleton { edges: edges.iter().copied().collect() },
    };
    let schema = OutputSchema { categories: vec![kind], templates: true, poses: 1, ..OutputSchema::default() };
    let keypoint = |point: &crate::template::Point| {
        let score = if point.visible { 1.0 } else { 0.0 };
        Keypoint { x: point.x, y: point.y, score }
    };
    let pose = Pose { keypoints: points.iter().map(keypoint).collect(), score: 1.0, ..Pose::default() };
    // Keypoints that the image does not show are not drawn.
    overlay::write(path, &schema, 0.5, shot.image.view(), &[pose])?;
    Ok(())
}
