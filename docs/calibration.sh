#!/usr/bin/env bash
# SPDX-License-Identifier: MPL-2.0
# Draws docs/images/calibration.png: how often a beat of a given confidence is right.
#
# usage: docs/calibration.sh FOLDER...
#
# The folders hold X.wav and X.beats, as tests/music.sh makes them.
set -euo pipefail
# shellcheck source=pipelines/common.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/../pipelines/common.sh"

(($# > 0)) || die "usage: $0 FOLDER..."
need_packages gnuplot-nox
csv=$(mktemp)
trap 'rm -f -- "$csv"' EXIT
cargo run --locked --quiet --release --manifest-path "$root/Cargo.toml" -p dance-tests \
    --bin beat-accuracy -- --bar 4 --calibration "$csv" "$@"
gnuplot <<END
set terminal pngcairo size 720,540 font "sans,12"
set output "$root/docs/images/calibration.png"
set datafile separator ","
set key bottom right
set xlabel "confidence told"
set ylabel "share of such beats within 70 ms of a true one"
set xrange [0:1]
set yrange [0:1]
set grid
plot x with lines lc rgb "#aaaaaa" title "as told", \
    "< grep ^online $csv" using 5:6:(sqrt(\$4)/25) with points pt 7 ps variable lc rgb "#e69f00" title "live", \
    "< grep ^offline $csv" using 5:6:(sqrt(\$4)/25) with points pt 7 ps variable lc rgb "#0072b2" title "offline"
END
say "Wrote $root/docs/images/calibration.png"
