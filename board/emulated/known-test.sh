# Runs in the small guest, as /host/test.sh: frames that are known go into a driver (vivid's output), come out of it as a camera's, and are
# compared byte by byte; what is found in them is what is found in the file.
. ./rows.sh
. ./running.sh
cp /host/known.yuyv /host/known.y4m /tmp/
modprobe vivid n_devs=1 node_types=0x101 num_inputs=1 input_types=3 num_outputs=1 output_types=1
{ # The first signal of the driver's list is 640x480.
    for node in 0 1; do
        v4l2-ctl -d $node --set-dv-bt-timings=index=0
    done
    v4l2-ctl -d 1 --set-fmt-video-out=width=640,height=480,pixelformat=YUYV
    v4l2-ctl -d 0 --set-fmt-video=width=640,height=480,pixelformat=YUYV
    v4l2-ctl -d 0 --set-ctrl=loop_video=1,osd_text_mode=2
} >/tmp/settings 2>&1
v4l2-ctl -d 1 --stream-out-mmap --stream-from=/tmp/known.yuyv --stream-loop >/dev/null 2>&1 &
player=$!
sleep 1
# Poses are compared, so none is smoothed.
start --no-track --source "v4l2:/dev/video0?size=640x480&format=YUYV" --sink y4m:/tmp/seen.y4m
enough() { more_than 20; }
eventually 200 enough
row "known frames: ends when asked" finish TERM
kill $player

bytes=614400
sums() { # y4m video: a sum of every frame
    local at size
    at=$(head -n 1 "$1" | wc -c)
    size=$(wc -c <"$1")
    while [ $((at + 6 + bytes)) -le "$size" ]; do
        tail -c +$((at + 7)) "$1" | head -c $bytes | md5sum
        at=$((at + 6 + bytes))
    done
}
sums /tmp/known.y4m | sort -u >/tmp/known.sums
sums /tmp/seen.y4m | sort -u >/tmp/seen.sums
echo "        $(how_many) lines, $(wc -l </tmp/seen.sums) different frames of $(wc -l </tmp/known.sums)"
row "known frames: all that come are known, bit by bit" [ -z "$(grep -vxFf /tmp/known.sums /tmp/seen.sums)" ]
row "known frames: most of them come" [ "$(wc -l </tmp/seen.sums)" -ge 6 ]
poses() { sed -n 's/.*\("poses":.*\),"dropped".*/\1/p' "$1"; }
lines_of() { # video: its lines
    sinew run --model /host/spots --threads 1 --no-track --source "$1" --sink jsonl:/tmp/again.jsonl 2>/tmp/said
    poses /tmp/again.jsonl
}
poses $lines >/tmp/live
lines_of /tmp/seen.y4m >/tmp/again
row "known frames: poses are those of the recording, frame by frame" cmp -s /tmp/live /tmp/again
lines_of /tmp/known.y4m | sort -u >/tmp/known.poses
row "known frames: the file has poses in every frame" [ "$(grep -c '"score"' /tmp/known.poses)" -ge 8 ]
row "known frames: poses are those of the file" [ -z "$(grep -vxFf /tmp/known.poses /tmp/live)" ]
exit $failures
