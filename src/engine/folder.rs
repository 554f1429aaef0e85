//! Where engines for GPUs are kept.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The engines of the service: systemd's `STATE_DIRECTORY` for `StateDirectory=sinew`.
pub(crate) const SERVICE: &str = "/var/lib/sinew/engines";

/// The folder of engines: `SINEW_ENGINES`, else `engines` in systemd's `STATE_DIRECTORY`, else [`SERVICE`] if it can be
/// read, else the user's state directory.
pub(crate) fn engines_folder() -> PathBuf {
    chosen(|name| std::env::var_os(name), Path::new(SERVICE))
}

/// Whether the service has engines that this user must not read. Its state directory is private to it, as it runs as a
/// user of its own.
pub(crate) fn service_is_private() -> bool {
    Path::new(SERVICE).metadata().is_err_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied)
}

fn chosen(variable: impl Fn(&str) -> Option<OsString>, service: &Path) -> PathBuf {
    let path = |name: &str| variable(name).map(PathBuf::from);
    let home = || {
        // Engines are code. A folder below the current one, which could be anyone's, is never searched for them.
        let absolute = |name: &str| path(name).filter(|path| path.is_absolute());
        let state = absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")));
        state.map_or_else(|| service.to_owned(), |state| state.join("sinew/engines"))
    };
    path("SINEW_ENGINES")
        .or_else(|| Some(path("STATE_DIRECTORY")?.join("engines")))
        .or_else(|| service.read_dir().is_ok().then(|| service.to_owned()))
        .unwrap_or_else(home)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_shell_finds_the_engines_of_the_service() {
        let folder = tempfile::tempdir().unwrap();
        let service = folder.path().join("engines");
        let shell = |name: &str| (name == "HOME").then(|| "/home/user".into());
        let own = Path::new("/home/user/.local/state/sinew/engines");
        assert_eq!(chosen(shell, &service), own, "nothing is deployed");
        std::fs::create_dir(&service).unwrap();
        assert_eq!(chosen(shell, &service), service);
    }

    #[test]
    fn variables_win_over_the_service() {
        let service = tempfile::tempdir().unwrap();
        let state = |name: &str| (name == "STATE_DIRECTORY").then(|| "/state".into());
        assert_eq!(chosen(state, service.path()), Path::new("/state/engines"));
        let given = |name: &str| (name != "HOME").then(|| "/given".into());
        assert_eq!(chosen(given, service.path()), Path::new("/given"));
    }

    #[test]
    fn the_current_folder_is_never_searched() {
        let relative = |name: &str| (name == "HOME" || name == "XDG_STATE_HOME").then(|| "here".into());
        assert_eq!(chosen(relative, Path::new("/nowhere/engines")), Path::new("/nowhere/engines"));
    }
}
