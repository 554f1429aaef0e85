#!/usr/bin/env bash
# What mounts the disk of the emulated board and hands over to its systemd.
#
#     initramfs.sh KERNEL_FOLDER OUT.cpio.gz
set -euo pipefail
. "$(dirname "$0")/../modules.sh"
kernel=$(cd "$1" && pwd)
out=$2
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
mkdir -p "$root"/{bin,dev,proc,root,sys}
install -m 755 "$kernel/bin/busybox" "$root/bin/busybox"
# The file system asks for its checksum by a name that no list of dependencies has.
put_modules "$kernel" "$root" virtio_pci virtio_blk crc32c_generic ext4
cat >"$root/init" <<'INIT'
#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
for module in virtio_pci virtio_blk crc32c_generic ext4; do modprobe $module; done
tenths=100
until [ -b /dev/vda ] || [ $tenths = 0 ]; do sleep 0.1; tenths=$((tenths - 1)); done
mount -t ext4 /dev/vda /root
mount --move /dev /root/dev
umount /proc /sys
exec switch_root /root /sbin/init
INIT
chmod 755 "$root/init"
archive "$root" "$out"
