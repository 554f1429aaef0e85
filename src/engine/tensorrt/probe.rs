//! Whatever may crash inside the library is tried in a child process first, so that a crash becomes an error: making a runtime,
//! and reading an engine that no child has read before.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::{TensorRtError, Version};

/// Longest time that reading an engine may take; the largest takes seconds.
const LIMIT: Duration = Duration::from_secs(120);
/// Sets another limit, for slow disks.
const VARIABLE: &str = "SINEW_PROBE_SECONDS";
/// Poll interval for the child.
const STEP: Duration = Duration::from_millis(20);

/// How an engine is tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// A program that knows `engine probe [FILE]`: this one.
    pub program: PathBuf,
    /// When it is killed.
    pub limit: Duration,
}

impl Probe {
    /// With this program; `SINEW_PROBE_SECONDS` may set the limit.
    pub fn of_this_program() -> Option<Self> {
        let seconds = std::env::var(VARIABLE).ok().and_then(|text| text.parse().ok());
        let limit = seconds.map_or(LIMIT, Duration::from_secs);
        Some(Self { program: std::env::current_exe().ok()?, limit })
    }

    /// Lets a child read the engine, unless one has read the same engine with the same library before.
    ///
    /// # Errors
    /// If the child refuses it, dies, or does not end in time.
    pub(super) fn run(&self, plan: &Path, sha256: &str, version: Version) -> Result<(), TensorRtError> {
        let stamp = stamp(plan);
        let wanted = format!("{sha256} {version}\n");
        if fs::read_to_string(&stamp).is_ok_and(|found| found == wanted) {
            return Ok(());
        }
        self.in_child("the engine", Some(plan))?;
        // Where it cannot be written, the next start probes again.
        let _ = fs::write(stamp, wanted);
        Ok(())
    }

    /// Lets a child make a runtime.
    ///
    /// # Errors
    /// If the library refuses, which it does for a driver that is too old, or the child dies or does not end.
    pub(super) fn check_runtime(&self) -> Result<(), TensorRtError> {
        self.in_child("the library", None)
    }

    fn in_child(&self, what: &'static str, plan: Option<&Path>) -> Result<(), TensorRtError> {
        let failed = |reason: String| TensorRtError::Probe { what, reason };
        let mut child = Command::new(&self.program)
            .args(["--quiet", "engine", "probe"])
            .args(plan)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| failed(format!("{} cannot be started: {error}", self.program.display())))?;
        let begun = Instant::now();
        let status = loop {
            match child.try_wait() {
                Ok(Some(status)) => break status,
                Ok(None) if begun.elapsed() < self.limit => std::thread::sleep(STEP),
                Ok(None) => {
                    // It may just have ended by itself.
                    let _ = child.kill();
                    let _ = child.wait();
                    return Err(failed(format!("it did not end within {} s", self.limit.as_secs_f32())));
                }
                Err(error) => return Err(failed(error.to_string())),
            }
        };
        if !status.success() {
            let mut said = String::new();
            if let Some(mut errors) = child.stderr.take() {
                // What cannot be read is not said.
                let _ = errors.read_to_string(&mut said);
            }
            let said = said.trim();
            let because = if said.is_empty() { String::new() } else { format!(": {said}") };
            return Err(failed(format!("it ended with {status}{because}")));
        }
        Ok(())
    }
}

fn stamp(plan: &Path) -> PathBuf {
    let mut name = plan.as_os_str().to_owned();
    name.push(".probed");
    name.into()
}
