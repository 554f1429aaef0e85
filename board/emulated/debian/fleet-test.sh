#!/usr/bin/env bash
# `make deploy HOSTS=...` on two emulated arm64 boards with Debian; with more boards, as doubles: board/fleet/test/rollout-test.sh.
set -euo pipefail
. "$(dirname "$0")/prepare.sh"
declare -A ports processes
for name in one two; do
    board_on "$image" "$cache/kernel" "$initramfs" "$key" "$scratch/$name"
    ports[$name]=$port
    processes[$name]=$board_process
done
all_off() {
    for name in one two; do on "$name" board_off; done
    rm -rf "$scratch"
}
trap all_off EXIT
on() { # BOARD COMMAND...: a command of board.sh, of that board
    port=${ports[$1]} board_process=${processes[$1]} board_folder=$scratch/$1
    "${@:2}"
}
export BOARD=emulated KEY=$key WAIT=180 LOGS=$scratch/logs
export SSH_OPTIONS="-o UserKnownHostsFile=/dev/null -o StrictHostKeyChecking=no -o LogLevel=ERROR"
HOSTS=root@127.0.0.1:${ports[one]},root@127.0.0.1:${ports[two]}
export HOSTS
original=$SINEW_PROGRAM
rollout() { "$project/board/deploy/fleet.sh" >"$scratch/said" 2>&1 || { cat "$scratch/said"; return 1; }; }
# What follows an ELF file's sections is not read.
version() { cp "$original" "$scratch/sinew"; echo "version $1" >>"$scratch/sinew"; SINEW_PROGRAM=$scratch/sinew; }
runs() { # PROGRAM BOARD
    on "$2" board "tail -n 1 /opt/sinew/current/usr/bin/sinew | grep -aq 'version $1\$'" && on "$2" processes_frames
}
# A board on which that version does not start: 3, as the service counts 1 as success.
refuses() { # PROGRAM BOARD
    on "$2" board "mkdir -p /run/systemd/system/sinew.service.d && printf '[Service]\nExecStartPre=/bin/sh -c \"if tail -n 1 /opt/sinew/current/usr/bin/sinew | grep -aq version.$1; then exit 3; fi\"\n' \
        >/run/systemd/system/sinew.service.d/refuse.conf && systemctl daemon-reload"
}

version first
row "two boards" rollout
sed 's/^/        /' "$scratch/said"
row "the first runs it" runs first one
row "and the second" runs first two
version second
refuses second one
row "a canary that does not get ready is a failure" not rollout
sed 's/^/        /' "$scratch/said"
row "it runs what it ran" runs first one
row "the other is untouched" runs first two
version third
refuses third two
row "one of two that does not get ready is a failure" not rollout
sed 's/^/        /' "$scratch/said"
row "it runs what it ran" runs first two
row "the other runs the new version" runs third one
exit $((failures > 0))
