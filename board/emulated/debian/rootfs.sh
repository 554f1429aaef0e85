#!/usr/bin/env bash
# The userland of Debian for arm64, with systemd and an ssh server, as a tar file. No arm64 program runs for it: apt resolves and
# downloads, the packages are unpacked, and the little that their scripts would do is done here. Needs root, for the owners of files.
#
#     rootfs.sh OUT.tar
set -euo pipefail
out=$(realpath "$1")
packages=(
    base-files base-passwd bash coreutils dash dbus diffutils dpkg findutils grep gzip hostname init-system-helpers iproute2 kmod
    libc-bin login mawk mount openssh-server passwd procps rsync sed systemd-sysv tar udev util-linux v4l-utils
)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root
apt=$work/apt
mkdir -p "$root" "$apt"/{lists/partial,archives/partial}
chmod 755 "$root"
: >"$apt/status"
options=(
    -qq -y -o APT::Architecture=arm64 -o APT::Architectures::=arm64 -o APT::Sandbox::User=root -o APT::Install-Recommends=false
    -o Debug::NoLocking=1 -o Dir::State::Lists="$apt/lists" -o Dir::State::status="$apt/status"
    -o Dir::Cache::Archives="$apt/archives" -o Acquire::Languages=none
)
apt-get "${options[@]}" update
apt-get "${options[@]}" --download-only install "${packages[@]}"

# /bin, /sbin and /lib are links into /usr.
mkdir -p "$root"/usr/{bin,sbin,lib} "$root"/var/lib/dpkg/{info,updates,triggers}
for folder in bin sbin lib; do ln -s "usr/$folder" "$root/$folder"; done
for package in "$apt"/archives/*.deb; do
    control=$(dpkg-deb --field "$package")
    name=$(sed -n 's/^Package: //p' <<<"$control")
    grep -qx 'Multi-Arch: same' <<<"$control" && name+=:arm64
    dpkg-deb --fsys-tarfile "$package" |
        tar -C "$root" -xpv --keep-directory-symlink --exclude='./usr/share/doc/*' --exclude='./usr/share/man/*' \
            --exclude='./usr/share/locale/*' | sed 's#^\./$#/.#; s#^\.##; s#\(.\)/$#\1#' >"$root/var/lib/dpkg/info/$name.list"
    # So that the package manager there knows what it has.
    { sed '/^Package: /a Status: install ok installed' <<<"$control"; echo; } >>"$root/var/lib/dpkg/status"
done
: >"$root/var/lib/dpkg/available"

cp "$root/usr/share/base-passwd/passwd.master" "$root/etc/passwd"
cp "$root/usr/share/base-passwd/group.master" "$root/etc/group"
sed -i 's/^root:[^:]*:/root:x:/' "$root/etc/passwd"
cat >>"$root/etc/passwd" <<'USERS'
messagebus:x:100:100::/nonexistent:/usr/sbin/nologin
sshd:x:101:65534::/run/sshd:/usr/sbin/nologin
systemd-network:x:998:998::/:/usr/sbin/nologin
USERS
cat >>"$root/etc/group" <<'GROUPS'
messagebus:x:100:
systemd-network:x:998:
systemd-journal:x:999:
input:x:101:
kvm:x:102:
render:x:103:
sgx:x:104:
GROUPS
sed 's/:.*/:*:19000:0:99999:7:::/' "$root/etc/passwd" >"$root/etc/shadow"
chmod 640 "$root/etc/shadow"

mkdir -p "$root"/{dev,proc,root,run,sys,tmp,var/log,var/tmp}
chmod 1777 "$root/tmp" "$root/var/tmp"
sed 's/^UsePAM yes/UsePAM no/' "$root/usr/share/openssh/sshd_config" >"$root/etc/ssh/sshd_config"
ln -sf dash "$root/usr/bin/sh"
ln -sf mawk "$root/usr/bin/awk"
echo board >"$root/etc/hostname"
tar -C "$root" --numeric-owner -cf "$out.partial" .
mv "$out.partial" "$out"
