#!/usr/bin/env bash
# SPDX-License-Identifier: MPL-2.0
# A dance and a song in, a movie out that shows the dance as it was beside the dance retimed onto the song, with the beats
# that are seen in each and those that are heard.
#
# usage: pipelines/retarget-demo.sh VIDEO SONG MP4
#
# Beside MP4 it leaves the path, NAME.path.json and NAME.path.png, and prints the figures of retarget-metrics.sh. The
# variables of retarget.sh are heeded. The strip of each half shows the beats that are seen in it, whatever the dance was
# aligned by.
set -euo pipefail
# shellcheck source=pipelines/common.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"

(($# == 3)) || die "usage: $0 VIDEO SONG MP4"
video=$1 song=$2 mp4=$3
base=${mp4##*/}
# A dot in the name of a folder is no ending.
name=${mp4%"$base"}${base%.*}

need_packages "${media_packages[@]}" gstreamer1.0-plugins-base-apps jq gnuplot-nox fonts-dejavu-core
need_plugin
need_elements dtwretarget onsetdetect markcombiner rhythmoverlay marksink compositor textoverlay x264enc voaacenc mp4mux
need_sight
need_program retarget-metrics
# Built once: the scripts below take these.
GSTDANCE_PLUGIN_DIR=${GST_PLUGIN_PATH%%:*} GSTDANCE_PROGRAM_DIR=${program%/*}
export GSTDANCE_PLUGIN_DIR GSTDANCE_PROGRAM_DIR
scripts=$root/pipelines
# Nothing is begun that cannot be kept.
open_output "$mp4" "$name.path.json" "$name.path.png"
cd -- "$origin"
find_media "$video"
video_uri=$uri
find_media "$song"
song_uri=$uri
before=$scratch/before music=$scratch/music after=$scratch/after.mp4

say "Seeing and hearing the beats, and retiming"
if [[ -n ${VISUAL:-} ]]; then
    cp -- "$VISUAL" "$before"
else
    dance_beats "$video_uri" "$before" || die "could not see the beats of $video"
fi
if [[ -n ${MUSIC:-} ]]; then
    cp -- "$MUSIC" "$music"
else
    hear_beats "$song_uri" "$music" || die "could not hear the beats of $song"
fi
# Once is enough for what follows.
export VISUAL=$before MUSIC=$music
"$scripts/retarget.sh" "$video" "$song" "$after" "$scratch/path.json"
"$scripts/retarget-plot.sh" "$scratch/path.json" "$scratch/path.png"
# Figures compare what is seen before and after, whatever the dance was aligned by.
[[ ${beats_from:-} != music ]] || unset VISUAL
"$scripts/retarget-metrics.sh" "$video" "$song" "$after" "$scratch/path.json"

say "Drawing both side by side"
# Each half has the shape of the dance, so that nothing but the picture is drawn on, and about the area of 640 x 480.
picture_size "$video_uri"
read -r half high < <(awk -v w="$width" -v h="$height" 'BEGIN {
    k = sqrt(640 * 480 / (w * h)); print 2 * int(w * k / 2 + .5), 2 * int(h * k / 2 + .5) }')
# Sound and picture end with what was made; the dance as it was ends there, too, or its last picture stays.
seconds=$(length "$(file_uri "$after")")
[[ -n $seconds ]] || die "could not find out how long the retimed dance is"
pictures=$(awk -v s="$seconds" 'BEGIN { print int(s * 30 + .01) }')
# Sound has to go somewhere while the pictures wait for their marks and the encoder looks ahead.
wide=(queue max-size-time=20000000000 max-size-buffers=0 max-size-bytes=0)
held=(queue max-size-time=2000000000 max-size-buffers=0 max-size-bytes=0)
# shellcheck disable=SC2054
box=(videoconvert ! videoscale
    ! "video/x-raw,format=I420,width=$half,height=$high,pixel-aspect-ratio=1/1" ! videorate ! video/x-raw,framerate=30/1)
seen() { printf '%s\n' uridecodebin "uri=$1" "caps=video/x-raw(ANY)" expose-all-streams=false \
    ! "${upright[@]}" ! "${held[@]}" ! hoofflow post-messages=false ! rhythmtag mode=aligned ! "${box[@]}" ! "${held[@]}"; }
titled() { printf '%s\n' textoverlay "text=$1" "font-desc=Sans Bold 14" halignment=left valignment=top xpad=16 ypad=12 \
    shaded-background=true; }
mapfile -t left < <(seen "$video_uri")
mapfile -t right < <(seen "$(file_uri "$after")")
mapfile -t before_title < <(titled before)
mapfile -t after_title < <(titled after)
gst-launch-1.0 -q \
    compositor name=both background=black sink_0::repeat-after-eos=true sink_1::repeat-after-eos=true \
    sink_1::xpos="$half" ! video/x-raw,framerate=30/1 ! identity eos-after="$((pictures + 1))" \
    ! videoconvert ! video/x-raw,format=I420 \
    ! x264enc speed-preset=superfast pass=qual quantizer=23 key-int-max=60 ! queue ! mux. \
    uridecodebin uri="$song_uri" caps=audio/x-raw expose-all-streams=false \
    ! audioconvert ! onsetdetect mode=aligned emit=beat+downbeat ! tee name=heard \
    heard. ! "${wide[@]}" ! before.marks \
    heard. ! "${wide[@]}" ! after.marks \
    heard. ! queue ! audioconvert ! audioresample ! audio/x-raw,rate=48000 \
    ! audiobuffersplit output-buffer-duration=1/30 ! identity eos-after="$((pictures + 1))" \
    ! voaacenc bitrate=160000 ! "${wide[@]}" ! mux. \
    "${left[@]}" ! before.media markcombiner name=before ! rhythmoverlay ! "${before_title[@]}" ! "${held[@]}" \
    ! both.sink_0 \
    "${right[@]}" ! after.media markcombiner name=after ! rhythmoverlay ! "${after_title[@]}" ! "${held[@]}" \
    ! both.sink_1 \
    mp4mux name=mux ! filesink location="$scratch/both.mp4" >&2 ||
    die "could not draw $video beside what was made of it"
cd -- "$scratch"
keep_output both.mp4 "$mp4"
keep_output path.json "$name.path.json"
keep_output path.png "$name.path.png"
say "Wrote $mp4, $name.path.json and $name.path.png"
