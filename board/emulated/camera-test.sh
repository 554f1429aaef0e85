# Runs in the small guest, as /host/test.sh: the program on a real driver (vivid), while faults are injected. Every line that begins with
# "ok" or "FAILED" is one row of the fault table. "Survived" means: it goes on by itself within two seconds of the cause's end.
CAMERA=/dev/video0
. ./rows.sh
camera_module() { # vivid as a webcam: one node that gives frames
    modprobe vivid n_devs=1 node_types=0x1 num_inputs=1 input_types=0
}
set_control() { sinew cameras $CAMERA --set "$1=$2"; }
lines() { wc -l </tmp/poses.jsonl; }
start() { # options of `sinew run`
    sinew run --model /host/spots --threads 1 --sink jsonl:/tmp/poses.jsonl "$@" 2>/tmp/said &
    process=$!
    waiting_for_frames 100
}
waiting_for_frames() { # tenths of a second; whether frames come again
    local before tenths=$1
    before=$(lines 2>/dev/null || echo 0)
    while [ "$tenths" -gt 0 ]; do
        usleep 100000
        [ "$(lines 2>/dev/null || echo 0)" -gt $((before + 2)) ] && return 0
        tenths=$((tenths - 1))
    done
    return 1
}
eventually() { # tenths of a second, command: whether it succeeds within the time
    local tenths=$1
    shift
    while ! "$@"; do
        [ "$tenths" -gt 0 ] || return 1
        usleep 100000
        tenths=$((tenths - 1))
    done
}
alive() { kill -0 $process 2>/dev/null; }
survived() { alive && waiting_for_frames 20 && alive; }
said_once() { [ "$(grep -c "$1" /tmp/said)" = 1 ]; }
finish() { # signal; whether it ended within a second, and with 0 or 1
    kill -"$1" $process
    local tenths=15
    while alive && [ $tenths -gt 0 ]; do usleep 100000; tenths=$((tenths - 1)); done
    ! alive && { wait $process; [ $? -le 1 ]; }
}

camera_module
start --source $CAMERA
row "frames come" survived
row "a line says its age" grep -q '"age":' /tmp/poses.jsonl

set_control inject_v4l2_buf_flag_error 1
row "a frame that is marked as damaged" survived

set_control percentage_of_dropped_buffers 60
row "60 % of the frames lost" survived
set_control percentage_of_dropped_buffers 100
sleep 3
row "a stall is said" said "no frame for"
row "a stall is said once" said_once "no frame for"
set_control percentage_of_dropped_buffers 0
row "a stall ends" survived

set_control inject_fatal_streaming_error 1
row "a fatal error of the stream" survived
set_control inject_vidioc_reqbufs_error 1
set_control inject_fatal_streaming_error 1
row "no buffers when it starts again" survived
set_control inject_vidioc_qbuf_error 1
row "a buffer is refused" survived
set_control inject_vidioc_streamon_error 1
set_control inject_fatal_streaming_error 1
row "the stream does not start" survived
set_control disconnect 1
row "disconnected" survived
set_control timestamp_source 0
row "time stamps of the future" survived
row "ages of the future are 0 or more" sh -c "! grep -q '\"age\":-' /tmp/poses.jsonl"

echo vivid.0 >/sys/bus/platform/drivers/vivid/unbind
sleep 2
row "unplugged: it goes on" alive
echo vivid.0 >/sys/bus/platform/drivers/vivid/bind
row "plugged in again" survived
row "ends within a second when asked (SIGTERM)" finish TERM

# Somebody else has the camera when it starts.
start --source $CAMERA
other=$process
sinew run --model /host/spots --threads 1 --sink jsonl:/tmp/second.jsonl --source $CAMERA 2>/tmp/busy &
second=$!
# Starting takes seconds where a processor is emulated.
row "busy: it says so" eventually 150 grep -q "another program uses it" /tmp/busy
row "busy: it waits" kill -0 $second
process=$other
row "ends within a second when asked (SIGINT)" finish INT
row "busy: it starts when the other has gone" eventually 150 sh -c '[ "$(wc -l </tmp/second.jsonl)" -gt 3 ]'
process=$second
row "unplugged while it stops" sh -c "echo vivid.0 >/sys/bus/platform/drivers/vivid/unbind; true"
row "ends without a camera" finish TERM
echo vivid.0 >/sys/bus/platform/drivers/vivid/bind
sleep 1

start --source "v4l2:$CAMERA?size=640x360&fps=40&format=NV12"
row "NV12" survived
finish TERM
for format in UYVY RGB3 BGR3 GREY; do
    start --source "v4l2:$CAMERA?size=320x180&format=$format"
    row "$format" survived
    finish TERM
done
sinew run --model /host/spots --source "v4l2:$CAMERA?format=MJPG" 2>/tmp/said
row "a layout that it does not have is refused" [ $? = 2 ]
row "and the ones that it has are named" said YUYV
sinew run --model /host/spots --source /dev/video7 2>/tmp/said
row "a camera that is not there is an error" [ $? = 2 ]
sinew cameras >/tmp/said 2>&1
row "it is listed" said vivid
exit $failures
