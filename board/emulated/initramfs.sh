#!/usr/bin/env bash
# The small guest's root: busybox, v4l2-ctl, the modules that its tests load, the C library, and `init`.
#
#     initramfs.sh KERNEL_FOLDER OUT.cpio.gz MODULE...
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
kernel=$(cd "$1" && pwd)
out=$2
shift 2
version=$(<"$kernel/version")
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
mkdir -p "$root"/{bin,dev,etc,host,lib,proc,root,sys,tmp}
install -m 755 "$kernel/bin/busybox" "$root/bin/busybox"
install -m 755 "$here/init" "$root/init"
for module; do
    # With all that it needs, in the order in which they are loaded.
    modprobe --show-depends -d "$kernel" -S "$version" "$module" | awk '/^insmod/ { print $2 }' |
        while read -r file; do
            install -D -m 644 "$file" "$root${file#"$kernel"}"
        done
done
cp "$kernel/lib/modules/$version"/modules.{order,builtin,builtin.modinfo} "$root/lib/modules/$version/"
depmod -b "$root" "$version"
libraries=/usr/aarch64-linux-gnu/lib
cp "$libraries"/{ld-linux-aarch64.so.1,libc.so.6,libm.so.6,libgcc_s.so.1} "$root/lib/"
install -m 755 "$kernel/usr/bin/v4l2-ctl" "$root/bin/"
cp -L "$kernel"/usr/lib/aarch64-linux-gnu/{libv4l2.so.0,libv4lconvert.so.0,libjpeg.so.62,libstdc++.so.6} "$root/lib/"
(cd "$root" && find . | cpio --create --format=newc --quiet --owner=0:0 | gzip -1) >"$out"
