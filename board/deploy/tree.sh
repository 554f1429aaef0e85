#!/usr/bin/env bash
# Lays everything that a board gets into a folder, as it lies below `/`: what `make deploy`, `make deb` and `make flash-overlay` install.
#
#     tree.sh BOARD PROGRAM FOLDER
set -euo pipefail
. "$(dirname "$0")/common.sh"
board=$1
program=$2
folder=$3
bundle=$(profile "$board" bundle)
source=$(profile "$board" source)

mkdir -p "$folder"
[[ -z $(ls -A "$folder") ]] || fail "$folder is not empty"
cp -r "$project/board/rootfs/." "$folder/"
install -D -m 755 "$program" "$folder/usr/bin/sinew"
bundles=$folder/usr/share/sinew/bundles
mkdir -p "$bundles"
for made in "$project"/models/bundles/*/; do
    cp -r "$made" "$bundles/$(basename "$made")"
done
# One that is not among them is named by its folder.
if [[ -f $project/$bundle/bundle.toml ]]; then
    cp -r "$project/$bundle" "$bundles/$(basename "$bundle")"
fi
[[ -f $bundles/$(basename "$bundle")/bundle.toml ]] || fail "board/profiles/$board.toml: no bundle '$bundle' in models/bundles"

config=$folder/etc/sinew/config.toml
set_option() { # KEY VALUE, of a key that is there
    grep -q "^$1 = " "$config" || fail "board/rootfs/etc/sinew/config.toml: no '$1' in it"
    local value=${2//&/\\&}
    sed -i "s|^$1 = .*|$1 = \"$value\"|" "$config"
}
set_option model "$(basename "$bundle")"
set_option source "$source"

find "$folder" -type d -exec chmod 755 {} +
find "$folder" -type f ! -path "$folder/usr/bin/*" -exec chmod 644 {} +
find "$folder" -exec touch --no-dereference --date="@$(packing_time)" {} +
