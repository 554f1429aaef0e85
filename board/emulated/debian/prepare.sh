# Read by the tests beside it: installs what they need (Debian), and makes or finds kernel, userland and disk in CACHE. What they read:
# $project, $cache, $rootfs, $image, $initramfs, $key and SINEW_PROGRAM, the program for the board.
. "$(dirname "${BASH_SOURCE[0]}")/../../deploy/common.sh"
. "$project/board/emulated/debian/board.sh"
cache=${CACHE:-$project/target/board}
here=$project/board/emulated/debian

. "$project/board/emulated/install.sh"
install_if_missing qemu-system-aarch64 qemu-system-arm
install_if_missing cpio cpio
install_if_missing modprobe kmod
install_if_missing python3 python3-minimal
install_if_missing mke2fs e2fsprogs
install_if_missing rsync rsync
install_if_missing ssh openssh-client
install_if_missing readelf binutils
install_if_missing lintian lintian

mkdir -p "$cache"
"$project/board/emulated/kernel.sh" "$cache/kernel"
# Each file depends on the scripts that make it, and on those before it.
digest() { cat "$@" | sha256sum | cut -c1-16; }
rootfs=$cache/debian-$(digest "$here/rootfs.sh").tar
[[ -s $rootfs ]] || "$here/rootfs.sh" "$rootfs"
initramfs=$cache/disk-$(digest "$here/initramfs.sh" "$here/../modules.sh" "$cache/kernel/version").cpio.gz
[[ -s $initramfs ]] || "$here/initramfs.sh" "$cache/kernel" "$initramfs"
key=$cache/key
[[ -s $key ]] || ssh-keygen -q -t ed25519 -N '' -f "$key"
image=$cache/debian-$(digest "$here/rootfs.sh" "$here/image.sh" "$here/../modules.sh" "$cache/kernel/version" "$key.pub").ext4
[[ -s $image ]] || "$here/image.sh" "$rootfs" "$cache/kernel" "$key.pub" "$image"

if [[ -z ${SINEW_PROGRAM:-} ]] && ! command -v cargo-zigbuild >/dev/null; then
    [[ -x $cache/tools/bin/cargo-zigbuild ]] || {
        python3 -m venv "$cache/tools"
        "$cache/tools/bin/pip" install --quiet --requirement "$project/board/deploy/requirements.txt"
    }
    PATH=$cache/tools/bin:$PATH
fi
SINEW_PROGRAM=$("$project/board/deploy/build.sh" "$(profile emulated glibc)")
export SINEW_PROGRAM

scratch=$(mktemp -d)
trap 'board_off; rm -rf "$scratch"' EXIT
failures=0
row() { # name, command that must succeed
    local name=$1 begin=$SECONDS
    shift
    if "$@" >"$scratch/row" 2>&1; then
        echo "ok      $name ($((SECONDS - begin)) s)"
    else
        echo "FAILED  $name ($((SECONDS - begin)) s); it said:"
        tail -n 15 "$scratch/row" | sed 's/^/        /'
        failures=$((failures + 1))
    fi
}
not() { ! "$@"; }
said() { grep -q -- "$1" "$scratch/said"; }
eventually() { # SECONDS COMMAND...
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        ((SECONDS < end)) || return 1
        sleep 1
    done
}
# Files of the board, but for what a running system writes by itself.
files_there() {
    board 'find / -xdev \( -path /proc -o -path /sys -o -path /dev -o -path /run -o -path /tmp -o -path /var/tmp -o -path /var/log \
        -o -path /var/lib/systemd -o -path /var/lib/dpkg -o -path /var/cache \) -prune -o \! -type d -print | sort'
}
processes_frames() {
    board 'systemctl is-active --quiet sinew && before=$(wc -l </run/sinew/poses.jsonl) && sleep 5 &&
        [ "$(wc -l </run/sinew/poses.jsonl)" -gt "$before" ] && tail -n 2 /run/sinew/poses.jsonl | grep -q "\"age\":"'
}
