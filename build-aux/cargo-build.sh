#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
# Runs cargo for meson: builds the plugin, copies what was built to where meson wants it, and
# hands over cargo's own list of sources as the depfile.
#
# usage: cargo-build.sh SOURCE_DIR TARGET_DIR PROFILE DEPFILE OUTPUT...
set -eu
source_dir=$1 target_dir=$2 profile=$3 depfile=$4
shift 4
# cargo calls the folder of the profile "dev" "debug".
case $profile in dev) folder=debug ;; *) folder=$profile ;; esac
built=$target_dir/${CARGO_BUILD_TARGET:+$CARGO_BUILD_TARGET/}$folder

cargo build --locked --manifest-path "$source_dir/Cargo.toml" --target-dir "$target_dir" \
    --profile "$profile" --package gst-plugin-dance

# One rule in the depfile: ninja asks for the sources of the first output, and wants its name.
sed -n "s|^[^:]*libgstdance\.so:|$(basename "$1"):|p" "$built/libgstdance.d" >"$depfile"
for output in "$@"; do
    cp -f "$built/$(basename "$output")" "$output"
done
