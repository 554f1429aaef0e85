#!/usr/bin/env bash
# Boots the small guest and exits with the status of SHARE/test.sh, which runs in it.
#
#     guest.sh KERNEL_FOLDER INITRAMFS SHARE
#
# QEMU_OPTIONS are added to QEMU's; GUEST_SECONDS is the longest that it may take.
set -euo pipefail
kernel=$1
initramfs=$2
share=$3
rm -f "$share"/{status,said,dmesg,console}
cp "$(dirname "$0")"/{rows,running}.sh "$share/"
# The processor of a Jetson Nano; `max` emulates three times as slowly.
timeout --kill-after=5 "${GUEST_SECONDS:-600}" qemu-system-aarch64 \
    -M virt,gic-version=3 -accel tcg,thread=multi -cpu cortex-a57 -smp 2 -m 1024 \
    -nodefaults -nographic -no-reboot -nic none -serial "file:$share/console" \
    -kernel "$(echo "$kernel"/boot/vmlinuz-*)" -initrd "$initramfs" -append "console=ttyAMA0 quiet panic=-1" \
    -virtfs "local,path=$share,mount_tag=host,security_model=none" ${QEMU_OPTIONS:-} || true
if [[ ! -s $share/status ]]; then
    echo "the guest did not come to an end; $share/console says:" >&2
    tail -20 "$share/console" >&2
    exit 99
fi
exit "$(<"$share/status")"
