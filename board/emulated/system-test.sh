# Runs in the small guest, as /host/test.sh: what a live run does while readers, disks and networks fail, and how it ends.
. ./rows.sh
. ./running.sh
cp /host/peer /bin/peer
CAMERA=/dev/video0
# Small, so that a client that does not read is noticed after some images, not after megabytes.
for memory in rmem wmem; do echo 4096 16384 32768 >/proc/sys/net/ipv4/tcp_$memory; done
modprobe vivid n_devs=1 node_types=0x1 num_inputs=1 input_types=0

# A reader of the socket is stalled, then killed.
echo 8192 >/proc/sys/net/core/wmem_default
# A camera whose name is long makes lines long, which fill a buffer of 256 KiB soon.
folder=/tmp
for _ in 1 2 3 4 5 6 7 8 9 10 11 12; do folder=$folder/$(printf '%0250d' 0); done
mkdir -p "$folder"
ln -s $CAMERA "$folder/camera"
start --source "v4l2:$folder/camera" --sink unix:/tmp/poses.socket
peer read /tmp/poses.socket >/tmp/read &
reader=$!
eventually 50 [ -s /tmp/read ]
descriptors() { ls /proc/$process/fd | wc -l; }
without=$(descriptors)
peer hold /tmp/poses.socket &
stalled=$!
slow='sinew_lines_dropped_total{reason="reader"}'
is_counted() { [ "$(number "$slow")" -gt 0 ]; }
before
row "stalled reader: its lines are counted" eventually 300 is_counted
row "stalled reader: survived" survived
row "stalled reader: said once" said_once "a reader is too slow"
kill -9 $stalled
forgotten() { [ "$(descriptors)" -le "$without" ]; }
row "killed reader: forgotten" eventually 20 forgotten
row "killed reader: survived" survived
row "while a reader is read: SIGTERM" finish TERM
wait $reader
# It came in the middle; its first line is the header.
count=$(($(wc -l </tmp/read) - 1))
tail -n $count /tmp/read >/tmp/its
tail -n $count $lines >/tmp/all
row "the other reader has every line to the last" cmp -s /tmp/its /tmp/all
row "the socket is gone" not [ -e /tmp/poses.socket ]

# A disk is full, and has room again.
mkdir -p /tmp/disk
mount -t tmpfs -o size=512k small /tmp/disk
fill() {
    dd if=/dev/zero of=/tmp/disk/filler bs=1k count=1000 2>/dev/null
    sleep 2
}
start --source $CAMERA --sink jsonl:/tmp/disk/poses.jsonl
fault "a full disk" 'sinew_lines_dropped_total{reason="disk"}' "lines are dropped until there is room" fill
row "a full disk: its file has whole lines" whole_lines /tmp/disk/poses.jsonl
on_disk=$(wc -l </tmp/disk/poses.jsonl)
rm /tmp/disk/filler
written_again() { [ "$(wc -l </tmp/disk/poses.jsonl)" -gt "$on_disk" ]; }
row "room again: written again within two seconds" eventually 20 written_again
row "room again: said once" said_once "there is room again;"
fill
row "a full disk: SIGTERM" finish TERM
row "a full disk: whole lines to the end" whole_lines /tmp/disk/poses.jsonl
row "a full disk: nothing else is lost" whole_lines $lines
umount /tmp/disk
sinew run --model /host/spots --source $CAMERA --sink jsonl:/dev/full 2>/tmp/said
row "a disk that is full at the start is an error" [ $? = 2 ]

# A preview client never reads.
start --source $CAMERA
before
peer hold 127.0.0.1:8080 "GET /stream HTTP/1.1

" &
client=$!
row "a client that never reads: let in" eventually 20 is_number sinew_preview_viewers 1
row "a client that never reads: survived" survived
row "a client that never reads: dropped" eventually 200 is_number sinew_preview_viewers 0
row "a client that never reads: counted" counted sinew_preview_clients_dropped_total
row "a client that never reads: the next one is served" wget -q -O /tmp/snapshot.jpg http://127.0.0.1:8080/snapshot.jpg
kill -9 $client
peer hold 127.0.0.1:8080 "GET /stream HTTP/1.1

" &
client=$!
eventually 20 is_number sinew_preview_viewers 1
row "while a client never reads: SIGTERM" finish TERM
kill -9 $client
start --source $CAMERA
wget -q -O /tmp/stream http://127.0.0.1:8080/stream &
client=$!
eventually 50 [ -s /tmp/stream ]
row "while a client watches: SIGTERM" finish TERM
row "while a client watches: its connection is closed" eventually 20 not kill -0 $client 2>/dev/null

# SIGTERM in the other states; complete results are there, whole.
start --source $CAMERA
row "running: SIGTERM" finish TERM
row "running: results are there" whole_lines $lines
sinew run --model /host/spots --source $CAMERA --sink jsonl:$lines 2>/tmp/said &
process=$!
asked=$(clock)
kill -TERM $process
row "starting: SIGTERM" ends_within 150
sinew run --model /host/logocap-tiny --threads 1 --source $CAMERA --sink jsonl:$lines --preview 8080 2>/tmp/said &
process=$!
eventually 200 numbers >/dev/null 2>&1
sleep 1
row "opening the network: nothing was processed yet" is_number 'sinew_frames_total{camera="0"}' 0
row "opening the network: SIGTERM" finish TERM
start --source $CAMERA
sinew cameras $CAMERA --set percentage_of_dropped_buffers=100
eventually 50 said "no frame for"
row "stalled camera: SIGTERM" finish TERM
sinew cameras $CAMERA --set percentage_of_dropped_buffers=0
start --source $CAMERA
other=$process
sinew run --model /host/spots --source $CAMERA --sink jsonl:/tmp/second.jsonl 2>/tmp/said &
process=$!
eventually 150 said "another program uses it"
row "busy camera: SIGTERM" finish TERM
process=$other
echo vivid.0 >/sys/bus/platform/drivers/vivid/unbind
sleep 1
row "unplugged camera: SIGTERM" finish TERM
echo vivid.0 >/sys/bus/platform/drivers/vivid/bind
sleep 1
exit $failures
