# Runs in the small guest, as /host/test.sh: a camera that sends JPEGs, played by v4l2loopback, some of them broken; and one that changes
# its layout while it is not read.
. ./rows.sh
. ./running.sh
CAMERA=/dev/video10
modprobe v4l2loopback video_nr=10
layout() { # four characters, width, height: what the next writer sends
    v4l2-ctl -d $CAMERA --set-fmt-video-out="pixelformat=$1,width=$2,height=$3" >/dev/null
}
plug_in() { # layout as above
    exec 3>$CAMERA
    layout "$@"
}
play() { # files, each a frame, again and again
    while :; do
        for frame; do
            dd if="$frame" bs=1M >&3 2>/dev/null
            usleep 30000
        done
    done &
    player=$!
}
# Without the writer's own descriptor, which would keep the device open; poses are compared, so none is smoothed.
watch() { start --no-track --source $CAMERA 3>&-; }
silence() { kill $player; wait $player 2>/dev/null; }
unplug() {
    silence
    exec 3>&-
}
play_for() { # seconds, files; then the good ones again
    local seconds=$1
    shift
    silence
    play "$@"
    sleep "$seconds"
    silence
    play /tmp/whole.jpg
}
poses_of() { # file of lines: the different poses in it
    sed -n 's/.*\("poses":\[{.*\]\),"dropped".*/\1/p' "$1" | sort -u
}
only_the_right_poses() {
    poses_of $lines >/tmp/found
    cmp -s /tmp/found /tmp/right
}

cp /host/picture.jpg /tmp/whole.jpg
cp /host/bare.jpg /tmp/bare.jpg
head -c 9000 /tmp/whole.jpg >/tmp/cut.jpg
head -c 12000 /dev/urandom >/tmp/noise.jpg
: >/tmp/empty.jpg
sinew run --model /host/spots --threads 1 --source /tmp/whole.jpg --sink jsonl:/tmp/file.jsonl 2>/tmp/said
poses_of /tmp/file.jsonl >/tmp/right
row "the image has poses" [ -s /tmp/right ]

plug_in MJPG 256 256
play /tmp/whole.jpg
watch
row "JPEGs: frames come" survived
row "JPEGs: their size" grep -q '"image":\[256,256\]' $lines
row "JPEGs: their poses are those of the file" only_the_right_poses
finish TERM
silence
play /tmp/bare.jpg
watch
row "JPEGs without Huffman tables: frames come" survived
row "JPEGs without Huffman tables: the same poses" only_the_right_poses
damaged='sinew_frames_dropped_total{reason="corrupt"}'
fault "cut and broken JPEGs between good ones" $damaged "a frame is corrupt" \
    play_for 2 /tmp/cut.jpg /tmp/whole.jpg /tmp/noise.jpg /tmp/bare.jpg /tmp/empty.jpg
row "cut and broken JPEGs: all others are processed as ever" only_the_right_poses
before
play_for 3 /tmp/cut.jpg /tmp/noise.jpg
row "nothing but broken JPEGs, then good ones: survived" survived
row "nothing but broken JPEGs: counted" counted $damaged
row "nothing but broken JPEGs: the camera was set again" counted sinew_camera_restarts_total
row "nothing but broken JPEGs: nothing else was processed" only_the_right_poses

head -c 153600 /dev/urandom >/tmp/large.yuyv
head -c 38400 /tmp/large.yuyv >/tmp/small.yuyv
change_layout() {
    unplug
    # Until the program has let it go: it starts a stream again that gives nothing.
    eventually 50 v4l2-ctl -d $CAMERA --set-fmt-video-out=pixelformat=YUYV,width=320,height=240 >/dev/null 2>&1
    plug_in YUYV 320 240
    play /tmp/large.yuyv
}
fault "another program changes layout and size" sinew_camera_stalls_total "no frame for" change_layout
row "another program changes layout and size: the new ones" eventually 20 grep -q '"image":\[320,240\]' $lines
send_small_ones() {
    silence
    play /tmp/small.yuyv
    sleep 2
    silence
    play /tmp/large.yuyv
}
before
send_small_ones
row "frames of another size than the driver says: survived" survived
row "frames of another size than the driver says: counted" counted $damaged
row "frames of another size than the driver says: set again" counted sinew_camera_restarts_total
row "ends when asked" finish TERM
unplug
exit $failures
