#!/usr/bin/env bash
# The program on the small guest's screens; QEMU's is photographed from outside and compared pixel by pixel.
#
#     screen.sh KERNEL_FOLDER INITRAMFS SHARE
#
# SHARE holds the program, and bundles as `screen-test.sh` names them.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
share=$3
cp "$here/screen-test.sh" "$share/test.sh"
rm -rf "$share"/{ready,photographed,drawn,memory.rgb555,poses.jsonl,screen.ppm}
"$here/screen.py" make "$share/picture.png"
private=$(mktemp -d)
trap 'rm -rf "$private"' EXIT
mkfifo "$private/monitor.in" "$private/monitor.out"

QEMU_OPTIONS="-device bochs-display,xres=720,yres=576,romfile= -monitor pipe:$private/monitor" "$here/guest.sh" "$@" &
guest=$!
while kill -0 $guest 2>/dev/null && [[ ! -e $share/ready ]]; do sleep 0.2; done
if [[ -e $share/ready ]]; then
    cat "$private/monitor.out" >/dev/null &
    echo "screendump $share/screen.ppm" >"$private/monitor.in"
    sleep 1
    touch "$share/photographed"
fi
status=0
wait $guest || status=$?
cat "$share/said" 2>/dev/null || true
compare() { # name, file
    if "$here/screen.py" compare "$share/drawn/picture.png" "$2"; then
        echo "ok      $1"
    else
        echo "FAILED  $1"
        status=1
    fi
}
compare "the screen of 32 bits shows every pixel" "$share/screen.ppm"
compare "the memory of the one of 16 bits holds every pixel" "$share/memory.rgb555"
exit $status
