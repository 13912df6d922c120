#!/usr/bin/python3
# SPDX-License-Identifier: MPL-2.0
"""An RTSP server that plays a song with its beats: audio, and the marks as KLV (SMPTE 336) beside it.

usage: rtsp-server.py SONG [PORT]

Prints the address, rtsp://127.0.0.1:8554/song by default. A client reads two streams: Opus, and RTP
with `encoding-name=SMPTE336M`, whose packets hold one local set a mark:

    key    06 0E 2B 34 02 0B 01 01 0F 67 64 61 6E 63 65 01    (experimental, "gdance", version 1)
    tag 1  kind, UTF-8: onset, beat, downbeat, visual-beat
    tag 2  running time of the event in ns, 8 bytes, big-endian
    tag 3  tempo in beats a minute, IEEE 754 of 4 bytes, of beats only
    tag 4  place in the bar, 1 byte, 0 where not known
    tag 5  confidence 0 to 1, IEEE 754 of 4 bytes

The first packet is an empty local set, so that both streams begin together. The RTP time of a packet is that of the audio that the mark came with. Needs the Debian packages
python3-gi, gir1.2-gst-rtsp-server-1.0 and gstreamer1.0-plugins-bad.
"""

import pathlib
import struct
import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

KEY = bytes.fromhex("060e2b34020b01010f6764616e636501")


def local_set(mark):
    """The bytes of one mark."""
    fields = [
        (1, mark.get_string("kind").encode()),
        (2, struct.pack(">Q", mark.get_value("running-time"))),
        (4, struct.pack(">B", mark.get_value("beat-in-bar"))),
        (5, struct.pack(">f", mark.get_value("confidence"))),
    ]
    if mark.has_field("bpm"):
        fields.append((3, struct.pack(">f", mark.get_value("bpm"))))
    # Lengths of less than 128 bytes take one byte.
    value = b"".join(bytes([tag, len(data)]) + data for tag, data in fields)
    return KEY + bytes([len(value)]) + value


class Factory(GstRtspServer.RTSPMediaFactory):
    """Makes the pipeline that all clients share."""

    def __init__(self, uri):
        super().__init__()
        self.uri = uri
        self.set_shared(True)

    def do_create_element(self, _url):
        audio = "audioconvert ! audioresample ! opusenc ! rtpopuspay name=pay0 pt=96"
        marks = (
            "appsrc name=marks is-live=true format=time caps=meta/x-klv,parsed=true ! rtpklvpay name=pay1 pt=97"
        )
        element = Gst.parse_launch(
            f"( uridecodebin uri={self.uri} ! audioconvert ! onsetdetect name=detect mode=aligned ! {audio} {marks} )"
        )
        source = element.get_by_name("marks")
        pad = element.get_by_name("detect").get_static_pad("src")
        # Neither stream starts before the other has something to send, and a mark may be far off.
        pad.add_probe(Gst.PadProbeType.BUFFER, self.on_first_buffer, source)
        pad.add_probe(Gst.PadProbeType.BUFFER, self.on_buffer, source)
        return element

    @staticmethod
    def on_first_buffer(_pad, info, source):
        klv = Gst.Buffer.new_wrapped(KEY + bytes([0]))
        klv.pts = info.get_buffer().pts
        source.emit("push-buffer", klv)
        return Gst.PadProbeReturn.REMOVE

    @staticmethod
    def on_buffer(_pad, info, source):
        buffer = info.get_buffer()
        meta = buffer.get_custom_meta("GstRhythmMeta")
        if meta is not None:
            marks = meta.get_structure().get_value("marks")
            for mark in marks:
                klv = Gst.Buffer.new_wrapped(local_set(mark))
                klv.pts = buffer.pts
                source.emit("push-buffer", klv)
        return Gst.PadProbeReturn.OK


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    song = pathlib.Path(sys.argv[1])
    if not song.is_file():
        sys.exit(f"rtsp-server.py: there is no file {song}")
    port = sys.argv[2] if len(sys.argv) == 3 else "8554"
    Gst.init(None)
    if Gst.ElementFactory.find("onsetdetect") is None:
        sys.exit("rtsp-server.py: the plugin dance is missing: set GST_PLUGIN_PATH")
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(port)
    server.get_mount_points().add_factory("/song", Factory(song.resolve().as_uri()))
    if server.attach(None) == 0:
        sys.exit(f"rtsp-server.py: port {port} is in use")
    print(f"rtsp://127.0.0.1:{server.get_bound_port()}/song", flush=True)
    GLib.MainLoop().run()


if __name__ == "__main__":
    main()
