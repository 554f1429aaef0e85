# Read by the scripts that make an emulated board's root: the kernel's modules, and a root as an archive.

# Copies modules with all that they need, in the order in which they are loaded. Those that are built in are none.
put_modules() { # KERNEL_FOLDER ROOT MODULE...
    local kernel=$1 root=$2 version module
    version=$(<"$kernel/version")
    shift 2
    for module; do
        modprobe --show-depends -d "$kernel" -S "$version" "$module" | awk '/^insmod/ { print $2 }' |
            while read -r file; do
                install -D -m 644 "$file" "$root${file#"$kernel"}"
            done
    done
    cp "$kernel/lib/modules/$version"/modules.{order,builtin,builtin.modinfo} "$root/lib/modules/$version/"
    depmod -b "$root" "$version"
}

archive() { # ROOT OUT.cpio.gz
    (cd "$1" && find . | cpio --create --format=newc --quiet --owner=0:0 | gzip -1) >"$2.partial"
    mv "$2.partial" "$2"
}
