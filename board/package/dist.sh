#!/usr/bin/env bash
# The program with its bundles as an archive for each machine, and checksums: `make dist`. Packing the same twice gives the same bytes.
#
#     dist.sh OUT MACHINE...          such as aarch64 x86_64
#
# What is unpacked anywhere runs from there: the program finds the bundles beside its folder.
set -euo pipefail
. "$(dirname "$0")/../deploy/common.sh"
out=$1
shift
need python3 "sudo apt-get install python3"
glibc=2.31
version=$(program_version)
time=$(packing_time)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$out"
out=$(cd "$out" && pwd)
archives=()
for machine; do
    program=$("$project/board/deploy/build.sh" "$glibc" "$machine")
    name=sinew-$version-$machine-linux-gnu
    folder=$work/$name
    install -D -m 755 "$program" "$folder/bin/sinew"
    mkdir -p "$folder/share/sinew"
    cp -r "$project/models/bundles" "$folder/share/sinew/bundles"
    "$project/board/package/notices.py" "$machine-unknown-linux-gnu" >"$folder/THIRD-PARTY-NOTICES"
    cp "$project"/{README.md,CHANGELOG.md,LICENSE-APACHE,LICENSE-MIT} "$folder/"
    chmod -R u=rwX,go=rX "$folder"
    tar -C "$work" --sort=name --mtime="@$time" --owner=0 --group=0 --numeric-owner --format=gnu -cf - "$name" |
        gzip --no-name -9 >"$out/$name.tar.gz"
    archives+=("$name.tar.gz")
done
(cd "$out" && sha256sum "${archives[@]}" | tee SHA256SUMS)
