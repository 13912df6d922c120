#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
# Makes the music the beat tracker is measured on: Debian's LMMS demo projects and Frets on Fire
# songs, as 44.1 kHz WAV files beside their beat grids (tests/data/beat_grids). The audio is not
# ours to carry, so it is rendered into a cache folder outside the repository:
#
#   tests/music.sh [FOLDER]     default ${XDG_CACHE_HOME:-~/.cache}/gst-dance/music
#
# Runs again cheaply: only what is missing is installed or rendered. Prints the folder last.
set -eu

grids=$(cd "$(dirname "$0")" && pwd)/data/beat_grids
music=${1:-${XDG_CACHE_HOME:-$HOME/.cache}/gst-dance/music}
projects=/usr/share/lmms/projects
songs=/usr/share/games/fretsonfire/data/songs

say() { echo "music.sh: $*" >&2; }
die() { say "$*"; exit 1; }

missing=
command -v lmms >/dev/null && [ -d "$projects" ] || missing="$missing lmms lmms-common"
command -v ffmpeg >/dev/null || missing="$missing ffmpeg"
for artist in sectoid muldjord; do
    [ -d "$songs/$artist" ] || missing="$missing fretsonfire-songs-$artist"
done
if [ -n "$missing" ]; then
    command -v apt-get >/dev/null || die "needs the Debian packages$missing, and there is no apt-get here"
    say "installing$missing"
    root=
    [ "$(id -u)" = 0 ] || root=sudo
    # shellcheck disable=SC2086 # one word a package
    $root apt-get install -y --no-install-recommends $missing >&2 ||
        die "could not install$missing; install them and run this again"
fi

mkdir -p "$music/lmms" "$music/fretsonfire"
# LMMS opens a configuration file and a display; give it neither the user's.
lmms_home=$(mktemp -d)
trap 'rm -rf "$lmms_home"' EXIT
export QT_QPA_PLATFORM=offscreen
root_flag=
[ "$(id -u)" != 0 ] || root_flag=--allowroot

for grid in "$grids"/lmms_demos/*.beats; do
    name=$(basename "$grid" .beats)
    wav=$music/lmms/$name.wav
    cp "$grid" "$music/lmms/$name.beats"
    [ -s "$wav" ] && continue
    project=$(find "$projects" -name "$name.mmpz" -o -name "$name.mmp" | head -n 1)
    [ -n "$project" ] || die "$name: no such project under $projects"
    say "rendering $name"
    # LMMS may crash on exit, after it has written the file: the file counts, not the exit status.
    HOME=$lmms_home lmms $root_flag render "$project" -f wav -s 44100 \
        -o "$lmms_home/out.wav" >"$lmms_home/log" 2>&1 </dev/null || :
    ffprobe -v error -show_entries format=duration "$lmms_home/out.wav" >/dev/null 2>&1 ||
        { cat "$lmms_home/log" >&2; die "lmms could not render $project"; }
    # The rename is last, so that a half-written file is never taken for a finished one.
    mv "$lmms_home/out.wav" "$wav.part" && mv "$wav.part" "$wav"
done

find "$grids/fretsonfire" -name song.beats | sort | while read -r grid; do
    folder=$(dirname "${grid#"$grids/fretsonfire/"}")
    name=$(echo "$folder" | tr '/ ' '-_')
    wav=$music/fretsonfire/$name.wav
    cp "$grid" "$music/fretsonfire/$name.beats"
    [ -s "$wav" ] && continue
    say "mixing $folder"
    ffmpeg -nostdin -v error -y -i "$songs/$folder/song.ogg" -i "$songs/$folder/guitar.ogg" \
        -filter_complex amix=inputs=2:duration=longest -ar 44100 -c:a pcm_s16le \
        -f wav "$wav.part" || die "ffmpeg could not mix $songs/$folder"
    mv "$wav.part" "$wav"
done

echo "$music"
