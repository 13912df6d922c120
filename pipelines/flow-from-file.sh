#!/usr/bin/env bash
# SPDX-License-Identifier: MPL-2.0
# File in, mp4 out: the picture of MEDIA with the flow rose, and beside it how it moves, in colours.
#
# usage: pipelines/flow-from-file.sh MEDIA MP4
#
# White is still, red goes to the right, yellow down, blue and violet to the left and up; the deepest
# colours go SCALE pixels (8 unless set) of 256 from frame to frame.
set -euo pipefail
# shellcheck source=pipelines/common.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"

(($# == 2)) || die "usage: $0 MEDIA MP4"
mp4=$2 scale=${SCALE:-8}

need_packages "${media_packages[@]}"
need_plugin
need_sight
need_elements rhythmoverlay compositor x264enc mp4mux
open_video "$1"
open_output "$mp4"

size=video/x-raw,width=640,height=360,pixel-aspect-ratio=1/1
gst-launch-1.0 -q \
    uridecodebin uri="$uri" "caps=video/x-raw(ANY)" expose-all-streams=false \
    ! queue ! "${upright[@]}" ! videoscale add-borders=true ! "$size" \
    ! hoofflow name=eye flow-scale="$scale" post-messages=false \
    ! queue ! rhythmoverlay show=rose position=bottom-right scale=2 ! videoconvert ! side.sink_0 \
    eye.flow ! queue ! videoconvert ! videoscale ! "$size" ! side.sink_1 \
    compositor name=side sink_1::xpos=640 ! videoconvert ! video/x-raw,format=I420 \
    ! x264enc speed-preset=superfast pass=qual quantizer=23 ! mp4mux ! filesink location=flow.mp4 >&2 ||
    die "the pipeline failed on $media"
keep_output flow.mp4 "$mp4"
say "Wrote $mp4"
