#!/usr/bin/env bash
# SPDX-License-Identifier: MPL-2.0
# The whole of it on one piece of music: what is missing is installed, the plugin is built, ONNX
# Runtime is fetched for its model, and MEDIA comes out with the beat overlay.
#
# usage: pipelines/demo.sh [MEDIA]
#
# Without MEDIA a song is taken from Debian's package fretsonfire-songs-sectoid. Writes to OUT
# (./out unless set): NAME.mp4 with the overlay, over the spectrum where MEDIA has no picture,
# NAME.jsonl with the marks, NAME.png with the frame at a beat.
set -euo pipefail
# shellcheck source=pipelines/common.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"

(($# <= 1)) || die "usage: $0 [MEDIA]"
out=${OUT:-out}
scripts=$root/pipelines

if (($# == 0)); then
    need_packages "${media_packages[@]}" jq fretsonfire-songs-sectoid
else
    need_packages "${media_packages[@]}" jq
    open_media "$1"
fi
need_plugin
need_onnxruntime
# Built once: the scripts below take this one.
GSTDANCE_PLUGIN_DIR=${GST_PLUGIN_PATH%%:*}
export GSTDANCE_PLUGIN_DIR

mkdir -p -- "$out" 2>/dev/null || die "cannot make the folder $out"
if (($# == 0)); then
    song=$(file_uri "/usr/share/games/fretsonfire/data/songs/sectoid/War of freedom")
    name=war-of-freedom
    open_output "$out/$name.flac"
    say "Mixing the two tracks of 'War of freedom' by Sectoid"
    # Converted alike, so that the mixer's first pad does not decide for both.
    # shellcheck disable=SC2054
    alike=(audioconvert ! audioresample ! audio/x-raw,format=S16LE,rate=44100,channels=2 ! queue)
    gst-launch-1.0 -q audiomixer name=mix ! audioconvert ! flacenc ! filesink location=song.flac \
        uridecodebin uri="$song/song.ogg" ! "${alike[@]}" ! mix. \
        uridecodebin uri="$song/guitar.ogg" ! "${alike[@]}" ! mix. >&2 || die "could not mix the song"
    media=$scratch/song.flac
    cd -- "$origin"
else
    media=$1
    name=${1##*/}
    # A file that ends in its own kind's ending would be written over.
    name=${name%.*}-dance
fi
mp4=$out/$name.mp4 marks=$out/$name.jsonl png=$out/$name.png

say "Hearing the rhythm and drawing it"
"$scripts/overlay-from-file.sh" "$media" "$mp4" "$marks"

# The downbeat nearest the middle shows the overlay at its best; a beat or an onset will do.
read -r beats downbeats onsets bpm instant < <(jq -rs '
    def median: sort | if length == 0 then 0 else .[length / 2 | floor] end;
    (map(select(.kind == "downbeat"))) as $downbeats
    | (map(select(.kind == "beat" or .kind == "downbeat"))) as $beats
    | [($downbeats, $beats, .) | select(length > 0)][0] as $shown
    | [($beats | length), ($downbeats | length), (map(select(.kind == "onset")) | length),
       ($beats | map(.bpm // empty) | median | . * 10 | round / 10),
       ($shown // [] | if length == 0 then 0 else .[length / 2 | floor]["stream-time"] end)]
    | map(tostring) | join(" ")' "$marks")

open_output "$png"
gst-launch-1.0 -q avwait name=wait mode=running-time target-running-time="$instant" \
    uridecodebin uri="$(cd -- "$origin" && file_uri "$mp4")" ! queue ! wait.vsink \
    wait.vsrc ! videoconvert ! pngenc snapshot=true ! filesink location=frame.png >&2 ||
    die "could not take a frame from $mp4"
keep_output frame.png "$png"

if ((beats)); then
    echo "tempo:  $bpm BPM; $beats beats ($downbeats downbeats), $onsets onsets"
else
    echo "tempo:  none found; $onsets onsets"
fi
printf 'movie:  %s\nmarks:  %s\nframe:  %s\n' "$mp4" "$marks" "$png"
