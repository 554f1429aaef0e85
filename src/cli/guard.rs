//! Refuses outputs that would destroy an input or another output, before anything is created or emptied.
//!
//! Files are compared by device and inode, links resolved; a file that does not exist yet by its folder and name.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::bail;

use crate::sink::overlay::file_name;
use crate::source::Images;
use crate::write::resolve;

/// How deep a bundle's folders are searched.
const DEPTH: usize = 4;
/// Name of standard output in messages.
const STANDARD_OUTPUT: &str = "standard output";

/// Identity of a file.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Identity {
    Existing {
        device: u64,
        inode: u64,
    },
    /// A file that will be made in a folder.
    New {
        device: u64,
        inode: u64,
        name: OsString,
    },
}

impl Identity {
    /// The identity of a regular file or one that does not exist; `None` for devices, pipes, sockets and folders, which lose nothing.
    fn of(path: &Path) -> Option<Self> {
        if let Ok(found) = fs::metadata(path) {
            return found.is_file().then(|| Self::Existing { device: found.dev(), inode: found.ino() });
        }
        let path = resolve(path).ok()?;
        let folder = match path.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        let found = fs::metadata(folder).ok()?;
        Some(Self::New { device: found.dev(), inode: found.ino(), name: path.file_name()?.to_owned() })
    }
}

/// The files of one command.
#[derive(Debug, Default)]
pub struct FileGuard {
    inputs: HashMap<Identity, PathBuf>,
    outputs: HashMap<Identity, String>,
    /// Drawings, which are named after inputs.
    drawings: HashMap<Identity, String>,
    writes_standard_output: bool,
}

impl FileGuard {
    /// `path` is read: a file, or the images of a folder.
    pub fn input(&mut self, path: &Path) {
        if !path.is_dir() {
            return self.input_to(path, 0, &|_| true);
        }
        // Other files there, such as earlier results, are not read.
        let entries = fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
        entries.for_each(|path| self.input_to(&path, 0, &Images::takes));
    }

    /// `path` is a folder that is read with all folders in it, such as a bundle.
    pub fn input_tree(&mut self, path: &Path) {
        self.input_to(path, DEPTH, &|_| true);
    }

    /// `path` is a folder whose images are read, also those in folders of it.
    pub fn image_tree(&mut self, path: &Path) {
        self.input_to(path, DEPTH, &Images::takes);
    }

    fn input_to(&mut self, path: &Path, depth: usize, is_read: &dyn Fn(&Path) -> bool) {
        if path.is_dir() && depth > 0 {
            for entry in fs::read_dir(path).into_iter().flatten().flatten() {
                self.input_to(&entry.path(), depth - 1, is_read);
            }
        } else if is_read(path)
            && let Some(identity @ Identity::Existing { .. }) = Identity::of(path)
        {
            self.inputs.entry(identity).or_insert_with(|| path.to_owned());
        }
    }

    /// `path` will be written because of `option`.
    ///
    /// # Errors
    /// If that is an input, or another output.
    pub fn output(&mut self, option: &str, path: &Path) -> anyhow::Result<()> {
        let Some(identity) = Identity::of(path) else { return Ok(()) };
        if let Some(input) = self.inputs.get(&identity) {
            bail!(
                "{option} would overwrite {}, which is an input of this command; choose another path",
                input.display()
            );
        }
        if let Some(other) = self.outputs.get(&identity).or_else(|| self.drawings.get(&identity)) {
            bail!("{option} and {other} would write to the same file, {}; choose another path", path.display());
        }
        self.outputs.insert(identity, option.to_owned());
        Ok(())
    }

    /// Standard output will be written, which may be a file.
    ///
    /// # Errors
    /// Same as [`FileGuard::output`], and if it is written already.
    pub fn standard_output(&mut self) -> anyhow::Result<()> {
        if std::mem::replace(&mut self.writes_standard_output, true) {
            bail!("two sinks would write to {STANDARD_OUTPUT}; give one of them a path");
        }
        self.output(STANDARD_OUTPUT, Path::new("/dev/stdout"))
    }

    /// Images named after inputs will be written into a folder.
    ///
    /// # Errors
    /// If one of them is an input, or the folder is that of another output.
    pub fn images(&mut self, option: &str, folder: &Path) -> anyhow::Result<()> {
        for input in self.inputs.values() {
            let path = folder.join(file_name(Some(input), 0));
            self.replaces(option, &path)?;
            if let Some(identity) = Identity::of(&path) {
                if let Some(other) = self.outputs.get(&identity) {
                    bail!("{option} and {other} would write to the same file, {}; choose another path", path.display());
                }
                self.drawings.insert(identity, option.to_owned());
            }
        }
        self.claim(option, folder)
    }

    /// A folder will be filled with files of its own.
    ///
    /// # Errors
    /// If an input or another output lies in it, or another output uses it.
    pub fn folder(&mut self, option: &str, folder: &Path) -> anyhow::Result<()> {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            self.replaces(option, &entry.path())?;
            if let Some(other) = Identity::of(&entry.path()).and_then(|identity| self.outputs.get(&identity)) {
                bail!("{option} and {other} would write into the same folder, {}", folder.display());
            }
        }
        let found = fs::metadata(folder).map(|found| (found.dev(), found.ino())).ok();
        let is_inside = |identity: &Identity| matches!(identity, Identity::New { device, inode, .. } if found == Some((*device, *inode)));
        if let Some((_, other)) = self.outputs.iter().find(|(identity, _)| is_inside(identity)) {
            bail!("{option} and {other} would write into the same folder, {}", folder.display());
        }
        self.claim(option, folder)
    }

    /// Takes a folder for one output alone.
    fn claim(&mut self, option: &str, folder: &Path) -> anyhow::Result<()> {
        // A folder that does not exist yet is identified like a file.
        let identity = match fs::metadata(folder) {
            Ok(found) => Some(Identity::Existing { device: found.dev(), inode: found.ino() }),
            Err(_) => Identity::of(folder),
        };
        match identity.and_then(|identity| self.outputs.insert(identity, option.to_owned())) {
            Some(other) => bail!("{option} and {other} would write to the same folder, {}", folder.display()),
            None => Ok(()),
        }
    }

    /// Standard error must not be one of the outputs: messages would mix with the lines.
    ///
    /// # Errors
    /// If standard error is one of them.
    pub fn messages(&self) -> anyhow::Result<()> {
        let messages = Identity::of(Path::new("/dev/stderr")).and_then(|identity| self.outputs.get(&identity));
        match messages.filter(|option| *option != STANDARD_OUTPUT) {
            Some(option) => bail!("{option} and standard error would write to the same file; choose another path"),
            None => Ok(()),
        }
    }

    /// `path` will be written or left as it is, such as an image of a folder: it may be written several times, but not over an
    /// input.
    ///
    /// # Errors
    /// If that is an input.
    fn replaces(&self, option: &str, path: &Path) -> anyhow::Result<()> {
        match Identity::of(path).and_then(|identity| self.inputs.get(&identity)) {
            Some(input) => bail!(
                "{option} would overwrite {}, which is an input of this command; choose another folder",
                input.display()
            ),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    struct Folder(tempfile::TempDir);

    impl Folder {
        fn new(files: &[&str]) -> Self {
            let folder = Self(tempfile::tempdir().unwrap());
            for file in files {
                let path = folder.at(file);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, file).unwrap();
            }
            folder
        }

        fn at(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }
    }

    #[test]
    fn inputs_are_known_under_all_their_names() {
        let folder = Folder::new(&["in", "bundle/deep/graph.onnx"]);
        symlink("in", folder.at("link")).unwrap();
        fs::hard_link(folder.at("in"), folder.at("hard")).unwrap();
        symlink("bundle/deep", folder.at("folder")).unwrap();
        let mut guard = FileGuard::default();
        guard.input(&folder.at("link"));
        guard.input_tree(&folder.at("bundle"));
        guard.input(&folder.at("missing"));
        guard.input(Path::new("/dev/null"));
        for name in ["in", "hard", "link", "folder/graph.onnx", "./bundle/../in"] {
            let error = guard.output("--sink", &folder.at(name)).unwrap_err().to_string();
            assert!(error.contains("--sink") && error.contains("is an input"), "{name}: {error}");
        }
        guard.output("--sink", &folder.at("missing")).unwrap();
        guard.output("--sink", Path::new("/dev/null")).unwrap();
        guard.output("--overlay", Path::new("/dev/null")).unwrap();
    }

    #[test]
    fn outputs_are_told_apart_before_they_exist() {
        let folder = Folder::new(&["there", "a/b"]);
        symlink("new", folder.at("link")).unwrap();
        symlink(folder.at("a"), folder.at("c")).unwrap();
        let mut guard = FileGuard::default();
        guard.output("one", &folder.at("new")).unwrap();
        guard.output("two", &folder.at("a/new")).unwrap();
        guard.output("three", &folder.at("there")).unwrap();
        for (name, other) in [("link", "one"), ("./new", "one"), ("c/new", "two"), ("a/../there", "three")] {
            let error = guard.output("four", &folder.at(name)).unwrap_err().to_string();
            assert!(error.contains(&format!("four and {other} would write to the same file")), "{name}: {error}");
        }
    }

    #[test]
    fn images_may_be_replaced_but_not_inputs() {
        let folder = Folder::new(&["photos/a.jpg", "drawn/a.jpg"]);
        fs::hard_link(folder.at("photos/a.jpg"), folder.at("drawn/b.jpg")).unwrap();
        let mut guard = FileGuard::default();
        guard.input(&folder.at("photos"));
        guard.replaces("--overlay", &folder.at("drawn/a.jpg")).unwrap();
        guard.replaces("--overlay", &folder.at("drawn/a.jpg")).unwrap();
        guard.replaces("--overlay", &folder.at("drawn/c.jpg")).unwrap();
        assert!(guard.replaces("--overlay", &folder.at("drawn/b.jpg")).is_err());
        assert!(guard.images("--overlay", &folder.at("photos")).unwrap_err().to_string().contains("photos/a.jpg"));
        let mut guard = FileGuard::default();
        guard.input(&folder.at("photos"));
        guard.images("--overlay", &folder.at("new")).unwrap();
        let mut other = FileGuard::default();
        other.input(&folder.at("photos"));
        other.output("--sink", &folder.at("drawn/a.jpg")).unwrap();
        assert!(other.images("--overlay", &folder.at("drawn")).unwrap_err().to_string().contains("drawn/a.jpg"));
        let mut other = FileGuard::default();
        other.input(&folder.at("photos"));
        other.images("--overlay", &folder.at("drawn")).unwrap();
        assert!(other.output("--sink", &folder.at("drawn/a.jpg")).is_err());
        assert!(guard.images("--sink", &folder.at("./new")).unwrap_err().to_string().contains("--overlay"));
    }
}
