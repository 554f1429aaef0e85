//! `sinew doctor`: checks the installation, and says how to fix it.

mod checks;

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::Verdict;
use super::output;

/// Check the machine, the bundles, the backends and the cameras; exit code 1 if something fails
#[derive(Debug, Args)]
pub struct DoctorArguments {
    /// A configuration file to check as well
    #[arg(long, value_name = "FILE", env = "SINEW_CONFIG")]
    config: Option<PathBuf>,
    /// Print what to try first on a board that this program has not run on, and do nothing else
    #[arg(long)]
    board_check: bool,
    /// Print JSON instead of lines
    #[arg(long)]
    json: bool,
}

/// State of one part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    /// Correct.
    Ok,
    /// Something does not work, but the rest does without it.
    Warn,
    /// It must be fixed first.
    Fail,
}

/// The result of one check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Finding {
    state: State,
    /// The part.
    what: String,
    /// What was found.
    found: String,
    /// What to do about it.
    remedy: Option<String>,
}

impl Finding {
    fn ok(what: impl Into<String>, found: impl Into<String>) -> Self {
        Self { state: State::Ok, what: what.into(), found: found.into(), remedy: None }
    }

    fn warn(what: impl Into<String>, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { state: State::Warn, what: what.into(), found: found.into(), remedy: Some(remedy.into()) }
    }

    fn fail(what: impl Into<String>, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { state: State::Fail, what: what.into(), found: found.into(), remedy: Some(remedy.into()) }
    }
}

impl DoctorArguments {
    /// Runs the command.
    pub fn run(self) -> anyhow::Result<Verdict> {
        if self.board_check {
            output::print_text(CHECKLIST)?;
            return Ok(Verdict::Good);
        }
        let findings = checks::all(self.config.as_deref());
        if self.json {
            output::print_json(&findings)?;
        } else {
            for Finding { state, what, found, remedy } in &findings {
                let state = match state {
                    State::Ok => "ok  ",
                    State::Warn => "warn",
                    State::Fail => "FAIL",
                };
                output::print_line(format_args!("{state}  {what}: {found}"))?;
                if let Some(remedy) = remedy {
                    output::print_line(format_args!("      -> {remedy}"))?;
                }
            }
        }
        let failed = findings.iter().any(|finding| finding.state == State::Fail);
        Ok(if failed { Verdict::Negative } else { Verdict::Good })
    }
}

/// In the order in which each step depends on those before.
const CHECKLIST: &str = "\
Nothing of this program has run on a Jetson yet. On a board, in this order; each line should end with exit code 0.
Where Sinew is deployed, stop the service first (sudo systemctl stop sinew), and run all lines with sudo: its engines are
readable by root only.

 1. sinew doctor
      Names the board, TensorRT and the GPU, or says what is missing.
 2. sinew run --model logocap-movenet --source IMAGE.jpg --backend tract --sink jsonl:- --overlay out
      The CPU alone: poses in out/.
 3. sinew engine build --model logocap-movenet --image-size 1280x720
      The board's own trtexec builds the engines. Add --dry-run to see the commands.
 4. sinew engine list
      Every engine must be `ok`.
 5. sinew engine verify --model logocap-movenet --images FOLDER
      The GPU's poses against the CPU's, on images of 1280x720.
 6. sinew run --model logocap-movenet --source FOLDER --backend tensorrt --sink jsonl:- --overlay out-tensorrt
      The same images as in 2: compare.
 7. sinew bench --model logocap-movenet --source FOLDER --as-camera 1280x720 --backend tensorrt --json > board.json
      Milliseconds per stage, with the power mode and the clocks that they were measured at.
 8. sinew cameras, then sinew run --model logocap-movenet --source /dev/video0 --sink jsonl:- > poses.jsonl
      Let it run for ten minutes, pull the camera out and plug it in again, stop it with Ctrl-C.
 9. 3, 5 and 7 with --precision int8.

If one of them fails, please report its output together with that of `sinew doctor --json`.
";

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::CHECKLIST;

    #[test]
    fn the_checklist_names_commands_that_exist() {
        let commands = CHECKLIST.lines().filter_map(|line| Some(line.trim_start().split_once(". sinew ")?.1));
        let mut seen = 0;
        for line in commands {
            let line = line.split(['>', ',']).next().unwrap();
            let words = std::iter::once("sinew").chain(line.split_whitespace());
            crate::cli::Arguments::try_parse_from(words).unwrap_or_else(|error| panic!("{line}: {error}"));
            seen += 1;
        }
        assert_eq!(seen, 8);
    }

    #[test]
    fn the_checklist_does_not_depend_on_the_sinks_of_a_configuration() {
        let runs = CHECKLIST.lines().filter(|line| line.contains("sinew run "));
        assert_eq!(runs.inspect(|line| assert!(line.contains("--sink jsonl:-"), "{line}")).count(), 3);
    }
}
