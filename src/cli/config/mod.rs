//! The options of `sinew run`, from flags, variables and files.
//!
//! Later ones take precedence: defaults, `/etc/sinew/config.toml`, the file of `--config`, the `SINEW_*` variables, the flags. A
//! file has one table, `[run]`, whose keys are the flags' names with `_` for `-`; an unknown key is an error.

mod show;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use clap::builder::BoolishValueParser;
use serde::{Deserialize, Serialize};

pub use self::show::{ConfigArguments, canonical};
use super::track::TrackerSettings;
use super::value;
use crate::bundle::Bundle;
use crate::bundle::logocap::Refinement;
use crate::engine::{Backend, EngineError, Precision, Provider};
use crate::estimator;
use crate::read;
use crate::template::Template;

/// Most bytes of a configuration.
const MAX_BYTES: u64 = 1 << 20;

/// The configuration of the whole machine.
pub const SYSTEM: &str = "/etc/sinew/config.toml";

/// The options of `sinew run`, all optional.
#[derive(Debug, Clone, PartialEq, Default, Args, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Bundle: a name that `sinew models list` shows, or a folder
    #[arg(long, value_name = "NAME|DIR", env = "SINEW_MODEL")]
    pub model: Option<String>,
    /// Where frames come from: a camera such as /dev/video0, v4l2:/dev/video0?size=1280x720&fps=30, rtsp://HOST/PATH or csi://0, an
    /// image, a folder, a video, ffmpeg:ADDRESS, gst:PIPELINE, replay:FOLDER, or - for y4m on standard input; cameras may be repeated
    #[arg(long, value_name = "URI", env = "SINEW_SOURCE")]
    #[serde(deserialize_with = "value::one_or_more")]
    pub source: Vec<String>,
    /// What runs the networks: auto, tensorrt, tract or onnxruntime [default: auto]
    #[arg(long, value_name = "NAME", env = "SINEW_BACKEND")]
    #[serde(deserialize_with = "value::deserialize_backend", serialize_with = "value::serialize_backend")]
    pub backend: Option<Backend>,
    /// What onnxruntime computes with: cpu, cuda or tensorrt [default: cpu]
    #[arg(long, value_name = "NAME", env = "SINEW_PROVIDER")]
    pub provider: Option<Provider>,
    /// Precision of the networks: fp32, fp16 or int8 [default: fp16 on tensorrt, else fp32]
    #[arg(long, value_name = "NAME", env = "SINEW_PRECISION")]
    pub precision: Option<Precision>,
    /// Threads for the CPU; 0 is one per core [default: 0]
    #[arg(long, value_name = "N", env = "SINEW_THREADS")]
    pub threads: Option<usize>,
    /// What to detect, for capeformer bundles: a file that `sinew enrol` wrote; may be repeated
    #[arg(long, value_name = "FILE", env = "SINEW_TEMPLATE")]
    pub template: Vec<PathBuf>,
    /// Where to look, for capeformer and lofr bundles: a file of JSON lines (docs/enrol.md) [default: the whole image]
    #[arg(long, value_name = "FILE", env = "SINEW_BOXES", conflicts_with = "boxes_from")]
    pub boxes: Option<PathBuf>,
    /// Where to look, for the same bundles: around the people that this bundle detects
    #[arg(long, value_name = "NAME|DIR", env = "SINEW_BOXES_FROM")]
    pub boxes_from: Option<String>,
    /// How far poses are refined: none, partial or full [default: the bundle's]
    #[arg(long, value_parser = value::level, env = "SINEW_LEVEL")]
    pub level: Option<Refinement>,
    /// Which of the bundle's sizes: default, or a name of its `input.sizes`, such as small [default: default]
    #[arg(long, value_name = "NAME", env = "SINEW_SIZE")]
    pub size: Option<String>,
    /// Target latency of logocap bundles, such as 30ms: a frame that would miss it is refined less, and its line says so; late
    /// results are still delivered [default: none]
    #[arg(long, value_name = "TIME", value_parser = value::duration, env = "SINEW_DEADLINE")]
    #[serde(deserialize_with = "value::deserialize_duration", serialize_with = "value::serialize_duration")]
    pub deadline: Option<Duration>,
    /// Begin a camera's frame only when the one before it is done, also where the GPU could run its network meanwhile
    #[arg(long, env = "SINEW_NO_PIPELINE", value_parser = BoolishValueParser::new())]
    pub no_pipeline: bool,
    /// Where poses go: jsonl:PATH, jsonl:PATH?rotate=64MiB&keep=5, jsonl:-, unix:PATH, y4m:PATH, overlay:PATH,
    /// fb:/dev/fb0, mqtt://HOST/PREFIX or mqtts://; may be repeated [default: jsonl:-]
    #[arg(long, value_name = "URI", env = "SINEW_SINK")]
    pub sink: Vec<String>,
    /// Draw the poses: images into the folder PATH, or a video if PATH ends in .y4m
    #[arg(long, value_name = "PATH", env = "SINEW_OVERLAY")]
    pub overlay: Option<String>,
    /// Keep frames, times and results in this folder, for --source replay:FOLDER: FOLDER?max=2GiB&age=1h&format=jpeg [default:
    /// off; 2GiB, any age, raw]
    #[arg(long, value_name = "FOLDER", env = "SINEW_RECORD")]
    pub record: Option<String>,
    /// Show the poses in a browser, and metrics: HOST:PORT, or a port that only this machine reaches; ?fps=N behind it is how
    /// many images a second, 0 for metrics only [default: off, and 10]
    #[arg(long, value_name = "ADDR", env = "SINEW_PREVIEW")]
    pub preview: Option<String>,
    /// Drop poses that do not score above this [default: the bundle's]
    #[arg(long, value_name = "SCORE", value_parser = value::threshold, allow_negative_numbers = true, env = "SINEW_THRESHOLD")]
    pub threshold: Option<f32>,
    /// Do not draw keypoints that score below this [default: 0]
    #[arg(long, value_name = "SCORE", value_parser = value::threshold, allow_negative_numbers = true, env = "SINEW_KEYPOINT_THRESHOLD")]
    pub keypoint_threshold: Option<f32>,
    /// Give poses no identity: neither track nor smooth them. Images are never tracked, videos and cameras are
    #[arg(long, env = "SINEW_NO_TRACK", value_parser = BoolishValueParser::new())]
    pub no_track: bool,
    /// How poses are tracked.
    #[command(flatten)]
    #[serde(flatten)]
    pub tracker: TrackerSettings,
}

/// A configuration file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ConfigFile {
    run: Settings,
}

/// Names the key of `[run]` that is not an option, with the valid ones, or whose value is wrong: the parser's own positions end
/// at flattened structures.
fn check_keys(text: &str) -> anyhow::Result<()> {
    let Ok(table) = text.parse::<toml::Table>() else { return Ok(()) };
    let known = show::table(&Settings::default());
    let known: Vec<&str> = known.keys().map(String::as_str).collect();
    let given = table.get("run").and_then(toml::Value::as_table).into_iter().flatten();
    for (key, value) in given {
        if !known.contains(&key.as_str()) {
            bail!("unknown key `{key}` in [run], expected one of {}", known.join(", "));
        }
        let alone: toml::Table = [(key.clone(), value.clone())].into_iter().collect();
        if let Err(error) = alone.try_into::<Settings>() {
            bail!("`{key}` in [run]: {}", error.message());
        }
    }
    Ok(())
}

impl Settings {
    /// These settings, completed by those of the files.
    ///
    /// # Errors
    /// If a file cannot be read or has an unknown key; the system's file may be missing.
    pub fn with_files(self, given: Option<&Path>) -> anyhow::Result<Self> {
        self.with_files_at(Path::new(SYSTEM), given)
    }

    fn with_files_at(self, system: &Path, given: Option<&Path>) -> anyhow::Result<Self> {
        Ok(Self::files(system, given)?.into_iter().fold(self, |above, (_, below)| above.over(below)))
    }

    /// The settings of the files, the strongest first.
    fn files(system: &Path, given: Option<&Path>) -> anyhow::Result<Vec<(PathBuf, Self)>> {
        let system = system.exists().then_some(system);
        given.into_iter().chain(system).map(|path| Ok((path.to_owned(), Self::read(path)?))).collect()
    }

    /// The bundle.
    ///
    /// # Errors
    /// If none is given.
    pub fn model(&self) -> anyhow::Result<&str> {
        self.model.as_deref().context("no model: give --model, see `sinew models list`")
    }

    /// The bundle, at the size that was asked for.
    ///
    /// # Errors
    /// If none is given, it does not open, or it has no such size.
    pub fn bundle(&self) -> anyhow::Result<Bundle> {
        let bundle = Bundle::open(self.model()?)?;
        Ok(match &self.size {
            Some(size) => bundle.with_size(size)?,
            None => bundle,
        })
    }

    /// Where frames come from.
    ///
    /// # Errors
    /// If none is given.
    pub fn sources(&self) -> anyhow::Result<&[String]> {
        match &self.source[..] {
            [] => bail!("no source: give --source, such as a camera, an image or a folder"),
            sources => Ok(sources),
        }
    }

    /// The backend.
    ///
    /// # Errors
    /// If a provider is given for a backend without providers.
    pub fn backend(&self) -> Result<Backend, EngineError> {
        self.backend.unwrap_or_default().with_provider(self.provider)
    }

    /// Options of the model.
    pub fn model_options(&self, templates: Vec<Template>) -> estimator::Options {
        estimator::Options {
            level: self.level,
            score_threshold: self.threshold,
            templates: templates.into(),
            ..self.options()
        }
    }

    /// Options of every model that is opened.
    pub fn options(&self) -> estimator::Options {
        estimator::Options {
            threads: self.threads.unwrap_or(0),
            precision: self.precision,
            no_pipeline: self.no_pipeline,
            ..estimator::Options::default()
        }
    }

    /// The first option that differs from `other` and cannot change during a run.
    pub fn fixed_option_changed(&self, other: &Self) -> Option<&'static str> {
        let (ours, theirs) = (&self.tracker, &other.tracker);
        let pairs = [
            ("source", self.source == other.source),
            ("sink", self.sink == other.sink),
            ("overlay", self.overlay == other.overlay),
            ("record", self.record == other.record),
            ("preview", self.preview == other.preview),
            ("keypoint_threshold", self.keypoint_threshold == other.keypoint_threshold),
            ("no_track", self.no_track == other.no_track),
            ("zone", ours.zone == theirs.zone),
            ("line", ours.line == theirs.line),
            ("zone_point", ours.zone_point == theirs.zone_point),
        ];
        pairs.into_iter().find(|(_, is_same)| !is_same).map(|(option, _)| option)
    }

    fn read(path: &Path) -> anyhow::Result<Self> {
        let text =
            read::text(path, MAX_BYTES).with_context(|| format!("cannot read the configuration {}", path.display()))?;
        let read = || anyhow::Ok(toml::from_str::<ConfigFile>(&text).map(|file| file.run)?);
        (check_keys(&text).and_then(|()| read()))
            .with_context(|| format!("the configuration {} is wrong; correct it or remove the line", path.display()))
    }

    /// These settings, completed by `below`.
    fn over(self, below: Self) -> Self {
        Self {
            model: self.model.or(below.model),
            source: if self.source.is_empty() { below.source } else { self.source },
            // A provider belongs to the backend given with it.
            provider: self.provider.or(if self.backend.is_some() { None } else { below.provider }),
            backend: self.backend.or(below.backend),
            precision: self.precision.or(below.precision),
            threads: self.threads.or(below.threads),
            template: if self.template.is_empty() { below.template } else { self.template },
            // One of the two says where to look; the other must not come from below.
            boxes: if self.boxes_from.is_some() { None } else { self.boxes.clone().or(below.boxes) },
            boxes_from: if self.boxes.is_some() { None } else { self.boxes_from.or(below.boxes_from) },
            level: self.level.or(below.level),
            size: self.size.or(below.size),
            deadline: self.deadline.or(below.deadline),
            no_pipeline: self.no_pipeline || below.no_pipeline,
            sink: if self.sink.is_empty() { below.sink } else { self.sink },
            overlay: self.overlay.or(below.overlay),
            record: self.record.or(below.record),
            preview: self.preview.or(below.preview),
            threshold: self.threshold.or(below.threshold),
            keypoint_threshold: self.keypoint_threshold.or(below.keypoint_threshold),
            no_track: self.no_track || below.no_track,
            tracker: self.tracker.over(below.tracker),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_ones_win() {
        let folder = tempfile::tempdir().unwrap();
        let (system, given) = (folder.path().join("system.toml"), folder.path().join("given.toml"));
        std::fs::write(&system, "[run]\nmodel = \"a\"\nthreads = 1\nbackend = \"tract\"\nsink = [\"jsonl:a\"]\n")
            .unwrap();
        std::fs::write(&given, "[run]\nmodel = \"b\"\nthreads = 2\nlevel = \"none\"\nthreshold = 0.5\n").unwrap();
        let flags = Settings { model: Some("c".into()), ..Settings::default() };
        let settings = flags.with_files_at(&system, Some(&given)).unwrap();
        let expected = Settings {
            model: Some("c".into()),
            threads: Some(2),
            level: Some(Refinement::None),
            threshold: Some(0.5),
            backend: Some(Backend::Tract),
            sink: vec!["jsonl:a".into()],
            ..Settings::default()
        };
        assert_eq!(settings, expected);
    }

    #[test]
    fn a_provider_belongs_to_the_backend_beside_it() {
        let read = |text: &str| toml::from_str::<ConfigFile>(text).unwrap().run;
        let below = read("[run]\nbackend = \"onnxruntime\"\nprovider = \"cuda\"\n");
        assert_eq!(below.backend().unwrap(), Backend::OnnxRuntime(Provider::Cuda));
        assert_eq!(Settings::default().over(below.clone()), below);
        let other = read("[run]\nbackend = \"tract\"\n").over(below.clone());
        assert_eq!((other.backend().unwrap(), other.provider), (Backend::Tract, None));
        let provider = read("[run]\nprovider = \"tensorrt\"\n").over(below);
        assert_eq!(provider.backend().unwrap(), Backend::OnnxRuntime(Provider::TensorRt));
        let error = read("[run]\nprovider = \"cuda\"\n").backend().unwrap_err().to_string();
        assert!(error.contains("`cuda`") && error.contains("--backend onnxruntime, not auto"), "{error}");
        assert!(toml::from_str::<ConfigFile>("[run]\nprovider = \"rocm\"\n").is_err());
    }

    #[test]
    fn unknown_keys_and_missing_files_are_errors() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        std::fs::write(&path, "[run]\ntreads = 2\n").unwrap();
        let error = format!("{:#}", Settings::read(&path).unwrap_err());
        assert!(error.contains("treads") && error.contains("threads") && error.contains("config.toml"), "{error}");
        std::fs::write(&path, "[run]\nthreads = 2\nsmooth_beta = \"x\"\n").unwrap();
        let error = format!("{:#}", Settings::read(&path).unwrap_err());
        assert!(error.contains("smooth_beta") && error.contains("config.toml"), "{error}");
        let nowhere = folder.path().join("nowhere.toml");
        assert!(Settings::default().with_files_at(&nowhere, None).is_ok(), "the system's file may be missing");
        assert!(Settings::default().with_files_at(&nowhere, Some(&nowhere)).is_err());
    }
}
