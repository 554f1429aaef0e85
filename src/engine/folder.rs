//! Where engines for GPUs are kept.

use std::ffi::OsString;
use std::path::PathBuf;

/// The folder of engines: `SINEW_ENGINES`, else `engines` in systemd's `STATE_DIRECTORY`, else in the user's state directory.
pub(crate) fn engines_folder() -> PathBuf {
    folder(|name| std::env::var_os(name))
}

fn folder(variable: impl Fn(&str) -> Option<OsString>) -> PathBuf {
    if let Some(given) = variable("SINEW_ENGINES").filter(|given| !given.is_empty()) {
        return given.into();
    }
    // Engines are code. A folder below the current one, which could be anyone's, is never searched for them.
    let absolute = |name: &str| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    // Of several, which colons part, the first.
    let first = |paths: PathBuf| std::env::split_paths(&paths).next().unwrap_or_default();
    let state = || absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")));
    let home = || state().unwrap_or_else(|| PathBuf::from("/var/lib")).join("sinew/engines");
    absolute("STATE_DIRECTORY").map_or_else(home, |paths| first(paths).join("engines"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_below_the_current_folder_is_searched() {
        let of = |variables: &[(&str, &str)]| {
            let found =
                folder(|name| variables.iter().find(|(other, _)| *other == name).map(|(_, value)| value.into()));
            found.to_str().unwrap().to_owned()
        };
        assert_eq!(of(&[]), "/var/lib/sinew/engines");
        assert_eq!(of(&[("HOME", "rel")]), "/var/lib/sinew/engines");
        assert_eq!(of(&[("HOME", "")]), "/var/lib/sinew/engines");
        assert_eq!(of(&[("HOME", "/root"), ("XDG_STATE_HOME", "rel")]), "/root/.local/state/sinew/engines");
        assert_eq!(of(&[("HOME", "/root"), ("XDG_STATE_HOME", "/state")]), "/state/sinew/engines");
        assert_eq!(of(&[("STATE_DIRECTORY", "rel")]), "/var/lib/sinew/engines");
        assert_eq!(
            of(&[("STATE_DIRECTORY", "/var/lib/sinew:/var/lib/b"), ("HOME", "/root")]),
            "/var/lib/sinew/engines"
        );
        // Whoever names a folder means it.
        assert_eq!(of(&[("SINEW_ENGINES", "here"), ("STATE_DIRECTORY", "/a")]), "here");
        assert_eq!(of(&[("SINEW_ENGINES", ""), ("STATE_DIRECTORY", "/a")]), "/a/engines");
    }
}
