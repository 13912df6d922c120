#!/usr/bin/env bash
# SPDX-License-Identifier: MPL-2.0
# The live overlay at 1080p30 for a while: the share of one core it takes, and dropped frames.
#
# usage: tests/soak.sh [SECONDS]
#
# Test sources at the pace of real time, a sink that keeps it. A frame counts as dropped when the
# sink got it too late to show, or when it never came. Fails on a dropped frame, or over one core.
set -euo pipefail
# shellcheck source=pipelines/common.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/../pipelines/common.sh"

seconds=${1:-60}
[[ $seconds =~ ^[1-9][0-9]*$ ]] || die "usage: $0 [SECONDS]"
need_packages "${media_packages[@]}" bc
need_plugin
need_elements onsetdetect markcombiner rhythmoverlay
log=$(mktemp)
trap 'rm -f -- "$log" "$log.time"' EXIT

sound=(audiotestsrc is-live=true num-buffers=$((seconds * 100)) samplesperbuffer=441
    wave=ticks tick-interval=500000000 sine-periods-per-tick=20 freq=880
    ! "audio/x-raw,rate=44100,channels=2")
picture=(videotestsrc is-live=true num-buffers=$((seconds * 30)) pattern=ball
    ! "video/x-raw,format=I420,width=1920,height=1080,framerate=30/1")
say "Running the live overlay at 1080p30 for $seconds s"
TIMEFORMAT='%U %S %R'
# allocation-meta-flags=0: the sink shows no overlays of its own, so each frame is blended, which is
# the dearer case.
{ time gst-launch-1.0 -v \
    "${sound[@]}" ! queue ! onsetdetect mode=low-latency ! queue ! combiner.marks \
    "${picture[@]}" ! queue ! combiner.media \
    markcombiner name=combiner ! rhythmoverlay ! queue \
    ! fpsdisplaysink name=fps text-overlay=false fps-update-interval=1000 \
    video-sink="fakevideosink allocation-meta-flags=0" >"$log" 2>&1; } 2>"$log.time" || {
    tail -n 5 "$log" >&2
    die "the pipeline failed"
}

read -r user system wall <"$log.time"
last=$(grep -o 'rendered: [0-9]*, dropped: [0-9]*' "$log" | tail -n 1)
[[ $last =~ ^rendered:\ ([0-9]+),\ dropped:\ ([0-9]+)$ ]] || die "the sink counted nothing"
rendered=${BASH_REMATCH[1]} dropped=${BASH_REMATCH[2]}
share=$(bc <<<"scale=1; 100 * ($user + $system) / $wall")
printf '%s s of 1080p30: %s %% of one core, %s frames shown, %s dropped\n' \
    "$seconds" "$share" "$rendered" "$dropped"
# The sink counts once a second, so that the last second may be missing.
((dropped == 0)) || die "dropped frames"
((rendered >= (seconds - 2) * 30)) || die "frames are missing: $rendered of $((seconds * 30))"
[[ $(bc <<<"$share < 100") == 1 ]] || die "more than one core"
