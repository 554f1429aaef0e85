#!/usr/bin/env bash
# `make deploy HOSTS=...` with boards that are folders: ssh is a double which runs what was sent in a mount namespace, where /opt, /etc,
# /run and /usr/local/bin are the board's, and systemd is a script. What runs there is the board's real script, with a real rsync.
set -euo pipefail
project=$(cd "$(dirname "$0")/../../.." && pwd)
. "$project/board/emulated/install.sh"
install_if_missing rsync rsync
install_if_missing readelf binutils
unshare -m true 2>/dev/null || { echo "boards are mount namespaces here: run this as root" >&2; exit 1; }
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
export BOARDS=$scratch/boards DOUBLES=$scratch/doubles LOGS=$scratch/logs
mkdir -p "$BOARDS" "$DOUBLES/here" "$DOUBLES/board"

double() { # FILE: its text on standard input
    cat >"$DOUBLES/$1"
    chmod +x "$DOUBLES/$1"
}
double here/ssh <<'SSH'
#!/usr/bin/env bash
while [[ $1 == -* ]]; do
    case $1 in
    -O) exit 0 ;;
    # As rsync gives the user.
    -l) user=$2@; shift 2 ;;
    -p | -i | -o) shift 2 ;;
    *) shift ;;
    esac
done
board=$BOARDS/${user:-}$1
shift
[[ ! -e $board/unreachable ]] || { echo "no route to host" >&2; exit 255; }
mkdir -p "$board"/{opt,etc/systemd/system,run/sinew,usr/local/bin}
# What awk and the like are.
cp -a /etc/alternatives "$board/etc/"
exec unshare -m bash -c 'for place in opt etc run usr/local/bin; do mount --bind "$0/$place" "/$place"; done
    export BOARD_FOLDER=$0 PATH=$DOUBLES/board:$PATH; exec bash -c "$1"' "$board" "$*"
SSH
# A service that gets ready at once, unless its program is one that the board refuses; `brittle` ones end after a second.
double board/systemctl <<'SYSTEMCTL'
#!/usr/bin/env bash
program=/opt/sinew/current/usr/bin/sinew
case "$*" in
--version) echo "systemd 249" ;;
restart*)
    if grep -qf "$BOARD_FOLDER/refuses" "$program" 2>/dev/null; then
        echo failed >/run/state
    else
        echo active >/run/state
        echo '{"sequence":1,"age":0.1,"poses":[{"id":1,"score":0.9,"keypoints":[]}]}' >/run/sinew/poses.jsonl
    fi
    date +%s >/run/since
    ;;
is-active*)
    if grep -q brittle "$program" 2>/dev/null && (($(date +%s) > $(cat /run/since) + 1)); then echo failed >/run/state; fi
    cat /run/state 2>/dev/null || echo inactive
    ;;
*NRestarts*) echo 0 ;;
esac
SYSTEMCTL
for name in udevadm journalctl; do double board/$name <<<'#!/bin/sh'; done
double board/uname <<<$'#!/bin/sh\necho aarch64'

# Nothing of a program but the header that says for which machine it is.
python3 - "$scratch/program" <<'ELF'
import struct, sys
header = b"\x7fELF\x02\x01\x01".ljust(16, b"\0") + struct.pack("<HHIQQQIHHHHHH", 2, 183, 1, 0, 0, 0, 0, 64, 0, 0, 64, 0, 0)
open(sys.argv[1], "wb").write(header)
ELF
export SINEW_PROGRAM=$scratch/sinew BOARD=emulated SOAK=3 PATH=$DOUBLES/here:$PATH
program() { { cat "$scratch/program"; echo "$1"; } >"$SINEW_PROGRAM"; }

failures=0
row() { # name, command that must succeed
    local name=$1
    shift
    if "$@"; then
        echo "ok      $name"
    else
        echo "FAILED  $name; it said:"
        tail -n 15 "$scratch/said" | sed 's/^/        /'
        failures=$((failures + 1))
    fi
}
not() { ! "$@"; }
rollout() { HOSTS=$1 "$project/board/deploy/fleet.sh" >"$scratch/said" 2>&1; }
runs() { # PROGRAM BOARD...: whether all of them run it
    local board
    for board in "${@:2}"; do
        grep -q "$1" "$BOARDS/$board/opt/sinew/current/usr/bin/sinew" && grep -q active "$BOARDS/$board/run/state" || return 1
    done
}
said() { grep -Eq "$1" "$scratch/said"; }
three=robot@a,robot@b,robot@c
boards=(robot@a robot@b robot@c)

program first
row "three boards" rollout $three
row "run it" runs first "${boards[@]}"
row "each has a row with host, bundle, version, first pose, outcome" \
    [ "$(grep -Ec '^robot@[abc] +[a-z-]+ +[0-9.]+-[0-9a-f]{12} +[0-9.]+ s +ready$' "$scratch/said")" = 3 ]
row "again" rollout $three
row "changes nothing" [ "$(grep -c 'ran already$' "$scratch/said")" = 3 ]

program second
echo second >"$BOARDS/robot@a/refuses"
row "a canary that does not get ready is a failure" not rollout $three
row "it runs what it ran" runs first robot@a
row "and the table says so" said '^robot@a .*rolled back to 0.*'
row "the others are untouched" runs first robot@b robot@c
row "the table says that as well" [ "$(grep -c '^robot.*not begun$' "$scratch/said")" = 2 ]
row "nothing was copied to them" [ "$(find "$BOARDS"/robot@[bc]/opt/sinew/versions -mindepth 1 -maxdepth 1 | wc -l)" = 2 ]
rm "$BOARDS/robot@a/refuses"
touch "$BOARDS/robot@a/unreachable"
row "so is one without a connection" not rollout $three
row "which the table says" said '^robot@a .*failed: no connection to robot@a'
rm "$BOARDS/robot@a/unreachable"

echo second >"$BOARDS/robot@b/refuses"
row "one of three that does not get ready is a failure" not rollout $three
row "it runs what it ran" runs first robot@b
row "the others run the new one" runs second robot@a robot@c
row "the table has both" said '^robot@b .*rolled back to 0'
row "of each board" said '^robot@c .* s +ready$'
rm "$BOARDS/robot@b/refuses"

program third
touch "$BOARDS/robot@c/unreachable"
row "a board without a connection is a failure" not rollout $three
row "the others run the new one" runs third robot@a robot@b
row "the table says why" said '^robot@c .*failed: no connection to robot@c'
rm "$BOARDS/robot@c/unreachable"

program "fourth, brittle"
row "a canary that ends soon after its first frame is a failure" not rollout $three
row "all run what they ran" runs third robot@a robot@b

program fifth
many=$(printf 'robot@%s,' {1..12})
row "twelve new boards, and spaces between their names" rollout "${many//,/, }"
row "run it" runs fifth robot@{1..12}
row "one board alone is its own canary" rollout robot@a
row "a name twice is refused" not rollout robot@a,robot@a
row "no name is refused" not rollout ,
exit $((failures > 0))
