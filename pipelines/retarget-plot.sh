#!/usr/bin/env bash
# SPDX-License-Identifier: MPL-2.0
# Draws a path of dtwretarget: the marks of dance and song, which instant of the dance is shown when, and at what speed.
#
# usage: pipelines/retarget-plot.sh PATH PNG
#
# PATH is what the property path-location named. FROM and TO, in seconds of the song, cut a part out.
#
# Dollar signs in single quotes are those of jq and awk.
# shellcheck disable=SC2016
set -euo pipefail
# shellcheck source=pipelines/common.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"

(($# == 2)) || die "usage: $0 PATH PNG"
path=$1 png=$2
for time in "${FROM:-0}" "${TO:-0}"; do
    [[ $time =~ ^[0-9]+(\.[0-9]+)?$ ]] || die "not a number of seconds: $time"
done
need_packages jq gnuplot-nox
[[ -r $path ]] || die "cannot read: $path"
path=$(realpath -- "$path")
open_output "$png"
# The part of the song that is drawn, and what is shown in it.
read -r from to < <(jq -r --argjson from "${FROM:-0}" --argjson to "${TO:-0}" \
    '[$from, (if $to > 0 then $to else (.path[-1][0] // 0) end)] | @tsv' "$path" 2>/dev/null) ||
    die "no path of dtwretarget: $path"
select=(jq -r --argjson from "$from" --argjson to "$to")
"${select[@]}" '.path[] | select(.[0] >= $from and .[0] <= $to) | @tsv' "$path" >shown ||
    die "no path of dtwretarget: $path"
[[ -s shown ]] || die "nothing was shown from $from to $to s in $path"
low=$(head -n 1 shown | cut -f 2) high=$(tail -n 1 shown | cut -f 2)
"${select[@]}" '.audio[] | select(. >= $from and . <= $to)' "$path" >audio
# A mark of the dance, at the instant of the song at which it is seen.
"${select[@]}" '.path as $path | .visual[] as $mark
    | ($path | map(select(.[1] >= $mark)) | first // empty)
    | select(.[0] >= $from and .[0] <= $to and .[1] - $mark < 0.1) | [.[0], $mark] | @tsv' "$path" >visual
# Over a quarter of a second, as single steps are those of the frame rate.
awk 'NR > 1 && $1 - t >= .25 { print ($1 + t) / 2, ($2 - s) / ($1 - t) } NR == 1 || $1 - t >= .25 { t = $1; s = $2 }' \
    shown >speed
fastest=$(jq '."speed-max" * 1.1 + 0.1' "$path")
title=$(jq -r '"\(.method): median speed \(."speed-p50"), 95 % \(."speed-p95"), longest freeze \(."longest-freeze" * 1000 | round) ms, \(.repeated) of \(.pictures) repeated, \(.dropped) dropped"' "$path")
gnuplot <<END
set terminal pngcairo size 1200,800 font "sans,12"
set output "plot.png"
set multiplot layout 2,1 title "$title" noenhanced
set lmargin 10
set xrange [$from:$to]
set grid y
set key top left
set ylabel "dance (s)"
set yrange [$low:$high]
plot "audio" using 1:($high) with impulses lc rgb "#cccccc" title "beats of the song", \
    "shown" using 1:2 with lines lw 2 lc rgb "#0072b2" title "shown", \
    "visual" using 1:2 with points pt 7 ps 0.8 lc rgb "#d55e00" title "beats of the dance"
set ylabel "speed"
set xlabel "song (s)"
set yrange [0:$fastest]
plot "audio" using 1:(100) with impulses lc rgb "#cccccc" title "beats of the song", \
    "visual" using 1:(0.05) with points pt 7 ps 0.8 lc rgb "#d55e00" title "beats of the dance", \
    "speed" using 1:2 with lines lw 2 lc rgb "#009e73" title "speed"
unset multiplot
END
keep_output plot.png "$png"
say "Wrote $png"
