#!/usr/bin/env bash
# Makes a certificate authority and what it signs, in the current folder; what exists is kept.
#
#     certificates.sh broker NAME|ADDRESS...     sinew-ca.crt (for every board), sinew-broker.crt and .key
#     certificates.sh board NAME                 NAME.crt and NAME.key, for a broker with `require_certificate`
#
# sinew-ca.key signs further ones: keep it off the broker and the boards.
set -euo pipefail
umask 077
days=${DAYS:-3650}

key() { openssl ecparam -name prime256v1 -genkey -noout -out "$1"; }
# sign NAME SUBJECT EXTENSION...: NAME.key and NAME.crt, which lives a day less than what signs it.
sign() {
    local name=$1 subject=$2
    shift 2
    [[ ! -e $name.crt ]] || { echo "kept: $name.crt"; return; }
    key "$name.key"
    openssl req -new -key "$name.key" -subj "/CN=$subject" |
        openssl x509 -req -CA sinew-ca.crt -CAkey sinew-ca.key -CAcreateserial -days "$((days - 1))" -out "$name.crt" \
            -extfile <(printf '%s\n' "basicConstraints=CA:FALSE" "$@") 2>/dev/null
    chmod 644 "$name.crt"
    echo "made: $name.crt, $name.key"
}

what=${1:-}
shift || true
(($# > 0)) || { sed -n '2,7s/^# \?//p' "$0" >&2; exit 2; }
if [[ ! -e sinew-ca.crt ]]; then
    key sinew-ca.key
    openssl req -x509 -new -key sinew-ca.key -subj "/CN=Sinew fleet" -days "$days" -out sinew-ca.crt \
        -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign
    chmod 644 sinew-ca.crt
    echo "made: sinew-ca.crt, sinew-ca.key"
fi
case $what in
broker)
    # Clients compare the name that they were given with these.
    names=
    for name; do
        if [[ $name =~ ^[0-9.]+$|: ]]; then names+=,IP:$name; else names+=,DNS:$name; fi
    done
    sign sinew-broker "$1" "subjectAltName=${names#,}" extendedKeyUsage=serverAuth
    ;;
board) sign "$1" "$1" extendedKeyUsage=clientAuth ;;
*) sed -n '2,7s/^# \?//p' "$0" >&2; exit 2 ;;
esac
