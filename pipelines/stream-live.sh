#!/usr/bin/env bash
# SPDX-License-Identifier: MPL-2.0
# Live sound and picture in, a live stream with the beat overlay out.
#
# usage: pipelines/stream-live.sh LOCATION
#
# LOCATION is rtmp://SERVER/APP/KEY, rtsp://SERVER/PATH (a server that records) or the name of an
# FLV file. Test sources stand in for a device that is not there; TEST=1 takes them in any case, and
# DURATION=SECONDS ends them.
set -euo pipefail
# shellcheck source=pipelines/common.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"

(($# == 1)) || die "usage: $0 LOCATION"
location=$1 file=

need_packages "${media_packages[@]}"
case $location in
rtmp://* | rtmps://*) out=(flvmux name=mux streamable=true ! rtmp2sink location="$location") ;;
rtsp://* | rtsps://*)
    need_packages gstreamer1.0-rtsp
    out=(rtspclientsink name=mux location="$location")
    ;;
*://*) die "unknown protocol: $location (known: rtmp, rtmps, rtsp, rtsps, or a file)" ;;
*) file=$location out=(flvmux name=mux streamable=true ! filesink location=stream.flv) ;;
esac
need_plugin
need_elements onsetdetect markcombiner rhythmoverlay x264enc voaacenc
live_sources
if [[ -n $file ]]; then open_output "$file"; fi

# aligned: a viewer far away is seconds behind in any case, so marks can be exact and not predicted.
# A key frame each second lets viewers join; B-frames would only add delay.
gst-launch-1.0 -q -e \
    "${sound[@]}" ! queue ! audioconvert ! onsetdetect mode=aligned ! tee name=heard \
    heard. ! queue ! combiner.marks \
    heard. ! queue ! audioconvert ! audioresample ! audio/x-raw,rate=44100 ! voaacenc bitrate=128000 \
    ! aacparse ! queue max-size-time=5000000000 ! mux. \
    "${picture[@]}" ! queue ! videoconvert ! combiner.media \
    markcombiner name=combiner ! rhythmoverlay ! queue ! "${encodable[@]}" \
    ! x264enc tune=zerolatency speed-preset=veryfast bitrate=3000 key-int-max=30 ! h264parse ! queue ! mux. \
    "${out[@]}" >&2 ||
    die "the pipeline to $location failed"
if [[ -n $file ]]; then
    keep_output stream.flv "$file"
    say "Wrote $file"
fi
