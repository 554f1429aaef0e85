//! From the manifest's text to its sections, with errors that name the key and the nearest valid one.

use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::error::BundleError;
use super::manifest::{Decode, Manifest, Model, Sections};
use super::{capeformer, centergroup, lofr, logocap};

/// The version of the schema that this program reads.
pub(super) const FORMAT: u32 = 1;

/// What decides how the rest is read.
#[derive(Deserialize)]
struct Head {
    bundle: HeadAbout,
}

#[derive(Deserialize)]
struct HeadAbout {
    format: u32,
    model: Model,
}

/// Parses the manifest at `path`, whose text is `text`.
pub(super) fn parse(path: &Path, text: &str) -> Result<Manifest, BundleError> {
    let head: Head = section(path, text)?;
    if head.bundle.format != FORMAT {
        return Err(BundleError::Value {
            path: path.to_owned(),
            key: "bundle.format".to_owned(),
            found: head.bundle.format.to_string(),
            expected: format!("{FORMAT}, the format that this version reads"),
        });
    }
    match head.bundle.model {
        Model::Logocap => Ok(section::<Sections<logocap::DecodeSection>>(path, text)?.into_manifest(Decode::Logocap)),
        Model::Centergroup => {
            Ok(section::<Sections<centergroup::DecodeSection>>(path, text)?.into_manifest(Decode::Centergroup))
        }
        Model::Lofr => Ok(section::<Sections<lofr::DecodeSection>>(path, text)?.into_manifest(Decode::Lofr)),
        Model::Capeformer => {
            Ok(section::<Sections<capeformer::DecodeSection>>(path, text)?.into_manifest(Decode::Capeformer))
        }
    }
}

fn section<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T, BundleError> {
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

/// The candidate nearest to what was found, where serde's message names both:
/// "unknown field `found`, expected one of `a`, `b`". Only a hint: a message of another form gives none.
fn nearest_named(message: &str) -> Option<String> {
    if !message.starts_with("unknown ") {
        return None;
    }
    let mut quoted = message.split('`').skip(1).step_by(2);
    let found = quoted.next()?;
    nearest(found, quoted).map(str::to_owned)
}

/// The candidate that is most like `found`, if any is like it at all.
pub(super) fn nearest<'a>(found: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    // Half alike by Jaro-Winkler is what a reader still takes for a slip of the same word.
    candidates
        .map(|candidate| (strsim::jaro_winkler(found, candidate), candidate))
        .filter(|&(likeness, _)| likeness > 0.7)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_of_a_message() {
        let message = "unknown field `shortside`, expected one of `rule`, `short_side`, `multiple`";
        assert_eq!(nearest_named(message).as_deref(), Some("short_side"));
        assert_eq!(nearest_named("unknown field `zzz`, expected one of `rule`, `order`"), None);
        assert_eq!(nearest_named("missing field `rule`"), None);
    }
}
