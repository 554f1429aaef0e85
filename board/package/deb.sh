#!/usr/bin/env bash
# A package for the boards' Ubuntu, or any Debian with systemd: `make deb`.
#
#     deb.sh BOARD OUT [REVISION]     prints the package's path
#
# DEBFULLNAME and DEBEMAIL say who made it; SINEW_PROGRAM names a program that is built already, SINEW_HERE one that runs here, which
# writes the manual pages.
set -euo pipefail
. "$(dirname "$0")/../deploy/common.sh"
board=$1
out=$2
revision=${3:-1}
here=$project/board/package
need dpkg-deb "sudo apt-get install dpkg"
need python3 "sudo apt-get install python3"
version=$(program_version)-$revision
glibc=$(profile "$board" glibc)
program=$("$project/board/deploy/build.sh" "$glibc")
sinew=${SINEW_HERE:-}
if [[ -z $sinew ]]; then
    (cd "$project" && cargo build --release --bin sinew) >&2
    sinew=${CARGO_TARGET_DIR:-$project/target}/release/sinew
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tree=$work/tree
"$project/board/deploy/tree.sh" "$board" "$program" "$tree"
# On merged and unmerged systems alike, packages have units and rules here.
mkdir -p "$tree/lib"
mv "$tree"/usr/lib/{systemd,udev} "$tree/lib/"
rmdir "$tree/usr/lib"

documents=$tree/usr/share/doc/sinew
mkdir -p "$documents" "$tree/usr/share/bash-completion/completions"
"$sinew" man --out "$tree/usr/share/man/man1"
"$sinew" completions bash >"$tree/usr/share/bash-completion/completions/sinew"
sed "s/@YEAR@/$(date --utc --date="@$(packing_time)" +%Y)/" "$here/copyright" >"$documents/copyright"
"$here/notices.py" aarch64-unknown-linux-gnu >"$documents/third-party-notices"
maintainer="${DEBFULLNAME:-Sinew maintainers} <${DEBEMAIL:-sinew@example.org}>"
cat >"$documents/changelog.Debian" <<CHANGELOG
sinew ($version) stable; urgency=medium

  * See /usr/share/doc/sinew/changelog.gz.

 -- $maintainer  $(LC_ALL=C date --utc --date="@$(packing_time)" -R)
CHANGELOG
cp "$project/CHANGELOG.md" "$documents/changelog"
gzip --no-name -9 "$documents"/{changelog,changelog.Debian,third-party-notices} "$tree"/usr/share/man/man1/*

mkdir "$tree/DEBIAN"
install -m 755 "$here"/{postinst,prerm,postrm} "$tree/DEBIAN/"
echo /etc/sinew/config.toml >"$tree/DEBIAN/conffiles"
(cd "$tree" && find usr lib -type f -print0 | sort -z | xargs -0 md5sum) >"$tree/DEBIAN/md5sums"
cat >"$tree/DEBIAN/control" <<CONTROL
Package: sinew
Version: $version
Architecture: arm64
Maintainer: $maintainer
Installed-Size: $(du --summarize --block-size=1024 --exclude=DEBIAN "$tree" | cut -f1)
Depends: libc6 (>= $glibc)
Suggests: libnvinfer-bin
Section: video
Priority: optional
Description: finds poses in what cameras see
 A runtime for keypoint models on small boards: cameras go in, poses come out,
 as JSON lines. On a Jetson it runs on TensorRT, elsewhere on the processor.
 A service reads the first camera; /etc/sinew/config.toml says how.
CONTROL
find "$tree" -type d -exec chmod 755 {} +
find "$tree" ! -path "$tree/usr/bin/*" ! -path "$tree/DEBIAN/p*" -type f -exec chmod 644 {} +
find "$tree" -exec touch --no-dereference --date="@$(packing_time)" {} +

mkdir -p "$out"
package=$out/sinew_${version}_arm64.deb
# Weights hardly get smaller, whatever it costs; and the default of a newer dpkg is unknown to the boards' older ones.
SOURCE_DATE_EPOCH=$(packing_time) dpkg-deb --root-owner-group -Zgzip --build "$tree" "$package" >&2
echo "$package"
