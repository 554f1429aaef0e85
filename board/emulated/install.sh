# Sourced by scripts that need other programs: installs them (Debian, as root).
install_if_missing() { # COMMAND PACKAGE...
    command -v "$1" >/dev/null && return
    shift
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends "$@"
}
