# Read by whoever needs other people's programs: installs them (Debian, as root).
install_if_missing() { # COMMAND PACKAGE...
    command -v "$1" >/dev/null && return
    shift
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends "$@"
}
