# Packages of Debian for arm64, unpacked into a folder; the host's package database is not touched. Sourced.
foreign_apt() { # folder for apt's state, program with its arguments: apt for the other architecture
    local state=$1 program=$2
    shift 2
    "$program" -qq \
        -o APT::Architecture=arm64 -o APT::Architectures::=arm64 -o APT::Sandbox::User=root \
        -o Dir::State::Lists="$state/lists" -o Dir::State::status="$state/status" \
        -o Dir::Cache::Archives="$state/archives" -o Acquire::Languages=none "$@"
}
foreign_update() { # folder for apt's state
    mkdir -p "$1/lists/partial" "$1/archives/partial"
    : >"$1/status"
    foreign_apt "$1" apt-get update
}
foreign_unpack() { # folder for apt's state, where to, packages
    local state=$1 folder=$2
    shift 2
    (cd "$state/archives" && foreign_apt "$state" apt-get download "$@")
    for package in "$state"/archives/*.deb; do
        dpkg-deb --extract "$package" "$folder"
    done
    rm -f "$state"/archives/*.deb
}
