# A run of the program in the small guest, as the tests see it: it is started, its numbers are read, it is told to end.
# "Survived" means: it goes on by itself within two seconds of the cause's end.
lines=/tmp/poses.jsonl
# Read from memory, not from the host, each time.
cp /host/sinew /bin/sinew
ip link set lo up
start() { # options of `sinew run`
    rm -f $lines
    sinew run --model /host/spots --threads 1 --sink jsonl:$lines --preview 8080 "$@" 2>/tmp/said &
    process=$!
    # Starting takes seconds where a processor is emulated.
    frames_come 150
}
how_many() { { wc -l <$lines; } 2>/dev/null || echo 0; }
more_than() { [ "$(how_many)" -gt "$1" ]; }
frames_come() { eventually "$1" more_than $(($(how_many) + 2)); }
alive() { kill -0 "$process" 2>/dev/null; }
survived() { alive && frames_come 20 && alive; }
# In hundredths of a second.
clock() { cut -d ' ' -f 1 /proc/uptime | tr -d .; }
ends_within() { # hundredths of a second, since `asked`
    while alive; do
        [ $(($(clock) - asked)) -gt "$1" ] && return 1
        usleep 20000
    done
    echo "        ended after $(($(clock) - asked)) hundredths of a second"
}
# Whether it ends within a second with what it must: 0, or 1 where a frame had no result. Half a second more is for the emulated
# processor, on which the shell alone takes a part of it.
ended() {
    ends_within 150 || return 1
    wait "$process"
    [ $? -le 1 ]
}
finish() { # signal
    asked=$(clock)
    kill -"$1" "$process"
    ended
}
whole_lines() { # file: whether every line is
    [ -s "$1" ] && ! grep -qv '^{.*}$' "$1"
}

numbers() { wget -q -O - http://127.0.0.1:8080/metrics; }
number() { # name with its labels
    numbers | awk -v name="$1" '$1 == name { print $2 }'
}
is_number() { [ "$(number "$1")" = "$2" ]; }
before() { # what is counted and said from now on is news
    numbers >/tmp/before
    lines_said=$(wc -l </tmp/said)
}
# The next frame brings a number and its line, and an emulated processor takes its time for both.
counted() { eventually 50 is_more "$1"; }
is_more() { # name with its labels: than before
    local old
    old=$(awk -v name="$1" '$1 == name { print $2 }' /tmp/before)
    [ "$(number "$1")" -gt "${old:-0}" ]
}
news() { tail -n +$((lines_said + 1)) /tmp/said | grep -c "$1"; }
is_news() { [ "$(news "$1")" -gt 0 ]; }
said_once() { eventually 50 is_news "$1" && [ "$(news "$1")" = 1 ]; }
fault() { # name, number that counts it, words that say it, command that causes it
    local name=$1 number=$2 words=$3
    shift 3
    before
    "$@"
    row "$name: survived" survived
    row "$name: counted" counted "$number"
    row "$name: said once" said_once "$words"
}
