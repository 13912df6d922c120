#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
# Runs the tests of this crate with one ONNX Runtime of every minor version that is pinned, from the oldest allowed to
# the newest, and says which passed. The exit tests among them check that a process ends with its own exit code.
#
#     plugins/inference/tests/ort-matrix.sh [VERSION…]
set -eu
cd "$(dirname "$0")/../../.."

fetch=pipelines/onnxruntime.sh
# Pinned versions from before 1.24 are there to be refused.
versions=${*:-$($fetch --list | awk -F. '$1 > 1 || $2 >= 24')}

cargo test --quiet -p dance-inference --no-run
failed=
for version in $versions; do
    library=$($fetch "$version")
    log=$(mktemp)
    if ORT_DYLIB_PATH=$library cargo test --quiet -p dance-inference --no-fail-fast >"$log" 2>&1; then
        echo "ONNX Runtime $version: $(awk '/^test result: ok/ { n += $4 } END { print n }' "$log") tests passed"
    else
        cat "$log"
        echo "ONNX Runtime $version: FAILED"
        failed="$failed $version"
    fi
    rm -f "$log"
done
[ -z "$failed" ] || { echo "failed with:$failed" >&2; exit 1; }
