# Runs in the small guest, as /host/test.sh: the program on real screens. One is QEMU's, of 32 bits a pixel, which is photographed from outside
# while this waits; the other is that of vivid, of 16. What both must show is the drawn image, which the program writes as well.
. ./rows.sh
show() { # URI, further options
    sinew run --model /host/spots --threads 1 --source /host/picture.png --sink "$@" 2>/tmp/said
}
facts() { for name in virtual_size bits_per_pixel stride mode modes pan; do echo "        $1 $name: $(tr '\n' ' ' <"/sys/class/graphics/$1/$name")"; done; }

modprobe bochs
# The console switches the display on with its first letter, and then takes its cursor away.
printf 'x\033[2J\033[?25l' >/dev/tty1
facts fb0
row "a screen of 32 bits" show fb:/dev/fb0 --sink jsonl:/host/poses.jsonl --overlay /host/drawn
row "poses were drawn" grep -q '"score":' /host/poses.jsonl
# What was written reaches the screen a little later.
sleep 1
touch /host/ready
seconds=0
while [ ! -e /host/photographed ] && [ $seconds -lt 20 ]; do sleep 1; seconds=$((seconds + 1)); done
show "fb:/dev/fb0?format=rgb565"
row "rgb565 is refused there" said "the screen has 32"
show fb:/dev/fb7
row "a screen that is not there" said "this machine has /dev/fb0"

modprobe vivid n_devs=1 node_types=0x10101
facts fb1
row "a screen of 16 bits" show "fb:/dev/fb1?format=rgb555"
dd if=/dev/fb1 of=/host/memory.rgb555 bs=829440 count=1 2>/dev/null
exit $failures
