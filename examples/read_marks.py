#!/usr/bin/python3
# SPDX-License-Identifier: MPL-2.0
"""Prints the marks that ride on the buffers of a file, read from the meta GstRhythmMeta.

usage: read_marks.py FILE-OR-URI

Needs the Debian package python3-gst-1.0, and the plugin in GST_PLUGIN_PATH.
One line for each mark: seconds, kind, strength, confidence.
"""

import pathlib
import sys

import gi

gi.require_version("Gst", "1.0")
from gi.repository import Gst  # noqa: E402


class Reader:
    """Prints the marks of each buffer that passes its probe, each mark once."""

    def __init__(self):
        # Elements that split or encode buffers repeat metas.
        self.seen = set()

    def probe(self, _pad, info):
        meta = info.get_buffer().get_custom_meta("GstRhythmMeta")
        if meta:
            self.read(meta.get_structure())
        return Gst.PadProbeReturn.OK

    def read(self, structure):
        if structure["version"] != 1:
            print(f"read_marks: marks of version {structure['version']}", file=sys.stderr)
            return
        for mark in structure["marks"]:
            key = structure["source"], mark["id"]
            if key in self.seen:
                continue
            self.seen.add(key)
            seconds = mark["timestamp"] / Gst.SECOND
            print(f"{seconds:.3f}\t{mark['kind']}\t{mark['strength']:.3f}\t{mark['confidence']:.2f}")


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: read_marks.py FILE-OR-URI")
    media = sys.argv[1]
    uri = media if "://" in media else pathlib.Path(media).absolute().as_uri()

    Gst.init(None)
    if not Gst.ElementFactory.find("onsetdetect"):
        sys.exit("read_marks: no element onsetdetect: set GST_PLUGIN_PATH to libgstdance.so's folder")
    pipeline = Gst.parse_launch(
        "uridecodebin name=media caps=audio/x-raw expose-all-streams=false "
        "! audioconvert ! onsetdetect mode=aligned ! fakesink name=sink"
    )
    pipeline.get_by_name("media").set_property("uri", uri)
    reader = Reader()
    pad = pipeline.get_by_name("sink").get_static_pad("sink")
    pad.add_probe(Gst.PadProbeType.BUFFER, reader.probe)

    pipeline.set_state(Gst.State.PLAYING)
    message = pipeline.get_bus().timed_pop_filtered(
        Gst.CLOCK_TIME_NONE, Gst.MessageType.EOS | Gst.MessageType.ERROR
    )
    pipeline.set_state(Gst.State.NULL)
    if message.type == Gst.MessageType.ERROR:
        error, _debug = message.parse_error()
        sys.exit(f"read_marks: {message.src.get_path_string()}: {error.message}")


if __name__ == "__main__":
    main()
