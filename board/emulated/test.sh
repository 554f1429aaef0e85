#!/usr/bin/env bash
# The program on an emulated arm64 board: with a real camera driver (vivid), while faults are injected, and on screens: `make test-cameras`.
# It installs what it needs (Debian), and keeps kernel and root in CACHE. SINEW_PROGRAM names a program for arm64 that is built already.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
project=$(cd "$here/../.." && pwd)
cache=${CACHE:-$project/target/board}
target=aarch64-unknown-linux-gnu

. "$here/install.sh"
install_if_missing qemu-system-aarch64 qemu-system-arm
install_if_missing cpio cpio
install_if_missing make make
install_if_missing modprobe kmod
install_if_missing python3 python3-minimal
install_if_missing aarch64-linux-gnu-gcc gcc-aarch64-linux-gnu libc6-dev-arm64-cross
rustup target list --installed | grep -qx $target || rustup target add $target

cd "$project"
program=${SINEW_PROGRAM:-}
if [[ -z $program ]]; then
    CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc \
        cargo build --release --target $target --bin sinew
    program=${CARGO_TARGET_DIR:-target}/$target/release/sinew
fi
"$here/kernel.sh" "$cache/kernel"
modules=(virtio_pci 9pnet_virtio 9p bochs vivid v4l2loopback)
# The root depends on the scripts, the kernel and the modules only.
key=$({ cat "$here"/{init,initramfs.sh,modules.sh} "$cache/kernel/version"; echo "$cache"/kernel/made-by-* "${modules[@]}"; } | sha256sum | cut -c1-16)
root=$cache/root-$key.cpio.gz
[[ -s $root ]] || "$here/initramfs.sh" "$cache/kernel" "$root" "${modules[@]}"

share=$(mktemp -d)
trap 'rm -rf "$share"' EXIT
aarch64-linux-gnu-strip -o "$share/sinew" "$program"
rustc --edition 2024 -O --target $target -C linker=aarch64-linux-gnu-gcc -o "$share/peer" "$here/peer.rs"
cp -r tests/data/onnx/{spots,colours} models/bundles/logocap-tiny "$share/"
cp tests/data/people/000.jpg "$share/picture.jpg"
"$here/frames.py" bare "$share/picture.jpg" "$share/bare.jpg"
"$here/frames.py" known "$share/known.yuyv" "$share/known.y4m"

status=0
# SUBJECTS="system start" runs only those.
for subject in ${SUBJECTS:-camera mjpeg cameras planes known system start screen}; do
    echo "== $subject"
    started=$SECONDS
    if [[ $subject = screen ]]; then
        "$here/screen.sh" "$cache/kernel" "$root" "$share" || status=$?
    else
        cp "$here/$subject-test.sh" "$share/test.sh"
        "$here/guest.sh" "$cache/kernel" "$root" "$share" || status=$?
        cat "$share/said" 2>/dev/null || true
    fi
    echo "== $subject took $((SECONDS - started)) s"
done
exit $status
