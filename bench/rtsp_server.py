"""A real RTSP camera: GStreamer's server, which plays one film for ever.

Run by the system's Python, because its bindings come from Debian and not from PyPI; see
``bench.rtsp_camera`` for the side that starts it. The film is a file of access units, each behind
its length (four bytes, big-endian), in H.264's or H.265's byte stream format, or JPEG pictures.
"""

from __future__ import annotations

import argparse
import struct
import sys
from pathlib import Path

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402

PIPELINE = (
    "( appsrc name=film is-live=true format=time caps={caps} ! {payloader} name=pay0 pt={pt} )"
)
CODECS = {
    "h264": (
        "video/x-h264,stream-format=byte-stream,alignment=au",
        "h264parse ! rtph264pay config-interval=0",
        96,
    ),
    "hevc": (
        "video/x-h265,stream-format=byte-stream,alignment=au",
        "h265parse ! rtph265pay config-interval=0",
        96,
    ),
    "mjpeg": ("image/jpeg", "rtpjpegpay", 26),
}


def access_units(path: Path) -> list[bytes]:
    """The film's access units, in order."""
    content, units, at = path.read_bytes(), [], 0
    while at < len(content):
        (length,) = struct.unpack_from(">I", content, at)
        units.append(content[at + 4 : at + 4 + length])
        at += 4 + length
    return units


class Projector:
    """Feeds one media: its times go on growing while the film starts over."""

    def __init__(self, units: list[bytes], rate: int, at_most: int, back_every: int) -> None:
        self.units, self.rate, self.at_most = units, rate, at_most
        self.back_every = back_every
        self.shown = 0

    def show(self, source: object, _: int) -> None:
        if self.at_most and self.shown >= self.at_most:
            source.emit("end-of-stream")
            return
        buffer = Gst.Buffer.new_wrapped(self.units[self.shown % len(self.units)])
        buffer.duration = Gst.SECOND // self.rate
        moment = self.shown * buffer.duration
        if self.back_every and self.shown % self.back_every > self.back_every // 2:
            moment = max(0, moment - 3 * Gst.SECOND)
        buffer.pts = buffer.dts = moment
        self.shown += 1
        source.emit("push-buffer", buffer)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("film", type=Path, nargs="?")
    parser.add_argument("--has", default="", help="only say whether GStreamer has this element")
    parser.add_argument("--port", default="0")
    parser.add_argument("--rate", type=int, default=10, help="pictures a second")
    parser.add_argument("--at-most", type=int, default=0, help="end the stream after so many")
    parser.add_argument("--codec", choices=CODECS, default="h264")
    parser.add_argument("--size", default="", help="WIDTHxHEIGHT, which JPEG needs")
    parser.add_argument("--back-every", type=int, default=0, help="times run back each so many")
    parser.add_argument("--user", default="", help="NAME:PASSWORD that it asks for")
    parser.add_argument("--digest", action="store_true", help="never the password itself")
    arguments = parser.parse_args()

    Gst.init(None)
    if arguments.has:
        sys.exit(Gst.ElementFactory.find(arguments.has) is None)
    units = access_units(arguments.film)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(arguments.port)
    factory = GstRtspServer.RTSPMediaFactory()
    caps, payloader, pt = CODECS[arguments.codec]
    if arguments.size:
        width, _, height = arguments.size.partition("x")
        caps += f",width={width},height={height},framerate={arguments.rate}/1"
    factory.set_launch(PIPELINE.format(caps=caps, payloader=payloader, pt=pt))
    factory.set_shared(True)

    def configure(_: object, media: object) -> None:
        projector = Projector(units, arguments.rate, arguments.at_most, arguments.back_every)
        source = media.get_element().get_by_name_recurse_up("film")
        source.connect("need-data", projector.show)

    factory.connect("media-configure", configure)
    if arguments.user:
        auth = GstRtspServer.RTSPAuth()
        token = GstRtspServer.RTSPToken()
        token.set_string("media.factory.role", "viewer")
        name, _, password = arguments.user.partition(":")
        if arguments.digest:
            auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
            auth.add_digest(name, password, token)
        else:
            auth.add_basic(GstRtspServer.RTSPAuth.make_basic(name, password), token)
        server.set_auth(auth)
        role = Gst.Structure.new_empty("viewer")
        role.set_value("media.factory.access", True)
        role.set_value("media.factory.construct", True)
        factory.add_role_from_structure(role)
    server.get_mount_points().add_factory("/street", factory)
    if not server.attach(None):
        sys.exit(f"port {arguments.port} is taken")
    print(server.get_bound_port(), flush=True)
    GLib.MainLoop().run()


if __name__ == "__main__":
    main()
