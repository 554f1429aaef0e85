#!/usr/bin/env bash
# Lays the program into the root file system that NVIDIA's tools are about to flash: `make flash-overlay L4T=path/to/Linux_for_Tegra
# BOARD=orin-nano`. UNDO=1 takes it out again. What it has laid is listed in L4T/sinew-overlay.
set -euo pipefail
. "$(dirname "$0")/../deploy/common.sh"
l4t=${L4T:-}
board=${BOARD:-}
[[ -n $l4t ]] || fail "name the folder that NVIDIA's archive makes, as in L4T=path/to/Linux_for_Tegra"
for part in flash.sh bootloader kernel nv_tegra rootfs; do
    [[ -e $l4t/$part ]] || fail "$l4t is no Linux_for_Tegra: it has no $part"
done
l4t=$(cd "$l4t" && pwd)
root=$l4t/rootfs
list=$l4t/sinew-overlay
[[ -x $root/usr/bin/env && -d $root/etc ]] ||
    fail "$root is empty: unpack the sample root file system into it, then run $l4t/apply_binaries.sh"
units=etc/systemd/system/multi-user.target.wants

is_unchanged() { # PATH: whether what lies there is what was laid
    [[ -f $root/$1 ]] && grep -qxF "$(sha256sum <"$root/$1" | cut -d' ' -f1)  $1" "$list"
}

take_out() { # the files of the list, but for a changed configuration, and folders that are empty then
    local path
    while read -r _ path; do
        if [[ $path == etc/* ]] && ! is_unchanged "$path"; then
            [[ ! -e $root/$path ]] || echo "kept: $root/$path, which was changed"
        else
            rm -f "${root:?}/$path"
        fi
    done < <(grep -v '^made ' "$list")
    # Deepest first.
    while read -r _ path; do rmdir "$root/$path" 2>/dev/null || true; done < <(grep '^made ' "$list" | sort -r)
}

if [[ -n ${UNDO:-} ]]; then
    [[ -f $list ]] || fail "$l4t: nothing was laid into it"
    rm -f "$root/$units"/{sinew,sinew-engines}.service
    take_out
    rm "$list"
    echo "taken out of $root"
    exit
fi

need readelf "sudo apt-get install binutils"
glibc=$(profile "$board" glibc)
library=$(find -L "$root/lib/aarch64-linux-gnu" -maxdepth 1 -name 'libc.so.6' 2>/dev/null | head -n 1)
[[ -n $library ]] || fail "$root is for another machine: no lib/aarch64-linux-gnu/libc.so.6 in it"
there=$(readelf --version-info --wide "$library" | grep -o 'GLIBC_2[0-9.]*' | sort -Vu | tail -n 1)
there=${there#GLIBC_}
[[ $(printf '%s\n' "$there" "$glibc" | sort -V | tail -n 1) == "$there" ]] ||
    fail "$root has glibc $there, board/profiles/$board.toml says $glibc: is BOARD=$board right?"
program=$("$project/board/deploy/build.sh" "$glibc")
[[ -w $root/usr/bin && -w $root/etc ]] ||
    fail "$root belongs to root. The program is built; go on with: sudo env SINEW_PROGRAM=$program make flash-overlay BOARD=$board L4T=$l4t"
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
"$project/board/deploy/tree.sh" "$board" "$program" "$tree"

# Nothing is written before it is known that nothing of others would be lost.
mapfile -t files < <(cd "$tree" && find . -type f -printf '%P\n' | sort)
for file in "${files[@]}"; do
    if [[ -e $root/$file ]] && ! grep -qsF "  $file" "$list"; then
        fail "$root/$file is there already, and not from here; is the package installed in it? Nothing was written"
    fi
done

config=etc/sinew/config.toml
made=()
while read -r folder; do
    if [[ ! -d $root/$folder ]] || grep -qsxF "made $folder" "$list"; then made+=("made $folder"); fi
done < <(cd "$tree" && find . -mindepth 1 -type d -printf '%P\n' | sort; echo "$units")
if [[ -f $list ]]; then
    if [[ -e $root/$config ]] && ! is_unchanged "$config"; then
        echo "kept: $root/$config, which was changed"
        cp "$root/$config" "$tree/$config.kept"
    fi
    take_out >/dev/null
fi
rm -f "$list"
(
    cd "$tree"
    for file in "${files[@]}"; do
        # The list has what was brought, also where a changed one is kept.
        sha256sum "$file"
    done
    printf '%s\n' "${made[@]}"
) >"$list"
if [[ -f $tree/$config.kept ]]; then mv "$tree/$config.kept" "$tree/$config"; fi
(cd "$tree" && tar -cf - --owner=0 --group=0 --numeric-owner .) |
    tar -C "$root" -xpf - --keep-directory-symlink --no-overwrite-dir --numeric-owner
mkdir -p "$root/$units"
ln -sfn /usr/lib/systemd/system/sinew.service /usr/lib/systemd/system/sinew-engines.service "$root/$units/"
echo "laid into $root; \`make flash-overlay L4T=$l4t UNDO=1\` takes it out again"
flash=$(profile "$board" flash)
if [[ -n $flash ]]; then
    echo "with the board in recovery mode, flash it:"
    echo "    cd $l4t && $flash"
fi
