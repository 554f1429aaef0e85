//! Where bundles are looked up.

use std::path::{Path, PathBuf};

use super::error::BundleError;
use super::suggest::nearest;

/// The manifest's file name.
pub const MANIFEST: &str = "bundle.toml";

/// The folders in which a bundle is looked up by name, in order: those of `SINEW_BUNDLES`, `models/bundles` here,
/// `models/bundles` and `share/sinew/bundles` next to the program's folder, or those of the tree that it was built in,
/// and the system's.
pub fn search_path() -> Vec<PathBuf> {
    let mut folders = Vec::new();
    if let Some(list) = std::env::var_os("SINEW_BUNDLES") {
        folders.extend(std::env::split_paths(&list).filter(|folder| !folder.as_os_str().is_empty()));
    }
    folders.push(PathBuf::from("models/bundles"));
    if let Ok(program) = std::env::current_exe() {
        folders.extend(beside(&program));
    }
    folders.push(PathBuf::from("/usr/share/sinew/bundles"));
    folders
}

/// The folders of bundles installed with a program.
fn beside(program: &Path) -> Vec<PathBuf> {
    let Some(prefix) = program.parent().and_then(Path::parent) else { return Vec::new() };
    match prefix.parent() {
        // It runs from the tree that it was built in.
        Some(tree) if prefix.file_name().is_some_and(|name| name == "target") => vec![tree.join("models/bundles")],
        _ => vec![prefix.join("models/bundles"), prefix.join("share/sinew/bundles")],
    }
}

/// The bundle folders in `folders`, sorted by name; of two with the same name, the first wins.
pub(super) fn folders_in(folders: &[PathBuf]) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = Vec::new();
    for folder in folders {
        let Ok(entries) = std::fs::read_dir(folder) else { continue };
        for path in entries.filter_map(|entry| entry.ok().map(|entry| entry.path())) {
            let hidden = found.iter().any(|other| other.file_name() == path.file_name());
            if !hidden && path.join(MANIFEST).is_file() {
                found.push(path);
            }
        }
    }
    found.sort_by(|a, b| a.file_name().cmp(&b.file_name()));
    found
}

/// The folder that `folder_or_name` stands for: itself, if it is a folder or looks like a path, else the bundle of that
/// name in `folders`.
pub(super) fn find(folder_or_name: &Path, folders: &[PathBuf]) -> Result<PathBuf, BundleError> {
    if folder_or_name.file_name().is_some_and(|name| name == MANIFEST) {
        let parent = folder_or_name.parent().unwrap_or(Path::new("."));
        return Ok(if parent.as_os_str().is_empty() { PathBuf::from(".") } else { parent.to_owned() });
    }
    let is_name = folder_or_name.components().count() == 1
        && folder_or_name.file_name().is_some_and(|name| name == folder_or_name.as_os_str());
    if !is_name || folder_or_name.join(MANIFEST).is_file() {
        return Ok(folder_or_name.to_owned());
    }
    if let Some(found) =
        folders.iter().map(|folder| folder.join(folder_or_name)).find(|path| path.join(MANIFEST).is_file())
    {
        return Ok(found);
    }
    let name = folder_or_name.to_string_lossy().into_owned();
    let there = folders_in(folders);
    let names = there.iter().filter_map(|path| path.file_name()?.to_str());
    let nearest = nearest(&name, names).map(str::to_owned);
    Err(BundleError::NotFound { name, searched: folders.to_owned(), nearest })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn bundles(names: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in names {
            fs::create_dir(folder.path().join(name)).unwrap();
            fs::write(folder.path().join(name).join(MANIFEST), "").unwrap();
        }
        fs::create_dir(folder.path().join("no-bundle")).unwrap();
        folder
    }

    #[test]
    fn a_program_brings_its_bundles() {
        let places = |program: &str| beside(Path::new(program));
        let installed = ["/opt/s/models/bundles", "/opt/s/share/sinew/bundles"].map(PathBuf::from);
        assert_eq!(places("/opt/s/bin/sinew"), installed);
        assert_eq!(places("/home/s/target/release/sinew"), [PathBuf::from("/home/s/models/bundles")]);
        assert_eq!(places("/"), [] as [PathBuf; 0]);
    }

    #[test]
    fn the_first_folder_that_has_the_name_wins() {
        let (first, second) = (bundles(&["a", "b"]), bundles(&["b", "c"]));
        let folders = ["/no/such/folder".into(), first.path().to_owned(), second.path().to_owned()];
        let find = |name: &str| find(Path::new(name), &folders);
        assert_eq!(find("b").unwrap(), first.path().join("b"));
        assert_eq!(find("c").unwrap(), second.path().join("c"));
        let all: Vec<PathBuf> = vec![first.path().join("a"), first.path().join("b"), second.path().join("c")];
        assert_eq!(folders_in(&folders), all);
        assert!(matches!(find("no-bundle"), Err(BundleError::NotFound { .. })));
    }

    #[test]
    fn the_nearest_name_is_told() {
        let there = bundles(&["logocap-tiny", "lofr-tiny"]);
        let error = find(Path::new("logocap_tiny"), &[there.path().to_owned()]).unwrap_err().to_string();
        assert!(
            error.starts_with("no bundle named `logocap_tiny`, did you mean `logocap-tiny`? (looked in "),
            "{error}"
        );
    }

    #[test]
    fn paths_are_taken_as_they_are() {
        let there = bundles(&["a"]);
        let find = |path: &Path| find(path, &[]).unwrap();
        assert_eq!(find(&there.path().join("a")), there.path().join("a"));
        assert_eq!(find(&there.path().join("a").join(MANIFEST)), there.path().join("a"));
        assert_eq!(find(Path::new(MANIFEST)), Path::new("."));
        assert_eq!(find(Path::new("./a")), Path::new("./a"));
        assert_eq!(find(Path::new("..")), Path::new(".."));
        assert_eq!(find(Path::new("a/")), Path::new("a/"));
    }
}
