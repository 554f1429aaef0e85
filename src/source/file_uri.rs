//! The name of a file, with options behind it.

use std::path::Path;

/// Splits a path from options behind a `?`, unless a file has the whole name.
pub(super) fn split_file(text: &str) -> (&Path, &str) {
    match text.rsplit_once('?') {
        Some((path, query)) if !Path::new(text).exists() && Path::new(path).is_file() => (Path::new(path), query),
        _ => (Path::new(text), ""),
    }
}

/// The keys and values of options.
pub(super) fn options(query: &str) -> impl Iterator<Item = (&str, &str)> {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_may_have_a_question_mark() {
        let folder = tempfile::tempdir().unwrap();
        let odd = folder.path().join("what?.mp4");
        std::fs::write(&odd, "").unwrap();
        assert_eq!(split_file(odd.to_str().unwrap()), (odd.as_path(), ""));
        let with = format!("{}?realtime=1", odd.display());
        assert_eq!(split_file(&with), (odd.as_path(), "realtime=1"));
        let missing = format!("{}/none.mp4?realtime=1", folder.path().display());
        assert_eq!(split_file(&missing), (Path::new(&missing), ""));
    }
}
