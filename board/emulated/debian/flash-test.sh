#!/usr/bin/env bash
# `make flash-overlay`: into what looks like NVIDIA's folder, with Debian's userland as the root file system, which is booted then.
set -euo pipefail
. "$(dirname "$0")/prepare.sh"
export BOARD=emulated L4T=$scratch/Linux_for_Tegra
overlay() { "$project/board/flash/overlay.sh" >"$scratch/said" 2>&1 || { cat "$scratch/said"; return 1; }; }
listing() { (cd "$L4T" && find . -printf '%y %m %p %l\n' | sort; find . -type f -print0 | sort -z | xargs -0 sha256sum); }

row "a folder that is not there is refused" not overlay
mkdir -p "$L4T/rootfs/etc"
row "one that is something else as well" not overlay
row "which says why" said 'is no Linux_for_Tegra'
row "and stays as it was" [ -z "$(find "$L4T" -type f)" ]
mkdir -p "$L4T"/{bootloader,kernel,nv_tegra}
touch "$L4T/flash.sh"
row "one without a root file system is refused" not overlay
row "which says what to do" said 'sample root file system'

tar -C "$L4T/rootfs" -xpf "$rootfs" --numeric-owner
listing >"$scratch/before"
row "laid into it" overlay
row "units are enabled" [ -L "$L4T/rootfs/etc/systemd/system/multi-user.target.wants/sinew.service" ]
listing >"$scratch/once"
row "laid into it again" overlay
listing >"$scratch/twice"
row "changes nothing" diff "$scratch/once" "$scratch/twice"
row "files belong to root" [ -z "$(find "$L4T/rootfs/usr/share/sinew" "$L4T/rootfs/usr/bin/sinew" ! -user root)" ]
echo 'threads = 1' >>"$L4T/rootfs/etc/sinew/config.toml"
row "again, with a changed configuration" overlay
row "keeps it" grep -qx 'threads = 1' "$L4T/rootfs/etc/sinew/config.toml"
row "and says so" said 'kept: '
tar -C "$L4T/rootfs" --numeric-owner -cf "$scratch/flashed.tar" .
sed -i '/^threads = 1$/d' "$L4T/rootfs/etc/sinew/config.toml"
row "taken out" env UNDO=1 "$project/board/flash/overlay.sh"
listing >"$scratch/after"
row "it is as before" diff "$scratch/before" "$scratch/after"
install -m 755 /dev/null "$L4T/rootfs/usr/bin/sinew"
row "another program's file is not overwritten" not overlay
row "which is said before anything is written" said 'is there already'
row "and nothing is" [ ! -e "$L4T/rootfs/etc/sinew" ]
rm -rf "$L4T"

"$here/image.sh" "$scratch/flashed.tar" "$cache/kernel" "$key.pub" "$scratch/flashed.ext4"
rm "$scratch/flashed.tar"
board_on "$scratch/flashed.ext4" "$cache/kernel" "$initramfs" "$key" "$scratch/board"
row "at its first boot the board processes frames" eventually 120 processes_frames
row "with the configuration that was laid" board 'sinew config show | grep -q "threads = 1"'
exit $((failures > 0))
