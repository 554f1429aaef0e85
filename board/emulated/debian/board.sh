# Read by the tests: an emulated board with Debian on 127.0.0.1, which forgets everything when it is switched off.
#
# board_on IMAGE KERNEL_FOLDER INITRAMFS KEY FOLDER; then `board COMMAND...` runs there, and $port is its ssh port.
board_on() {
    local image=$1 kernel=$2 initramfs=$3
    board_key=$4
    board_folder=$5
    mkdir -p "$board_folder"
    rm -f "$board_folder/console"
    # One without a listener.
    port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
    # The processor of a Jetson Nano; `max` emulates three times as slowly. The network ends at this machine.
    qemu-system-aarch64 -M virt,gic-version=3 -accel tcg,thread=multi -cpu cortex-a57 -smp 2 -m 1024 -nodefaults -nographic \
        -kernel "$(echo "$kernel"/boot/vmlinuz-*)" -initrd "$initramfs" -append "console=ttyAMA0 quiet panic=-1" \
        -drive "if=none,id=disk,file=$image,format=raw,snapshot=on" -device virtio-blk-pci,drive=disk \
        -netdev "user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:$port-:22" -device virtio-net-pci,netdev=net,romfile= \
        -serial "file:$board_folder/console" >"$board_folder/qemu" 2>&1 &
    board_process=$!
    board_responds_within "${BOOT_SECONDS:-300}"
}

board() {
    ssh -q -i "$board_key" -p "$port" -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o ConnectTimeout=5 \
        -o BatchMode=yes -o ServerAliveInterval=5 -o ControlMaster=auto -o ControlPath="$board_folder/ssh" -o ControlPersist=yes \
        root@127.0.0.1 "$@"
}

board_responds_within() { # SECONDS
    local end=$((SECONDS + $1))
    until board true 2>/dev/null; do
        if ! kill -0 "$board_process" 2>/dev/null || ((SECONDS > end)) || grep -qs 'Kernel panic' "$board_folder/console"; then
            echo "the emulated board does not respond; it said:" >&2
            tail -n 20 "$board_folder/qemu" "$board_folder/console" >&2
            return 1
        fi
        sleep 0.5
    done
}

board_off() {
    [[ -z ${board_process:-} ]] || { board -O exit 2>/dev/null; kill "$board_process" 2>/dev/null; } || true
    [[ -z ${board_process:-} ]] || wait "$board_process" 2>/dev/null || true
    board_process=
}
