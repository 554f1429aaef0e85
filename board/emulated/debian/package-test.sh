#!/usr/bin/env bash
# The package on the emulated board: lintian, installed, upgraded, removed, purged.
set -euo pipefail
. "$(dirname "$0")/prepare.sh"
package() { "$project/board/package/deb.sh" emulated "$scratch" "$1" 2>"$scratch/said"; }
first=$(package 1)
row "the same bytes twice" [ "$(sha256sum <"$first")" = "$(package 1 >/dev/null && sha256sum <"$first")" ]
second=$(package 2)
row "lintian finds no error" lintian --fail-on error "$first"
lintian "$first" | sed 's/^/        /' || true

board_on "$image" "$cache/kernel" "$initramfs" "$key" "$scratch/board"
bring() { board "cat >/tmp/sinew.deb" <"$1"; }
files_there >"$scratch/before"
bring "$first"
row "installed" board dpkg --install /tmp/sinew.deb
row "it processes frames" eventually 120 processes_frames
row "it is enabled" board systemctl is-enabled sinew
board 'sed -i "s/^model = /keypoint_threshold = 0.25\nmodel = /" /etc/sinew/config.toml'
bring "$second"
row "upgraded" board dpkg --install --force-confold /tmp/sinew.deb
row "the changed configuration is kept" board grep -q keypoint_threshold /etc/sinew/config.toml
row "it processes frames again" eventually 120 processes_frames
row "removed" board dpkg --remove sinew
row "the service is gone" board '! systemctl is-active --quiet sinew && ! [ -e /usr/bin/sinew ]'
row "the configuration is not" board test -e /etc/sinew/config.toml
row "purged" board dpkg --purge sinew
files_there >"$scratch/after"
row "no file is left" diff "$scratch/before" "$scratch/after"
board 'modprobe -r vivid'
row "installed without a camera" board dpkg --install /tmp/sinew.deb
row "and purged" board dpkg --purge sinew
exit $((failures > 0))
