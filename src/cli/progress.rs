//! A progress bar on standard error, if that is a terminal and the length is known.

use std::error::Error;
use std::io::IsTerminal as _;

use indicatif::{ProgressBar, ProgressStyle};

use super::log::LogArguments;
use super::report;

/// Progress of one long task.
#[derive(Debug)]
pub struct Progress {
    bar: Option<ProgressBar>,
}

impl Progress {
    /// A bar of `length` steps; none if the length is unknown or standard error is not a terminal.
    pub fn new(length: Option<u64>, log: &LogArguments) -> Self {
        let watched = std::io::stderr().is_terminal() && !log.quiet;
        // A single step is over before the bar can be read.
        let bar = length.filter(|&length| watched && length > 1).map(ProgressBar::new);
        let style = ProgressStyle::with_template("{bar:32} {pos}/{len} {per_sec} {eta} left");
        if let (Some(bar), Ok(style)) = (&bar, style) {
            bar.set_style(style);
        }
        Self { bar }
    }

    /// One step is done.
    pub fn step(&self) {
        if let Some(bar) = &self.bar {
            bar.inc(1);
        }
    }

    /// Reports an error that does not end the task, above the bar.
    pub fn complain(&self, error: &(dyn Error + 'static)) {
        match &self.bar {
            Some(bar) => bar.suspend(|| report(error)),
            None => report(error),
        }
    }

    /// Removes the bar.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
