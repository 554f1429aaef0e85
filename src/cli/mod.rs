//! The commands, one file each.
//!
//! Exit codes: 0 done, 1 worked but negative (an image was skipped, a check failed), 2 error. A reader that closes the
//! pipe is not an error.

mod backend;
mod bench;
mod calib;
#[cfg(feature = "camera")]
mod cameras;
mod config;
mod decode;
mod diff;
mod doctor;
mod documents;
#[cfg(feature = "tensorrt")]
mod engine;
mod enrol;
mod eval;
mod guard;
mod log;
mod machine;
mod model;
mod models;
mod output;
mod progress;
mod reload;
mod run;
mod service;
mod stop;
mod track;
mod value;

pub use config::canonical as canonical_configuration;

use std::io;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::sink::SinkError;

/// Finds poses in images and videos.
#[derive(Debug, Parser)]
#[command(name = "sinew", version, propagate_version = true, max_term_width = 100)]
struct Arguments {
    #[command(flatten)]
    log: log::LogArguments,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(Box<run::RunArguments>),
    Bench(Box<bench::BenchArguments>),
    Eval(eval::EvalArguments),
    Decode(decode::DecodeArguments),
    Diff(diff::DiffArguments),
    Track(Box<track::TrackArguments>),
    #[command(visible_alias = "enroll")]
    Enrol(enrol::EnrolArguments),
    Models(models::ModelsArguments),
    Doctor(doctor::DoctorArguments),
    Config(Box<config::ConfigArguments>),
    Reload(reload::ReloadArguments),
    Completions(documents::CompletionsArguments),
    Man(documents::ManArguments),
    Calib(Box<calib::CalibArguments>),
    #[cfg(feature = "camera")]
    Cameras(cameras::CamerasArguments),
    #[cfg(feature = "tensorrt")]
    Engine(engine::EngineArguments),
}

/// How a command that did its work has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// Everything is as it should be: exit code 0.
    Good,
    /// The work is done, but not all of it is as it should be: exit code 1.
    Negative,
}

/// Exit code of every error.
const ERROR: u8 = 2;

/// Runs the command that the program's arguments name.
pub fn main() -> ExitCode {
    #[cfg(feature = "tract")]
    crate::engine::keep_memory();
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return explain(&error),
    };
    let done = log::start(&arguments.log).and_then(|()| match arguments.command {
        Command::Run(command) => command.run(&arguments.log),
        Command::Bench(command) => command.run(&arguments.log),
        Command::Eval(command) => command.run(&arguments.log),
        Command::Decode(command) => command.run(),
        Command::Diff(command) => command.run(),
        Command::Track(command) => command.run(&arguments.log),
        Command::Enrol(command) => command.run(),
        Command::Models(command) => command.run(),
        Command::Doctor(command) => command.run(),
        Command::Config(command) => command.run(),
        Command::Reload(command) => command.run(),
        Command::Completions(command) => command.run(),
        Command::Man(command) => command.run(),
        Command::Calib(command) => command.run(&arguments.log),
        #[cfg(feature = "camera")]
        Command::Cameras(command) => command.run(),
        #[cfg(feature = "tensorrt")]
        Command::Engine(command) => command.run(&arguments.log),
    });
    match done {
        Ok(Verdict::Good) => ExitCode::SUCCESS,
        Ok(Verdict::Negative) => ExitCode::from(1),
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            report(error.as_ref());
            ExitCode::from(ERROR)
        }
    }
}

/// Prints errors in the arguments, or the help or version that they request.
fn explain(error: &clap::Error) -> ExitCode {
    match error.print() {
        // An error message may be lost, requested output may not.
        _ if error.use_stderr() => ExitCode::from(ERROR),
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            report(&error);
            ExitCode::from(ERROR)
        }
        _ => ExitCode::SUCCESS,
    }
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let is_closed = |cause: &(dyn std::error::Error + 'static)| {
        cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
            || matches!(cause.downcast_ref(), Some(SinkError::Closed { .. }))
    };
    error.chain().any(is_closed)
}

/// Prints an error and what caused it: `sinew: what, where, what to do`, then one line for each cause that says more.
fn report(error: &(dyn std::error::Error + 'static)) {
    for (index, text) in causes(error).iter().enumerate() {
        output::message(format_args!("{} {text}", if index == 0 { "sinew:" } else { "  because:" }));
    }
}

/// The text of an error, then that of each cause that adds something.
fn causes(error: &(dyn std::error::Error + 'static)) -> Vec<String> {
    let mut said = vec![error.to_string()];
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !said.iter().any(|before| before.contains(&text)) {
            said.push(text);
        }
        cause = error.source();
    }
    said
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn nothing_is_said_twice() {
        let cause = std::io::Error::other("disk on fire");
        let error = anyhow::Error::from(cause).context("a.txt: disk on fire").context("no result");
        assert_eq!(causes(error.as_ref()), ["no result", "a.txt: disk on fire"]);
    }

    #[test]
    fn enroll_is_enrol() {
        let words = "sinew enroll --model m --image a.jpg --keypoints a.json --out a.template";
        let arguments = Arguments::try_parse_from(words.split(' ')).unwrap();
        assert!(matches!(arguments.command, Command::Enrol(_)), "{arguments:?}");
    }

    #[test]
    fn the_arguments_are_consistent() {
        Arguments::command().debug_assert();
    }
}
