#!/usr/bin/env bash
# SPDX-License-Identifier: MPL-2.0
# A dance and a song in, mp4 out: the dance retimed so that its beats fall on those of the song.
#
# usage: pipelines/retarget.sh VIDEO SONG MP4 [PATH]
#
# PATH, if given, gets the path from song to dance as JSON, which retarget-plot.sh draws. The beats of a dance that has music
# of its own are those of that music; BEATS=motion takes those that are seen in its motion, BEATS=music insists. Beats that
# are known already are not looked for: VISUAL=FILE names marks of the dance, MUSIC=FILE those of the song (JSON lines, as
# marksink writes them).
#
# END=shortest (unless set) ends the movie with the dance or the song, whichever is over first; music plays the song to its
# end, to which the last picture stays; loop lets the dance go round, forward and backward, and turn on the beat.
# START=first-beat skips what the song has before its first beat. METHOD, INTERPOLATION (flow unless set), STRENGTH, KINDS,
# MIN_SPEED and MAX_SPEED are those of dtwretarget.
set -euo pipefail
# shellcheck source=pipelines/common.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"

(($# == 3 || $# == 4)) || die "usage: $0 VIDEO SONG MP4 [PATH]"
video=$1 song=$2 mp4=$3 path=${4:-}
interpolation=${INTERPOLATION:-flow}

need_packages "${media_packages[@]}"
need_plugin
need_elements dtwretarget onsetdetect marksink x264enc voaacenc mp4mux
open_media "$song"
song_uri=$uri
find_media "$video"
need_stream video "dance to retime"
video_uri=$uri
for marks in "${VISUAL:-}" "${MUSIC:-}"; do
    [[ -z $marks || -r $marks ]] || die "cannot read: $marks"
done
visual=${VISUAL:+$(realpath -- "$VISUAL")} music=${MUSIC:+$(realpath -- "$MUSIC")}
motion=()
if [[ $interpolation == flow ]]; then
    (need_sight) || die "INTERPOLATION=flow needs the model of motion; nearest and blend do without"
    need_sight
    # Pictures between two frames follow the motion, and know from both sides what hides what.
    motion=(! hoofflow backward=true post-messages=false)
fi
open_output "$mp4" ${path:+"$path"}

# Pass 1: the beats of both.
if [[ -n $visual ]]; then
    cp -- "$visual" visual
else
    dance_beats "$video_uri" visual || die "could not see the beats of $video"
fi
if [[ -n $music ]]; then
    cp -- "$music" music
else
    hear_beats "$song_uri" music || die "could not hear the beats of $song"
fi
(($(count_marks visual visual-beat))) || die "nothing to retime: no beats are seen in $video"
(($(count_marks music 'beat|downbeat|onset'))) || die "nothing to retime to: no beats are heard in $song"
# Files without a newline at their end are lines, too.
awk 1 visual music >marks

# Pass 2: the sound waits for the frames that the encoder looks ahead.
wide=(queue max-size-time=20000000000 max-size-buffers=0 max-size-bytes=0)
gst-launch-1.0 -q \
    dtwretarget name=retarget marks-location=marks ${path:+path-location=path} \
    method="${METHOD:-dtw-bounded}" interpolation="$interpolation" strength="${STRENGTH:-1}" \
    kinds="${KINDS:-beat+downbeat}" min-speed="${MIN_SPEED:-0.5}" max-speed="${MAX_SPEED:-2}" \
    start="${START:-beginning}" end="${END:-shortest}" \
    uridecodebin uri="$video_uri" "caps=video/x-raw(ANY)" expose-all-streams=false \
    ! "${upright[@]}" ! "${encodable[@]}" ! queue "${motion[@]}" ! queue ! retarget.video_sink \
    uridecodebin uri="$song_uri" caps=audio/x-raw expose-all-streams=false \
    ! audioconvert ! audioresample ! audio/x-raw,rate=48000 ! queue ! retarget.audio_sink \
    retarget.video_src ! queue ! x264enc speed-preset=superfast pass=qual quantizer=23 key-int-max=60 ! queue ! mux. \
    retarget.audio_src ! "${wide[@]}" ! voaacenc bitrate=160000 ! queue ! mux. \
    mp4mux name=mux ! filesink location=retargeted.mp4 >&2 ||
    die "the pipeline failed on $video and $song"
keep_output retargeted.mp4 "$mp4"
say "Wrote $mp4"
if [[ -n $path ]]; then
    keep_output path "$path"
    say "Wrote $path"
fi
