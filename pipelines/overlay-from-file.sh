#!/usr/bin/env bash
# SPDX-License-Identifier: MPL-2.0
# File in, mp4 out: MEDIA with the beat overlay on its picture, or on its spectrum where it has none.
#
# usage: pipelines/overlay-from-file.sh MEDIA MP4 [MARKS]
#
# MARKS, if given, gets the marks as JSON lines, as the overlay showed them.
set -euo pipefail
# shellcheck source=pipelines/common.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"

(($# == 2 || $# == 3)) || die "usage: $0 MEDIA MP4 [MARKS]"
mp4=$2 marks=${3:-}

need_packages "${media_packages[@]}"
need_plugin
need_elements onsetdetect markcombiner rhythmoverlay marksink x264enc voaacenc mp4mux
open_media "$1"
open_output "$mp4" ${marks:+"$marks"}

# The multiplexer takes sound and picture in step, while the picture waits for its marks and then
# for the frames that the encoder looks ahead. All that time the sound has to go somewhere: these
# queues hold 20 seconds, of encoded sound and of raw sound for the marks.
wide=(queue max-size-time=20000000000 max-size-buffers=0 max-size-bytes=0)
if $has_video; then
    picture=(media. ! queue max-size-time=2000000000 max-size-buffers=0 max-size-bytes=0 ! "${upright[@]}")
    expose=()
else
    picture=(heard. ! "${wide[@]}" ! "${spectrum[@]}")
    expose=(caps=audio/x-raw expose-all-streams=false)
fi

# aligned: each mark rides on the very sound it marks, which costs nothing where nobody waits.
gst-launch-1.0 -q \
    uridecodebin name=media uri="$uri" "${expose[@]}" \
    media. ! queue ! audioconvert ! onsetdetect mode=aligned ! tee name=heard \
    heard. ! "${wide[@]}" ! combiner.marks \
    heard. ! queue ! audioconvert ! audioresample ! audio/x-raw,rate=48000 \
    ! voaacenc bitrate=160000 ! "${wide[@]}" ! mux. \
    ${marks:+heard. ! queue ! marksink location=marks format=jsonl} \
    "${picture[@]}" ! combiner.media \
    markcombiner name=combiner ! rhythmoverlay ! "${encodable[@]}" \
    ! x264enc speed-preset=superfast pass=qual quantizer=23 key-int-max=60 ! queue ! mux. \
    mp4mux name=mux ! filesink location=overlay.mp4 >&2 ||
    die "the pipeline failed on $media"
keep_output overlay.mp4 "$mp4"
say "Wrote $mp4"
if [[ -n $marks ]]; then
    keep_marks marks "$marks"
    say "Wrote $marks"
fi
