# Runs on the board, as root, read by bash from `make deploy` and `make undeploy`:
#
#     facts                 what has to be known before anything is copied, as `name value` lines
#     receive VERSION       makes room for a version that is not there yet, and prints where
#     activate VERSION      switches to it; prints the version before
#     engines               builds or checks engines, with what the builder says
#     bundle                prints the bundle of the configuration
#     start SECONDS         starts the service and waits for the first processed frame
#     stays SECONDS         whether the service runs for so long without a restart
#     pose SECONDS          waits for a pose, prints the line that it stands in; else the last line
#     roll-back VERSION     switches back to that version and removes the one that failed
#     prune COUNT           removes all but the newest versions
#     remove [purge]        removes everything; without purge not a changed configuration, and not engines
set -euo pipefail
base=/opt/sinew
config=/etc/sinew/config.toml
units=/etc/systemd/system
# Everything outside of `base` that belongs to the program, beside the configuration, is a link into the current version.
links=(
    "/usr/local/bin/sinew usr/bin/sinew"
    "$units/sinew.service usr/lib/systemd/system/sinew.service"
    "$units/sinew-engines.service usr/lib/systemd/system/sinew-engines.service"
    "/etc/udev/rules.d/70-sinew.rules usr/lib/udev/rules.d/70-sinew.rules"
)
wants=$units/multi-user.target.wants

current() {
    basename "$(readlink "$base/current" || true)"
}

reload() {
    systemctl daemon-reload
    udevadm control --reload
    udevadm trigger --action=change --subsystem-match=video4linux
    udevadm settle --timeout=10 || true
}

facts() {
    echo "machine $(uname -m)"
    echo "glibc $(getconf GNU_LIBC_VERSION | cut -d' ' -f2)"
    echo "rsync $(command -v rsync || true)"
    echo "systemd $(systemctl --version | awk 'NR == 1 { print $2 }')"
    echo "free $(df -Pk "$([[ -d /opt ]] && echo /opt || echo /)" | awk 'NR == 2 { print int($4 / 1024) }')"
    echo "current $(current)"
    echo "active $(systemctl is-active sinew || true)"
    echo "model $(tr -d '\0' </proc/device-tree/model 2>/dev/null || true)"
}

receive() { # VERSION
    # A version has a folder of its name when all of it is there; what was copied by half is taken up again.
    [[ -d $base/versions/$1 ]] && return
    mkdir -p "$base/versions/$1.partial"
    echo "$base/versions/$1.partial"
}

# A configuration unchanged since it was put there is replaced, any other is kept.
put_config() { # VERSION BEFORE
    local new=$base/versions/$1/etc/sinew/config.toml old=$base/versions/$2/etc/sinew/config.toml
    mkdir -p "$(dirname "$config")"
    if [[ ! -e $config ]] || { [[ -n $2 ]] && cmp -s "$config" "$old"; }; then
        install -m 644 "$new" "$config"
        rm -f "$config.new"
    elif cmp -s "$config" "$new"; then
        rm -f "$config.new"
    else
        echo "kept: $config, which was changed here" >&2
        if [[ -n $2 ]] && ! cmp -s "$old" "$new"; then
            install -m 644 "$new" "$config.new"
            echo "      what this version brings is in $config.new" >&2
        fi
    fi
}

# Switches, and has units and rules read again where they are others.
switch_to() { # VERSION BEFORE
    local changed=
    ln -sfn "versions/$1" "$base/current.new"
    mv --no-target-directory "$base/current.new" "$base/current"
    for link in "${links[@]}"; do
        local place=${link% *} target=${link#* }
        if [[ $(readlink "$place" || true) != "$base/current/$target" ]]; then
            mkdir -p "$(dirname "$place")"
            ln -sfn "$base/current/$target" "$place"
            changed=yes
        fi
        case $target in
        */bin/*) ;;
        *) cmp -s "$base/versions/$1/$target" "$base/versions/$2/$target" || changed=yes ;;
        esac
    done
    if [[ -n $changed ]]; then reload; fi
}

activate() { # VERSION
    local before
    before=$(current)
    [[ -d $base/versions/$1.partial ]] && mv "$base/versions/$1.partial" "$base/versions/$1"
    touch "$base/versions/$1"
    put_config "$1" "$before"
    # By hand: not every systemd enables a unit that is a link.
    mkdir -p "$wants"
    ln -sfn ../sinew.service ../sinew-engines.service "$wants/"
    switch_to "$1" "$before"
    echo "$before"
}

engines() {
    if [[ ! -x /usr/src/tensorrt/bin/trtexec ]]; then
        echo "engines: no trtexec on this board, so none are built and the CPU does the work; with JetPack: apt-get install libnvinfer-bin"
        return
    fi
    local since
    since=$(date +%s)
    systemctl start --no-block sinew-engines
    journalctl --follow --since "@$since" --output=cat --unit=sinew-engines &
    local journal=$!
    while [[ $(systemctl is-active sinew-engines) == activating ]]; do sleep 1; done
    sleep 1
    kill $journal
    [[ $(systemctl show --property=Result --value sinew-engines) == success ]]
}

start() { # SECONDS
    local since state
    since=$(date +%s)
    systemctl reset-failed sinew 2>/dev/null || true
    systemctl restart --no-block sinew
    for ((left = $1 * 2; left > 0; left--)); do
        state=$(systemctl is-active sinew || true)
        [[ $state == active ]] && return
        # Once may be chance.
        [[ $state == failed || $(systemctl show --property=NRestarts --value sinew) -ge 2 ]] && break
        sleep 0.5
    done
    echo "the service did not process a frame; its journal says:"
    journalctl --no-pager --since "@$since" --output=cat --unit=sinew | tail -n 30
    return 1
}

bundle() {
    sed -n 's/^model = "\(.*\)"$/\1/p' "$config"
}

stays() { # SECONDS
    local since
    since=$(date +%s)
    for ((left = $1 * 2; left > 0; left--)); do
        sleep 0.5
        [[ $(systemctl is-active sinew || true) == active && $(systemctl show --property=NRestarts --value sinew) == 0 ]] && continue
        echo "the service ended within $1 s of its first frame; its journal says:"
        journalctl --no-pager --since "@$since" --output=cat --unit=sinew | tail -n 30
        return 1
    done
}

pose() { # SECONDS
    local lines=/run/sinew/poses.jsonl line=
    for ((left = $1 * 5; left > 0; left--)); do
        # Whole lines only: the last one may be half written.
        line=$(tail -n 20 "$lines" 2>/dev/null | grep '"sequence":.*}$' | grep -m 1 '"poses":\[{' || true)
        [[ -n $line ]] && break
        sleep 0.2
    done
    [[ -n $line ]] || line=$(tail -n 2 "$lines" 2>/dev/null | grep -m 1 '"sequence":.*}$' || true)
    echo "$line"
    systemctl show --property=StatusText --value sinew
}

roll_back() { # VERSION
    local failed
    failed=$(current)
    # Where the failed version's configuration was put in place, the older one comes back.
    if cmp -s "$config" "$base/versions/$failed/etc/sinew/config.toml"; then
        install -m 644 "$base/versions/$1/etc/sinew/config.toml" "$config"
    fi
    rm -f "$config.new"
    switch_to "$1" "$failed"
    [[ $failed == "$1" ]] || rm -rf "$base/versions/$failed"
}

prune() { # COUNT
    local kept=0 version
    while read -r version; do
        if [[ $version == "$(current)" ]]; then continue; fi
        kept=$((kept + 1))
        if ((kept >= $1)); then rm -rf "${base:?}/versions/$version"; fi
    done < <(ls -t "$base/versions")
}

remove() { # [purge]
    local unchanged=
    cmp -s "$config" "$base/current/etc/sinew/config.toml" && unchanged=yes
    systemctl stop sinew sinew-engines 2>/dev/null || true
    rm -f "$wants"/sinew.service "$wants"/sinew-engines.service
    for link in "${links[@]}"; do
        # Whatever else has that name is not ours.
        if [[ $(readlink "${link% *}" || true) == "$base"/* ]]; then rm "${link% *}"; fi
    done
    systemctl reset-failed sinew sinew-engines 2>/dev/null || true
    rm -rf "$base" "$config.new"
    local state=/var/lib/private/sinew
    [[ -e $state ]] || state=/var/lib/sinew
    if [[ ${1:-} == purge ]]; then
        rm -rf "$state" /var/lib/sinew
        rm -f "$config"
    else
        [[ -n $unchanged ]] && rm -f "$config"
        rm -rf "$state/cuda"
        rmdir "$state/engines" 2>/dev/null || true
        if rmdir "$state" 2>/dev/null; then rm -f /var/lib/sinew; fi
    fi
    rmdir "$(dirname "$config")" 2>/dev/null || true
    reload
    for left in "$config" "$state"; do
        if [[ -e $left ]]; then echo "kept: $left"; fi
    done
}

case $1 in
roll-back) roll_back "$2" ;;
facts | receive | activate | engines | bundle | start | stays | pose | prune | remove) "$@" ;;
*) echo "on-board: '$1' is not a command" >&2; exit 2 ;;
esac
