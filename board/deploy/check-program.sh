#!/usr/bin/env bash
# Whether a program will start on a board: its machine, the newest version of the C library that it asks for, its size.
#
#     check-program.sh PROGRAM GLIBC MACHINE MEGABYTES
set -euo pipefail
. "$(dirname "$0")/common.sh"
program=$1
glibc=$2
machine=$3
most_megabytes=$4
need readelf "sudo apt-get install binutils"
[[ -f $program ]] || fail "$program: no such file"
head=$(readelf --file-header --wide "$program" 2>/dev/null) || fail "$program is not a program for Linux"
found=$(sed -n 's/^ *Machine: *//p' <<<"$head")
case $machine in
aarch64) expected=AArch64 ;;
x86_64) expected="Advanced Micro Devices X86-64" ;;
*) fail "machine $machine is not known: aarch64 or x86_64" ;;
esac
[[ $found == "$expected" ]] || fail "$program is for $found, not for $machine"
newest=$(readelf --version-info --wide "$program" | grep -o 'GLIBC_[0-9.]*' | sort -Vu | tail -n 1) || true
[[ $(printf '%s\n' "${newest#GLIBC_}" "$glibc" | sort -V | tail -n 1) == "$glibc" ]] ||
    fail "$program needs $newest, the board has $glibc; build it with \`cargo zigbuild --target $machine-unknown-linux-gnu.$glibc\`"
bytes=$(stat --format=%s "$program")
((bytes <= most_megabytes * 1000000)) ||
    fail "$program has $bytes bytes, more than $most_megabytes MB: was it built with \`--profile dist\`?"
echo "program: $machine, newest symbol ${newest:-none} (board: $glibc), $((bytes / 100000 / 10)).$((bytes / 100000 % 10)) MB"
