#!/usr/bin/env bash
# Builds v4l2loopback, a camera that a program feeds, for the kernel in a folder of kernel.sh: from the headers of arm64, with the host's
# own build tools of the kernel, as those of arm64 are programs for arm64.
#
#     loopback.sh FOLDER
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/foreign.sh"
folder=$1
version=$(<"$folder/version")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
foreign_unpack "$folder/apt" "$work" "linux-headers-$version" "linux-headers-${version%-arm64}-common" v4l2loopback-dkms
series=$(cut -d . -f 1,2 <<<"$version")
(cd "$work" && apt-get -qq -o APT::Sandbox::User=root download "linux-kbuild-$series")
dpkg-deb --extract "$work"/linux-kbuild-*.deb "$work"

headers=$work/usr/src/linux-headers-$version
common=$(echo "$work"/usr/src/linux-headers-*-common)
tools=$(echo "$work"/usr/lib/linux-kbuild-*)
# The packages name each other by absolute paths.
find "$headers" "$common" -maxdepth 1 -type f -exec sed -i "s#/usr/src/linux-headers-#$work/usr/src/linux-headers-#g" {} +
for tree in "$headers" "$common"; do
    for name in scripts tools; do
        [[ -L $tree/$name ]] && ln -sfn "$tools/$name" "$tree/$name"
    done
done
source=$(echo "$work"/usr/src/v4l2loopback-*)
make -s -C "$headers" M="$source" ARCH=arm64 CROSS_COMPILE=aarch64-linux-gnu- CC=aarch64-linux-gnu-gcc modules
install -D -m 644 "$source/v4l2loopback.ko" "$folder/lib/modules/$version/extra/v4l2loopback.ko"
