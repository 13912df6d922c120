#!/bin/sh
# Gets ONNX Runtime from PyPI, and prints the environment in which the training crate finds it:
#
#   eval "$(models/training/setup-onnxruntime.sh)"
set -eu

here=$(cd "$(dirname "$0")" && pwd)
target=${CARGO_TARGET_DIR:-$here/../../target}
mkdir -p "$target"
target=$(cd "$target" && pwd)
dir=${1:-$target/onnxruntime}

version=1.24.4

if [ "$(cat "$dir/.complete" 2>/dev/null || true)" != "$version" ]; then
    rm -rf "$dir"
    python3 -m pip install --quiet --disable-pip-version-check --no-deps --no-compile --only-binary=:all: --root-user-action=ignore \
        --target "$dir" "onnxruntime==$version" >&2
    echo "$version" >"$dir/.complete"
fi

echo "export ORT_DYLIB_PATH='$dir/onnxruntime/capi/libonnxruntime.so.$version'"
