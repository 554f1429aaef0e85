//! Where engines for GPUs are kept.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The engines of the service: systemd's `STATE_DIRECTORY` for `StateDirectory=sinew`.
pub(crate) const SERVICE: &str = "/var/lib/sinew/engines";

/// The folder of engines: `SINEW_ENGINES`, else `engines` in systemd's `STATE_DIRECTORY`, else [`SERVICE`] if it can be
/// read, else the user's state directory.
pub(crate) fn engines_folder() -> PathBuf {
    folder(|name| std::env::var_os(name), Path::new(SERVICE))
}

/// Whether the service may have engines that this user cannot read: its state directory is private, as it runs as a user of
/// its own.
#[cfg(all(feature = "cli", feature = "tensorrt"))]
pub(crate) fn service_is_private() -> bool {
    Path::new(SERVICE).metadata().is_err_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied)
}

fn folder(variable: impl Fn(&str) -> Option<OsString>, service: &Path) -> PathBuf {
    if let Some(given) = variable("SINEW_ENGINES").filter(|given| !given.is_empty()) {
        return given.into();
    }
    // Engines are code. A folder below the current one, which could be anyone's, is never searched for them.
    let absolute = |name: &str| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    if let Some(paths) = absolute("STATE_DIRECTORY") {
        // The first, if a unit has several, separated by colons.
        return std::env::split_paths(&paths).next().unwrap_or_default().join("engines");
    }
    let state = || absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")));
    match state() {
        Some(state) if service.read_dir().is_err() => state.join("sinew/engines"),
        _ => service.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The folder that these variables choose, with a service whose engines are in `service`.
    fn chosen(variables: &[(&str, &str)], service: &Path) -> PathBuf {
        folder(|name| variables.iter().find(|(other, _)| *other == name).map(|(_, value)| value.into()), service)
    }

    #[test]
    fn a_login_shell_finds_the_engines_of_the_service() {
        let folder = tempfile::tempdir().unwrap();
        let service = folder.path().join("engines");
        let shell = &[("HOME", "/home/user")];
        assert_eq!(chosen(shell, &service), Path::new("/home/user/.local/state/sinew/engines"), "nothing is deployed");
        std::fs::create_dir(&service).unwrap();
        assert_eq!(chosen(shell, &service), service);
        let given = &[("HOME", "/home/user"), ("STATE_DIRECTORY", "/state:/other")];
        assert_eq!(chosen(given, &service), Path::new("/state/engines"));
        let given = &[("STATE_DIRECTORY", "/state"), ("SINEW_ENGINES", "here")];
        assert_eq!(chosen(given, &service), Path::new("here"), "the user named it");
    }

    #[test]
    fn the_current_folder_is_never_searched() {
        let service = Path::new("/nowhere/engines");
        for relative in [&[][..], &[("HOME", "rel")], &[("HOME", "")], &[("STATE_DIRECTORY", "rel")]] {
            assert_eq!(chosen(relative, service), service, "{relative:?}");
        }
        let given = &[("HOME", "/root"), ("XDG_STATE_HOME", "rel"), ("SINEW_ENGINES", "")];
        assert_eq!(chosen(given, service), Path::new("/root/.local/state/sinew/engines"));
        let given = &[("HOME", "/root"), ("XDG_STATE_HOME", "/state")];
        assert_eq!(chosen(given, service), Path::new("/state/sinew/engines"));
    }
}
