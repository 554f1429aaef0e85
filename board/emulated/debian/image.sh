#!/usr/bin/env bash
# A disk for the emulated board: Debian's userland, the modules it loads, a key to log in with, and the kernel's test camera.
#
#     image.sh ROOTFS.tar KERNEL_FOLDER PUBLIC_KEY OUT.ext4 [FOLDER...]
#
# What lies in the folders is laid over the userland.
set -euo pipefail
. "$(dirname "$0")/../modules.sh"
tar=$1
kernel=$(cd "$2" && pwd)
key=$3
out=$4
shift 4
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
chmod 755 "$root"
tar -C "$root" -xpf "$tar" --numeric-owner
for folder; do rsync --recursive --links --perms --keep-dirlinks "$folder/" "$root/"; done

# Its /lib is a link into /usr.
put_modules "$kernel" "$root/usr" vivid virtio_net virtio_pci virtio_blk ext4 autofs4
printf 'vivid\nvirtio_net\n' >"$root/etc/modules-load.d/board.conf"
# Video that is captured, and video that is put out and can be led back into it.
echo 'options vivid n_devs=1 node_types=0x1 num_inputs=1 input_types=0' >"$root/etc/modprobe.d/vivid.conf"

install -d -m 700 "$root/root/.ssh"
install -m 600 "$key" "$root/root/.ssh/authorized_keys"
ssh-keygen -q -t ed25519 -N '' -f "$root/etc/ssh/ssh_host_ed25519_key"
printf '[Match]\nName=en* eth*\n[Network]\nAddress=10.0.2.15/24\n' >"$root/etc/systemd/network/10-board.network"
echo '/dev/vda / ext4 rw,noatime 0 1' >"$root/etc/fstab"
: >"$root/etc/machine-id"
units=$root/etc/systemd/system
mkdir -p "$units/multi-user.target.wants"
ln -sf /lib/systemd/system/systemd-networkd.service /lib/systemd/system/ssh.service "$units/multi-user.target.wants/"
for unit in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service \
    systemd-networkd-wait-online.service systemd-resolved.service systemd-timesyncd.service; do
    ln -sf /dev/null "$units/$unit"
done
rm -f "$out.partial"
mke2fs -q -t ext4 -O ^has_journal -d "$root" "$out.partial" 1G
mv "$out.partial" "$out"
