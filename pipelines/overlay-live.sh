#!/usr/bin/env bash
# SPDX-License-Identifier: MPL-2.0
# Microphone in, window out: the camera's picture with the beat overlay, in time with what is heard.
#
# usage: pipelines/overlay-live.sh [MARKS]
#
# MARKS, if given, gets the marks as JSON lines. Test sources stand in for a device that is not
# there; TEST=1 takes them in any case, without a window, and DURATION=SECONDS ends them.
set -euo pipefail
# shellcheck source=pipelines/common.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"

(($# <= 1)) || die "usage: $0 [MARKS]"
marks=${1:-}

need_packages "${media_packages[@]}"
need_plugin
need_elements onsetdetect markcombiner rhythmoverlay marksink
live_sources
if [[ -n $marks ]]; then open_output "$marks"; fi

# low-latency: the sound is not delayed, beats are announced ahead, and the picture waits for its
# marks no longer than the latency that the elements declare.
gst-launch-1.0 -q -e \
    "${sound[@]}" ! queue ! audioconvert ! onsetdetect mode=low-latency ! tee name=heard \
    heard. ! queue ! combiner.marks \
    ${marks:+heard. ! queue ! marksink location=marks format=jsonl} \
    "${picture[@]}" ! queue ! videoconvert ! combiner.media \
    markcombiner name=combiner ! rhythmoverlay ! queue ! videoconvert ! "${screen[@]}" >&2 ||
    die "the pipeline failed"
if [[ -n $marks ]]; then
    keep_marks marks "$marks"
    say "Wrote $marks"
fi
