//! A clean end when somebody asks for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::iterator::Signals;

/// How long a live run has to end by itself.
const PATIENCE: Duration = Duration::from_millis(900);

/// Becomes true on SIGINT and SIGTERM; the second of them ends the program at once.
pub fn flag() -> anyhow::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // In this order: the first signal finds the flag still down.
        flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&stop))
            .and_then(|_| flag::register(signal, Arc::clone(&stop)))
            .context("signals cannot be caught")?;
    }
    Ok(stop)
}

/// As long as it lives, the program ends soon after the first signal.
#[derive(Debug)]
pub struct ForcedExit(Arc<AtomicBool>);

impl Drop for ForcedExit {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Ends the program soon after the first signal even where the network does not come back: it is just being opened, or hangs.
/// By then the sinks have taken what was answered.
pub fn force_exit_after() -> anyhow::Result<ForcedExit> {
    let over = Arc::new(AtomicBool::new(false));
    let is_over = Arc::clone(&over);
    let mut signals = Signals::new([SIGINT, SIGTERM]).context("signals cannot be caught")?;
    let wait = move || {
        if signals.forever().next().is_some() {
            thread::sleep(PATIENCE);
            if is_over.load(Ordering::Relaxed) {
                return;
            }
            tracing::warn!("ended without the result that is being computed: it takes longer than a second");
            std::process::exit(0);
        }
    };
    thread::Builder::new().name("stop".to_owned()).spawn(wait).context("a thread cannot be started")?;
    Ok(ForcedExit(over))
}
