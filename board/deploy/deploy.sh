#!/usr/bin/env bash
# Puts the program on a board and shows the first pose: `make deploy BOARD=orin-nano HOST=user@address [PORT=22] [KEY=file]`.
#
# KEEP is how many versions stay on the board (3), WAIT how many seconds the first frame may take (120), SOAK for how many it must
# run from then on (0), SINEW_PROGRAM a program that is built already, RESULT a file for what fleet.sh wants to know.
set -euo pipefail
. "$(dirname "$0")/common.sh"
result() { # NAME VALUE
    [[ -z ${RESULT:-} ]] || printf '%s\t%s\n' "$1" "$2" >>"$RESULT"
}
board=${BOARD:-}
profile_file "$board" >/dev/null
need rsync "sudo apt-get install rsync"
. "$project/board/deploy/connection.sh"
connect
glibc=$(profile "$board" glibc)

declare -A fact
while read -r name value; do fact[$name]=$value; done < <(on_board facts)
[[ ${fact[machine]:-} == aarch64 ]] || fail "$HOST is a ${fact[machine]:-machine that says nothing}, not an aarch64 board"
[[ -n ${fact[rsync]} ]] || fail "rsync is missing on $HOST; install it there: sudo apt-get install rsync"
[[ $(printf '%s\n' "${fact[glibc]}" "$glibc" | sort -V | tail -n 1) == "${fact[glibc]}" ]] ||
    fail "$HOST has glibc ${fact[glibc]}, board/profiles/$board.toml says $glibc: is BOARD=$board right?"
((fact[free] >= 300)) || fail "$HOST has ${fact[free]} MiB free in /opt; 300 are needed"
echo "board: ${fact[model]:-$HOST}, glibc ${fact[glibc]}, systemd ${fact[systemd]}; running: ${fact[current]:-nothing yet}"

program=$("$project/board/deploy/build.sh" "$glibc")
tree=$private/tree
"$project/board/deploy/tree.sh" "$board" "$program" "$tree"
version=$(program_version)-$(cd "$tree" && find . -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum | cut -c1-12)

folder=$(on_board receive "$version")
if [[ -n $folder ]]; then
    # What the current version has as well becomes a link to it, which costs neither time nor space.
    rsync --recursive --links --perms --checksum --delete ${fact[current]:+--link-dest="/opt/sinew/versions/${fact[current]}"} \
        ${as_root:+--rsync-path="sudo -n rsync"} --rsh="${ssh_command[*]}" "$tree/" "$HOST:$folder/"
fi
result version "$version"
before=$(on_board activate "$version")
result bundle "$(on_board bundle)"

show_pose() {
    local status line
    : "${shown:=$(on_board pose 20)}"
    status=${shown##*$'\n'}
    line=${shown%$'\n'*}
    # A tracked pose begins with its identity.
    local pose='"poses":\[(\{[^}]*"score":([0-9.e-]+)[^}]*\})' age='"age":([0-9.]+)' said="of unknown age"
    [[ $line =~ $age ]] && said="${BASH_REMATCH[1]} s after its capture"
    if [[ $line =~ $pose ]]; then
        echo "first pose: score ${BASH_REMATCH[2]}, $said"
        echo "${BASH_REMATCH[1]}"
    elif [[ -n $line ]]; then
        echo "frames are processed, but no pose was detected in them yet"
    else
        echo "frames are processed; the configuration sends the poses elsewhere than to /run/sinew/poses.jsonl"
    fi
    echo "service: ${status:-running}"
}

started() {
    if [[ $(profile "$board" backend) == tensorrt ]]; then
        on_board engines || {
            echo "the engines were not built; what the builder said is above" >&2
            return 1
        }
    fi
    local begun=$EPOCHREALTIME
    on_board start "${WAIT:-120}" || return 1
    shown=$(on_board pose 20)
    [[ $shown != *'"poses":[{'* ]] || result pose "$(awk "BEGIN { printf \"%.1f s\", $EPOCHREALTIME - $begun }")"
    ((${SOAK:-0} == 0)) || on_board stays "$SOAK"
}

if [[ $before == "$version" && ${fact[active]} == active ]]; then
    echo "$version is there already and runs"
    outcome="ran already"
elif started; then
    echo "$version runs"
    outcome=ready
elif [[ -n $before && $before != "$version" ]]; then
    echo "rolling back to $before" >&2
    on_board roll-back "$before"
    result bundle "$(on_board bundle)"
    result outcome "not ready; $before does not start either"
    on_board start "${WAIT:-120}" || fail "$before does not start either; see above, and \`sinew doctor\` on the board"
    result outcome "rolled back to $before"
    fail "$version did not start; $before runs again"
else
    result outcome "not ready, and there is no version before"
    fail "$version did not start, and there is no other; it is left there and tries on. \`sinew doctor\` on the board may know why"
fi
on_board prune "${KEEP:-3}"
show_pose
result outcome "$outcome"
