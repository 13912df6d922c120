#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
# Sets this project's figures beside those of its peers, on the same audio in the same run.
#
#   tests/peers.sh [onsets]
#
# Needs: aubio-tools, a Python with librosa 0.11, mir_eval and soundfile (PYTHON=…, python3 by
# default). Builds what it needs in release mode and works in OUT (out/peers by default).
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
out=${OUT:-out/peers}
parts=${*:-onsets}

need() {
    command -v "$1" >/dev/null || { echo "peers.sh: $1 is missing: $2" >&2; exit 1; }
}

onsets() {
    need aubioonset "apt-get install aubio-tools"
    "$python" -c 'import librosa, mir_eval, soundfile' ||
        { echo "peers.sh: $python lacks librosa, mir_eval or soundfile: set PYTHON" >&2; exit 1; }
    cargo build --locked --release -q -p dance-tests --bin onset-accuracy --bin onset-speed
    mkdir -p "$out/onsets"
    target/release/onset-accuracy --seed 2 --export "$out/onsets"
    for wav in "$out"/onsets/*.wav; do
        aubioonset "$wav" >"${wav%.wav}.aubio"
    done
    # Ten minutes of stereo: the clips at 44.1 kHz one after the other, twice.
    "$python" tests/peers/onsets.py make "$out/onsets" "$out/ten-minutes.wav"
    "$python" tests/peers/onsets.py score "$out/onsets"
    "$python" tests/peers/onsets.py speed "$out/ten-minutes.wav" \
        target/release/onset-speed
}

for part in $parts; do
    case $part in
    onsets) onsets ;;
    *) echo "peers.sh: unknown part $part; there is: onsets" >&2; exit 1 ;;
    esac
done
