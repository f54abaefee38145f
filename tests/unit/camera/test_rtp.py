"""From RTP packets to pictures: however they are cut up, whatever is missing."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from fractions import Fraction
from typing import NamedTuple

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.camera.jpeg import JpegPayload
from actors.camera.mpeg4 import Mpeg4Payload
from actors.camera.nal_units import START_CODE, H264Payload, H265Payload
from actors.camera.rtp import LONGEST, AccessUnit, Payload, RtpReceiver

STEP = 3600


class Codec(NamedTuple):
    payload: type[Payload]
    header: Callable[[int], bytes]
    """A unit's, by its kind."""
    aggregate: bytes
    fragment: Callable[[int, int], bytes]
    """Before each part: of the kind, with begin and end bits."""
    pictures: tuple[int, ...]
    key: int


H264 = Codec(
    H264Payload,
    lambda kind: bytes((0x60 | kind,)),
    bytes((0x60 | 24,)),
    lambda kind, flags: bytes((0x60 | 28, flags | kind)),
    (1, 5, 7, 8, 9),
    5,
)
H265 = Codec(
    H265Payload,
    lambda kind: bytes((kind << 1, 1)),
    bytes((48 << 1, 1)),
    lambda kind, flags: bytes((49 << 1, 1, flags | kind)),
    (1, 19, 32, 33, 34),
    19,
)


def packet(number: int, timestamp: int, payload: bytes, *, first: int = 0x80) -> bytes:
    return struct.pack(">BBHII", first, 96, number & 0xFFFF, timestamp & 0xFFFFFFFF, 7) + payload


def cut_up(codec: Codec, units: list[tuple[int, bytes]], data: st.DataObject) -> list[bytes]:
    """A picture's units as payloads: alone, in parts, or together."""
    payloads, at = [], 0
    while at < len(units):
        kind, body = units[at]
        how = data.draw(st.sampled_from(["alone", "parts", "together"]))
        if how == "parts" and len(body) >= 2:
            cut = data.draw(st.integers(1, len(body) - 1))
            payloads += [
                codec.fragment(kind, 0x80) + body[:cut],
                codec.fragment(kind, 0x40) + body[cut:],
            ]
        elif how == "together":
            some = units[at : at + data.draw(st.integers(1, 3))]
            whole = [codec.header(kind) + body for kind, body in some]
            payloads.append(
                codec.aggregate + b"".join(struct.pack(">H", len(one)) + one for one in whole)
            )
            at += len(some) - 1
        else:
            payloads.append(codec.header(kind) + body)
        at += 1
    return payloads


def pictures(codec: Codec) -> st.SearchStrategy[list[list[tuple[int, bytes]]]]:
    unit = st.tuples(st.sampled_from(codec.pictures), st.binary(min_size=2, max_size=40))
    return st.lists(st.lists(unit, min_size=1, max_size=5), min_size=1, max_size=6)


@pytest.mark.parametrize("codec", [H264, H265], ids=["H.264", "H.265"])
@given(data=st.data(), begins=st.integers(0, 2**32 - 1), numbers=st.integers(0, 0xFFFF))
def test_pictures_come_out_as_the_camera_made_them(
    codec: Codec, data: st.DataObject, begins: int, numbers: int
) -> None:
    film = data.draw(pictures(codec))
    receiver, done = RtpReceiver(96, codec.payload()), list[AccessUnit]()
    number = numbers
    for index, units in enumerate(film):
        for payload in cut_up(codec, units, data):
            whole = bytearray(packet(number, begins + STEP * index, payload))
            assert receiver.packet(memoryview(whole), done.append)
            if data.draw(st.booleans()):
                receiver.keep()
                whole[:] = bytes(len(whole))  # as a buffer that is used again
            number += 1
        receiver.keep()
    receiver.flush(done.append)
    assert [one.ticks for one in done] == [STEP * index for index in range(len(film))]
    assert [one.data for one in done] == [
        b"".join(START_CODE + codec.header(kind) + body for kind, body in units) for units in film
    ]
    assert [one.key for one in done] == [any(k == codec.key for k, _ in units) for units in film]
    assert receiver.damaged == 0


@pytest.mark.parametrize("codec", [H264, H265], ids=["H.264", "H.265"])
@given(data=st.data())
def test_what_is_missing_costs_its_own_picture_only(codec: Codec, data: st.DataObject) -> None:
    film = data.draw(pictures(codec))
    packets = [
        (index, payload)
        for index, units in enumerate(film)
        for payload in cut_up(codec, units, data)
    ]
    lost = data.draw(st.integers(0, len(packets) - 1))
    receiver, done = RtpReceiver(96, codec.payload()), list[AccessUnit]()
    for number, (index, payload) in enumerate(packets):
        if number != lost:
            receiver.packet(memoryview(packet(number, STEP * index, payload)), done.append)
    receiver.flush(done.append)
    harmed = packets[lost][0]
    first = next((index for number, (index, _) in enumerate(packets) if number != lost), 0)
    whole = {
        STEP * (index - first): b"".join(
            START_CODE + codec.header(kind) + body for kind, body in units
        )
        for index, units in enumerate(film)
        if index != harmed
    }
    assert whole.items() <= {one.ticks: one.data for one in done}.items()
    assert receiver.damaged or lost in (0, len(packets) - 1)


def test_only_what_is_a_whole_set_is_told() -> None:
    receiver, done = RtpReceiver(96, H264Payload()), list[AccessUnit]()
    units = [b"\x67sps", b"\x68pps", b"\x65key", b"\x67sps", b"\x65key", b"\x41"]
    for number, (timestamp, unit) in enumerate(zip((0, 0, 0, 1, 1, 2), units, strict=True)):
        receiver.packet(memoryview(packet(number, timestamp, unit)), done.append)
    assert [one.sets for one in done] == [START_CODE + b"\x67sps" + START_CODE + b"\x68pps", b""]


def test_a_recovery_point_is_a_place_to_begin() -> None:
    receiver, done = RtpReceiver(96, H264Payload()), list[AccessUnit]()
    for number, (timestamp, unit) in enumerate(
        [(0, b"\x06\x06\x01\xc4\x80"), (0, b"\x41a"), (1, b"\x06\x05\x01\xc4"), (1, b"\x41b")]
    ):
        receiver.packet(memoryview(packet(number, timestamp, unit)), done.append)
    receiver.flush(done.append)
    assert [one.key for one in done] == [True, False]


def test_headers_with_more_in_them() -> None:
    """Contributing sources, an extension, padding (RFC 3550, 5.1)."""
    receiver, done = RtpReceiver(96, H264Payload()), list[AccessUnit]()
    extra = bytes(8) + struct.pack(">HH", 0xBEDE, 1) + bytes(4)
    whole = packet(0, 0, extra + b"\x65key" + b"\0\0\3", first=0x80 | 0x20 | 0x10 | 2)
    assert receiver.packet(memoryview(whole), done.append)
    receiver.flush(done.append)
    assert [one.data for one in done] == [START_CODE + b"\x65key"]


def test_what_is_endless_is_passed_over() -> None:
    receiver, done = RtpReceiver(96, H264Payload()), list[AccessUnit]()
    receiver.packet(memoryview(packet(0, 0, b"\x7c\x85" + bytes(10))), done.append)
    for number in range(1, LONGEST // 60_000 + 2):
        receiver.packet(memoryview(packet(number, 0, b"\x7c\x05" + bytes(60_000))), done.append)
        receiver.keep()
    for number in range(1, 70_000):  # and what is in very small parts
        receiver.packet(memoryview(packet(number, 9, b"\x41a")), done.append)
    assert receiver.damaged >= 3
    receiver.packet(memoryview(packet(70_000, 10, b"\x65key")), done.append)
    receiver.flush(done.append)
    assert done[-1].data == START_CODE + b"\x65key"
    assert sum(len(one.data) for one in done) < LONGEST


def test_goodbye_is_heard_behind_a_report() -> None:
    receiver = RtpReceiver(96, H264Payload())
    report = struct.pack(">BBHI", 0x80, 200, 6, 7) + bytes(20)
    receiver.control(memoryview(report))
    assert not receiver.has_ended
    receiver.control(memoryview(report + struct.pack(">BBHI", 0x81, 203, 1, 7)))
    assert receiver.has_ended


@pytest.mark.parametrize("payload", [H264Payload, H265Payload, JpegPayload, Mpeg4Payload])
@given(
    packets=st.lists(
        st.tuples(
            st.integers(0, 3),
            st.integers(0, 2),
            st.binary(max_size=40),
            st.sampled_from([0x80, 0x90, 0xA0, 0xBF, 0x00]),
        ),
        max_size=20,
    ),
    control=st.binary(max_size=40),
)
def test_no_packet_makes_it_fail(
    payload: type[Payload], packets: list[tuple[int, int, bytes, int]], control: bytes
) -> None:
    receiver, done = RtpReceiver(96, payload()), list[AccessUnit]()
    for number, timestamp, content, first in packets:
        whole = packet(number, timestamp, content, first=first)
        receiver.packet(memoryview(whole), done.append)
        receiver.packet(memoryview(content), done.append)
        receiver.keep()
    receiver.control(memoryview(control))
    receiver.flush(done.append)
    assert all(one.data for one in done)


# -- JPEG -----------------------------------------------------------------------------------


def jpeg(width: int, height: int) -> bytes:
    codec = av.CodecContext.create("mjpeg", "w")
    codec.width, codec.height, codec.pix_fmt = width, height, "yuvj420p"
    codec.time_base = Fraction(1, 25)
    codec.options = {"huffman": "default"}
    picture = np.linspace(0, 255, height * 3 // 2 * width).astype(np.uint8)
    frame = av.VideoFrame.from_ndarray(picture.reshape(-1, width), format="yuvj420p")
    return b"".join(bytes(one) for one in [*codec.encode(frame), *codec.encode(None)])


def decoded(picture: bytes) -> np.ndarray:
    with av.open(io.BytesIO(picture), format="mjpeg") as container:
        return next(container.decode(video=0)).to_ndarray()


def segments(picture: bytes) -> tuple[dict[int, list[bytes]], bytes]:
    """Its marker segments, and its scan."""
    found: dict[int, list[bytes]] = {}
    at = 2
    while True:
        marker, size = picture[at + 1], int.from_bytes(picture[at + 2 : at + 4], "big")
        found.setdefault(marker, []).append(picture[at + 4 : at + 2 + size])
        at += 2 + size
        if marker == 0xDA:
            return found, picture[at:]


@settings(deadline=None, max_examples=20)
@given(at_once=st.integers(30, 2000), lost=st.booleans())
def test_a_jpeg_picture_is_the_same_as_before(at_once: int, lost: bool) -> None:
    original = jpeg(64, 48)
    found, scan = segments(original)
    (tables,) = (part[1:] for part in found[0xDB])
    restart = found[0xDD][0] + b"\xff\xff"
    receiver, done = RtpReceiver(96, JpegPayload()), list[AccessUnit]()
    parts = [(at, scan[at : at + at_once]) for at in range(0, len(scan), at_once)]
    for number, (at, part) in enumerate(parts):
        quantizers = struct.pack(">BBH", 0, 0, len(tables)) + tables if at == 0 else b""
        main = struct.pack(">I", at) + bytes((65, 255, 64 // 8, 48 // 8))
        if not lost or number != len(parts) // 2:
            whole = packet(number, 0, main + restart + quantizers + part)
            receiver.packet(memoryview(whole), done.append)
    receiver.flush(done.append)
    if lost and len(parts) > 1:
        assert not any(scan[:-2] in one.data for one in done), "at most its beginning"
    elif not lost:
        assert (decoded(done[0].data) == decoded(original)).all()
