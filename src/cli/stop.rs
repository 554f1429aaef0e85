//! A clean end on SIGINT and SIGTERM, and the effect of SIGHUP.

use std::io::IsTerminal as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::iterator::Signals;

use crate::runtime::Outputs;

/// How long a run has to end by itself after the first signal.
const PATIENCE: Duration = Duration::from_millis(900);

/// How long the program then waits for outputs being written.
const FINISH: Duration = Duration::from_millis(500);

/// A flag that becomes true on SIGINT and SIGTERM, and what ends the program where the flag does not help: while it is blocked by
/// stalled standard input, an output that accepts nothing, or a network that is being opened. `exit_code` converts the signal's
/// number.
pub fn on_signals(exit_code: fn(i32) -> i32) -> anyhow::Result<(Arc<AtomicBool>, ForcedExit)> {
    // In this order: a signal between the two ends the program too.
    let forced = force_exit_after(exit_code)?;
    Ok((flag()?, forced))
}

/// Becomes true on SIGINT and SIGTERM; the second of them ends the program at once.
///
/// SIGHUP ends nothing, see [`reload_flag`]: files moved by `logrotate` are recreated with the next line anyway. On a terminal,
/// which sends it when it is closed, it counts as SIGTERM.
fn flag() -> anyhow::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in ending() {
        // In this order: at the first signal the flag is still down.
        flag::register_conditional_shutdown(signal, unfinished(signal), Arc::clone(&stop))
            .and_then(|_| flag::register(signal, Arc::clone(&stop)))
            .context("signals cannot be caught")?;
    }
    if !on_terminal() {
        // Registered only so that its default, which ends the program, does not happen.
        flag::register(SIGHUP, Arc::default()).context("signals cannot be caught")?;
    }
    Ok(stop)
}

/// Becomes true on SIGHUP; never on a terminal, where that ends the program.
pub fn reload_flag() -> anyhow::Result<Arc<AtomicBool>> {
    let reload = Arc::new(AtomicBool::new(false));
    if !on_terminal() {
        flag::register(SIGHUP, Arc::clone(&reload)).context("signals cannot be caught")?;
    }
    Ok(reload)
}

/// Signals that end a run.
fn ending() -> Vec<i32> {
    [SIGINT, SIGTERM].into_iter().chain(on_terminal().then_some(SIGHUP)).collect()
}

fn on_terminal() -> bool {
    std::io::stdin().is_terminal() || std::io::stderr().is_terminal()
}

/// The exit code of a command ended by a signal, as in shells.
pub fn unfinished(signal: i32) -> i32 {
    128 + signal
}

/// As long as it lives, the program ends soon after the first signal.
#[derive(Debug)]
pub struct ForcedExit {
    over: Arc<AtomicBool>,
    outputs: Arc<Mutex<Option<Outputs>>>,
}

impl ForcedExit {
    /// These outputs are finished before the program is ended.
    pub fn finishes(&self, outputs: &Outputs) {
        *self.outputs.lock().unwrap_or_else(PoisonError::into_inner) = Some(outputs.clone());
    }
}

impl Drop for ForcedExit {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

/// Ends the program soon after the first signal, even if it is blocked.
fn force_exit_after(exit_code: fn(i32) -> i32) -> anyhow::Result<ForcedExit> {
    let forced = ForcedExit { over: Arc::default(), outputs: Arc::default() };
    let (over, outputs) = (Arc::clone(&forced.over), Arc::clone(&forced.outputs));
    let mut signals = Signals::new(ending()).context("signals cannot be caught")?;
    let wait = move || {
        if let Some(signal) = signals.forever().next() {
            thread::sleep(PATIENCE);
            if over.load(Ordering::Relaxed) {
                return;
            }
            tracing::warn!("ended without waiting for the frame that is being read, processed or written");
            if let Some(outputs) = outputs.lock().unwrap_or_else(PoisonError::into_inner).take() {
                outputs.finish_idle(FINISH);
            }
            std::process::exit(exit_code(signal));
        }
    };
    thread::Builder::new().name("stop".to_owned()).spawn(wait).context("a thread cannot be started")?;
    Ok(forced)
}
