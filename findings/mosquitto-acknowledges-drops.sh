#!/usr/bin/env bash
# mosquitto: a message that is too large is acknowledged and dropped, unless another limit closes the connection.
#
# Believed: a publisher with QoS 1 learns that the broker does not take a message: there is no acknowledgement.
# True:     for clients of MQTT 3.1.1, `message_size_limit` drops the message and acknowledges it: mosquitto_pub -q 1 ends with 0 and
#           says nothing. `max_packet_size` closes the connection instead: it ends with 7.
# Seen:     2026-11-30, mosquitto and mosquitto-clients 2.0.11-1.2+deb12u2 (Debian 12).
set -euo pipefail
work=$(mktemp -d)
broker=
trap '[[ -z $broker ]] || kill "$broker" || true; rm -rf "$work"' EXIT
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')

# LIMIT...: exit code of publishing 5000 bytes, and how many bytes a subscriber gets
publish() {
    printf '%s\n' "user $(id -un)" "allow_anonymous true" "listener $port 127.0.0.1" "$@" >"$work/conf"
    mosquitto -c "$work/conf" >"$work/log" 2>&1 &
    broker=$!
    sleep 0.5
    timeout 4 mosquitto_sub -p "$port" -t t -C 1 >"$work/got" 2>/dev/null &
    local subscriber=$!
    sleep 0.5
    head -c 5000 /dev/zero | tr '\0' x >"$work/message"
    code=0
    timeout 3 mosquitto_pub -p "$port" -t t -q 1 -f "$work/message" >"$work/said" 2>&1 || code=$?
    wait "$subscriber" || true
    kill "$broker"
    wait "$broker" || true
    broker=
    got=$(tr -d '\n' <"$work/got" | wc -c)
    echo "${1:-no limit}: mosquitto_pub ended with $code (124: had to be ended), the subscriber got $got bytes"
}

publish
[[ $code == 0 && $got == 5000 ]]
publish "message_size_limit 2000"
[[ $code == 0 && $got == 0 && ! -s $work/said ]]
publish "max_packet_size 2000"
[[ $code != 0 && $got == 0 ]]
echo "as described"
