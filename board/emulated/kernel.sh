#!/usr/bin/env bash
# Debian's arm64 kernel with its modules, and a static busybox, unpacked into a folder. The host's package database is not touched.
#
#     kernel.sh FOLDER
#
# Does nothing where FOLDER holds a kernel already.
set -euo pipefail
folder=$1
[[ -s $folder/version ]] && exit 0
mkdir -p "$folder/apt/lists/partial" "$folder/apt/archives/partial"
folder=$(cd "$folder" && pwd)
: >"$folder/apt/status"

# apt for another architecture, with its lists, archives and status in our folder.
foreign_apt() {
    local program=$1
    shift
    "$program" -qq \
        -o APT::Architecture=arm64 -o APT::Architectures::=arm64 -o APT::Sandbox::User=root \
        -o Dir::State::Lists="$folder/apt/lists" -o Dir::State::status="$folder/apt/status" \
        -o Dir::Cache::Archives="$folder/apt/archives" -o Acquire::Languages=none "$@"
}

foreign_apt apt-get update
# The package without a version names the current one.
image=$(foreign_apt apt-cache depends linux-image-arm64 | awk '/Depends: linux-image-/ { print $2; exit }')
(cd "$folder/apt/archives" && foreign_apt apt-get download "$image" busybox-static)
for package in "$folder"/apt/archives/*.deb; do
    dpkg-deb --extract "$package" "$folder"
done
rm -rf "$folder/apt"
depmod -b "$folder" "${image#linux-image-}"
echo "${image#linux-image-}" >"$folder/version"
