//! Rules about the source tree that no compiler checks: files stay short, imports point from a layer to the ones below
//! it, and the files of a module do not import each other in a circle.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

const MAX_LINES: usize = 600;
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
    let too_long: Vec<String> = (sources.iter())
        .map(|path| (path, fs::read_to_string(path).unwrap().lines().count()))
        .filter(|&(_, lines)| lines > MAX_LINES)
        .map(|(path, lines)| format!("{}: {lines} lines, at most {MAX_LINES}: split it", path.display()))
        .collect();
    assert!(too_long.is_empty(), "{}", too_long.join("\n"));
}

/// The crate's modules by path, `["bundle", "check"]`, with their code as [`code`] leaves it.
type Tree = BTreeMap<Vec<String>, String>;

/// The code of a file without comments and without its unit tests, which may import what they like.
fn code(text: &str) -> String {
    let mut lines = Vec::new();
    let mut all = text.lines().peekable();
    while let Some(line) = all.next() {
        let is_test_module = line.starts_with("#[cfg(")
            && line.contains("test")
            && all.peek().is_some_and(|next| next.contains("mod ") && next.trim_end().ends_with('{'));
        if is_test_module {
            // rustfmt closes a module at the start of a line.
            all.by_ref().find(|line| *line == "}");
        } else if !line.trim_start().starts_with("//") {
            lines.push(line);
        }
    }
    lines.join("\n")
}

fn crate_tree() -> Tree {
    let source = Path::new(ROOT).join("src");
    let mut paths = Vec::new();
    files(&source, &["rs"], &mut paths);
    let mut tree = Tree::new();
    for path in paths {
        let relative = path.strip_prefix(&source).unwrap().with_extension("");
        let mut module: Vec<String> =
            relative.components().map(|part| part.as_os_str().to_string_lossy().into_owned()).collect();
        if module.last().is_some_and(|name| name == "mod") {
            module.pop();
        }
        if module == ["lib"] || module == ["main"] || module.last().is_some_and(|name| name == "tests") {
            continue;
        }
        tree.insert(module, code(&fs::read_to_string(&path).unwrap()));
    }
    tree
}

/// Every path that begins with `crate`, `super` or `self` in `code`, braces expanded: `super::{a::B, c}` is two.
fn paths(code: &str) -> Vec<Vec<String>> {
    let is_name = |character: char| character.is_alphanumeric() || character == '_';
    let mut found = Vec::new();
    for start in ["crate", "super", "self"] {
        for (at, _) in code.match_indices(&format!("{start}::")) {
            // `super::super::x` is found from its first `super` on.
            let before = &code[..at];
            if !before.ends_with(is_name) && !before.ends_with("::") {
                expand(&code[at..], &[], &mut found);
            }
        }
    }
    found
}

/// Adds the paths that `text` begins with to `found`, each after `prefix`; returns what follows them.
fn expand<'a>(text: &'a str, prefix: &[String], found: &mut Vec<Vec<String>>) -> &'a str {
    let is_name = |character: char| character.is_alphanumeric() || character == '_';
    let text = text.trim_start();
    if let Some(mut list) = text.strip_prefix('{') {
        loop {
            list = list.trim_start();
            if let Some(rest) = list.strip_prefix('}') {
                return rest;
            }
            let rest = expand(list, prefix, found);
            let Some(end) = rest.find([',', '}', ';']) else { return rest };
            list = rest[end..].strip_prefix(',').unwrap_or(&rest[end..]);
            if list.starts_with(';') {
                return list;
            }
        }
    }
    let end = text.find(|character| !is_name(character)).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let path = [prefix, &[name.to_owned()]].concat();
    match rest.strip_prefix("::") {
        Some(rest) if !name.is_empty() && rest.trim_start().starts_with(|next| is_name(next) || next == '{') => {
            expand(rest, &path, found)
        }
        _ => {
            found.push(path);
            rest
        }
    }
}

/// The absolute path that `path` means in `module`.
fn resolve(module: &[String], path: &[String]) -> Vec<String> {
    let mut base = module.to_vec();
    let mut names = path.iter().peekable();
    match names.next().map(String::as_str) {
        Some("crate") => base.clear(),
        Some("super") => {
            base.pop();
            while names.next_if(|name| *name == "super").is_some() {
                base.pop();
            }
        }
        _ => {}
    }
    base.extend(names.cloned());
    base
}

/// What a module re-exports from its own children, as the child's name by the item's.
fn re_exports(tree: &Tree, module: &[String]) -> BTreeMap<String, String> {
    let mut items = BTreeMap::new();
    let Some(code) = tree.get(module) else { return items };
    for (at, _) in code.match_indices("pub") {
        let Some(rest) = code[at + 3..].trim_start().strip_prefix("use ").or_else(|| {
            let rest = code[at + 3..].strip_prefix('(')?;
            rest.split_once(')')?.1.trim_start().strip_prefix("use ")
        }) else {
            continue;
        };
        let mut found = Vec::new();
        expand(rest, &[], &mut found);
        for path in found {
            let path = match path.first().map(String::as_str) {
                Some("self") => path[1..].to_vec(),
                _ => path,
            };
            if let [child, .., item] = &path[..]
                && tree.keys().any(|key| key.starts_with(&[module, std::slice::from_ref(child)].concat()))
            {
                items.insert(item.clone(), child.clone());
            }
        }
    }
    items
}

/// For every module, which of its children import which others. The file of the module itself (`mod.rs`) is not one of
/// them: it declares its children, and they use what it defines for all of them.
fn siblings(tree: &Tree) -> BTreeMap<Vec<String>, BTreeMap<String, BTreeSet<String>>> {
    let mut graphs: BTreeMap<Vec<String>, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
    let exports: BTreeMap<&Vec<String>, _> = tree.keys().map(|module| (module, re_exports(tree, module))).collect();
    for (module, code) in tree {
        for path in paths(code) {
            let target = resolve(module, &path);
            // The first place where the ways to both part.
            let common = module.iter().zip(&target).take_while(|(a, b)| a == b).count();
            let parent = &target[..common];
            if parent.is_empty() || common == module.len() || common == target.len() {
                continue;
            }
            let (from, to) = (&module[common], &target[common]);
            let is_child =
                |name: &String| tree.keys().any(|key| key.starts_with(&[parent, std::slice::from_ref(name)].concat()));
            let to =
                if is_child(to) { Some(to) } else { exports.get(&parent.to_vec()).and_then(|items| items.get(to)) };
            if let Some(to) = to.filter(|to| *to != from) {
                graphs.entry(parent.to_vec()).or_default().entry(from.clone()).or_default().insert(to.clone());
            }
        }
    }
    graphs
}

/// A circle in a graph, if there is one: every name imports the next, the last one the first.
fn circle(graph: &BTreeMap<String, BTreeSet<String>>) -> Option<Vec<String>> {
    fn walk(graph: &BTreeMap<String, BTreeSet<String>>, way: &mut Vec<String>, done: &mut BTreeSet<String>) -> bool {
        let Some(here) = way.last().cloned() else { return false };
        for next in graph.get(&here).into_iter().flatten() {
            if let Some(start) = way.iter().position(|name| name == next) {
                way.drain(..start);
                return true;
            }
            if !done.contains(next) {
                way.push(next.clone());
                if walk(graph, way, done) {
                    return true;
                }
                way.pop();
            }
        }
        done.insert(here);
        false
    }
    let mut done = BTreeSet::new();
    graph.keys().find_map(|start| {
        let mut way = vec![start.clone()];
        (!done.contains(start) && walk(graph, &mut way, &mut done)).then_some(way)
    })
}

fn circles(tree: &Tree) -> Vec<String> {
    let described = |(parent, graph): (Vec<String>, BTreeMap<_, _>)| {
        circle(&graph).map(|way| format!("{}: {} -> {}", parent.join("::"), way.join(" -> "), way[0]))
    };
    siblings(tree).into_iter().filter_map(described).collect()
}

/// A made-up crate: module paths, separated by `::`, and their code.
fn made_up(files: &[(&str, &str)]) -> Tree {
    files.iter().map(|(path, text)| (path.split("::").map(str::to_owned).collect(), code(text))).collect()
}

#[test]
fn no_circle_inside_a_module() {
    let found = circles(&crate_tree());
    assert!(found.is_empty(), "files that import each other in a circle:\n{}", found.join("\n"));
}

#[test]
fn a_made_up_circle_is_found() {
    let direct = [("m", "mod a; mod b;"), ("m::a", "use super::b::B;"), ("m::b", "use crate::{x, m::{a::A, C}};")];
    assert_eq!(circles(&made_up(&direct)), ["m: a -> b -> a"]);
    // Through what the module re-exports, over three files, one of them nested deeper.
    let long = [
        ("m", "mod a;\nmod b;\nmod c;\npub use b::{Bee, other::Thing as Other};"),
        ("m::a", "use super::Bee;"),
        ("m::b", "pub(crate) fn f() { self::deep::g(); super::c::h() }"),
        ("m::c::deep", "use super::super::a::{self, A};"),
    ];
    assert_eq!(circles(&made_up(&long)), ["m: a -> b -> c -> a"]);
}

#[test]
fn what_is_no_circle_passes() {
    let tree = made_up(&[
        ("m", "mod a; mod b; pub use a::A; use b::B; pub const SIDE: usize = 3;"),
        ("m::a", "//! Uses [`super::b`].\nuse super::SIDE;\nuse super::b::B;\n"),
        ("m::b", "use super::SIDE;\n#[cfg(test)]\nmod tests {\n    use super::super::a::A;\n}\n"),
        ("n::a", "use crate::m::b::B;"),
        ("n::b", "use crate::n::a::A;"),
    ]);
    assert_eq!(circles(&tree), [] as [String; 0]);
}

#[test]
fn paths_are_expanded() {
    let found = |code: &str| paths(code).iter().map(|path| path.join(" ")).collect::<Vec<_>>();
    assert_eq!(
        found("use crate::{decode::{a, b as c}, pose}; crate::engine::open(); use super::super::x::{self, Y};"),
        [
            "crate decode a",
            "crate decode b",
            "crate pose",
            "crate engine open",
            "super super x self",
            "super super x Y"
        ]
    );
    assert_eq!(found("pub use crate::a::*; let b = super_::c; self::d::<E>()"), ["crate a", "self d"]);
}

/// The modules of the list in `src/lib.rs`, lowest layer first: the numbered lines `//! 1. [`geometry`]: ...`.
fn layers() -> Vec<String> {
    let text = fs::read_to_string(Path::new(ROOT).join("src/lib.rs")).unwrap();
    let row = |line: &str| {
        let (number, rest) = line.strip_prefix("//! ")?.split_once(". ")?;
        number.trim().parse::<u32>().ok()?;
        let name = rest.strip_prefix('[').unwrap_or(rest).strip_prefix('`')?;
        Some(name.split('`').next()?.to_owned())
    };
    text.lines().filter_map(row).collect()
}

/// Imports from a module to one that `layers` lists after it.
fn upward(tree: &Tree, layers: &[String]) -> Vec<String> {
    let layer = |name: &String| layers.iter().position(|row| row == name);
    let mut faults = BTreeSet::new();
    for (module, code) in tree {
        let Some(own) = layer(&module[0]) else { continue };
        for path in paths(code) {
            // Names that are no module are items of the crate's root.
            if let Some(name) = resolve(module, &path).first()
                && layer(name).is_some_and(|other| other > own)
            {
                faults.insert(format!("{} imports {name}, a layer above {}", module.join("::"), module[0]));
            }
        }
    }
    faults.into_iter().collect()
}

#[test]
fn imports_point_to_lower_layers() {
    let (tree, layers) = (crate_tree(), layers());
    let modules: BTreeSet<&String> = tree.keys().map(|module| &module[0]).collect();
    assert!(modules.len() >= 10, "modules found in src: {modules:?}");
    for module in modules {
        assert!(layers.contains(module), "module {module} is not in the list of layers in src/lib.rs");
    }
    for module in &layers {
        assert!(tree.keys().any(|key| key[0] == *module), "src/lib.rs lists {module}, which is not in src/");
    }
    let faults = upward(&tree, &layers);
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn a_made_up_import_upwards_is_found() {
    let layers = ["low", "high"].map(str::to_owned);
    let tree = made_up(&[("low::a", "use crate::{high::X, low::b};"), ("low::b", ""), ("high", "use crate::low;")]);
    assert_eq!(upward(&tree, &layers), ["low::a imports high, a layer above low"]);
}
