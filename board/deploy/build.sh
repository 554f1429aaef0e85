#!/usr/bin/env bash
# Builds the program for a C library at least as old as GLIBC, checks it, and prints where it lies.
#
#     build.sh GLIBC [MACHINE]        such as 2.31, and aarch64 (the default) or x86_64
#
# SINEW_PROGRAM names one that is built already: then it is only checked.
set -euo pipefail
. "$(dirname "$0")/common.sh"
glibc=$1
machine=${2:-aarch64}
target=$machine-unknown-linux-gnu
# Decimal megabytes of a program of the profile `dist`: 22.1 when last measured, where 20 are the aim. What would make it smaller
# costs speed (docs/decisions.md). For x86-64 tract has more kernels: 23.3 in November 2026, without MQTT.
most_megabytes=23
[[ $machine == aarch64 ]] || most_megabytes=25

program=${SINEW_PROGRAM:-}
if [[ -z $program ]]; then
    need cargo "https://rustup.rs"
    need rustup "https://rustup.rs"
    need cargo-zigbuild "pip install --requirement board/deploy/requirements.txt, in a virtual environment whose bin is in PATH"
    rustup target list --installed | grep -qx "$target" || rustup target add "$target" >&2
    cd "$project"
    # The names of source files in messages shall not depend on whose machine this is.
    RUSTFLAGS="--remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo" \
        cargo zigbuild --profile dist --target "$target.$glibc" --bin sinew >&2
    program=${CARGO_TARGET_DIR:-$project/target}/$target/dist/sinew
fi
"$project/board/deploy/check-program.sh" "$program" "$glibc" "$machine" "$most_megabytes" >&2
echo "$program"
