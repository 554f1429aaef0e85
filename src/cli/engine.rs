//! `sinew engine`: TensorRT engines, built on the board from a bundle.

use std::ffi::OsString;
use std::fs;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use indicatif::ProgressBar;
use serde_json::json;

use super::config::Settings;
use super::log::LogArguments;
use super::model::read_templates;
use super::{Verdict, output, value};
use crate::bundle::Bundle;
use crate::engine::tensorrt::{Builder, Installation, Machine, Sidecar, find_trtexec};
use crate::engine::{Backend, EngineError, Network, Precision};
use crate::estimator::{self, Estimator as _, LazyEstimator, Request};
use crate::geometry::Size;
use crate::pose::{Pose, Poses};
use crate::source;
use crate::template::Template;

/// The size that a camera is asked for by default.
const DEFAULT_IMAGE: Size = Size { width: 640, height: 480 };

/// Build, list and check TensorRT engines for the bundles
#[derive(Debug, Args)]
pub struct EngineArguments {
    #[command(subcommand)]
    command: EngineCommand,
}

#[derive(Debug, Subcommand)]
enum EngineCommand {
    /// Build what a bundle needs, with the board's own trtexec
    #[command(after_help = "\
Examples:
  sinew engine build                      # for what /etc/sinew/config.toml says
  sinew engine build --model logocap-movenet --image-size 1280x720
  sinew engine build --model logocap-movenet --dry-run")]
    Build(BuildArguments),
    /// List what is built, and whether it fits this machine
    List {
        /// Print JSON instead of a table
        #[arg(long)]
        json: bool,
    },
    /// Compare the poses of TensorRT with those of tract on images; exit code 1 if they differ
    Verify(VerifyArguments),
    /// Show the side-car of an engine
    Inspect {
        /// The engine's file
        #[arg(value_name = "FILE")]
        engine: PathBuf,
    },
    /// Let the library make a runtime, and read an engine if one is given; a crash is confined to this process
    #[command(hide = true)]
    Probe {
        /// The engine's file
        engine: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
struct BuildArguments {
    /// Bundle: a name that `sinew models list` shows, or a folder [default: those that the configuration names]
    #[arg(long, value_name = "NAME|DIR")]
    model: Option<PathBuf>,
    /// The configuration file to read in addition to /etc/sinew/config.toml
    #[arg(long, value_name = "FILE", env = "SINEW_CONFIG")]
    config: Option<PathBuf>,
    /// Images of this size; may be repeated [default: without --model those of the configured cameras, else 640x480]
    #[arg(long, alias = "picture", value_name = "WxH", value_parser = value::size)]
    image_size: Vec<Size>,
    /// Which of the bundle's sizes: default, or a name of its `input.sizes` [default: without --model the configured one]
    #[arg(long, value_name = "NAME")]
    size: Option<String>,
    /// Precision of the engines: fp32, fp16 or int8 [default: without --model the configured one, else fp16]
    #[arg(long, value_name = "NAME")]
    precision: Option<Precision>,
    /// Most memory for the builder, MiB [default: the library's]
    #[arg(long, value_name = "MIB")]
    workspace: Option<u32>,
    /// The builder [default: SINEW_TRTEXEC, JetPack's, or the one in PATH]
    #[arg(long, value_name = "FILE")]
    trtexec: Option<PathBuf>,
    /// Build engines again even if they exist
    #[arg(long)]
    force: bool,
    /// Print the commands and do nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Args)]
struct VerifyArguments {
    /// Bundle: a name that `sinew models list` shows, or a folder
    #[arg(long, value_name = "NAME|DIR")]
    model: PathBuf,
    /// A folder of images, all of a size that engines were built for
    #[arg(long, value_name = "DIR")]
    images: PathBuf,
    /// What to look for, for capeformer bundles: a file that `sinew enrol` wrote; may be repeated
    #[arg(long, value_name = "FILE")]
    template: Vec<PathBuf>,
    /// Precision of the engines; tract computes with 32 bits
    #[arg(long, value_name = "NAME", default_value = "fp16")]
    precision: Precision,
    /// How far apart keypoints of the same pose may lie, in parts of the pose's size
    #[arg(long, value_name = "SHARE", default_value_t = 0.02)]
    tolerance: f32,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

impl EngineArguments {
    /// Runs the command.
    pub fn run(self, log: &LogArguments) -> anyhow::Result<Verdict> {
        let installation = Installation::from_environment();
        match self.command {
            EngineCommand::Build(arguments) => build(arguments, installation, log),
            EngineCommand::List { json } => list(&installation, json),
            EngineCommand::Verify(arguments) => verify(&arguments),
            EngineCommand::Inspect { engine } => inspect(&engine),
            EngineCommand::Probe { engine } => {
                match engine {
                    Some(engine) => installation.probe_here(&engine)?,
                    None => installation.probe_runtime_here()?,
                }
                Ok(Verdict::Good)
            }
        }
    }
}

fn build(arguments: BuildArguments, installation: Installation, log: &LogArguments) -> anyhow::Result<Verdict> {
    let networks = wanted(&arguments)?;
    let builder = Builder { installation, trtexec: find_trtexec(arguments.trtexec), workspace: arguments.workspace };
    if arguments.dry_run {
        // The exact command depends on the library's version, where there is one.
        let version = builder.installation.machine().ok().map(|machine| machine.version);
        for network in &networks {
            let plan = builder.installation.plan(&network.files, &network.signature);
            output::print_line(format_args!("{}", shell(&builder.command(network, version, &plan)?)))?;
        }
        return Ok(Verdict::Good);
    }
    let machine = builder.installation.machine().context("engines are built on the board that runs them")?;
    builder.prepare()?;
    for (number, network) in networks.iter().enumerate() {
        let title = format!("{}/{} {}", number + 1, networks.len(), network.files.label);
        if !arguments.force && builder.is_built(network, &machine) {
            output::print_line(format_args!("{title}: is built already"))?;
            continue;
        }
        let bar = spinner(&title, log);
        let path = builder.build(network, &machine, |line| {
            tracing::debug!(target: "trtexec", "{line}");
            if let Some(bar) = &bar {
                bar.set_message(line.chars().take(80).collect::<String>());
            }
        });
        if let Some(bar) = bar {
            bar.finish_and_clear();
        }
        output::print_line(format_args!("{title}: {}", path?.display()))?;
    }
    Ok(Verdict::Good)
}

/// The networks of the given bundle, or of the bundles that the configuration names, each once.
fn wanted(arguments: &BuildArguments) -> anyhow::Result<Vec<Network>> {
    let (models, size, images, precision) = match &arguments.model {
        Some(model) => (vec![model.clone()], None, Vec::new(), None),
        None => {
            let settings = Settings::default().with_files(arguments.config.as_deref())?;
            let finder = settings.boxes_from.as_ref().map(PathBuf::from);
            let models = std::iter::once(settings.model()?.into()).chain(finder).collect();
            let images = image_sizes(&settings)?;
            (models, settings.size, images, settings.precision)
        }
    };
    let precision = arguments.precision.or(precision).unwrap_or(Precision::default_of(Backend::TensorRt));
    let mut images = if arguments.image_size.is_empty() { images } else { arguments.image_size.clone() };
    if images.is_empty() {
        images.push(DEFAULT_IMAGE);
    }
    let mut networks: Vec<Network> = Vec::new();
    // The size is the first bundle's, the one that poses come from.
    let mut size = arguments.size.clone().or(size);
    for model in models {
        let mut bundle = Bundle::open(&model)?;
        if let Some(size) = size.take() {
            bundle = bundle.with_size(&size)?;
        }
        for &image in &images {
            for network in estimator::networks(&bundle, image, Some(precision))? {
                if !networks.contains(&network) {
                    networks.push(network);
                }
            }
        }
    }
    Ok(networks)
}

/// The sizes that the configured cameras are asked for.
#[cfg(feature = "camera")]
fn image_sizes(settings: &Settings) -> anyhow::Result<Vec<Size>> {
    let cameras = settings.source.iter().filter_map(|uri| source::camera_name(uri));
    cameras.map(|camera| Ok(source::v4l2::CaptureRequest::parse(camera)?.size.unwrap_or(DEFAULT_IMAGE))).collect()
}

#[cfg(not(feature = "camera"))]
fn image_sizes(_: &Settings) -> anyhow::Result<Vec<Size>> {
    Ok(Vec::new())
}

/// Minutes of silence look like a hang.
fn spinner(title: &str, log: &LogArguments) -> Option<ProgressBar> {
    (std::io::stderr().is_terminal() && !log.quiet).then(|| {
        let bar = ProgressBar::new_spinner().with_prefix(title.to_owned());
        if let Ok(style) = indicatif::ProgressStyle::with_template("{spinner} {prefix} {elapsed} {msg}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(200));
        bar
    })
}

/// A command as it can be pasted into a shell.
fn shell(command: &[OsString]) -> String {
    let plain = |character: char| character.is_ascii_alphanumeric() || "-_=./:,+@".contains(character);
    let word = |word: &OsString| {
        let text = word.to_string_lossy();
        if text.chars().all(plain) { text.into_owned() } else { format!("'{}'", text.replace('\'', "'\\''")) }
    };
    command.iter().map(word).collect::<Vec<_>>().join(" ")
}

/// The engines in a folder, sorted.
fn engines(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut found: Vec<_> =
        entries.filter(|path| path.extension().is_some_and(|extension| extension == "engine")).collect();
    found.sort();
    found
}

/// The engines that exist, and whether each fits the machine.
pub fn states(installation: &Installation, machine: &Machine) -> Vec<(PathBuf, Result<(), EngineError>)> {
    let Machine { version, device } = machine;
    let check = |path: PathBuf| {
        let state = Sidecar::read(&path).and_then(|sidecar| sidecar.check_machine(&path, *version, device));
        (path, state)
    };
    engines(&installation.engines).into_iter().map(check).collect()
}

fn list(installation: &Installation, as_json: bool) -> anyhow::Result<Verdict> {
    let machine = installation.machine();
    let mut rows = Vec::new();
    let mut objects = Vec::new();
    for path in engines(&installation.engines) {
        let sidecar = Sidecar::read(&path);
        let state = match (&sidecar, &machine) {
            (Err(error), _) => error.to_string(),
            (Ok(_), Err(error)) => format!("unknown: {error}"),
            (Ok(sidecar), Ok(Machine { version, device })) => sidecar
                .check_machine(&path, *version, device)
                .map_or_else(|error| error.to_string(), |()| "ok".to_owned()),
        };
        let of = |field: &dyn Fn(&Sidecar) -> String| sidecar.as_ref().map_or_else(|_| "-".to_owned(), field);
        rows.push([
            path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            of(&|sidecar| sidecar.precision.clone()),
            of(&|sidecar| sidecar.trt_version.clone()),
            of(&|sidecar| format!("{:.1} MB", sidecar.engine_bytes as f64 / 1e6)),
            state.clone(),
        ]);
        objects.push(json!({"file": path, "state": state, "sidecar": sidecar.ok()}));
    }
    if as_json {
        output::print_json(&objects)?;
    } else if rows.is_empty() {
        tracing::warn!("no engine in {}; build some with `sinew engine build`", installation.engines.display());
    } else {
        output::print_table(["ENGINE", "PRECISION", "TENSORRT", "SIZE", "STATE"], &rows)?;
    }
    Ok(Verdict::Good)
}

fn inspect(engine: &Path) -> anyhow::Result<Verdict> {
    match Sidecar::read(engine) {
        Ok(sidecar) => output::print_json(&sidecar)?,
        Err(error) => {
            // Three of an engine's first bytes say which version made it.
            let bytes = fs::read(engine).with_context(|| engine.display().to_string())?;
            let version = bytes.get(24..27).map(|version| format!("{}.{}.{}", version[0], version[1], version[2]));
            bail!("{error}; the engine itself says TensorRT {}", version.unwrap_or_else(|| "nothing".to_owned()));
        }
    }
    Ok(Verdict::Good)
}

fn verify(arguments: &VerifyArguments) -> anyhow::Result<Verdict> {
    let bundle = Bundle::open(&arguments.model)?;
    let templates: Arc<[Template]> = read_templates(&arguments.template, &bundle)?.into();
    let mut backends =
        [(Backend::TensorRt, arguments.precision), (Backend::Tract, Precision::Fp32)].map(|(backend, precision)| {
            let options = estimator::Options {
                score_threshold: Some(0.0),
                precision: Some(precision),
                templates: Arc::clone(&templates),
                ..estimator::Options::default()
            };
            LazyEstimator::new(bundle.clone(), backend, &options)
        });
    let mut images = source::open(&arguments.images.display().to_string())?;
    let (mut seen, mut same, mut different, mut largest) = (0_usize, 0_usize, 0_usize, 0.0_f32);
    let mut results = [Poses::default(), Poses::default()];
    while let Some(frame) = images.next_frame()? {
        for (estimator, poses) in backends.iter_mut().zip(&mut results) {
            estimator.estimate(&Request::new(frame.image), poses)?;
        }
        seen += 1;
        for pose in &results[1].list {
            let apart = results[0].list.iter().map(|other| distance(pose, other)).fold(f32::INFINITY, f32::min);
            if apart <= arguments.tolerance {
                same += 1;
                largest = largest.max(apart);
            } else {
                different += 1;
            }
        }
    }
    if arguments.json {
        output::print_json(&json!({
            "images": seen, "same": same, "different": different, "largest": largest,
        }))?;
    } else {
        let rows = [
            ["images".to_owned(), seen.to_string()],
            ["same poses".to_owned(), same.to_string()],
            ["different poses".to_owned(), different.to_string()],
            ["largest distance of the same".to_owned(), format!("{largest:.4}")],
        ];
        output::print_table(["FIGURE", "VALUE"], &rows)?;
    }
    Ok(if different == 0 { Verdict::Good } else { Verdict::Negative })
}

/// The largest distance of a keypoint, in parts of the first pose's longer side; infinite if they are of different kinds.
fn distance(pose: &Pose, other: &Pose) -> f32 {
    if pose.keypoints.len() != other.keypoints.len() || pose.template != other.template {
        return f32::INFINITY;
    }
    let size = pose.bounds().map_or(1.0, |bounds| bounds.width.max(bounds.height)).max(1.0);
    let apart = pose.keypoints.iter().zip(&other.keypoints).map(|(a, b)| (a.x - b.x).hypot(a.y - b.y));
    apart.fold(0.0, f32::max) / size
}
