//! From the text of `bundle.toml` to a checked manifest, with errors that name the key and the nearest valid one.

use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::check;
use super::error::BundleError;
use super::manifest::{Manifest, Model};
use super::suggest::nearest_named;
use super::{capeformer, centergroup, lofr, logocap};

/// The version of the schema that this program reads.
const FORMAT: u32 = 1;

/// The part that decides how the rest is read.
#[derive(Deserialize)]
struct Head {
    bundle: HeadAbout,
}

#[derive(Deserialize)]
struct HeadAbout {
    format: u32,
    model: Model,
}

/// Parses and checks the manifest at `path`, whose text is `text`.
pub(super) fn manifest(path: &Path, text: &str) -> Result<Manifest, BundleError> {
    let head: Head = sections(path, text)?;
    if head.bundle.format != FORMAT {
        return Err(BundleError::Value {
            path: path.to_owned(),
            key: "bundle.format".to_owned(),
            found: head.bundle.format.to_string(),
            expected: format!("{FORMAT}, the format that this version reads"),
        });
    }
    match head.bundle.model {
        Model::Logocap => check::manifest(path, sections(path, text)?, logocap::check),
        Model::Centergroup => check::manifest(path, sections(path, text)?, centergroup::check),
        Model::Capeformer => check::manifest(path, sections(path, text)?, capeformer::check),
        Model::Lofr => check::manifest(path, sections(path, text)?, lofr::check),
    }
}

fn sections<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T, BundleError> {
    let fail = |error: &toml::de::Error, key: String| {
        let line = error.span().map(|span| 1 + text[..span.start.min(text.len())].matches('\n').count());
        let reason = error.message().to_owned();
        let nearest = nearest_named(&reason);
        BundleError::Manifest { path: path.to_owned(), line, key, reason, nearest }
    };
    let deserializer = toml::Deserializer::parse(text).map_err(|error| fail(&error, String::new()))?;
    serde_path_to_error::deserialize(deserializer).map_err(|error| {
        let key = match error.path().to_string() {
            root if root == "." => String::new(),
            key => key,
        };
        fail(error.inner(), key)
    })
}
