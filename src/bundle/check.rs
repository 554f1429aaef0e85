//! Whether a manifest's values fit each other and the program's limits.

use std::path::Path;

use super::error::BundleError;
use super::manifest::Manifest;

/// Checks everything that needs no file but the manifest.
pub(super) fn manifest(_path: &Path, _manifest: &Manifest) -> Result<(), BundleError> {
    Ok(())
}
