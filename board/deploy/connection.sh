# Read by deploy.sh and undeploy.sh after common.sh: one connection to the board, used for everything.
#
# HOST is USER@ADDRESS, PORT and KEY are optional; SSH_OPTIONS are added to ssh's.
[[ -n ${HOST:-} ]] || fail "name the board, as in HOST=user@address"
need ssh "sudo apt-get install openssh-client"
private=$(mktemp -d)
ssh_command=(ssh -p "${PORT:-22}" ${KEY:+-i "$KEY"}
    -o ControlMaster=auto -o ControlPath="$private/%C" -o ControlPersist=60
    -o ConnectTimeout=30 -o ServerAliveInterval=15 -o StrictHostKeyChecking=accept-new ${SSH_OPTIONS:-})
disconnect() {
    "${ssh_command[@]}" -q -O exit "$HOST" 2>/dev/null || true
    rm -rf "$private"
}
trap disconnect EXIT

as_root=
on_board() { # a command of on-board.sh with its arguments
    "${ssh_command[@]}" "$HOST" "$as_root bash -s -- $*" <"$project/board/deploy/on-board.sh"
}

connect() {
    local user
    user=$("${ssh_command[@]}" "$HOST" id -u) ||
        fail "no connection to $HOST; \`ssh -p ${PORT:-22} $HOST\` must work (KEY= names a key, PORT= a port)"
    [[ $user == 0 ]] && return
    as_root="sudo -n"
    "${ssh_command[@]}" "$HOST" sudo -n true 2>/dev/null ||
        fail "$HOST may not use sudo without a password; connect as root, or allow it there:
    echo \"\$USER ALL=(ALL) NOPASSWD: ALL\" | sudo tee /etc/sudoers.d/sinew-deploy"
}
