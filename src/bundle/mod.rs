//! The model folder: manifest, hashes, limits (see `docs/bundle.md`).
//!
//! ```no_run
//! let bundle = sinew::bundle::Bundle::open("logocap-tiny")?;
//! println!("{} finds {:?}", bundle.manifest().about.name, bundle.manifest().keypoints.names);
//! # Ok::<(), sinew::bundle::BundleError>(())
//! ```

pub mod capeformer;
pub mod centergroup;
mod check;
mod error;
mod find;
pub mod lofr;
pub mod logocap;
pub mod manifest;
mod parse;
pub mod shape;
mod track;

use std::path::{Path, PathBuf};

pub use error::BundleError;
pub use find::{MANIFEST, search_path};
pub use manifest::{Accuracy, Decode, Manifest, Model};
pub use track::{SmoothSection, TrackSection};

use crate::hash;
use crate::pose::Skeleton;

/// A model folder that has been checked: its manifest is consistent and every file is the one it names.
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
    /// The bundle, or why it is not usable.
    pub bundle: Result<Bundle, BundleError>,
}

/// All bundles that can be opened by name, sorted by name; broken ones included, with their error.
pub fn list() -> Vec<Listed> {
    let open = |folder: PathBuf| Listed { bundle: Bundle::open_folder(&folder), folder };
    find::folders_in(&search_path()).into_iter().map(open).collect()
}

impl Manifest {
    /// Parses and checks a manifest's text; `path` is where it stands, for errors. The files that it names are not
    /// looked at.
    ///
    /// # Errors
    /// Where a key is unknown, missing or of the wrong type, or a value does not fit.
    pub fn parse(path: &Path, text: &str) -> Result<Self, BundleError> {
        let manifest = parse::parse(path, text)?;
        check::manifest(path, &manifest)?;
        Ok(manifest)
    }
}

impl Bundle {
    /// Opens a bundle by the path of its folder (or of its manifest), or by its name on the [`search_path`].
    ///
    /// # Errors
    /// Where there is none, the manifest is wrong in any way, or a file is missing or not the one it should be.
    pub fn open(folder_or_name: impl AsRef<Path>) -> Result<Self, BundleError> {
        Self::open_folder(&find::find(folder_or_name.as_ref(), &search_path())?)
    }

    fn open_folder(folder: &Path) -> Result<Self, BundleError> {
        let path = folder.join(MANIFEST);
        let read_error = |path: &Path, key: String, source| BundleError::Read { path: path.to_owned(), key, source };
        let text = std::fs::read_to_string(&path).map_err(|source| read_error(&path, String::new(), source))?;
        let manifest = Manifest::parse(&path, &text)?;
        let mut bytes = text.len() as u64;
        for (role, engine) in &manifest.engines {
            for (precision, file) in engine.precision.files() {
                let key = format!("engine.{role}.precision.{precision}");
                let path = folder.join(&file.onnx);
                let metadata = std::fs::metadata(&path);
                let hash = hash::of_file(&path);
                let (metadata, found) = metadata
                    .and_then(|metadata| Ok((metadata, hash?)))
                    .map_err(|source| read_error(&path, format!("{key}.onnx"), source))?;
                if !found.eq_ignore_ascii_case(&file.sha256) {
                    let (key, expected) = (format!("{key}.sha256"), file.sha256.clone());
                    return Err(BundleError::Hash { path, key, found, expected });
                }
                bytes += metadata.len();
            }
        }
        Ok(Self { folder: folder.to_owned(), manifest, hash: hash::of_bytes(text.as_bytes()), bytes })
    }

    /// The bundle's folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What `bundle.toml` says.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// SHA-256 of `bundle.toml`, which itself holds the hash of every other file: it names the whole contents.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// SHA-256 of the hashes of all networks, by role: it names what they compute, whatever else the manifest says.
    pub fn networks_hash(&self) -> String {
        let mut text = String::new();
        for (role, engine) in &self.manifest.engines {
            text += &format!("{role} {}\n", engine.precision.fp32.sha256.to_ascii_lowercase());
        }
        hash::of_bytes(text.as_bytes())
    }

    /// Bytes of the manifest and of all the files that it names.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Keypoint names, in the order in which poses hold them.
    pub fn keypoint_names(&self) -> &[String] {
        &self.manifest.keypoints.names
    }

    /// Which keypoints are joined, and which swap in a mirrored image.
    pub fn skeleton(&self) -> Skeleton {
        let keypoints = &self.manifest.keypoints;
        // The capacities hold: `check::manifest` compared the lengths with them.
        Skeleton {
            edges: keypoints.edges.iter().copied().collect(),
            flip_pairs: keypoints.flip_pairs.iter().copied().collect(),
        }
    }
}
