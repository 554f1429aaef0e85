# Runs in the small guest, as /host/test.sh: what cannot begin says so and does no harm, and what stands still is started again.
. ./rows.sh
. ./running.sh
cp /host/peer /bin/peer
CAMERA=/dev/video0
modprobe vivid n_devs=2 node_types=0x1,0x1 num_inputs=1,1 input_types=0,0
refused() { # words that must be said, options of `sinew run`
    local words=$1
    shift
    echo kept >/tmp/kept.jsonl
    sinew run --threads 1 --sink jsonl:/tmp/kept.jsonl "$@" 2>/tmp/said
    [ $? = 2 ] && said "$words"
}
kept() { [ "$(cat /tmp/kept.jsonl)" = kept ]; }
spoilt() { # bundle: a copy of it to be spoilt
    rm -rf /tmp/bad
    cp -r "$1" /tmp/bad
}
flip() { # file: one of its bytes becomes another
    printf '\125' | dd of="$1" bs=1 seek=$(($(wc -c <"$1") / 2)) conv=notrunc 2>/dev/null
}
name_hash() { # file of /tmp/bad: the manifest names the hash that it has now
    sed -i "s/\(\"$1\", sha256 = \"\)[0-9a-f]*/\1$(sha256sum "/tmp/bad/$1" | cut -c 1-64)/" /tmp/bad/bundle.toml
}

start --source $CAMERA
spoilt /host/spots
flip /tmp/bad/backbone.onnx
row "a graph with a wrong byte" refused backbone.onnx --model /tmp/bad --source /dev/video1
row "a graph with a wrong byte: an earlier output is kept" kept
spoilt /host/spots
dd if=/host/spots/backbone.onnx of=/tmp/bad/backbone.onnx bs=100 count=3 2>/dev/null
name_hash backbone.onnx
row "a graph that is cut, as its bundle wants it" refused backbone.onnx --model /tmp/bad --source /dev/video1
spoilt /host/spots
sed -i 's/^short_side.*/short_side = /' /tmp/bad/bundle.toml
row "a manifest that cannot be read" refused bundle.toml --model /tmp/bad --source /dev/video1
row "a manifest that cannot be read: an earlier output is kept" kept
spoilt /host/spots
rm /tmp/bad/kam.onnx
row "a graph that is missing" refused kam.onnx --model /tmp/bad --source /dev/video1
row "a graph that is missing: an earlier output is kept" kept
echo '{"keypoints": [{"name": "left", "x": 80, "y": 112}, {"name": "right", "x": 176, "y": 112}], "edges": []}' >/tmp/thing.json
sinew enrol --model /host/colours --image /host/picture.jpg --keypoints /tmp/thing.json --out /tmp/good.template 2>/tmp/said
row "a template is made" [ -s /tmp/good.template ]
cp /tmp/good.template /tmp/bad.template
flip /tmp/bad.template
row "one of two templates has a wrong byte" refused bad.template --model /host/colours \
    --template /tmp/good.template --template /tmp/bad.template --source /dev/video1
row "one of two templates has a wrong byte: an earlier output is kept" kept
row "one of two cameras is not there" refused /dev/video7 --model /host/spots --source /dev/video1 --source /dev/video7
row "one of two cameras is not there: an earlier output is kept" kept
row "another run goes on all the while" survived
row "and ends" finish TERM

# The thread that processes frames stands still: the kernel freezes that one, the others go on.
rm -f $lines
peer supervise 4 sinew run --model /host/spots --threads 1 --sink jsonl:$lines --preview 8080 --source $CAMERA >/tmp/heard 2>/tmp/said &
supervisor=$!
heard() { # line, how often at least
    [ "$(grep -c "^$1" /tmp/heard)" -ge "$2" ]
}
row "service: ready after the first frame" eventually 200 heard READY=1 1
row "service: a frame was processed before" [ "$(how_many)" -gt 1 ]
row "service: the watchdog is fed" eventually 100 heard WATCHDOG=1 2
process=$(sed -n 's/^started //p' /tmp/heard)
mkdir -p /tmp/group
mount -t cgroup2 none /tmp/group
mkdir /tmp/group/run
echo "$process" >/tmp/group/run/cgroup.procs
mkdir /tmp/group/run/frozen
echo threaded >/tmp/group/run/frozen/cgroup.type
# The first thread of the process is the one that processes frames.
echo "$process" >/tmp/group/run/frozen/cgroup.threads
echo 1 >/tmp/group/run/frozen/cgroup.freeze
sleep 0.3
fed=$(grep -c WATCHDOG=1 /tmp/heard)
frames=$(number 'sinew_frames_total{camera="0"}')
sleep 1
row "frozen inference: no frame is processed" is_number 'sinew_frames_total{camera="0"}' "$frames"
row "frozen inference: other threads go on" [ -n "$frames" ]
row "frozen inference: the watchdog is not fed" [ "$(grep -c WATCHDOG=1 /tmp/heard)" = "$fed" ]
row "frozen inference: started again" eventually 100 heard started 2
row "frozen inference: ready again" eventually 200 heard READY=1 2
row "frozen inference: frames come again" frames_come 20
kill -9 $supervisor
process=$(sed -n 's/^started //p' /tmp/heard | tail -n 1)
kill -TERM "$process"
exit $failures
