#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
# Puts LibTorch where the cargo feature `libtorch` finds it, and prints the environment to build with:
#
#   eval "$(models/training/setup-libtorch.sh)"
#   cargo build -p dance-training --features libtorch
#
# The three wheels are all that a machine without a GPU needs (1.2 GB unpacked): PyTorch's library
# links the CUDA runtime and CUPTI even where it never calls them, and nothing of Python is used.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
target=${CARGO_TARGET_DIR:-$here/../../target}
mkdir -p "$target"
target=$(cd "$target" && pwd)
dir=${1:-$target/libtorch}

torch=2.11.0
runtime=13.0.96
cupti=13.0.85
stamp="torch $torch runtime $runtime cupti $cupti"

if [ "$(cat "$dir/.complete" 2>/dev/null || true)" != "$stamp" ]; then
    rm -rf "$dir"
    python3 -m pip install --quiet --disable-pip-version-check --no-deps --no-compile --only-binary=:all: --root-user-action=ignore \
        --target "$dir" "torch==$torch" "nvidia-cuda-runtime==$runtime" "nvidia-cuda-cupti==$cupti" >&2
    echo "$stamp" >"$dir/.complete"
fi

libraries=$dir/torch/lib
for wheel in "$dir"/nvidia/*/lib; do
    libraries=$libraries:$wheel
done

echo "export LIBTORCH='$dir/torch'"
echo "export LD_LIBRARY_PATH='$libraries'\${LD_LIBRARY_PATH:+:\$LD_LIBRARY_PATH}"
