#!/usr/bin/env bash
# SPDX-License-Identifier: MPL-2.0
# File in, marks out: the onsets, beats and downbeats of MEDIA with their instants.
#
# usage: pipelines/marks-from-file.sh MEDIA [MARKS]
#
# MARKS is MEDIA's name with .jsonl unless given; its ending chooses the format: .jsonl (JSON
# lines), .csv, .txt (Audacity labels) or .vtt (WebVTT). MODE=low-latency or MODE=aligned reports
# what a live run would have, instead of what the whole file tells.
set -euo pipefail
# shellcheck source=pipelines/common.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"

(($# == 1 || $# == 2)) || die "usage: $0 MEDIA [MARKS]"
marks=${2:-${1##*/}.jsonl}
case $marks in
*.jsonl | *.json) format=jsonl ;;
*.csv) format=csv ;;
*.txt) format=audacity ;;
*.vtt) format=webvtt ;;
*) die "unknown kind of marks file: $marks (known: .jsonl, .csv, .txt, .vtt)" ;;
esac

need_packages "${media_packages[@]}"
need_plugin
need_elements onsetdetect marksink
open_media "$1"
open_output "$marks"

gst-launch-1.0 -q \
    uridecodebin uri="$uri" caps=audio/x-raw expose-all-streams=false \
    ! audioconvert ! onsetdetect mode="${MODE:-offline}" ! marksink location=marks format="$format" >&2 ||
    die "the pipeline failed on $media"
keep_marks marks "$marks"
say "Wrote $marks"
