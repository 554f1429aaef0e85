#!/usr/bin/env bash
# libloading 0.9: the message of a failed open holds no reason.
#
# Believed: `Error::to_string()` of a library that cannot be opened ends with the loader's words (which file, why), as it did in
#           libloading 0.8, where the message was "<file>: cannot open shared object file: No such file or directory".
# True:     in 0.9 the message is "dlopen failed" alone, for a missing file, a file of another architecture and a missing
#           dependency alike; the loader's words are in `std::error::Error::source()`. A program that prints the error with `{}`
#           and upgrades loses the reason without a compiler warning.
# Seen:     2026-11-29, libloading 0.8.9 and 0.9.0, Linux, glibc.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/src"
cat >"$work/Cargo.toml" <<'TOML'
[package]
name = "seen"
version = "0.0.0"
edition = "2021"
[dependencies]
old = { package = "libloading", version = "=0.8.9" }
new = { package = "libloading", version = "=0.9.0" }
[workspace]
TOML
cat >"$work/src/main.rs" <<'RUST'
use std::error::Error;
fn main() {
    let name = "libthat-is-not-there.so.1";
    let old = unsafe { old::Library::new(name) }.err().unwrap();
    let new = unsafe { new::Library::new(name) }.err().unwrap();
    println!("0.8.9: {old}");
    println!("0.9.0: {new}");
    println!("0.9.0, source: {}", new.source().map(|reason| reason.to_string()).unwrap_or_default());
}
RUST
cargo run --quiet --manifest-path "$work/Cargo.toml" --target-dir "$work/target" | tee "$work/seen"
grep -q '^0.8.9: .*No such file' "$work/seen"
! grep '^0.9.0: ' "$work/seen" | grep -q 'No such file'
grep -q '^0.9.0, source: .*No such file' "$work/seen"
