#!/usr/bin/env bash
# SPDX-License-Identifier: MPL-2.0
# How well a retimed video lies on its song: beats are seen anew in what came out, and heard in the song.
#
# usage: pipelines/retarget-metrics.sh VIDEO SONG RETARGETED [PATH]
#
# RETARGETED is what retarget.sh made of VIDEO and SONG, PATH the JSON that it wrote beside it. Prints a JSON object; its
# names are those of examples/retarget-metrics.rs. VISUAL=FILE names marks of the dance that are known already, MUSIC=FILE
# those of the song (JSON lines, as marksink writes them).
set -euo pipefail
# shellcheck source=pipelines/common.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"

(($# == 3 || $# == 4)) || die "usage: $0 VIDEO SONG RETARGETED [PATH]"
video=$1 song=$2 retargeted=$3 path=${4:-}

need_packages "${media_packages[@]}" gstreamer1.0-plugins-base-apps
need_plugin
need_program retarget-metrics
need_elements onsetdetect marksink
need_sight
for marks in "${VISUAL:-}" "${MUSIC:-}" "$path"; do
    [[ -z $marks || -r $marks ]] || die "cannot read: $marks"
done
scratch=$(mktemp -d)
trap 'rm -rf -- "$scratch"' EXIT

find_media "$video"
video_uri=$uri
if [[ -n ${VISUAL:-} ]]; then
    cp -- "$VISUAL" "$scratch/before"
else
    see_beats "$video_uri" "$scratch/before" || die "could not see the beats of $video"
fi
find_media "$song"
if [[ -n ${MUSIC:-} ]]; then
    cp -- "$MUSIC" "$scratch/song"
else
    hear_beats "$uri" "$scratch/song" || die "could not hear the beats of $song"
fi
find_media "$retargeted"
see_beats "$uri" "$scratch/after" || die "could not see the beats of $retargeted"
figures=("$scratch/song" "$scratch/before" "$scratch/after")
if [[ -n $path ]]; then
    length=$(length "$video_uri") || length=
    [[ -n $length ]] || die "could not find out how long $video is"
    figures+=("$path" "$length")
fi
"$program" "${figures[@]}"
