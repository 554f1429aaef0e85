#!/usr/bin/env bash
# Puts the program on several boards: `make deploy BOARD=orin-nano HOSTS=user@a,user@b [PORT=22] [KEY=file]`.
#
# The first is the canary: the others begin when it is ready and has stayed so for SOAK seconds (10), JOBS of them at a time (4). Each
# goes back to its version before by itself if the new one does not get ready there. USER@ADDRESS:PORT has a port of its own. What was
# said lies under LOGS (out/deploy). The environment of deploy.sh holds here too.
set -euo pipefail
. "$(dirname "$0")/common.sh"
[[ -z ${HOST:-} ]] || fail "give HOST= for one board or HOSTS= for several, not both"
profile_file "${BOARD:-}" >/dev/null
need rsync "sudo apt-get install rsync"
logs=${LOGS:-$project/out/deploy}
IFS=', ' read -ra hosts <<<"${HOSTS:-}"
((${#hosts[@]} > 0)) || fail "name the boards, the first being the one to try it on: HOSTS=user@a,user@b"
[[ -z $(printf '%s\n' "${hosts[@]}" | sort | uniq -d) ]] || fail "HOSTS names a board twice"
mkdir -p "$logs"

# Built once, for all.
SINEW_PROGRAM=$("$project/board/deploy/build.sh" "$(profile "$BOARD" glibc)")
export SINEW_PROGRAM BOARD
# Nobody sits in front of several passwords.
export SSH_OPTIONS="${SSH_OPTIONS:-} -o BatchMode=yes" SOAK=${SOAK:-10}

deploy_to() { # HOST, whose results and log get its name
    local address=$1 port=${PORT:-22} begun=$SECONDS
    rm -f "$logs/$1.result"
    if [[ $address =~ ^([^:]*):([0-9]+)$ ]]; then
        address=${BASH_REMATCH[1]}
        port=${BASH_REMATCH[2]}
    fi
    if HOST=$address PORT=$port RESULT=$logs/$1.result "$project/board/deploy/deploy.sh" >"$logs/$1.log" 2>&1; then
        echo "$1: done in $((SECONDS - begun)) s"
    else
        echo "$1: failed after $((SECONDS - begun)) s; $logs/$1.log ends:"
        tail -n 5 "$logs/$1.log" | sed 's/^/    /'
        return 1
    fi
}

value() { # HOST NAME: the last one, as a roll-back replaces some
    [[ ! -e $logs/$1.result ]] || sed -n "s/^$2\t//p" "$logs/$1.result" | tail -n 1
}

table() {
    local host outcome row='%-28s %-22s %-20s %-11s %s\n'
    # shellcheck disable=SC2059
    printf "\n$row" host bundle version "first pose" outcome
    for host; do
        outcome=$(value "$host" outcome)
        if [[ -n ${untouched[$host]:-} ]]; then
            outcome="not begun"
        elif [[ -z $outcome ]]; then
            outcome="failed: $(tail -n 1 "$logs/$host.log" | sed 's/^sinew: //')"
        fi
        # shellcheck disable=SC2059
        printf "$row" "$host" "$(value "$host" bundle)" "$(value "$host" version)" "$(value "$host" pose)" "$outcome"
    done
}

declare -A untouched
canary=${hosts[0]}
others=("${hosts[@]:1}")
echo "canary: $canary"
if ! deploy_to "$canary"; then
    for host in "${others[@]}"; do
        untouched[$host]=yes
        rm -f "$logs/$host.result"
    done
    table "${hosts[@]}"
    fail "$canary did not get ready; the others were not begun"
fi
failed=0
for host in "${others[@]}"; do
    # As many at a time as this machine's network is asked to bear.
    while (($(jobs -rp | wc -l) >= ${JOBS:-4})); do sleep 0.1; done
    deploy_to "$host" &
done
for process in $(jobs -p); do wait "$process" || failed=$((failed + 1)); done
table "${hosts[@]}"
((failed == 0)) || fail "$failed of ${#hosts[@]} boards did not get ready"
