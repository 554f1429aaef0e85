# Rows of the tests in the small guest, each "ok" or "FAILED"; a program's standard error is expected in /tmp/said.
failures=0
row() { # name, command that must succeed
    local name=$1
    shift
    if "$@"; then
        echo "ok      $name"
    else
        echo "FAILED  $name"
        failures=$((failures + 1))
        echo "        it said: $(tail -n 3 /tmp/said)"
    fi
}
said() { grep -q "$1" /tmp/said; }
not() { ! "$@"; }
eventually() { # tenths of a second, command: whether it succeeds within the time
    local tenths=$1
    shift
    while ! "$@"; do
        [ "$tenths" -gt 0 ] || return 1
        usleep 100000
        tenths=$((tenths - 1))
    done
}
