#!/usr/bin/env bash
# The small guest's root: busybox, v4l2-ctl, the modules that its tests load, the C library, and `init`.
#
#     initramfs.sh KERNEL_FOLDER OUT.cpio.gz MODULE...
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/modules.sh"
kernel=$(cd "$1" && pwd)
out=$2
shift 2
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
mkdir -p "$root"/{bin,dev,etc,host,lib,proc,root,sys,tmp}
install -m 755 "$kernel/bin/busybox" "$root/bin/busybox"
install -m 755 "$here/init" "$root/init"
put_modules "$kernel" "$root" "$@"
libraries=/usr/aarch64-linux-gnu/lib
cp "$libraries"/{ld-linux-aarch64.so.1,libc.so.6,libm.so.6,libgcc_s.so.1} "$root/lib/"
install -m 755 "$kernel/usr/bin/v4l2-ctl" "$root/bin/"
cp -L "$kernel"/usr/lib/aarch64-linux-gnu/{libv4l2.so.0,libv4lconvert.so.0,libjpeg.so.62,libstdc++.so.6} "$root/lib/"
archive "$root" "$out"
