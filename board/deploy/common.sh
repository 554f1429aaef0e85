# Read by the scripts beside it: where things are, what a profile says, and how to speak of errors.
project=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

fail() {
    echo "sinew: $*" >&2
    exit 1
}

need() { # COMMAND, the command that installs it
    command -v "$1" >/dev/null || fail "$1 is missing here; install it: $2"
}

profile_file() { # BOARD
    local file=$project/board/profiles/$1.toml
    if [[ -z $1 || ! -f $file ]]; then
        local names
        names=$(cd "$project/board/profiles" && echo *.toml)
        fail "no profile '$1'; give BOARD=, one of: ${names//.toml/}"
    fi
    echo "$file"
}

profile() { # BOARD KEY: profiles hold one quoted value a line, and nothing else
    local file
    file=$(profile_file "$1") || exit
    grep -q "^$2 = " "$file" || fail "$file: no '$2' in it"
    sed -n "s/^$2 = \"\(.*\)\"\$/\1/p" "$file"
}

# One time for all files that are packed, so that packing twice gives the same bytes.
packing_time() {
    echo "${SOURCE_DATE_EPOCH:-$(git -C "$project" log -1 --format=%ct 2>/dev/null ||
        stat --format=%Y "$project/CHANGELOG.md")}"
}

program_version() {
    sed -n 's/^version = "\(.*\)"$/\1/p' "$project/Cargo.toml" | head -n 1
}
