# Runs in the small guest, as /host/test.sh: a multi-planar device gives the same frames as one that is not.
. ./rows.sh
. ./running.sh
# Both show the same bars, without a counter drawn into them.
modprobe vivid n_devs=2 node_types=0x1,0x1 num_inputs=1,1 input_types=0,0 multiplanar=1,2
for device in 0 1; do sinew cameras /dev/video$device --set osd_text_mode=2 >/dev/null 2>&1; done
size="size=320x180&fps=15"
bytes=86400
seen() { # device, format: some of its frames as a video at /tmp/seen-DEVICE-FORMAT.y4m
    start --source "v4l2:/dev/video$1?$size&format=$2" --sink "y4m:/tmp/seen-$1-$2.y4m"
}
first_frame() { # video: a sum of its second frame, as a first one may be half made
    tail -c +$(($(head -n 1 "$1" | wc -c) + 1)) "$1" | head -c $((2 * (bytes + 6))) | tail -c $bytes | md5sum
}
same() { [ "$(first_frame "$1")" = "$(first_frame "$2")" ]; }
row "a device of one plane: frames come" seen 0 YU12
row "a device of one plane: ends within a second" finish TERM
for format in YU12 YM12 NV12; do
    row "multi-planar, $format: frames come" seen 1 $format
    row "multi-planar, $format: go on" survived
    row "multi-planar, $format: ends within a second" finish TERM
done
row "multi-planar, YU12: the frames of the other device" same /tmp/seen-0-YU12.y4m /tmp/seen-1-YU12.y4m
row "multi-planar, YM12: in three buffers, the same" same /tmp/seen-0-YU12.y4m /tmp/seen-1-YM12.y4m
row "multi-planar, NV12: the same" same /tmp/seen-0-YU12.y4m /tmp/seen-1-NV12.y4m

start --source "v4l2:/dev/video1?$size&format=YM12"
row "multi-planar: frames come" survived
disconnect() { sinew cameras /dev/video1 --set disconnect=1 >/dev/null 2>&1; }
fault "multi-planar: disconnected" sinew_camera_failures_total "No such device" disconnect
row "multi-planar: ends within a second" finish TERM

# What was seen is kept, and seen again.
start --source "v4l2:/dev/video0?$size" --record /tmp/recording
row "a recording: frames come" survived
row "a recording: ends within a second" finish TERM
cp $lines /tmp/recorded.jsonl
sinew run --model /host/spots --threads 1 --sink jsonl:/tmp/again.jsonl --source "replay:/tmp/recording?speed=max" 2>/tmp/said
row "a recording: the same results again" sinew diff /tmp/recorded.jsonl /tmp/again.jsonl
exit $failures
