#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
# Runs every test of the training crate, with ONNX Runtime and LibTorch from PyPI: among them, that
# both compute the same for every operation and network. `parity.sh --no-libtorch` needs no LibTorch
# and leaves out what does.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.."

ORT_DYLIB_PATH=${ORT_DYLIB_PATH:-$(pipelines/onnxruntime.sh)}
export ORT_DYLIB_PATH
if [ "${1:-}" = --no-libtorch ]; then
    shift
    exec cargo test -p dance-training "$@" -- --include-ignored --show-output
fi
environment=$("$here/setup-libtorch.sh")
eval "$environment"
exec cargo test -p dance-training --features libtorch "$@" -- --include-ignored --show-output
