#!/usr/bin/env bash
# Sinew's TensorRT binding against NVIDIA's own code, without a GPU: `make check-nvidia`, on x86-64 Linux with Python 3.11.
#
# RUNNING THIS ACCEPTS NVIDIA'S LICENCE TERMS for the packages that it installs with pip: tensorrt-bindings,
# tensorrt-cu12-bindings, tensorrt-dispatch-cu12-libs, tensorrt-rtx-cu12-libs and -bindings. Read them in the wheels. They are
# installed into a temporary folder and removed at the end; nothing of them may be committed, cached for others or passed on.
#
# Parts, each of which fails by itself; PARTS names those that are wanted (bindings parser imports runtime):
#   bindings   NVIDIA's compiled Python bindings drive our doubles of libnvinfer: the places and arguments of every function that
#              Sinew calls are then what NVIDIA's compiler took from the headers of that version. A double with another version's
#              tables must fail (the negative control).
#   bindings-arm  the same for aarch64, under QEMU, with Debian's Python for arm64 (installs QEMU and a cross compiler; as root).
#   parser     every graph and shape of `engine build --dry-run`, through the ONNX parser and builder of TensorRT-RTX; with
#              those graphs that a strongly typed TensorRT takes instead.
#   imports    the same for what `make import` makes of each official network, with random weights (makes .venv-import).
#   runtime    real runtime libraries that find no driver: the program tells the library's reason, ends with 2, and `auto` takes tract.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
project=$(cd "$here/../.." && pwd)
sinew=$(realpath "${1:-${CARGO_TARGET_DIR:-$project/target}/release/sinew}")
parts=${PARTS:-bindings parser imports runtime}
python=${PYTHON3:-python3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

result() { # STATUS NAME [DETAILS]
    printf '%-7s %s\n' "$1" "${*:2}"
    [[ $1 == ok ]] || failed=$((failed + 1))
}

install() { # FOLDER PACKAGE... [OPTION...]
    local folder=$1
    shift
    "$python" -m pip install --quiet --no-deps --disable-pip-version-check --root-user-action ignore --target "$folder" "$@" \
        >"$work/pip.log" 2>&1 || {
        result FAILED "pip install $*: $(tail -n 1 "$work/pip.log")"
        return 1
    }
}

cxx=c++
double() { # VERSION MAJOR FOLDER: our double under the names that the bindings link against
    mkdir -p "$3"
    "$cxx" -std=c++17 -O1 -shared -fPIC "-DTRT_VERSION=$1" "$project/tests/tensorrt/nvinfer.cpp" "$here/unused.cpp" \
        -Wl,-soname,"libnvinfer.so.$2" -o "$3/libnvinfer.so.$2"
    local name
    for name in nvinfer_plugin nvonnxparser nvparsers; do
        "$cxx" -std=c++17 -O1 -shared -fPIC "-DPART_$name" "$here/unused.cpp" -Wl,-soname,"lib$name.so.$2" -o "$3/lib$name.so.$2"
    done
}

drive() { # SITE FOLDER MAJOR
    PYTHONPATH=$1 LD_LIBRARY_PATH=$2 timeout 60 "$python" "$here/drive.py" "$2" "$3" >"$work/drive.log" 2>&1
}

check_bindings() {
    local row number major package
    for row in 8601:tensorrt-bindings==8.6.1 100300:tensorrt-cu12-bindings==10.3.0 101303:tensorrt-cu12-bindings==10.13.3.9 \
        101601:tensorrt-cu12-bindings==10.16.1.11 110400:tensorrt-cu12-bindings==11.4.0.106; do
        number=${row%%:*} package=${row#*:}
        major=$((number < 10000 ? number / 1000 : number / 10000))
        install "$work/$number" "$package" || continue
        double "$number" "$major" "$work/double-$number"
        if drive "$work/$number" "$work/double-$number" "$major"; then
            result ok "bindings $package drive the double of $number: $(tail -n 1 "$work/drive.log")"
        else
            result FAILED "bindings $package on the double of $number: $(tail -n 1 "$work/drive.log")"
        fi
    done
    # Bindings of 10 on 11's tables, behind 10's names.
    double 110400 10 "$work/double-wrong"
    if drive "$work/100300" "$work/double-wrong" 10; then
        result FAILED "negative control: bindings of 10.3 did not notice the tables of 11"
    else
        result ok "negative control: bindings of 10.3 fail on the tables of 11"
    fi
}

# On aarch64 these packages go by the name of CUDA 13.
check_bindings-arm() {
    local root=$work/arm64 apt=$work/arm64-apt version number major tag platforms=()
    . "$project/board/emulated/foreign.sh"
    . "$project/board/emulated/install.sh"
    install_if_missing qemu-aarch64 qemu-user
    install_if_missing aarch64-linux-gnu-g++ g++-aarch64-linux-gnu
    foreign_update "$apt"
    version=$(foreign_apt "$apt" apt-cache depends python3-minimal | sed -n 's/.*PreDepends: python\(3[.0-9]*\)-minimal/\1/p')
    foreign_unpack "$apt" "$root" "python$version-minimal" "libpython$version-minimal" "libpython$version-stdlib" \
        libexpat1 zlib1g libffi8 libc6 libstdc++6 libgcc-s1
    for tag in 17 28 31 35; do
        platforms+=(--platform "manylinux_2_${tag}_aarch64")
    done
    cxx=aarch64-linux-gnu-g++
    for number in 101303:10.13.3.9 101601:10.16.1.11 110400:11.4.0.106; do
        major=$((${number%%:*} / 10000)) tag=${number%%:*}-arm
        install "$work/$tag" "tensorrt-cu13-bindings==${number#*:}" --only-binary :all: --python-version "$version" "${platforms[@]}" ||
            continue
        double "${number%%:*}" "$major" "$work/double-$tag"
        if timeout 120 qemu-aarch64 -L "$root" -E "PYTHONPATH=$work/$tag" -E "LD_LIBRARY_PATH=$work/double-$tag" \
            "$root/usr/bin/python$version" "$here/drive.py" "$work/double-$tag" "$major" >"$work/drive.log" 2>&1; then
            result ok "aarch64: bindings ${number#*:} drive the double of ${number%%:*}: $(tail -n 1 "$work/drive.log")"
        else
            result FAILED "aarch64: bindings ${number#*:} on the double of ${number%%:*}: $(tail -n 1 "$work/drive.log")"
        fi
    done
    cxx=c++
}

rtx() {
    local version=1.7.1.116
    [[ -d $work/rtx ]] || install "$work/rtx" "tensorrt-rtx-cu12-libs==$version" "tensorrt-rtx-cu12-bindings==$version"
}

parse() { # BUNDLE...
    local bundle precision size sizes
    : >"$work/commands"
    for bundle; do
        mapfile -t sizes < <(sed -n 's/^sizes = {\(.*\)}/\1/p' "$bundle/bundle.toml" | grep -o '[a-z][a-z0-9-]* =' | tr -d ' =')
        for size in default "${sizes[@]}"; do
            for precision in fp32 fp16 int8; do
                "$sinew" --quiet engine build --dry-run --model "$bundle" --size "$size" --precision "$precision" \
                    >>"$work/commands" 2>"$work/refused" ||
                    # Every bundle has graphs of 32 bits.
                    [[ $precision != fp32 ]] || result FAILED "$bundle: $(tail -n 1 "$work/refused")"
            done
        done
    done
    PYTHONPATH=$work/rtx "$python" "$here/graphs.py" "$work/commands" || failed=$((failed + 1))
}

check_parser() {
    rtx || return 0
    parse "$project"/models/bundles/*/
}

check_imports() {
    local importer=$project/.venv-import/bin/python bundles
    [[ -x $project/.venv/bin/python ]] && importer=$project/.venv/bin/python
    rtx || return 0
    PYTHONPATH=$project "${IMPORTER:-$importer}" "$here/imports.py" "$work/imports" ${IMPORTS:-} >"$work/imported" || {
        result FAILED "the imports with random weights were not made"
        return 0
    }
    mapfile -t bundles <"$work/imported"
    parse "${bundles[@]}"
}

check_runtime() {
    local package version code bundle=$project/models/bundles/lofr-tiny
    # For the program's own look at the GPU. NVIDIA's library does not see it: it asks the system for its driver.
    cc -shared -fPIC -DINTEGRATED=1 -x c "$project/tests/tensorrt/cuda.c" -o "$work/driver-double.so"
    for version in 10.16.1.11 11.4.0.106; do
        package=tensorrt-dispatch-cu12-libs==$version
        install "$work/dispatch-$version" "$package" || continue
        SINEW_TENSORRT_LIBRARY=$(find "$work/dispatch-$version" -name 'libnvinfer_dispatch.so.*' | head -n 1)
        export SINEW_TENSORRT_LIBRARY SINEW_CUDA_LIBRARY=$work/driver-double.so SINEW_ENGINES=$work/engines
        code=0
        "$sinew" engine build --model "$bundle" >"$work/log" 2>&1 || code=$?
        if [[ $code == 2 ]] && grep -qi 'cuda' "$work/log"; then
            result ok "runtime $version refuses, and the reason is told: $(grep -i cuda "$work/log" | tail -n 1 | cut -c 1-160)"
        else
            result FAILED "runtime $version: exit $code: $(tail -n 1 "$work/log" | cut -c 1-200)"
        fi
        code=0
        "$sinew" run -v --model "$bundle" --source "$project/tests/data/photos/hopper.jpg" --sink jsonl:/dev/null >"$work/log" 2>&1 || code=$?
        if [[ $code == 0 ]] && grep -q 'taking tract' "$work/log"; then
            result ok "runtime $version: auto takes tract"
        else
            result FAILED "runtime $version: auto: exit $code: $(tail -n 1 "$work/log" | cut -c 1-200)"
        fi
    done
}

[[ $(uname -m) == x86_64 ]] || { echo "make check-nvidia: the packages that it compares with are those for x86-64" >&2; exit 2; }
for part in $parts; do
    "check_$part"
done
echo "$failed failed"
[[ $failed == 0 ]]
