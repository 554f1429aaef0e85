//! `sinew models`: lists, shows and checks bundles.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::{Value, json};

use super::backend::BackendArguments;
use super::{Verdict, output};
use crate::bundle::{self, Accuracy, Bundle, BundleError, MANIFEST, Model};
use crate::engine::Backend;
use crate::estimator::{self, Request, Shot};
use crate::geometry::Size;
use crate::pixels::{Image, ImageView, PixelFormat};
use crate::pose::Poses;
use crate::read;
use crate::template::{Annotation, Point, Template};

/// The image that a bundle is tried on.
const TRIAL: Size = Size::new(64, 48);

/// Show, list and check model bundles
#[derive(Debug, Args)]
pub struct ModelsArguments {
    #[command(subcommand)]
    command: ModelsCommand,
}

#[derive(Debug, Subcommand)]
enum ModelsCommand {
    /// List the bundles that can be given by name
    List {
        /// Print JSON instead of a table
        #[arg(long)]
        json: bool,
    },
    /// Show a bundle's manifest
    Show {
        /// A name that `sinew models list` shows, or a folder
        #[arg(value_name = "NAME|DIR")]
        model: PathBuf,
        /// Print JSON: the whole manifest
        #[arg(long)]
        json: bool,
    },
    /// Check every file's hash, open the networks and run them once; exit code 1 if one fails
    Verify {
        /// Names or folders; all bundles in the list if none is given
        #[arg(value_name = "NAME|DIR")]
        models: Vec<PathBuf>,
        #[command(flatten)]
        backend: BackendArguments,
        /// Print JSON instead of a table
        #[arg(long)]
        json: bool,
    },
}

impl ModelsArguments {
    /// Runs the command.
    pub fn run(self) -> anyhow::Result<Verdict> {
        match self.command {
            ModelsCommand::List { json } => list(json),
            ModelsCommand::Show { model, json } => show(&Bundle::open(model)?, json),
            ModelsCommand::Verify { models, backend, json } => verify(models, backend.chosen()?, json),
        }
    }
}

/// One line of the list.
#[derive(Debug, Serialize)]
struct Entry {
    name: String,
    folder: PathBuf,
    model: Option<String>,
    version: Option<u32>,
    keypoints: Option<usize>,
    bytes: Option<u64>,
    /// Network pixels of an image's short side, by the name of the size.
    sizes: Option<BTreeMap<String, usize>>,
    /// The highest figure in 32 bits, of all sets and refinement levels.
    accuracy: Option<Accuracy>,
    error: Option<String>,
}

fn list(json: bool) -> anyhow::Result<Verdict> {
    let entries: Vec<Entry> = bundle::list().into_iter().map(entry).collect();
    if json {
        output::print_json(&entries)?;
        return Ok(Verdict::Good);
    }
    if entries.is_empty() {
        let searched: Vec<String> = bundle::search_path().iter().map(|path| path.display().to_string()).collect();
        tracing::warn!("no bundle in {}; set SINEW_BUNDLES to their folder", searched.join(", "));
    }
    let rows: Vec<[String; 7]> = entries
        .into_iter()
        .map(|entry| {
            let sizes = entry.sizes.as_ref().map(named);
            let text = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
            let folder = entry.folder.display().to_string();
            [
                entry.name,
                text(entry.model),
                text(entry.keypoints.map(|count| count.to_string())),
                text(entry.bytes.map(megabytes)),
                text(sizes),
                text(entry.accuracy.map(|figure| format!("{} {:.3}", figure.metric, figure.value))),
                entry.error.map_or(folder, |error| format!("unusable: {error}")),
            ]
        })
        .collect();
    output::print_table(["NAME", "MODEL", "KEYPOINTS", "SIZE", "INPUT", "ACCURACY", "FOLDER"], &rows)?;
    Ok(Verdict::Good)
}

fn entry(listed: bundle::Listed) -> Entry {
    let name = listed.folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let opened = listed.bundle.as_ref().ok();
    Entry {
        name,
        folder: listed.folder,
        model: opened.map(|bundle| bundle.manifest().about.model.to_string()),
        version: opened.map(|bundle| bundle.manifest().about.version),
        keypoints: opened.map(|bundle| bundle.keypoint_names().len()),
        bytes: opened.map(Bundle::bytes),
        sizes: opened.map(sizes),
        accuracy: opened.and_then(|bundle| highest(&bundle.manifest().accuracy)).cloned(),
        error: listed.bundle.as_ref().err().map(BundleError::to_string),
    }
}

fn sizes(bundle: &Bundle) -> BTreeMap<String, usize> {
    let input = &bundle.manifest().input;
    let default = (bundle::DEFAULT_SIZE.to_owned(), input.short_side);
    input.sizes.clone().into_iter().chain([default]).collect()
}

/// `default 256, small 192`, the largest first.
fn named(sizes: &BTreeMap<String, usize>) -> String {
    let mut sizes: Vec<_> = sizes.iter().collect();
    sizes.sort_by_key(|&(_, side)| std::cmp::Reverse(side));
    sizes.iter().map(|(name, side)| format!("{name} {side}")).collect::<Vec<_>>().join(", ")
}

fn highest(figures: &[Accuracy]) -> Option<&Accuracy> {
    let full = figures.iter().filter(|figure| figure.precision == "fp32");
    full.max_by(|a, b| a.value.total_cmp(&b.value))
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

fn show(bundle: &Bundle, json: bool) -> anyhow::Result<Verdict> {
    if json {
        let path = bundle.folder().join(MANIFEST);
        let text =
            read::text(&path, bundle::MAX_MANIFEST).with_context(|| format!("cannot read {}", path.display()))?;
        let manifest: Value = toml::from_str(&text)?;
        output::print_json(&json!({
            "folder": bundle.folder(),
            "hash": bundle.hash(),
            "bytes": bundle.bytes(),
            "manifest": manifest,
        }))?;
        return Ok(Verdict::Good);
    }
    let manifest = bundle.manifest();
    let (about, input) = (&manifest.about, &manifest.input);
    let enrolled = bundle.keypoint_names().is_empty();
    let limits = match (manifest.limits.poses, manifest.limits.centers) {
        (poses, 0) => format!("{poses} poses"),
        (poses, centers) => format!("{poses} poses, {centers} centres"),
    };
    let mut rows = vec![
        ("name", about.name.clone()),
        ("model", about.model.to_string()),
        ("version", about.version.to_string()),
        ("licence", about.licence.clone()),
        ("provenance", about.provenance.clone()),
        ("folder", bundle.folder().display().to_string()),
        ("size", megabytes(bundle.bytes())),
        ("hash", bundle.hash().to_owned()),
        ("input", format!("short side {} pixels, multiples of {}", input.short_side, input.multiple)),
        ("sizes", named(&sizes(bundle))),
        ("keypoints", if enrolled { "what templates name".to_owned() } else { bundle.keypoint_names().join(" ") }),
        ("limits", limits),
    ];
    for (role, engine) in &manifest.engines {
        let files = engine.precision.files().map(|(precision, file)| format!("{precision} {}", file.onnx));
        rows.push(("engine", format!("{role}: {}", files.collect::<Vec<_>>().join(", "))));
    }
    for figure in &manifest.accuracy {
        let level = figure.level.as_ref().map(|level| format!(", level {level}")).unwrap_or_default();
        let text = format!("{} {:.4} on {} ({}{level})", figure.metric, figure.value, figure.data, figure.precision);
        rows.push(("accuracy", text));
    }
    let rows: Vec<[String; 2]> = rows.into_iter().map(|(key, value)| [key.to_owned(), value]).collect();
    output::print_table(["KEY", "VALUE"], &rows)?;
    Ok(Verdict::Good)
}

/// The result for one bundle.
#[derive(Debug, Serialize)]
struct Verified {
    name: String,
    folder: PathBuf,
    good: bool,
    error: Option<String>,
}

fn verify(models: Vec<PathBuf>, backend: Backend, json: bool) -> anyhow::Result<Verdict> {
    let found: Vec<(PathBuf, Result<Bundle, BundleError>)> = if models.is_empty() {
        bundle::list().into_iter().map(|listed| (listed.folder, listed.bundle)).collect()
    } else {
        models.into_iter().map(|model| (model.clone(), Bundle::open(model))).collect()
    };
    let mut verified = Vec::new();
    for (folder, bundle) in found {
        // A damaged bundle is a result of the check; one that does not exist is an error of the command.
        let bundle = match bundle {
            Err(error) if error.is_missing() => return Err(error.into()),
            other => other,
        };
        let tried = bundle.map_err(anyhow::Error::from).and_then(|bundle| {
            try_out(&bundle, backend)?;
            Ok(bundle)
        });
        let folder = tried.as_ref().map_or(folder, |bundle| bundle.folder().to_owned());
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let error = tried.as_ref().err().map(|error| super::causes(error.as_ref()).join(": "));
        verified.push(Verified { name, folder, good: tried.is_ok(), error });
    }
    if json {
        output::print_json(&verified)?;
    } else {
        let row = |entry: &Verified| [entry.name.clone(), entry.error.clone().unwrap_or_else(|| "good".to_owned())];
        output::print_table(["NAME", "RESULT"], &verified.iter().map(row).collect::<Vec<_>>())?;
    }
    let all_good = verified.iter().all(|entry| entry.good);
    Ok(if all_good { Verdict::Good } else { Verdict::Negative })
}

/// Opens the networks and runs them on a grey image.
fn try_out(bundle: &Bundle, backend: Backend) -> anyhow::Result<()> {
    let image_of = |pixels| ImageView::new(PixelFormat::Grey, TRIAL, TRIAL.width, pixels);
    let templates = match bundle.manifest().about.model {
        // Its object must be enrolled first: a point of the same grey image.
        Model::Capeformer => Arc::new([trial_template(bundle, backend)?]) as Arc<[Template]>,
        _ => Arc::default(),
    };
    let options = estimator::Options { templates, ..estimator::Options::default() };
    let mut estimator = estimator::open(bundle, backend, &options, TRIAL, PixelFormat::Grey)?;
    let pixels = vec![128; TRIAL.width * TRIAL.height];
    estimator.estimate(&Request::new(image_of(&pixels)?), &mut Poses::default())?;
    Ok(())
}

fn trial_template(bundle: &Bundle, backend: Backend) -> anyhow::Result<Template> {
    let image = Image::new(PixelFormat::Grey, TRIAL, vec![128; TRIAL.width * TRIAL.height])?;
    let (x, y) = (TRIAL.width as f32 / 2.0, TRIAL.height as f32 / 2.0);
    let points = vec![Point { name: "middle".to_owned(), x, y, visible: true }];
    let annotation = Annotation { bounds: None, points, edges: Vec::new() };
    let shot = Shot { name: "a grey image".to_owned(), image, annotation };
    Ok(estimator::enrol(bundle, backend, &estimator::Options::default(), "trial", &[shot])?.template)
}
