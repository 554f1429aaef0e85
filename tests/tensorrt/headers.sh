#!/usr/bin/env bash
# Prints the folder of NVIDIA's TensorRT headers: $HEADERS if that is set, else those that the crate trtx-sys brings along,
# fetched into the cache of cargo. Nothing of the crate is built.
set -euo pipefail
if [[ -n "${HEADERS:-}" ]]; then
    [[ -e $HEADERS/NvInfer.h ]] || { echo "$HEADERS: no NvInfer.h there; name the folder of TensorRT's headers" >&2; exit 2; }
    echo "$HEADERS"
    exit
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir "$folder/src"
touch "$folder/src/lib.rs"
cat >"$folder/Cargo.toml" <<'TOML'
[package]
name = "headers"
version = "0.0.0"
edition = "2021"

[dependencies]
trtx-sys = "=0.9.1"

[workspace]
TOML
cargo fetch --quiet --manifest-path "$folder/Cargo.toml"
manifest=$(cargo metadata --quiet --offline --format-version 1 --manifest-path "$folder/Cargo.toml" \
    | grep -o '"manifest_path":"[^"]*/trtx-sys-[^"]*"' | cut -d '"' -f 4)
header=$(find "$(dirname "$manifest")" -path '*Enterprise*' -name NvInfer.h | head -n 1)
[[ -n $header ]] || { echo "trtx-sys brings no NvInfer.h along any more: set HEADERS to a folder that has it" >&2; exit 2; }
dirname "$header"
