//! What the features of the crate pull in: a program that embeds it with one backend builds no command line.

use std::collections::BTreeSet;

/// All that `feature` enables: features, and dependencies as `dep:name`.
fn enabled(feature: &str) -> BTreeSet<String> {
    let manifest: toml::Table = include_str!("../Cargo.toml").parse().unwrap();
    let features = manifest["features"].as_table().unwrap();
    let mut all = BTreeSet::new();
    let mut left = vec![feature.to_owned()];
    while let Some(name) = left.pop() {
        let enables = features.get(&name).and_then(toml::Value::as_array).into_iter().flatten();
        left.extend(enables.map(|entry| entry.as_str().unwrap().to_owned()));
        all.insert(name);
    }
    all
}

#[test]
fn a_backend_brings_neither_sinks_nor_the_command_line() {
    for backend in ["tract", "onnxruntime", "tensorrt", "camera"] {
        let enabled = enabled(backend);
        assert!(enabled.contains("std") && enabled.contains("dep:zip"), "{backend}: {enabled:?}");
        for foreign in ["cli", "sinks", "dep:anyhow", "dep:clap", "dep:embedded-graphics", "dep:httparse"] {
            assert!(!enabled.contains(foreign), "{backend} brings {foreign}");
        }
    }
    assert!(enabled("default").contains("dep:clap"));
}
