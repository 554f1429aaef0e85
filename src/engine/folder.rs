//! Where engines for GPUs are kept.

use std::path::PathBuf;

/// The folder of engines: `SINEW_ENGINES`, else `engines` in systemd's `STATE_DIRECTORY`, else in the user's state directory.
pub(crate) fn engines_folder() -> PathBuf {
    let path = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let home = || {
        // Engines are code. A folder below the current one, which could be anyone's, is never searched for them.
        let absolute = |name: &str| path(name).filter(|path| path.is_absolute());
        let state = absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")));
        state.unwrap_or_else(|| PathBuf::from("/var/lib")).join("sinew/engines")
    };
    path("SINEW_ENGINES").or_else(|| Some(path("STATE_DIRECTORY")?.join("engines"))).unwrap_or_else(home)
}
