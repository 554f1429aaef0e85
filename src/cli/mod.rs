//! The commands, one file each.
//!
//! Exit codes: 0 done, 1 worked but negative (a picture was skipped, a check failed), 2 error. A reader that closes the
//! pipe has had enough: that is no error.

mod config;
mod decode;
mod eval;
mod log;
mod models;
mod output;
mod progress;
mod run;
mod value;

use std::io;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Finds poses in pictures and videos.
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
    Eval(eval::EvalArguments),
    Decode(decode::DecodeArguments),
    Models(models::ModelsArguments),
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
    let arguments = Arguments::parse();
    let done = log::start(&arguments.log).and_then(|()| match arguments.command {
        Command::Run(command) => command.run(&arguments.log),
        Command::Eval(command) => command.run(&arguments.log),
        Command::Decode(command) => command.run(),
        Command::Models(command) => command.run(),
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

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let is_closed = |cause: &(dyn std::error::Error + 'static)| {
        cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    };
    error.chain().any(is_closed)
}

/// Prints an error and what caused it: `sinew: what, where, what to do`, then one line for each cause that says more.
fn report(error: &(dyn std::error::Error + 'static)) {
    let mut said = error.to_string();
    eprintln!("sinew: {said}");
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !said.contains(&text) {
            eprintln!("  because: {text}");
            said = text;
        }
        cause = error.source();
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Arguments::command().debug_assert();
    }
}
