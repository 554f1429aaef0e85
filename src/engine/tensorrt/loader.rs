//! The system loader's reason for not opening a shared library.

use std::error::Error as _;

/// The loader's own message. Without it a missing file, another architecture and a missing dependency all look the same, as
/// `libloading` only says that opening failed.
pub(super) fn reason(error: &libloading::Error) -> String {
    error.source().map_or_else(|| error.to_string(), ToString::to_string)
}

/// The most useful of the reasons for several names: that of a library that exists but cannot be used, else the first.
///
/// `reasons[i]` is the loader's reason for `names[i]`. A name that was not found is named in it, with the C library's words for
/// a missing file; a library that lacks a dependency has the same words about another name.
pub(super) fn telling<S: AsRef<str>>(names: &[S], mut reasons: Vec<String>) -> String {
    let is_missing = |name: &str, reason: &str| reason.starts_with(name) && reason.contains("No such file");
    let present = names.iter().zip(&reasons).position(|(name, reason)| !is_missing(name.as_ref(), reason));
    match present {
        Some(index) => reasons.swap_remove(index),
        None if reasons.is_empty() => "no name was tried".to_owned(),
        None => reasons.swap_remove(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_that_is_there_and_broken_is_the_one_told_of() {
        let names = ["libnvinfer.so.11", "libnvinfer.so.10", "libnvinfer.so"];
        let missing = |name: &str| format!("{name}: cannot open shared object file: No such file or directory");
        let broken = "/usr/lib/libnvinfer.so.10: file too short".to_owned();
        let reasons = vec![missing(names[0]), broken.clone(), missing(names[2])];
        assert_eq!(telling(&names, reasons), broken);
        // What is missing here is a dependency of a library that was found.
        let dependency = missing("libcudart.so.12");
        assert_eq!(telling(&names, vec![missing(names[0]), dependency.clone(), missing(names[2])]), dependency);
        assert_eq!(telling(&names, names.map(missing).to_vec()), missing(names[0]));
    }

    #[test]
    fn the_loaders_words_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("libshort.so");
        std::fs::write(&path, b"\x7fELF").unwrap();
        // SAFETY: this file is too short for any code.
        let error = unsafe { libloading::Library::new(&path) }.err().unwrap();
        let reason = reason(&error);
        assert!(reason.contains("libshort.so") && reason.contains("too short"), "{reason}");
    }
}
