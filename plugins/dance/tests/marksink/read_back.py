# SPDX-License-Identifier: MPL-2.0
"""Reads a document of marksink by the library of its format; prints name, seconds and comment as JSON lines.

usage: read_back.py FORMAT FILE FRAMES_PER_SECOND    (exits with 77 where the library is missing)
"""

import importlib.util
import json
import sys
import xml.etree.ElementTree as tree
from fractions import Fraction

form, path, rate = sys.argv[1], sys.argv[2], Fraction(sys.argv[3])


def need(module):
    if importlib.util.find_spec(module) is None:
        print(f"needs the Python package {module}", file=sys.stderr)
        sys.exit(77)


def seconds(text):
    return float(Fraction(text.removesuffix("s")))


def otio():
    need("opentimelineio")
    import opentimelineio

    timeline = opentimelineio.adapters.read_from_file(path)
    for marker in timeline.tracks.markers:
        yield marker.name, marker.marked_range.start_time.to_seconds(), marker.comment


def edl():
    need("otio_cmx3600_adapter")
    import opentimelineio

    timeline = opentimelineio.adapters.read_from_file(path, rate=float(rate))
    # The fields of the markers are lost on the adapter; the times are those of its events.
    for clip in timeline.tracks[0].find_clips():
        start = clip.source_range.start_time
        yield None, start.value / float(rate) - 3600 * round(rate) / float(rate), None


def fcpxml():
    root = tree.parse(path).getroot()
    begin = seconds(root.find(".//sequence").get("tcStart"))
    for marker in root.iter("marker"):
        yield marker.get("value"), seconds(marker.get("start")) - begin, marker.get("note")


def midi():
    need("mido")
    import mido

    now = 0.0
    for message in mido.MidiFile(path):
        now += message.time
        if message.type in ("marker", "note_on"):
            yield getattr(message, "text", None) or f"note {message.note}", now, None


def reaper():
    need("rpp")
    import rpp

    with open(path, encoding="utf-8") as file:
        project = rpp.load(file)
    for marker in project.findall(".//MARKER") or [c for c in project.children if c[0] == "MARKER"]:
        fields = marker.attrib if hasattr(marker, "attrib") else marker[1:]
        yield fields[2], float(fields[1]), None


read = {"resolve-edl": edl, "fcpxml": fcpxml, "otio": otio, "reaper": reaper}.get(form, midi)
for name, time, comment in read():
    print(json.dumps({"name": name, "time": time, "comment": comment}))
