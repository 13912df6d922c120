#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
# Fetches ONNX Runtime from its PyPI wheel, by pinned version and hash, and prints the path of its shared library:
#
#     export ORT_DYLIB_PATH=$(pipelines/onnxruntime.sh)
#
# Without an argument the version the plugin is developed with; with one, any version of the table below (the older
# ones are for tests). Kept under ${XDG_CACHE_HOME:-~/.cache}/gst-dance, fetched once. Needs python3 with pip;
# nothing is installed into Python.
set -eu

version=${1:-1.31.1}
machine=$(uname -m)

# One wheel a line: version, machine, platform tag, SHA-256. Any cp311 wheel will do: the library in it does not
# depend on Python.
wheels='
1.22.1 x86_64 manylinux_2_28_x86_64 f6effa1299ac549a05c784d50292e3378dbbf010346ded67400193b09ddc2f04
1.24.1 x86_64 manylinux_2_28_x86_64 1cabe71ca14dcfbf812d312aab0a704507ac909c137ee6e89e4908755d0fc60e
1.24.4 x86_64 manylinux_2_28_x86_64 e54ad52e61d2d4618dcff8fa1480ac66b24ee2eab73331322db1049f11ccf330
1.25.1 x86_64 manylinux_2_28_x86_64 79162f873cdfa38cfc8d53d59a8dc7a71a14074df3d565b2f8ce24289545ddc0
1.26.0 x86_64 manylinux_2_28_x86_64 11a8df4dcfe9ad5ff0bd71a7571dbed019fabc7594676c89fe8b86ea029c246f
1.27.0 x86_64 manylinux_2_28_x86_64 e4f7b0e90d2d212e2c2deaa6c8291616183ab815d3ec558ea12d3ac8b26d36f4
1.28.0 x86_64 manylinux_2_28_x86_64 a166b78ee04f3a37fa1ef82034b6a3ce96d9684e582d4d30b296de83e9998bb5
1.29.0 x86_64 manylinux_2_28_x86_64 85f8e8406c52658735fe5c7fbfd3ebaa1ed340768324f6252e4274e374580a23
1.30.0 x86_64 manylinux_2_28_x86_64 fd54b314ea385bcecac69ab431f020ba503e3878dad4ebb645fec5a24b041242
1.31.1 x86_64 manylinux_2_28_x86_64 5752bd508126ae7c49894d3b9d2e83f0c3d487319246d04c444b393308d7ad7f
1.31.1 aarch64 manylinux_2_28_aarch64 da05378364c44d4407e463982d2bf8d5e4cfea873283757e48beeb41df97b7f3
'

fail() {
    echo "onnxruntime.sh: $*" >&2
    exit 1
}

if [ "$version" = --list ]; then
    echo "$wheels" | awk -v machine="$machine" '$2 == machine { print $1 }'
    exit
fi

# A service may have no HOME, and its user a home all the same.
home=${HOME:-$(getent passwd "$(id -u)" | cut -d: -f6)}
[ -n "${XDG_CACHE_HOME:-$home}" ] || fail "nowhere to keep it: set HOME or XDG_CACHE_HOME"
cache=${XDG_CACHE_HOME:-$home/.cache}/gst-dance/onnxruntime
library=$cache/$version-$machine/libonnxruntime.so.$version
if [ ! -f "$library" ]; then
    line=$(echo "$wheels" | awk -v v="$version" -v m="$machine" '$1 == v && $2 == m { print $3, $4 }')
    [ -n "$line" ] || fail "no wheel is pinned for ONNX Runtime $version on $machine; there are:" \
        "$(echo "$wheels" | awk -v ORS=' ' -v m="$machine" '$2 == m { print $1 }')"
    platform=${line% *}
    hash=${line#* }

    command -v python3 >/dev/null || fail "python3 is needed to fetch the wheel"
    mkdir -p "$cache"
    # On the cache's own file system, so that the last step is one rename: two runs at once cannot disturb each other.
    work=$(mktemp -d "$cache/fetch.XXXXXX")
    trap 'rm -rf "$work"' EXIT INT TERM
    echo "onnxruntime==$version --hash=sha256:$hash" >"$work/requirements.txt"
    python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: --require-hashes \
        --implementation cp --python-version 3.11 --abi cp311 --platform "$platform" \
        --dest "$work" --requirement "$work/requirements.txt" >&2 ||
        fail "pip could not fetch ONNX Runtime $version"
    python3 -m zipfile -e "$work"/onnxruntime-*.whl "$work/wheel"
    mv "$work/wheel/onnxruntime/LICENSE" "$work/wheel/onnxruntime/ThirdPartyNotices.txt" "$work/wheel/onnxruntime/capi/"
    (cd "$work/wheel/onnxruntime/capi" && rm -rf -- *.py *pybind11* training __pycache__)
    [ -f "$work/wheel/onnxruntime/capi/libonnxruntime.so.$version" ] ||
        fail "the wheel has no libonnxruntime.so.$version"
    mv -T "$work/wheel/onnxruntime/capi" "$cache/$version-$machine" 2>/dev/null || [ -f "$library" ] ||
        fail "cannot write to $cache"
fi
echo "$library"
