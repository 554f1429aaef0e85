#!/usr/bin/env bash
# Debian's arm64 kernel with its modules and v4l2loopback, a static busybox and v4l2-ctl, in a folder.
#
#     kernel.sh FOLDER
#
# Does nothing where FOLDER holds what this script makes.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/foreign.sh"
folder=$1
made_by=$(cat "$here"/{foreign,kernel,loopback}.sh | sha256sum | cut -c 1-16)
[[ -e $folder/made-by-$made_by ]] && exit 0
rm -rf "$folder"
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)

foreign_update "$folder/apt"
# The package without a version names the current one.
image=$(foreign_apt "$folder/apt" apt-cache depends linux-image-arm64 | awk '/Depends: linux-image-/ { print $2; exit }')
version=${image#linux-image-}
# libv4l2 and what it needs are v4l2-ctl's.
foreign_unpack "$folder/apt" "$folder" "$image" busybox-static v4l-utils libv4l-0 libv4lconvert0 libjpeg62-turbo libstdc++6 libudev1
echo "$version" >"$folder/version"
"$here/loopback.sh" "$folder"
rm -rf "$folder/apt"
depmod -b "$folder" "$version"
: >"$folder/made-by-$made_by"
