# Runs in the small guest, as /host/test.sh: several cameras in one process, and a camera whose size is not its own choice.
. ./rows.sh
. ./running.sh
set_control() { sinew cameras "$1" --set "$2=$3"; }
processed_by() { number "sinew_frames_total{camera=\"$1\"}"; }
goes_on() { # number of a camera: whether its frames are processed
    local old
    old=$(processed_by "$1")
    more_frames() { [ "$(processed_by "$1")" -gt $((old + 2)) ]; }
    eventually 20 more_frames "$1"
}
both_go_on() { goes_on 0 && goes_on 1; }

modprobe vivid n_devs=2 node_types=0x1,0x1 num_inputs=1,1 input_types=0,0
# Small frames, and not many: an emulated processor makes two cameras' images as well.
size="size=320x180&fps=15"
start --source "v4l2:/dev/video0?$size" --source "v4l2:/dev/video1?$size"
row "two cameras: both are processed" both_go_on
row "two cameras: lines name them" grep -q '"camera":1' $lines
before
set_control /dev/video1 percentage_of_dropped_buffers 100
eventually 30 said "no frame for"
row "two cameras: one stalls, the other goes on" goes_on 0
set_control /dev/video1 percentage_of_dropped_buffers 0
row "two cameras: the stall ends" goes_on 1
row "two cameras: the stall is counted" counted sinew_camera_stalls_total
row "two cameras: and said once, of the right one" said_once "/dev/video1: no frame for"
before
set_control /dev/video0 disconnect 1
row "two cameras: one is disconnected, the other goes on" goes_on 1
row "two cameras: it comes back" goes_on 0
row "two cameras: that is counted" counted sinew_camera_failures_total
row "two cameras: both are processed again" both_go_on
row "two cameras: end within a second" finish TERM
rmmod vivid

# Frames of a video input are as large as the signal: who asks for another size gets that one.
modprobe vivid n_devs=1 node_types=0x1 num_inputs=1 input_types=3
signal() { # its number in the driver's list: 0 is 640x480, 1 is 720x480
    v4l2-ctl -d 0 --set-dv-bt-timings="index=$1" >/dev/null 2>&1
}
for ability in enable_capture_scaler enable_capture_cropping enable_capture_composing; do set_control /dev/video0 $ability 0; done
signal 0
start --source "v4l2:/dev/video0?size=640x480"
row "a video input: frames come" survived
row "a video input: of its size" grep -q '"image":\[640,480\]' $lines
another_signal() { # in the moment when the program has let the device go, which is short
    (until signal 1; do :; done) &
    set_control /dev/video0 disconnect 1
    wait $!
}
fault "the driver gives another size when it starts again" sinew_camera_failures_total "No such device" another_signal
row "the driver gives another size: the new one" eventually 20 grep -q '"image":\[720,480\]' $lines
row "the driver gives another size: end within a second" finish TERM
exit $failures
