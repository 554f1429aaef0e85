//! Log messages on standard error.

use clap::{ArgAction, Args};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::prelude::*;

use super::output::Log;

/// The variable that selects what is logged: a level such as `debug`, or several by module, `sinew::engine=trace,warn`.
const VARIABLE: &str = "SINEW_LOG";

/// How much is logged.
#[derive(Debug, Clone, Args)]
pub struct LogArguments {
    /// Say more; twice for debugging, three times for everything
    #[arg(short, long, global = true, action = ArgAction::Count, help_heading = "Messages")]
    verbose: u8,
    /// Say nothing but errors; no progress bar
    #[arg(short, long, global = true, conflicts_with = "verbose", help_heading = "Messages")]
    pub quiet: bool,
}

/// Sends the log to standard error, at the level that the arguments or `SINEW_LOG` choose.
pub fn start(arguments: &LogArguments) -> anyhow::Result<()> {
    let level = match (arguments.quiet, arguments.verbose) {
        (true, _) => LevelFilter::ERROR,
        (false, 0) => LevelFilter::WARN,
        (false, 1) => LevelFilter::INFO,
        (false, 2) => LevelFilter::DEBUG,
        (false, _) => LevelFilter::TRACE,
    };
    let filter = match std::env::var(VARIABLE) {
        Ok(filter) if arguments.verbose == 0 && !arguments.quiet => filter
            .parse::<Targets>()
            .map_err(|error| anyhow::anyhow!("{VARIABLE}='{filter}' is not a filter: {error}; try 'debug'"))?,
        // Of the libraries, only TensorRT's errors are logged.
        _ => Targets::new().with_target("sinew", level).with_target("tensorrt", LevelFilter::ERROR),
    };
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(Log::default)
        // Colour escapes would be escaped like control characters of a file name.
        .with_ansi(false)
        .without_time()
        .with_target(arguments.verbose > 1);
    tracing_subscriber::registry().with(filter).with(lines).init();
    Ok(())
}
