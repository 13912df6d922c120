# SPDX-License-Identifier: MPL-2.0
# shellcheck shell=bash
# Variables are set here for the scripts that source this file, and caps hold commas.
# shellcheck disable=SC2034,SC2054
#
# What the scripts share: packages, the built plugin, media, messages. To be sourced, not run.

scratches=()
root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
# rustup installs here, and not every shell has it in its path. A service may have no home at all.
PATH=$PATH${HOME:+:$HOME/.cargo/bin}
# How long a first look at media may take, in seconds: media behind a URI may never come.
probe_seconds=${PROBE_SECONDS:-20}

# Debian packages: to build the plugin, and to run the pipelines.
build_packages=(gcc libc6-dev pkg-config libgstreamer1.0-dev libgstreamer-plugins-base1.0-dev)
media_packages=(
    gstreamer1.0-tools gstreamer1.0-plugins-base gstreamer1.0-plugins-good
    gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly gstreamer1.0-libav
)

say() { printf '%s\n' "$*" >&2; }
die() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

# need_packages PACKAGE...: installs the Debian packages that are missing, and says which.
need_packages() {
    command -v dpkg-query >/dev/null || {
        say "This is no Debian: taking for granted what these packages hold: $*"
        return
    }
    local package missing=()
    for package in "$@"; do
        [[ $(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null) == installed ]] ||
            missing+=("$package")
    done
    ((${#missing[@]})) || return 0
    say "Installing the Debian packages ${missing[*]}"
    local as_root=()
    if ((EUID != 0)); then
        command -v sudo >/dev/null ||
            die "not root, and there is no sudo; as root, run: apt-get install ${missing[*]}"
        # Without a terminal there is nobody to type a password.
        as_root=(sudo)
        [[ -t 0 ]] || as_root+=(-n)
    fi
    local install=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive
        apt-get install -qq -y --no-install-recommends "${missing[@]}")
    # The lists of packages may be old or absent: fetch them only when that is what it takes.
    "${install[@]}" >/dev/null 2>&1 || {
        "${as_root[@]}" apt-get update -qq >&2 && "${install[@]}" >/dev/null
    } || die "could not install ${missing[*]}"
}

# build PACKAGE [OPTION...]: builds it for use.
build() {
    need_packages "${build_packages[@]}"
    command -v cargo >/dev/null || die "Rust is missing: install 1.92 or newer from https://rustup.rs"
    cargo build --quiet --locked --release --package "$@" --manifest-path "$root/Cargo.toml" ||
        die "could not build $1"
}

# need_plugin: builds the plugin, or takes the one in GSTDANCE_PLUGIN_DIR, and lets GStreamer see it.
need_plugin() {
    local dir=${GSTDANCE_PLUGIN_DIR:-}
    if [[ -z $dir ]]; then
        say "Building the plugin (some minutes the first time)"
        build gst-plugin-dance
        local target=${CARGO_TARGET_DIR:-$root/target}
        # A folder of its own: GStreamer looks into every file below the path it is given.
        dir=$target/gstreamer-1.0
        mkdir -p -- "$dir"
        ln -sf -- "$(cd -- "$target/release" && pwd)/libgstdance.so" "$dir/"
    fi
    [[ -e $dir/libgstdance.so ]] || die "no libgstdance.so in $dir"
    dir=$(cd -- "$dir" && pwd)
    export GST_PLUGIN_PATH=$dir${GST_PLUGIN_PATH:+:$GST_PLUGIN_PATH}
    # Wherever cargo has put the plugin.
    export GST_DANCE_MODEL_PATH=${GST_DANCE_MODEL_PATH:-$root/models}
}

# need_program NAME: sets program to one of examples/, built or taken from GSTDANCE_PROGRAM_DIR.
need_program() {
    local dir=${GSTDANCE_PROGRAM_DIR:-}
    if [[ -z $dir ]]; then
        build dance-examples --bin "$1"
        dir=${CARGO_TARGET_DIR:-$root/target}/release
    fi
    [[ -x $dir/$1 ]] || die "no program $1 in $dir"
    program=$(cd -- "$dir" && pwd)/$1
}

# need_onnxruntime: fetches ONNX Runtime, which runs the models, unless ORT_DYLIB_PATH names one.
# Where it cannot be had, says so and goes on: onsetdetect then hears without a model.
need_onnxruntime() {
    [[ -z ${ORT_DYLIB_PATH:-} ]] || return 0
    local folders folder model='' library fetch=$root/pipelines/onnxruntime.sh
    IFS=: read -ra folders <<<"$GST_DANCE_MODEL_PATH"
    for folder in "${folders[@]}"; do
        if compgen -G "$folder/*.onnx" >/dev/null; then model=yes; fi
    done
    # Without a model there is nothing to run.
    [[ -n $model ]] || return 0
    # What was fetched before needs no pip.
    if library=$("$fetch" 2>/dev/null) || { (need_packages python3-pip) && library=$("$fetch"); }; then
        export ORT_DYLIB_PATH=$library
    else
        say "ONNX Runtime cannot be had: going on without models"
    fi
}

# need_elements ELEMENT...: stops when GStreamer lacks one.
need_elements() {
    local element
    for element in "$@"; do
        # It asks for the version of GStreamer itself unless told otherwise.
        gst-inspect-1.0 --atleast-version=0.0.0 --exists "$element" ||
            die "GStreamer has no element $element (see: gst-inspect-1.0 $element)"
    done
}

# file_uri FILE: its URI, in which no character needs quoting for gst-launch-1.0.
file_uri() {
    local LC_ALL=C path=$1 uri=file:// i char
    [[ $path == /* ]] || path=$PWD/$path
    for ((i = 0; i < ${#path}; i++)); do
        char=${path:i:1}
        case $char in
        [a-zA-Z0-9/._~-]) uri+=$char ;;
        # As one unsigned byte: bash counts those from 128 up as negative.
        *) printf -v char '%d' "'$char" && printf -v char '%%%02X' $((char & 255)) && uri+=$char ;;
        esac
    done
    printf '%s\n' "$uri"
}

# first_buffer KIND: whether uridecodebin finds audio or video in the media at uri, as the pipeline
# will: 0 if so, 1 if not, 2 if nothing came in time. Sets reason to what was said.
first_buffer() {
    local _ status said answered=
    # gst-launch links pads that come late, and can lose the race with their data or wait for ever.
    for _ in 1 2 3; do
        status=0
        said=$(timeout "$probe_seconds" gst-launch-1.0 -q uridecodebin uri="$uri" \
            ! "$1/x-raw(ANY)" ! fakesink num-buffers=1 2>&1) || status=$?
        ((status)) || return 0
        # 124 is that of timeout; an error said in another try tells more.
        ((status == 124)) || reason=$said answered=yes
    done
    [[ -n $answered ]] || return 2
    return 1
}

# need_stream KIND WHY: stops where the media at uri, which the user calls $media, has none of it.
need_stream() {
    local status=0
    first_buffer "$1" || status=$?
    case $status in
    0) return ;;
    2) die "no answer within $probe_seconds s from $media: it may be out of reach, or no media" ;;
    esac
    say "$reason"
    die "no $1 in $media, so there is no $2"
}

# find_media MEDIA: sets media and uri; stops where there is no such file.
find_media() {
    media=$1
    if [[ $media == *://* ]]; then
        uri=$media
    else
        [[ -e $media ]] || die "no such file: $media"
        [[ -f $media && -r $media ]] || die "cannot read: $media"
        uri=$(file_uri "$media")
    fi
}

# open_media MEDIA: sets media, uri and has_video; stops with the reason where there is no sound.
open_media() {
    find_media "$1"
    need_stream audio "rhythm to hear"
    has_video=true
    first_buffer video || has_video=false
}

# open_video MEDIA: sets media and uri; stops with the reason where there is no picture.
open_video() {
    find_media "$1"
    need_stream video "motion to see"
}

# open_output FILE...: stops when one cannot be written. Makes an empty folder beside the first and
# goes there: the names in it need no quoting, and a run that fails leaves no half-written file.
open_output() {
    local file folder first=
    for file in "$@"; do
        [[ ! -d $file ]] || die "a folder stands where the file would go: $file"
        folder=$(dirname -- "$file")
        mkdir -p -- "$folder" 2>/dev/null || die "cannot make the folder $folder"
        [[ -w $folder && (! -e $file || -w $file) ]] || die "cannot write: $file"
        first=${first:-$folder}
    done
    scratch=$(cd -- "$first" && mktemp -d -- "$PWD/.gstdance.XXXXXX")
    scratches+=("$scratch")
    trap 'rm -rf -- "${scratches[@]}"' EXIT
    # The caller's relative names still count from where it was.
    origin=$PWD
    cd -- "$scratch" || die "cannot enter $scratch"
}

# keep_output NAME FILE: moves what was written under a plain name to where it was wanted.
keep_output() {
    [[ -s $1 ]] || die "nothing came out for $2"
    keep_marks "$1" "$2"
}

# keep_marks NAME FILE: the same for marks, of which there may be none: silence has no rhythm.
keep_marks() {
    [[ -e $1 ]] || die "nothing came out for $2"
    (cd -- "$origin" && mv -f -- "$scratch/$1" "$2")
}

# The picture as it is meant to be seen: whole frames of interlaced video, and phones' videos upright.
upright=(videoconvert ! deinterlace ! videoflip video-direction=auto)
# As x264enc can take it: 8 bits, colour on every other pixel, so that sides are even. Pixels keep their shape.
encodable=(
    videoconvert ! videoscale
    ! "video/x-raw,format=I420,width=(int)[2,16384,2],height=(int)[2,16384,2]"
)

# see_beats URI FILE: the visual beats of a video as JSON lines.
see_beats() {
    gst-launch-1.0 -q \
        uridecodebin uri="$1" "caps=video/x-raw(ANY)" expose-all-streams=false \
        ! "${upright[@]}" ! hoofflow post-messages=false ! rhythmtag mode=offline ! marksink location="$2" >&2
}

# hear_beats URI FILE: the beats of a song as JSON lines.
hear_beats() {
    gst-launch-1.0 -q \
        uridecodebin uri="$1" caps=audio/x-raw expose-all-streams=false \
        ! audioconvert ! onsetdetect mode=offline ! marksink location="$2" >&2
}

# count_marks FILE KINDS: how many lines of a file of marks are of one of the kinds, separated by |.
count_marks() { grep -cE "\"kind\" *: *\"($2)\"" "$1" || true; }

# dance_beats URI FILE: the beats of a dance as JSON lines, in whose video they are visual beats. Where it has music of its
# own, the beats of that music are those of the dance, unless BEATS=motion; else they are seen in its motion, unless
# BEATS=music. Sets beats_from to music or motion.
dance_beats() {
    local wanted=${BEATS:-auto} heard
    case $wanted in
    auto | music | motion) ;;
    *) die "unknown BEATS: $wanted (known: auto, music, motion)" ;;
    esac
    if [[ $wanted != motion ]]; then
        heard=$(mktemp -- "$scratch/own.XXXXXX")
        if uri=$1 first_buffer audio && hear_beats "$1" "$heard"; then
            # Speech and wind have a beat now and then.
            if (($(count_marks "$heard" 'beat|downbeat') >= 8)) || [[ $wanted == music ]]; then
                say "The beats of the dance are those of its own music (BEATS=motion for those of its motion)"
                # Downbeats weigh more, as those of the song do.
                beats_from=music
                awk '/"kind":"(down)?beat"/' "$heard" | sed -E 's/"kind":"(down)?beat"/"kind":"visual-beat"/' >"$2"
                return
            fi
        fi
        [[ $wanted != music ]] || die "no music in the dance, whose beats BEATS=music asks for"
    fi
    beats_from=motion
    need_sight
    see_beats "$1" "$2"
}

# need_sight: what see_beats needs.
need_sight() {
    need_elements hoofflow rhythmtag
    need_onnxruntime
    [[ -n ${ORT_DYLIB_PATH:-} ]] || die "motion is seen by a model, and ONNX Runtime, which runs it, is not there"
}

# The picture where media has none: the spectrum up to 7.7 kHz, whose louder parts rise and fade into
# deep blue. A small picture scaled up glows, and costs little. The scope draws more pictures than
# its frame rate says when sound comes in short buffers, hence videorate.
spectrum=(
    audioconvert ! audioresample ! audio/x-raw,rate=15360 ! volume volume=0.3
    ! spectrascope shader=fade-and-move-up shade-amount=0x0c0502
    ! video/x-raw,width=256,height=144,framerate=30/1 ! videorate
    ! videoconvert ! video/x-raw,format=I420 ! videobalance contrast=0.75 brightness=-0.12
    ! videoscale method=bilinear ! video/x-raw,width=1280,height=720
)

# picture_size URI: sets width and height to those of the picture, upright and with square pixels, and stops where there is
# none.
picture_size() {
    local caps n d
    caps=$(timeout "$probe_seconds" gst-launch-1.0 -v uridecodebin uri="$1" "caps=video/x-raw(ANY)" \
        expose-all-streams=false ! "${upright[@]}" ! fakesink name=size num-buffers=1 2>&1 |
        grep -E 'size.*caps = video/x-raw' | tail -n 1) || true
    [[ $caps =~ width=\(int\)([0-9]+) ]] && width=${BASH_REMATCH[1]}
    [[ $caps =~ height=\(int\)([0-9]+) ]] && height=${BASH_REMATCH[1]}
    n=1 d=1
    [[ $caps =~ pixel-aspect-ratio=\(fraction\)([0-9]+)/([0-9]+) ]] && n=${BASH_REMATCH[1]} d=${BASH_REMATCH[2]}
    [[ -n ${width:-} && -n ${height:-} ]] || die "could not find out how large the picture of $1 is"
    width=$((width * n / d))
}

# length URI: prints how many seconds media last, or nothing where that cannot be found out.
length() {
    # h:mm:ss.fraction
    gst-discoverer-1.0 "$1" |
        awk '$1 == "Duration:" { split($2, t, ":"); print t[1] * 3600 + t[2] * 60 + t[3] }'
}

# live_sources: sets sound and picture to the microphone and the camera, or to test sources where
# there is none, and screen to the window or, without a display, to a sink that keeps the same time.
# TEST=1 takes test sources in any case; they stop after DURATION seconds where that is set.
live_sources() {
    local stop_sound=() stop_picture=()
    if [[ -n ${DURATION:-} ]]; then
        [[ $DURATION =~ ^[1-9][0-9]*$ ]] || die "DURATION is not a number of seconds: $DURATION"
        stop_sound=(num-buffers=$((DURATION * 100)))
        stop_picture=(num-buffers=$((DURATION * 30)))
    fi
    local runtime=${XDG_RUNTIME_DIR:-/nonexistent} cameras=(/dev/video*)
    if [[ -z ${TEST:-} ]] && { [[ -S $runtime/pulse/native || -S $runtime/pipewire-0 ]] ||
        grep -qs capture /proc/asound/pcm; }; then
        sound=(autoaudiosrc)
    else
        say "Sound: a metronome of 120 beats a minute in four"
        sound=(audiotestsrc is-live=true "${stop_sound[@]}" samplesperbuffer=441 wave=ticks
            tick-interval=500000000 sine-periods-per-tick=20 freq=880 volume=0.3
            marker-tick-period=4 marker-tick-volume=0.9
            ! audio/x-raw,rate=44100,channels=2)
    fi
    if [[ -z ${TEST:-} && -e ${cameras[0]} ]]; then
        picture=(autovideosrc)
    else
        say "Picture: a test pattern"
        picture=(videotestsrc is-live=true "${stop_picture[@]}" pattern=ball background-color=0xff102030
            ! "video/x-raw,width=${WIDTH:-1280},height=${HEIGHT:-720},framerate=30/1")
    fi
    if [[ -z ${TEST:-} && -n ${DISPLAY:-}${WAYLAND_DISPLAY:-} ]]; then
        screen=(autovideosink)
    else
        say "Screen: none"
        screen=(fakevideosink)
    fi
}
