//! The rules of the house that no compiler checks: short files, and imports that point down the floors only.

use std::fs;
use std::path::{Path, PathBuf};

const MOST_LINES: usize = 800;
const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// All files below `folder` with one of the `extensions`.
fn files(folder: &Path, extensions: &[&str], found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for path in entries.map(|entry| entry.unwrap().path()) {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.is_dir() {
            if !name.starts_with('.') && !["target", "state", "corpus"].contains(&name) {
                files(&path, extensions, found);
            }
        } else if path.extension().is_some_and(|extension| extensions.iter().any(|&wanted| extension == wanted)) {
            found.push(path);
        }
    }
}

#[test]
fn no_source_file_is_long() {
    let mut sources = Vec::new();
    for folder in ["src", "tests", "benches", "calib", "examples", "fuzz", "models"] {
        files(&Path::new(ROOT).join(folder), &["rs", "py", "sh"], &mut sources);
    }
    assert!(sources.len() > 20, "only {} source files found", sources.len());
    for path in sources {
        let lines = fs::read_to_string(&path).unwrap().lines().count();
        assert!(lines <= MOST_LINES, "{}: {lines} lines, at most {MOST_LINES}: split it", path.display());
    }
}

/// The modules of the table in `src/lib.rs`, top to bottom.
fn floor_table() -> Vec<String> {
    let text = fs::read_to_string(Path::new(ROOT).join("src/lib.rs")).unwrap();
    let row = |line: &str| {
        let mut cells = line.strip_prefix("//! |")?.split('|').map(str::trim);
        cells.next()?.parse::<u32>().ok()?;
        Some(cells.next()?.trim_matches(['[', ']', '`']).to_owned())
    };
    text.lines().filter_map(row).collect()
}

/// The names that follow every `crate::` in `line`, those of a list in braces included.
fn imported(code: &str) -> Vec<&str> {
    let is_name = |character: char| character.is_alphanumeric() || character == '_';
    let mut names = Vec::new();
    for (start, _) in code.match_indices("crate::") {
        let rest = &code[start + "crate::".len()..];
        let Some(list) = rest.strip_prefix('{') else {
            names.push(rest.split(|character| !is_name(character)).next().unwrap_or_default());
            continue;
        };
        let mut depth = 0;
        let mut expect_name = true;
        for (at, character) in list.char_indices() {
            match character {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => expect_name = true,
                _ if depth == 0 && expect_name && is_name(character) => {
                    names.push(list[at..].split(|character| !is_name(character)).next().unwrap_or_default());
                    expect_name = false;
                }
                _ => {}
            }
        }
    }
    names
}

#[test]
fn imports_are_found() {
    let code = "use crate::{decode::{a, b}, pose}; crate::engine::open(); use crate::sink;";
    assert_eq!(imported(code), ["decode", "pose", "engine", "sink"]);
}

#[test]
fn imports_point_down_the_floors() {
    let table = floor_table();
    let library = fs::read_to_string(Path::new(ROOT).join("src/lib.rs")).unwrap();
    let declared: Vec<_> =
        library.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    assert!(declared.len() >= 10, "modules found in src/lib.rs: {declared:?}");
    for module in &declared {
        assert!(table.iter().any(|row| row == module), "module {module} has no row in the table of src/lib.rs");
    }

    let mut faults = Vec::new();
    for (floor, module) in table.iter().enumerate() {
        let mut sources = vec![Path::new(ROOT).join(format!("src/{module}.rs"))];
        files(&Path::new(ROOT).join("src").join(module), &["rs"], &mut sources);
        let sources: Vec<_> = sources.into_iter().filter(|path| path.exists()).collect();
        assert!(!sources.is_empty(), "{module} stands in the table of src/lib.rs but not in src/");
        for path in sources {
            let text = fs::read_to_string(&path).unwrap();
            let code: String = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
            for name in imported(&code) {
                // Names that are no module are items of the crate's root.
                if table.iter().position(|row| row == name).is_some_and(|other| other > floor) {
                    faults.push(format!("{}: imports {name}, which stands above {module}", path.display()));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
