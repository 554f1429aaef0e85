//! The model folder: manifest, hashes, limits (`docs/bundle.md`).
//!
//! ```no_run
//! let bundle = sinew::bundle::Bundle::open("logocap-movenet")?;
//! println!("{}: {}", bundle.manifest().about.name, bundle.keypoint_names().join(" "));
//! # Ok::<(), sinew::bundle::BundleError>(())
//! ```

#[doc(hidden)]
pub mod capeformer;
#[doc(hidden)]
pub mod centergroup;
mod check;
mod checker;
mod error;
mod find;
#[doc(hidden)]
pub mod lofr;
#[doc(hidden)]
pub mod logocap;
pub mod manifest;
mod parse;
#[doc(hidden)]
pub mod score;
#[doc(hidden)]
pub mod shape;
mod suggest;
mod track;

use std::path::{Path, PathBuf};

pub use error::BundleError;
#[doc(hidden)]
pub use find::{MANIFEST, search_path};
pub use manifest::{Accuracy, Decode, Manifest, Model};
use manifest::{ModelFile, Precisions};
#[doc(hidden)]
pub use track::{SmoothSection, TrackSection};

use crate::engine::{MAX_GRAPH_BYTES, beside, external_files};
use crate::pose::Skeleton;
use crate::{hash, read};

/// Name of the size that `input.short_side` is.
pub const DEFAULT_SIZE: &str = "default";
/// Most bytes of a manifest.
pub(crate) const MAX_MANIFEST: u64 = 1 << 20;

/// A model folder that has been checked: its manifest is consistent, and every file has the hash that it lists.
#[derive(Debug, Clone)]
pub struct Bundle {
    folder: PathBuf,
    manifest: Manifest,
    hash: String,
    bytes: u64,
}

/// One entry of [`list`].
#[derive(Debug)]
pub struct Listed {
    /// The bundle's folder.
    pub folder: PathBuf,
    /// The bundle, or why it cannot be used.
    pub bundle: Result<Bundle, BundleError>,
}

/// All bundles that can be opened by name, sorted by name; broken ones included, with their error.
pub fn list() -> Vec<Listed> {
    let open = |folder: PathBuf| Listed { bundle: Bundle::open_folder(&folder), folder };
    find::folders_in(&search_path()).into_iter().map(open).collect()
}

impl Manifest {
    /// Parses and checks a manifest's text; `path` names it in errors. The files that it lists are not read.
    ///
    /// # Errors
    /// If a key is unknown, missing or of the wrong type, or a value does not fit.
    pub fn parse(path: &Path, text: &str) -> Result<Self, BundleError> {
        parse::manifest(path, text)
    }
}

impl Bundle {
    /// Opens a bundle by the path of its folder (or of its manifest), or by its name on the [`search_path`].
    ///
    /// # Errors
    /// If there is none, the manifest is invalid, or a file is missing or fails its hash check.
    pub fn open(folder_or_name: impl AsRef<Path>) -> Result<Self, BundleError> {
        Self::open_folder(&find::find(folder_or_name.as_ref(), &search_path())?)
    }

    fn open_folder(folder: &Path) -> Result<Self, BundleError> {
        let path = folder.join(MANIFEST);
        let text = read::regular(&path, MAX_MANIFEST).and_then(read::utf_8).map_err(|source| BundleError::Read {
            path: path.clone(),
            key: String::new(),
            source,
        })?;
        let manifest = Manifest::parse(&path, &text)?;
        let mut bytes = text.len() as u64;
        for (role, engine) in &manifest.engines {
            for (precision, file) in engine.precision.files() {
                let key = format!("engine.{role}.precision.{precision}");
                let graph = read_checked(folder, &key, "onnx", &file.onnx, &file.sha256)?;
                bytes += graph.len() as u64;
                for (index, data) in file.data.iter().enumerate() {
                    let key = format!("{key}.data[{index}]");
                    bytes += read_checked(folder, &key, "file", &data.file, &data.sha256)?.len() as u64;
                }
                check_external(folder, &key, &graph, file, &engine.precision)?;
            }
        }
        Ok(Self { folder: folder.to_owned(), manifest, hash: hash::of_bytes(text.as_bytes()), bytes })
    }

    /// The same bundle with the short side that `input.sizes` has under this name; [`DEFAULT_SIZE`] is `input.short_side`.
    ///
    /// # Errors
    /// If the manifest has no such size.
    pub fn with_size(mut self, name: &str) -> Result<Self, BundleError> {
        let input = &mut self.manifest.input;
        if name == DEFAULT_SIZE {
            return Ok(self);
        }
        let Some(&side) = input.sizes.get(name) else {
            let sizes = input.sizes.iter().map(|(name, side)| format!(", {name} ({side})")).collect::<String>();
            return Err(BundleError::Size {
                path: self.folder.join(MANIFEST),
                name: name.to_owned(),
                sizes: format!("{DEFAULT_SIZE} ({}){sizes}", input.short_side),
            });
        };
        input.short_side = side;
        Ok(self)
    }

    /// The bundle's folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The contents of `bundle.toml`.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// SHA-256 of `bundle.toml`, which itself lists the hash of every other file: it identifies the whole contents.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// SHA-256 over the hashes of all networks, by role: it identifies what they compute, whatever else the manifest says.
    pub fn networks_hash(&self) -> String {
        let mut text = String::new();
        for (role, engine) in &self.manifest.engines {
            text += &format!("{role} {}\n", engine.precision.fp32.sha256.to_ascii_lowercase());
        }
        hash::of_bytes(text.as_bytes())
    }

    /// Bytes of the manifest and of all files that it lists.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Keypoint names, in the order in which poses hold them.
    pub fn keypoint_names(&self) -> &[String] {
        &self.manifest.keypoints.names
    }

    /// Which keypoints are joined by lines when a pose is drawn.
    pub fn skeleton(&self) -> Skeleton {
        let keypoints = &self.manifest.keypoints;
        // The manifest's check has compared the length with the capacity.
        Skeleton { edges: keypoints.edges.iter().copied().collect() }
    }
}

/// Reads a file of the bundle, which must have the hash that the manifest lists.
fn read_checked(folder: &Path, key: &str, field: &str, file: &str, sha256: &str) -> Result<Vec<u8>, BundleError> {
    let path = folder.join(file);
    let bytes = read::regular(&path, MAX_GRAPH_BYTES);
    let bytes =
        bytes.map_err(|source| BundleError::Read { path: path.clone(), key: format!("{key}.{field}"), source })?;
    let found = hash::of_bytes(&bytes);
    if !found.eq_ignore_ascii_case(sha256) {
        let (key, expected) = (format!("{key}.sha256"), sha256.to_owned());
        return Err(BundleError::Hash { path, key, found, expected });
    }
    Ok(bytes)
}

/// Checks that the manifest lists every file in which a graph keeps tensors: in its own `data`, or as the network's fp32
/// graph with its `data`, whose weights the other precisions share.
fn check_external(
    folder: &Path,
    key: &str,
    graph: &[u8],
    file: &ModelFile,
    precisions: &Precisions,
) -> Result<(), BundleError> {
    let wrong = |reason: String| BundleError::Graph { path: folder.join(&file.onnx), key: key.to_owned(), reason };
    let external = external_files(graph).map_err(|reason| wrong(format!("not an ONNX graph: {reason}")))?;
    for name in external {
        // The graph names files relative to its own folder.
        let path = beside(Path::new(&file.onnx), &name);
        if !precisions.external(file).any(|(listed, _)| Path::new(listed) == path) {
            return Err(wrong(format!(
                "it keeps weights in `{name}`, which has no SHA-256 there: add data = [{{ file = \"{}\", sha256 = ... }}], or \
                 save the graph as one file",
                path.display()
            )));
        }
    }
    Ok(())
}
