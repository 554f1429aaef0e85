#!/usr/bin/env bash
# `make deploy` and `make undeploy` on an emulated arm64 board with Debian, over ssh on 127.0.0.1, and what the service does there.
# DEPLOYS is how many versions are deployed in a row (20).
set -euo pipefail
. "$(dirname "$0")/prepare.sh"
board_on "$image" "$cache/kernel" "$initramfs" "$key" "$scratch/board"
export BOARD=emulated HOST=root@127.0.0.1 PORT=$port KEY=$key KEEP=3 WAIT=180
export SSH_OPTIONS="-o UserKnownHostsFile=/dev/null -o StrictHostKeyChecking=no -o LogLevel=ERROR"
deploy() { "$project/board/deploy/deploy.sh" >"$scratch/said" 2>&1 || { cat "$scratch/said"; return 1; }; cat "$scratch/said"; }
undeploy() { "$project/board/deploy/undeploy.sh" >"$scratch/said" 2>&1; }
current() { board readlink /opt/sinew/current; }
# Another version of the program, which does the same: what follows an ELF file's sections is not read.
other_version() { cp "$original" "$scratch/sinew"; echo "$1" >>"$scratch/sinew"; SINEW_PROGRAM=$scratch/sinew; }
original=$SINEW_PROGRAM

files_there >"$scratch/before"
row "the first deploy" deploy
row "ends with a pose and its age" grep -Eq '^first pose: score [0-9.]+, [0-9.]+ s after' "$scratch/said"
sed 's/^/        /' "$scratch/said"
row "frames are processed" processes_frames
row "nothing but the ssh server listens" board '[ "$(ss -Hltn "sport != 22" | wc -l)" = 0 ]'
row "the program is no root, and cannot become one" board \
    'p=$(systemctl show -P MainPID sinew); grep -q "^Uid:.[1-9]" /proc/$p/status && grep -q "^NoNewPrivs:.1" /proc/$p/status && grep -q "^CapBnd:.0*$" /proc/$p/status'
row "systemd rates its sandbox below 4" board 'systemd-analyze security --threshold=40 --no-pager sinew'
board 'systemd-analyze security --no-pager sinew | tail -n 1; grep VmHWM /proc/$(systemctl show -P MainPID sinew)/status' | sed 's/^/        /'

board 'sed -i "s/^model = /keypoint_threshold = 0.25\nmodel = /" /etc/sinew/config.toml'
run=$(board systemctl show -P InvocationID sinew)
row "the same again" deploy
row "says that it is there" said 'is there already and runs'
row "and starts nothing again" [ "$(board systemctl show -P InvocationID sinew)" = "$run" ]
other_version second
row "another version" deploy
row "a changed configuration is kept" board grep -q keypoint_threshold /etc/sinew/config.toml
row "which is said" said 'kept: /etc/sinew/config.toml'
row "and is what runs" board 'sinew config show | grep -q "keypoint_threshold = 0.25"'

# Read again while it runs: the same process goes on, with the new model or with the one it has.
process=$(board systemctl show -P MainPID sinew)
same_process() { [ "$(board systemctl show -P MainPID sinew)" = "$process" ] && processes_frames; }
headers() { board 'grep -c "\"bundle\":" /run/sinew/poses.jsonl'; }
logged() { board "journalctl --unit=sinew --output=cat | grep -q -- '$1'"; }
more_headers() { [ "$(headers)" -gt "$1" ]; }
edited() { board "cp /etc/sinew/config.toml /tmp/config && sed -i '$1' /etc/sinew/config.toml"; }
as_before() { board 'cat /tmp/config >/etc/sinew/config.toml'; }
count=$(headers)
edited 's/^model = /threshold = 0.35\n&/'
row "reload with another threshold" board systemctl reload sinew
row "it is used" eventually 60 logged 'the configuration was read again, the model is'
row "after a further header" eventually 30 more_headers "$count"
row "by the same process" same_process
as_before
count=$(headers)
row "sinew reload with the one before" board sinew reload
row "it is used" eventually 60 more_headers "$count"
edited 's|^model = .*|model = "/no/such/model"|'
row "reload with a model that is not there" board systemctl reload sinew
row "is refused in the log" eventually 60 logged 'the new configuration is not used, the model is still .*/no/such/model'
row "sinew reload refuses it itself" not board sinew reload
row "the model before goes on, in the same process" same_process
as_before
edited 's/^model = .*/model = /'
row "reload with a file that is no TOML" board systemctl reload sinew
row "is refused in the log" eventually 60 logged 'the new configuration is not used.*the configuration /etc/sinew/config.toml is wrong'
as_before
edited 's/^model = /no_track = true\n&/'
row "reload with an option that needs a restart" board systemctl reload sinew
row "is refused by its name" eventually 60 logged 'no_track. has changed, which needs a restart'
row "the service goes on" same_process
as_before

second=$(current)
# Its first instruction is none.
python3 - "$original" "$scratch/broken" <<'BREAK'
import struct, sys
program = bytearray(open(sys.argv[1], "rb").read())
entry, headers = struct.unpack_from("<QQ", program, 24)
size, count = struct.unpack_from("<HH", program, 54)
for index in range(count):
    kind, _, offset, address, _, length = struct.unpack_from("<IIQQQQ", program, headers + index * size)
    if kind == 1 and address <= entry < address + length:
        program[entry - address + offset : entry - address + offset + 4] = bytes(4)
open(sys.argv[2], "wb").write(program)
BREAK
SINEW_PROGRAM=$scratch/broken
row "a broken version is refused" not deploy
row "with its journal" said 'status=4/ILL'
row "and the one before runs again" said 'runs again'
row "it is the current one" [ "$(current)" = "$second" ]
row "it processes frames" processes_frames
row "the configuration is as it was" board grep -q keypoint_threshold /etc/sinew/config.toml

tar -C "$scratch" -xf "$rootfs" ./usr/bin/kmod
SINEW_PROGRAM=$scratch/usr/bin/kmod
row "a program for a newer C library is refused" not deploy
row "and told how to be built" said 'zigbuild --target aarch64-unknown-linux-gnu.2.31'

killed() { board 'systemctl kill --signal=KILL --kill-who=main sinew' && sleep 1 && eventually 60 processes_frames; }
row "killed, it comes back" killed
frozen() {
    board 'kill -STOP $(systemctl show -P MainPID sinew)' &&
        eventually 90 board 'journalctl --unit=sinew --output=cat | grep -q "Watchdog timeout"' && eventually 60 processes_frames
}
row "frozen, the watchdog starts it again" frozen

many() {
    for ((number = 1; number <= ${DEPLOYS:-20}; number++)); do
        other_version "$number"
        deploy || return 1
    done
}
row "${DEPLOYS:-20} versions in a row" many
row "at most three are left" board '[ "$(ls /opt/sinew/versions | wc -l)" -le 3 ]'
board 'du -sh /opt/sinew | cut -f1' | sed 's/^/        on disk: /'

reboot_board() {
    local boot=/proc/sys/kernel/random/boot_id
    before=$(board cat $boot)
    board reboot || true
    eventually 300 board "! grep -q $before $boot" && eventually 120 processes_frames
}
row "after a reboot it processes frames by itself" reboot_board

# A model of real size.
process=$(board systemctl show -P MainPID sinew)
board 'sed -i "s/^model = .*/model = \"logocap-tiny\"/" /etc/sinew/config.toml && systemctl reload sinew'
row "another model without a stop" eventually 120 logged 'the configuration was read again, the model is logocap-tiny now'
row "in the same process" same_process
board 'systemctl restart --no-block sinew'
memory() { board 'grep VmHWM /proc/$(systemctl show -P MainPID sinew)/status'; }
row "logocap-tiny processes frames" eventually 240 processes_frames
memory | sed 's/^/        /'
row "in at most 120 MB" [ "$(memory | tr -dc 0-9)" -le $((120 * 1000 * 1000 / 1024)) ]

row "undeploy" undeploy
files_there >"$scratch/after"
row "leaves the changed configuration, and nothing else" [ "$(comm -13 "$scratch/before" "$scratch/after")" = /etc/sinew/config.toml ]
row "and takes nothing away" [ -z "$(comm -23 "$scratch/before" "$scratch/after")" ]
row "the service is gone" not board systemctl cat sinew
row "deployed again" deploy
row "undeploy with PURGE=1" env PURGE=1 "$project/board/deploy/undeploy.sh"
files_there >"$scratch/after"
row "leaves no file" diff "$scratch/before" "$scratch/after"
exit $((failures > 0))
