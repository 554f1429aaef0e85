//! Why a bundle cannot be used.

use std::path::PathBuf;

/// Why a bundle cannot be used: always the file, the key, what was found and what was expected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// No bundle of that name.
    #[error(
        "no bundle named `{name}`{} (looked in {}): give a folder or set SINEW_BUNDLES",
        did_you_mean(nearest),
        listed(searched)
    )]
    NotFound {
        /// The name that was given.
        name: String,
        /// The folders that were searched.
        searched: Vec<PathBuf>,
        /// The nearest name of a bundle there.
        nearest: Option<String>,
    },
    /// A file of the bundle cannot be read.
    #[error("{}: cannot be read{}: {source}", path.display(), for_key(key))]
    Read {
        /// The file.
        path: PathBuf,
        /// The key that names it; empty for the manifest itself.
        key: String,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The manifest is not TOML, or a key is unknown, missing or of the wrong type.
    #[error("{}{}: {}{reason}{}", path.display(), at_line(*line), in_key(key), did_you_mean(nearest))]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// Line in the manifest, from 1.
        line: Option<usize>,
        /// Dotted path of the key, empty if the file is not TOML at all.
        key: String,
        /// What is wrong.
        reason: String,
        /// The nearest valid key or value.
        nearest: Option<String>,
    },
    /// A size that the manifest does not have.
    #[error("{}: `input.sizes` has no `{name}`; there are {sizes}", path.display())]
    Size {
        /// The manifest.
        path: PathBuf,
        /// What was asked for.
        name: String,
        /// The sizes that it has.
        sizes: String,
    },
    /// A value that does not fit the others or the program's limits.
    #[error("{}: `{key}` is {found}, expected {expected}", path.display())]
    Value {
        /// The manifest.
        path: PathBuf,
        /// Dotted path of the key.
        key: String,
        /// The value.
        found: String,
        /// What it should be.
        expected: String,
    },
    /// A file is not a graph, or keeps weights in a file without a hash.
    #[error("{}: `{key}`: {reason}", path.display())]
    Graph {
        /// The file.
        path: PathBuf,
        /// The key that names it.
        key: String,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// A file does not have the hash that the manifest lists.
    #[error(
        "{}: its SHA-256 is {found}, but `{key}` says {expected}: the file was changed or damaged, fetch or export the bundle again",
        path.display()
    )]
    Hash {
        /// The file.
        path: PathBuf,
        /// The key that names the hash.
        key: String,
        /// The file's hash.
        found: String,
        /// The manifest's.
        expected: String,
    },
}

impl BundleError {
    /// Whether there is no bundle at all, rather than a broken one.
    pub fn is_missing(&self) -> bool {
        match self {
            Self::NotFound { .. } => true,
            Self::Read { key, source, .. } => key.is_empty() && source.kind() == std::io::ErrorKind::NotFound,
            _ => false,
        }
    }
}

fn did_you_mean(nearest: &Option<String>) -> String {
    nearest.as_ref().map(|nearest| format!(", did you mean `{nearest}`?")).unwrap_or_default()
}

fn listed(folders: &[PathBuf]) -> String {
    let folders: Vec<String> = folders.iter().map(|folder| folder.display().to_string()).collect();
    folders.join(", ")
}

fn for_key(key: &str) -> String {
    if key.is_empty() { String::new() } else { format!(" (named by `{key}`)") }
}

fn in_key(key: &str) -> String {
    if key.is_empty() { String::new() } else { format!("`{key}`: ") }
}

fn at_line(line: Option<usize>) -> String {
    line.map(|line| format!(":{line}")).unwrap_or_default()
}
