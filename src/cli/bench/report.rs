//! The report of a measurement: a table, JSON, and a comparison with an earlier one.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use super::meter::{Measured, Stage};
use crate::cli::machine::Machine;
use crate::cli::output;
use crate::read;

/// Largest report that is read; one has some kilobytes.
const MAX_BYTES: u64 = 1 << 20;

/// A measurement with everything that it depends on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Version of the program.
    pub sinew: String,
    pub machine: Machine,
    pub model: ModelFacts,
    pub source: SourceFacts,
    /// Measured frames.
    pub frames: u64,
    /// Frames before these, not measured.
    pub warm_up: u64,
    /// Poses per frame.
    pub poses: f64,
    pub frames_per_second: f64,
    /// By the stage's name.
    pub milliseconds: BTreeMap<String, Percentiles>,
    /// Frames of a camera that were not measured, by reason, with the names of the metrics.
    #[serde(default)]
    pub dropped: BTreeMap<String, u64>,
}

/// The model that was measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelFacts {
    pub bundle: String,
    pub version: String,
    /// Hash of the manifest, which holds those of all files.
    pub sha256: String,
    pub backend: String,
    pub precision: String,
    /// Threads of the backend; 0 is one per core.
    pub threads: usize,
    pub level: Option<String>,
}

/// The frames that were processed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SourceFacts {
    pub uri: String,
    /// Whether the source is live; ages are measured then.
    pub live: bool,
    pub size: [usize; 2],
    pub format: String,
}

/// How long a stage took.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Percentiles {
    pub mean: f64,
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub max: f64,
}

/// Frames per second, and the percentiles of every stage.
pub fn figures(measured: &Measured) -> (f64, BTreeMap<String, Percentiles>) {
    let seconds = measured.span.map_or(0.0, |(first, last)| (last - first).as_secs_f64());
    let rate = if seconds > 0.0 { measured.frames() as f64 / seconds } else { 0.0 };
    let stages = Stage::ALL.iter().zip(&measured.histograms).map(|(stage, histogram)| {
        let milliseconds = |nanoseconds: u64| nanoseconds as f64 / 1e6;
        let at = |quantile| milliseconds(histogram.value_at_quantile(quantile));
        let percentiles = Percentiles {
            mean: histogram.mean() / 1e6,
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            max: milliseconds(histogram.max()),
        };
        (stage.name().to_owned(), percentiles)
    });
    (rate, stages.collect())
}

impl Report {
    /// Reads what `sinew bench --json` wrote.
    ///
    /// # Errors
    /// If it is not such a report.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = read::text(path, MAX_BYTES).with_context(|| format!("cannot read {}", path.display()))?;
        serde_json::from_str(&text)
            .with_context(|| format!("{}: not a report of `sinew bench --json`; measure again", path.display()))
    }

    /// Prints it as a table, next to an earlier one if given.
    ///
    /// # Errors
    /// If standard output cannot be written.
    pub fn print(&self, earlier: Option<&Self>) -> anyhow::Result<()> {
        for line in self.heading() {
            output::print_line(format_args!("{line}"))?;
        }
        output::print_line(format_args!(""))?;
        let rows: Vec<_> = Stage::ALL.iter().filter_map(|stage| self.row(*stage, earlier)).collect();
        match earlier {
            None => {
                let rows: Vec<_> = rows
                    .into_iter()
                    .map(|[stage, mean, p50, p90, p99, max, _]| [stage, mean, p50, p90, p99, max])
                    .collect();
                output::print_table(["MILLISECONDS", "MEAN", "P50", "P90", "P99", "MAX"], &rows)
            }
            Some(earlier) => {
                output::print_table(["MILLISECONDS", "MEAN", "P50", "P90", "P99", "MAX", "P50 BY EARLIER"], &rows)?;
                for difference in self.differences(earlier) {
                    tracing::warn!("{difference}: not the same measurement");
                }
                Ok(())
            }
        }
    }

    fn heading(&self) -> [String; 3] {
        let Self { machine, model, source, .. } = self;
        let or_unknown = |text: &Option<String>| text.clone().unwrap_or_else(|| "unknown".to_owned());
        let [width, height] = source.size;
        let threads =
            if model.threads == 0 { "a thread per core".to_owned() } else { format!("{} threads", model.threads) };
        let mut place =
            format!("{}, {}, {} cores", or_unknown(&machine.board), or_unknown(&machine.processor), machine.cores);
        for (name, value) in [
            ("L4T", machine.l4t.clone()),
            ("power mode", machine.power_mode.clone()),
            ("governor", machine.governor.clone()),
            ("MHz", machine.clock_mhz.map(|megahertz| megahertz.to_string())),
            ("°C", machine.temperature_celsius.map(|celsius| format!("{celsius:.0}"))),
            ("throttling in", (!machine.throttling.is_empty()).then(|| machine.throttling.join(" "))),
        ] {
            if let Some(value) = value {
                place += &format!(", {name} {value}");
            }
        }
        [
            format!(
                "{} {} ({}), {} {}, {threads}",
                model.bundle,
                model.version,
                &model.sha256[..12.min(model.sha256.len())],
                model.backend,
                model.precision
            ),
            format!(
                "{} as {width}x{height} {}: {} frames, {:.1} per second, {:.1} poses each",
                source.uri, source.format, self.frames, self.frames_per_second, self.poses
            ),
            place,
        ]
    }

    fn row(&self, stage: Stage, earlier: Option<&Self>) -> Option<[String; 7]> {
        let found = self.milliseconds.get(stage.name())?;
        let then = earlier.and_then(|earlier| earlier.milliseconds.get(stage.name()));
        let ratio =
            then.filter(|then| then.p50 > 0.0).map_or_else(String::new, |then| format!("{:.2}", found.p50 / then.p50));
        let number = |value: f64| format!("{value:.3}");
        let name = match stage {
            Stage::EndToEnd if self.source.live => "end to end (age)".to_owned(),
            _ => stage.name().replace('_', " "),
        };
        Some([
            name,
            number(found.mean),
            number(found.p50),
            number(found.p90),
            number(found.p99),
            number(found.max),
            ratio,
        ])
    }

    /// Differences between the two other than the figures.
    fn differences(&self, earlier: &Self) -> Vec<String> {
        let mut differences = Vec::new();
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        for (what, now, then) in [
            ("board", text(&self.machine.board), text(&earlier.machine.board)),
            ("processor", text(&self.machine.processor), text(&earlier.machine.processor)),
            ("power mode", text(&self.machine.power_mode), text(&earlier.machine.power_mode)),
            ("governor", text(&self.machine.governor), text(&earlier.machine.governor)),
            ("bundle", self.model.sha256.clone(), earlier.model.sha256.clone()),
            ("backend", self.model.backend.clone(), earlier.model.backend.clone()),
            ("precision", self.model.precision.clone(), earlier.model.precision.clone()),
            ("threads", self.model.threads.to_string(), earlier.model.threads.to_string()),
            ("level", text(&self.model.level), text(&earlier.model.level)),
            ("source", self.source.uri.clone(), earlier.source.uri.clone()),
            ("size", format!("{:?}", self.source.size), format!("{:?}", earlier.source.size)),
            ("format", self.source.format.clone(), earlier.source.format.clone()),
        ] {
            if now != then {
                differences.push(format!("{what} is {now}, was {then}"));
            }
        }
        differences
    }
}
