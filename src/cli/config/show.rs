//! `sinew config show`: the options of `sinew run`, and where they come from.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::parser::ValueSource;
use clap::{ArgMatches, Args, CommandFactory as _, Subcommand};
use serde_json::{Map, Value, json};

use super::{SYSTEM, Settings};
use crate::cli::{Arguments, Verdict, output};
use crate::sink;
use crate::source;

/// Show the configuration
#[derive(Debug, Args)]
pub struct ConfigArguments {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Show the options that `sinew run` would take, given the same flags, as a configuration file
    Show(Box<ShowArguments>),
}

#[derive(Debug, Args)]
struct ShowArguments {
    #[command(flatten)]
    settings: Settings,
    /// Read options from this file too
    #[arg(long, value_name = "FILE", env = "SINEW_CONFIG")]
    config: Option<PathBuf>,
    /// Show where the value of each option comes from
    #[arg(long)]
    origin: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl ConfigArguments {
    /// Runs the command.
    pub fn run(self) -> anyhow::Result<Verdict> {
        let ConfigCommand::Show(arguments) = self.command;
        // Whether a value is a flag's or a variable's is only known while arguments are parsed.
        let matches = Arguments::command().get_matches();
        let matches = matches.subcommand_matches("config").and_then(|matches| matches.subcommand_matches("show"));
        let flags = arguments.settings.clone();
        let files = Settings::files(Path::new(SYSTEM), arguments.config.as_deref())?;
        let mut shown = explain(flags, &files, |key| matches.map_or(String::new(), |matches| given(matches, key)));
        // Passwords of cameras and brokers are not shown.
        for shown in &mut shown {
            let masked: fn(&str) -> String = match shown.key.as_ref() {
                "source" => source::masked,
                "sink" => sink::shown,
                _ => continue,
            };
            for uri in shown.value.iter_mut().filter_map(Value::as_array_mut).flatten() {
                *uri = uri.as_str().map(masked).into();
            }
        }
        arguments.print(&shown)?;
        Ok(Verdict::Good)
    }
}

impl ShowArguments {
    fn print(&self, shown: &[Shown]) -> anyhow::Result<()> {
        if self.json {
            let object = |shown: &Shown| json!({"key": shown.key, "value": shown.value, "origin": shown.origin});
            return output::print_json(&shown.iter().map(object).collect::<Vec<_>>());
        }
        if self.origin {
            let row = |shown: &Shown| {
                let value = shown.value.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string);
                [shown.key.clone(), value, shown.origin.clone()]
            };
            return output::print_table(["OPTION", "VALUE", "FROM"], &shown.iter().map(row).collect::<Vec<_>>());
        }
        output::print_text(&file(shown))
    }
}

/// A configuration file in canonical form: every option once, in a fixed order.
///
/// # Errors
/// If it is not a configuration file.
pub fn canonical(text: &str) -> anyhow::Result<String> {
    let read: super::ConfigFile = toml::from_str(text)?;
    Ok(file(&explain(read.run, &[], str::to_owned)))
}

fn file(shown: &[Shown]) -> String {
    let mut text = "[run]\n".to_owned();
    for Shown { key, value, .. } in shown {
        if let Some(value) = value {
            // TOML reads JSON's plain values, except for one character.
            let value = value.to_string().replace('\u{7f}', "\\u007f");
            let _ = writeln!(text, "{key} = {value}");
        }
    }
    text
}

/// One option.
#[derive(Debug, PartialEq)]
struct Shown {
    key: String,
    /// `None` if not given.
    value: Option<Value>,
    origin: String,
}

/// Every option with its value and origin: what was given, named by `given`, then the files, the strongest first.
fn explain(flags: Settings, files: &[(PathBuf, Settings)], given: impl Fn(&str) -> String) -> Vec<Shown> {
    let merged = files.iter().fold(flags.clone(), |above, (_, below)| above.over(below.clone()));
    let (merged, flags) = (table(&merged), table(&flags));
    let files: Vec<_> = files.iter().map(|(path, settings)| (path, table(settings))).collect();
    let explain = |(key, value): (String, Value)| {
        let is_set = |table: &Map<String, Value>| table.get(&key).is_some_and(|value| !is_empty(value));
        let origin = if is_empty(&value) {
            "default".to_owned()
        } else if is_set(&flags) {
            given(&key)
        } else {
            let file = files.iter().find(|(_, table)| is_set(table));
            file.map_or_else(String::new, |(path, _)| path.display().to_string())
        };
        Shown { value: (!is_empty(&value)).then_some(value), key, origin }
    };
    merged.into_iter().map(explain).collect()
}

fn is_empty(value: &Value) -> bool {
    value.is_null() || *value == Value::Bool(false) || value.as_array().is_some_and(Vec::is_empty)
}

pub(super) fn table(settings: &Settings) -> Map<String, Value> {
    // Through text, which has as many digits as were given.
    let text = serde_json::to_string(settings).unwrap_or_default();
    // Options are plain values.
    serde_json::from_str(&text).unwrap_or_default()
}

/// The flag or the variable that an option was given by.
fn given(matches: &ArgMatches, key: &str) -> String {
    match matches.value_source(key) {
        Some(ValueSource::EnvVariable) => format!("SINEW_{}", key.to_uppercase()),
        _ => format!("--{}", key.replace('_', "-")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_says_where_it_comes_from() {
        let flags = Settings { model: Some("a".into()), ..Settings::default() };
        let file = |name: &str, text: &str| {
            let table: super::super::ConfigFile = toml::from_str(text).unwrap();
            (PathBuf::from(name), table.run)
        };
        let files = [
            file("given", "[run]\nmodel = \"b\"\nthreads = 2\nboxes_from = \"c\"\n"),
            file("system", "[run]\nthreads = 3\nbackend = \"tract\"\nsink = [\"jsonl:x\"]\nboxes = \"y\"\n"),
        ];
        let shown = explain(flags, &files, |key| format!("--{key}"));
        let of = |key: &str| {
            let shown = shown.iter().find(|shown| shown.key == key).unwrap();
            (shown.value.clone().map(|value| value.to_string()), shown.origin.as_str())
        };
        assert_eq!(of("model"), (Some("\"a\"".into()), "--model"));
        assert_eq!(of("threads"), (Some("2".into()), "given"));
        assert_eq!(of("backend"), (Some("\"tract\"".into()), "system"));
        assert_eq!(of("sink"), (Some("[\"jsonl:x\"]".into()), "system"));
        // Only one of the two says where to look.
        assert_eq!(of("boxes_from"), (Some("\"c\"".into()), "given"));
        assert_eq!(of("boxes"), (None, "default"));
        assert_eq!(of("overlay"), (None, "default"));
    }

    #[test]
    fn what_is_shown_can_be_read_again() {
        let settings = Settings {
            model: Some("a \"b\" \u{7f} \u{1f} \\".into()),
            source: vec!["x".into(), "y".into()],
            backend: Some(crate::engine::Backend::Tract),
            precision: Some(crate::engine::Precision::Int8),
            threshold: Some(0.1),
            level: Some(crate::bundle::logocap::Refinement::Partial),
            ..Settings::default()
        };
        let text = file(&explain(settings.clone(), &[], str::to_owned));
        assert_eq!(canonical(&text).unwrap(), text);
        let read: super::super::ConfigFile = toml::from_str(&text).unwrap();
        assert_eq!(read.run, settings);
    }
}
