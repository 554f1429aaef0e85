# Runs in the small guest, as /host/test.sh: the program on a real driver (vivid), while faults are injected. Every line that begins with
# "ok" or "FAILED" is one row of the fault table.
. ./rows.sh
. ./running.sh
CAMERA=/dev/video0
set_control() { sinew cameras $CAMERA --set "$1=$2"; }
stream_fails_and() { # control that makes the next start fail too
    [ -z "$1" ] || set_control "$1" 1
    set_control inject_fatal_streaming_error 1
}
stall() {
    set_control percentage_of_dropped_buffers 100
    sleep 3
    set_control percentage_of_dropped_buffers 0
}
unplug_and_plug_in() {
    echo vivid.0 >/sys/bus/platform/drivers/vivid/unbind
    sleep 2
    row "unplugged: it goes on" alive
    echo vivid.0 >/sys/bus/platform/drivers/vivid/bind
}

# As a webcam: one node that gives frames.
modprobe vivid n_devs=1 node_types=0x1 num_inputs=1 input_types=0
start --source $CAMERA
row "frames come" survived
row "a line says its age" grep -q '"age":' $lines

failed=sinew_camera_failures_total
fault "a frame marked as damaged" 'sinew_frames_dropped_total{reason="corrupt"}' "a frame is corrupt" set_control inject_v4l2_buf_flag_error 1
before
set_control percentage_of_dropped_buffers 60
row "60 % of the frames lost: survived" survived
row "60 % of the frames lost: counted" counted 'sinew_frames_dropped_total{reason="driver"}'
# An emulated processor may have lost one before.
lines_said=0
row "60 % of the frames lost: said once" said_once "the driver dropped"
fault "a stall" sinew_camera_stalls_total "no frame for" stall
row "a stall: the stream was started again" counted sinew_camera_restarts_total
fault "a fatal error of the stream" $failed "dequeueing a frame failed" stream_fails_and ""
row "a fatal error of the stream: started again" counted sinew_camera_restarts_total
fault "no buffers when it starts again" $failed "requesting buffers failed" stream_fails_and inject_vidioc_reqbufs_error
fault "a buffer is refused" $failed "queueing a buffer failed" set_control inject_vidioc_qbuf_error 1
fault "the stream does not start" $failed "starting the stream failed" stream_fails_and inject_vidioc_streamon_error
fault "disconnected" $failed "No such device" set_control disconnect 1
set_control timestamp_source 0
row "time stamps of the future: survived" survived
row "time stamps of the future: ages are 0 or more" not grep -q '"age":-' $lines
fault "unplugged and plugged in again" $failed "No such device" unplug_and_plug_in
row "ends within a second when asked (SIGTERM)" finish TERM

# Another program has the camera when it starts.
start --source $CAMERA
other=$process
sinew run --model /host/spots --threads 1 --sink jsonl:/tmp/second.jsonl --preview 8081 --source $CAMERA 2>/tmp/busy &
second=$!
row "busy: it says so" eventually 150 grep -q "another program uses it" /tmp/busy
row "busy: it waits" kill -0 $second
process=$other
row "ends within a second when asked (SIGINT)" finish INT
row "busy: it starts when the other has gone" eventually 150 sh -c '[ "$(wc -l </tmp/second.jsonl)" -gt 3 ]'
row "busy: said once" [ "$(grep -c "another program uses it" /tmp/busy)" = 1 ]
process=$second
echo vivid.0 >/sys/bus/platform/drivers/vivid/unbind
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
