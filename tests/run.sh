#!/usr/bin/env bash
# SPDX-License-Identifier: MPL-2.0
# All tests. Installs the Debian packages that are missing, says what it runs, goes on after a
# failure, and ends with the counts and an exit status that agree.
#
# usage: tests/run.sh
set -euo pipefail
# shellcheck source=pipelines/common.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/../pipelines/common.sh"
cd -- "$root"

passed=0 failed=0 failures=() notes=()
logs=$(mktemp -d)
trap 'rm -rf -- "$logs"' EXIT

# check NAME COMMAND...: runs it and counts its tests: those that cargo reports, or else itself.
check() {
    local name=$1 start=$SECONDS status=0 log=$logs/log p=0 f=0
    shift
    printf '\n== %s: %s\n' "$name" "$*"
    "$@" </dev/null 2>&1 | tee "$log" || status=$?
    if grep -q '^test result:' "$log"; then
        p=$(sed -nE 's/^test result: .* ([0-9]+) passed;.*/\1/p' "$log" | paste -sd+ | bc)
        f=$(sed -nE 's/^test result: .* ([0-9]+) failed;.*/\1/p' "$log" | paste -sd+ | bc)
    elif ((status == 0)); then
        p=1
    fi
    # Also when it stopped for another reason than a failed test.
    if ((status && !f)); then f=1; fi
    passed=$((passed + p)) failed=$((failed + f))
    if ((f)); then
        failures+=("$name")
        # What failed, and which test program died with it, said again at the end.
        mapfile -t -O "${#failures[@]}" failures < <(
            grep -E '^test .* FAILED$|^thread .* panicked|process didn.t exit|CRITICAL|^error(\[|:)' "$log" |
                sed 's/^/    /' | head -n 30
        )
    fi
    printf -- '-- %s: %s passed, %s failed, %s s\n' "$name" "$p" "$f" $((SECONDS - start))
}

need_packages "${build_packages[@]}" "${media_packages[@]}" bc jq meson ninja-build shellcheck \
    gstreamer1.0-x gstreamer1.0-plugins-base-apps libgstreamer-plugins-bad1.0-dev python3-gst-1.0 python3-pip \
    fretsonfire-songs-sectoid
command -v cargo >/dev/null || die "Rust is missing: install 1.92 or newer from https://rustup.rs"
rustc --version
gst-launch-1.0 --gst-version

# What needs it fails without it, here and in the tests of the crates.
check "ONNX Runtime" pipelines/onnxruntime.sh
ORT_DYLIB_PATH=${ORT_DYLIB_PATH:-$(pipelines/onnxruntime.sh 2>/dev/null || true)}
export ORT_DYLIB_PATH

check "format" cargo fmt --all --check
check "shell scripts" shellcheck -x pipelines/*.sh tests/*.sh plugins/*/tests/*.sh models/*/*.sh docs/*.sh \
    build-aux/*.sh .ci/run
check "lints" cargo clippy --locked --workspace --all-targets --quiet -- -D warnings
if cargo deny --version >/dev/null 2>&1; then
    check "licences and sources of dependencies" cargo deny --locked check bans licenses sources
    # The list of advisories is fetched; without a network there is nothing to compare with.
    if cargo deny --locked fetch db >/dev/null 2>&1; then
        check "advisories" cargo deny --locked check advisories
    else
        notes+=("advisories NOT CHECKED: the database cannot be fetched here")
    fi
else
    notes+=("dependencies NOT CHECKED: cargo deny is missing (cargo install cargo-deny --locked)")
fi

check "build" cargo build --locked --workspace --quiet
target=$(cd -- "${CARGO_TARGET_DIR:-target}" && pwd)
mkdir -p "$target/debug/gstreamer-1.0"
ln -sf ../libgstdance.so "$target/debug/gstreamer-1.0/"
export GSTDANCE_PLUGIN_DIR=$target/debug/gstreamer-1.0
check "tests of the crates, scripts, examples and pages" cargo test --locked --workspace --no-fail-fast
unset GSTDANCE_PLUGIN_DIR
check "exported graphs on ONNX Runtime" models/training/parity.sh --no-libtorch --locked --test onnx --test served

# The pages are generated from the release build, which users run.
meson=$target/meson
# `--wipe` wants a build tree that is whole, which an interrupted run does not leave.
rm -rf -- "$meson"
check "meson setup" meson setup "$meson" -Dcargo_target_dir="$target" -Dstatic=true --prefix=/usr
check "meson compile" meson compile -C "$meson"
check "static linking from C, inspection" meson test -C "$meson" --suite static --print-errorlogs
installed() {
    local dest=$logs/dest plugins
    DESTDIR=$dest meson install -C "$meson" --quiet
    plugins=$(PKG_CONFIG_PATH=$(dirname -- "$(find "$dest" -name gstdance.pc)") \
        pkg-config --define-variable=prefix="$dest/usr" --variable=pluginsdir gstdance)
    [[ -e $plugins/libgstdance.a ]]
    GST_PLUGIN_PATH=$plugins gst-inspect-1.0 onsetdetect | grep -F "$plugins/libgstdance.so"
}
check "meson install" installed

pages() {
    docs/generate.sh "$logs/docs"
    local page
    for page in "$logs"/docs/*.md; do
        diff -u "docs/${page##*/}" "$page" || return 1
    done
}
# Another release of GStreamer words its descriptions otherwise.
if [[ $(gst-launch-1.0 --gst-version) == *" 1.22."* ]]; then
    check "pages in docs/ are up to date (else run docs/generate.sh)" pages
else
    notes+=("pages NOT COMPARED: they are of GStreamer 1.22")
fi

check "demo on a song" env OUT="$logs/out" pipelines/demo.sh

printf '\n'
for note in "${notes[@]}"; do printf 'NOTE: %s\n' "$note"; done
for name in "${failures[@]}"; do
    if [[ $name == "    "* ]]; then printf '%s\n' "$name"; else printf 'FAILED: %s\n' "$name"; fi
done
printf '%d passed, %d failed\n' "$passed" "$failed"
((failed == 0))
