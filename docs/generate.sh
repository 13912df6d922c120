#!/usr/bin/env bash
# SPDX-License-Identifier: MPL-2.0
# Writes a page for each element, from the head of its source and from what gst-inspect-1.0 says,
# and the list of elements, plugin.md.
#
# usage: docs/generate.sh [FOLDER]
#
# tests/run.sh generates the pages anew and fails when they differ from those in the repository.
# Backquotes are Markdown here.
# shellcheck disable=SC2016
set -euo pipefail
# shellcheck source=pipelines/common.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/../pipelines/common.sh"

out=${1:-$root/docs}
need_packages gstreamer1.0-tools
need_plugin
mkdir -p -- "$out"

# What is the same on every machine: no path, version, date or package.
inspect() {
    LC_ALL=C gst-inspect-1.0 --no-colors "$1" |
        sed -E '/^  (Filename|Version|Source release date|Binary package|Source module|Origin URL) /d; s/ +$//' |
        # One empty line at a time, and none at the end.
        cat -s | sed -e :a -e '/^\n*$/{$d;N;ba' -e '}'
}

# The module's documentation; links into the crate become plain names.
text() {
    sed -nE 's|^//! ?||p' "$1" |
        sed -E 's/\[(`[^`]+`)\](\((crate|super|self)[^)]*\)|\[[^]]*\])?([^(]|$)/\1\4/g'
}

{
    cat <<'END'
# The plugin dance

| element | what it does |
|---|---|
END
    for source in "$root"/plugins/dance/src/*/imp.rs; do
        folder=$(dirname -- "$source")
        element=$(basename -- "$folder")
        page=$out/$element.md
        {
            printf '# %s\n\n' "$element"
            # Some begin with their name as a heading, which stands above already.
            text "$folder/mod.rs" | sed -E '1{/^# /d}' | sed '/./,$!d'
            printf '\n## gst-inspect-1.0\n\n```text\n'
            inspect "$element"
            printf '```\n'
        } >"$page"
        # Its first sentence, which may go over several lines.
        printf '| [`%s`](%s.md) | %s |\n' "$element" "$element" \
            "$(sed -n '3,/^$/p' "$page" | tr '\n' ' ' | sed -E 's/^(`[^`]+` )?(.)/\U\2/; s/\. .*|\.? *$//')"
    done
    printf '\n```text\n'
    inspect dance
    printf '```\n'
} >"$out/plugin.md"
