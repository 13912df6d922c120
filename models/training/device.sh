#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
# Trains on another machine, for example one with a GPU that is lent for minutes at a time:
#
#   device.sh pack DIR BINARY CONFIG [FILE…]   here: fills DIR with what the machine needs
#   device.sh run DIR OUT TASK [SECONDS]       there: trains for a slice and fills OUT
#   device.sh unpack OUT DEST                  here: brings checkpoints and curves back
#
# DIR stays under 64 MiB, OUT under 8 files of 16 MiB. To go on, unpack OUT into DIR and run again.
# `out` in CONFIG must be `out`, and its other paths must be relative: they are looked up in DIR,
# where every FILE (or folder) is copied to. The machine needs PyTorch 2.11 for Python, or LIBTORCH.
# `run` exits with 0 when the training is over, with 3 when it goes on, and with 1 for an error.
set -eu

fail() {
    echo "device.sh: $*" >&2
    exit 1
}

case ${1:-} in
pack)
    [ $# -ge 4 ] || fail "pack DIR BINARY CONFIG [FILE…]"
    dir=$2 binary=$3 config=$4
    shift 4
    grep -Eq '^out *= *"out"' "$config" || fail "$config: out must be \"out\""
    mkdir -p "$dir"
    cp "$config" "$dir/config.toml"
    cp "$0" "$dir/device.sh"
    strip -o "$dir/dance-train" "$binary"
    for file in "$@"; do
        cp -R "$file" "$dir/"
    done
    size=$(du -sk "$dir" | cut -f1)
    [ "$size" -lt 65536 ] || fail "$dir has $size KiB, more than 64 MiB"
    echo "$dir: $size KiB"
    ;;
run)
    [ $# -ge 4 ] || fail "run DIR OUT TASK [SECONDS]"
    dir=$2 out=$3 task=$4 seconds=${5:-480}
    mkdir -p "$out"
    out=$(cd "$out" && pwd)
    cd "$dir"
    torch=${LIBTORCH:-$(python3 -c 'import importlib.util as u; print(u.find_spec("torch").submodule_search_locations[0])')} ||
        fail "no PyTorch here: install it, or set LIBTORCH"
    libraries=$torch/lib
    # Where PyTorch came from wheels, CUDA's libraries are its neighbours.
    for wheel in "$torch"/../nvidia/*/lib; do
        libraries=$libraries:$wheel
    done
    status=0
    LD_LIBRARY_PATH=$libraries${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} \
        ./dance-train "$task" --config config.toml --resume --pause-after "$seconds" || status=$?
    # After an error, too, the last good checkpoint is worth having.
    if [ -d out ]; then
        rm -f "$out"/out.tar.gz.*
        tar -czf - out | split -b 15m - "$out/out.tar.gz."
        parts=$(find "$out" -name 'out.tar.gz.*' | wc -l)
        [ "$parts" -le 8 ] || fail "the checkpoints fill $parts files of 15 MiB, more than 8"
    fi
    case $status in
    0 | 3) exit "$status" ;;
    *) fail "the training ended with status $status" ;;
    esac
    ;;
unpack)
    [ $# -eq 3 ] || fail "unpack OUT DEST"
    mkdir -p "$3"
    cat "$2"/out.tar.gz.* | tar -xzf - -C "$3"
    ;;
*)
    fail "pack, run or unpack"
    ;;
esac
