#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
# Installs the sounds that config/audio.toml names and what make-songs.py makes songs of, on Debian and its relatives:
#
#   models/corpus/setup-audio.sh
#
# Needs root, or sudo, only where a package is missing.
set -eu

set -- fluid-soundfont-gm timgm6mb-soundfont hydrogen-drumkits sonic-pi-samples mma freedoom

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    echo "$0: neither Debian nor like it: get $* by other means and name them in audio.toml" >&2
    exit 1
fi

for package do
    shift
    # shellcheck disable=SC2016 # the format is dpkg-query's
    if [ "$(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null)" != installed ]; then
        set -- "$@" "$package"
    fi
done

[ $# -gt 0 ] || exit 0
if [ "$(id -u)" -eq 0 ]; then
    apt-get install --yes --no-install-recommends "$@"
else
    sudo apt-get install --yes --no-install-recommends "$@"
fi
