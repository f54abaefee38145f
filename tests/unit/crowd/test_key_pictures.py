"""Where key pictures come often enough, nothing else is decoded; what is handed out is the same."""

from __future__ import annotations

import functools
import random
import tempfile
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.camera.messages import EncodedPacket
from actors.crowd.decoder import PictureDecoder, SampledPicture
from tests.cameras import make_film, packets_of

RATE = 10
"""Pictures a second of each film here."""


class Watched(PictureDecoder):
    """Notes which packets are decoded."""

    def __init__(self, interval: float) -> None:
        super().__init__(interval=interval, width=768, threads=1)
        self.decoded: list[EncodedPacket] = []
        self.left: list[av.VideoFrame] = []

    def _decode(self, packet: EncodedPacket) -> list[av.VideoFrame]:
        self.decoded.append(packet)
        frames = super()._decode(packet)
        self.left = frames
        return frames


def looked_at(user: PictureDecoder, packets: Sequence[EncodedPacket]) -> list[SampledPicture]:
    return [picture for packet in packets for picture in user.feed(packet)]


def made(folder: Path, *, key_every: int, pictures: int, codec: str = "libx264") -> list[Any]:
    path = folder / f"{codec}-{key_every}-{pictures}.mp4"
    return packets_of(make_film(path, codec=codec, key_every=key_every, pictures=pictures))


def at(packet: EncodedPacket) -> Fraction:
    """Seconds."""
    assert packet.header is not None
    assert packet.pts is not None
    header = packet.header
    return packet.pts * Fraction(header.time_base_numerator, header.time_base_denominator)


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
@pytest.mark.parametrize("interval", [1, 2])
def test_they_alone_are_decoded(tmp_path: Path, codec: str, interval: int) -> None:
    packets = made(tmp_path, key_every=10, pictures=100, codec=codec)
    user = Watched(interval)
    pictures = looked_at(user, packets)
    assert 9 // interval <= len(pictures) <= 10 // interval + 1
    # Until the distance is known, all; then one picture an interval and nothing besides.
    late = [packet for packet in user.decoded if packet.sequence > 20]
    assert all(packet.key for packet in late)
    assert len(late) <= 8 // interval + 1
    assert user.skipped == 0


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_a_key_picture_decoded_alone_looks_the_same(tmp_path: Path, codec: str) -> None:
    packets = made(tmp_path, key_every=10, pictures=60, codec=codec)
    alone = looked_at(PictureDecoder(interval=1, width=768, threads=1), packets)
    # Sixty intervals of a picture each: every packet is decoded.
    every = looked_at(PictureDecoder(interval=1 / RATE, width=768, threads=1), packets)
    assert len(every) == 60
    assert len(alone) == 6
    for one, other in zip(alone, every[::10], strict=True):
        assert np.array_equal(one.rgb, other.rgb)


def test_with_pictures_that_refer_to_later_ones(tmp_path: Path) -> None:
    """An encoder with B-frames hands pictures out late: not here, where none is to wait for."""
    path = tmp_path / "film.mp4"
    with av.open(path, "w") as film:
        stream = film.add_stream("libx264", rate=RATE, options={"bf": "3", "preset": "fast"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.gop_size = 10
        for number in range(100):
            picture = np.full((48, 64, 3), 2 * number, np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            film.mux(stream.encode(frame))
        film.mux(stream.encode(None))
    user = Watched(2)
    pictures = [(packet, one) for packet in packets_of(path) for one in user.feed(packet)]
    late = [(packet, one) for packet, one in pictures if packet.sequence > 30]
    assert len(late) >= 3
    for packet, picture in late:
        assert packet.key
        number = round(at(packet) * RATE)
        assert abs(int(picture.rgb.mean()) - 2 * number) <= 4


@given(st.lists(st.integers(-50, 50), min_size=30, max_size=30), st.sampled_from([1, 2, 3]))
@settings(max_examples=40)
def test_unevenness_leaves_no_interval_without(jitter: list[int], interval: int) -> None:
    """Key pictures as far apart as the interval, each up to 50 ms early or late, others between."""
    times = [1000 * interval * number + late for number, late in enumerate(jitter)]
    user, found = decode_pretended(times, interval)
    steps = [after - before for before, after in pairwise(found)]
    assert max(steps) <= 1000 * interval + 100
    assert min(steps) >= 1000 * interval - 100
    assert user.skipped == 0


@given(st.integers(1, 400), st.integers(100, 3000), st.randoms(use_true_random=False))
@settings(max_examples=60)
def test_never_more_than_one_an_interval(apart: int, interval: int, chance: random.Random) -> None:
    times = [number * apart * 10 + chance.randrange(apart) for number in range(60)]
    _, found = decode_pretended(times, interval / 1000)
    intervals = (times[-1] - times[0]) / interval
    assert len(found) <= intervals + 2


def test_groups_that_grow_longer_are_noticed(tmp_path: Path) -> None:
    short = made(tmp_path, key_every=5, pictures=40)
    long = made(tmp_path, key_every=40, pictures=120)
    user = Watched(1)
    looked_at(user, short)
    assert not user.decoded[-1].sequence % 5
    following = [
        msgspec.structs.replace(
            packet, sequence=40 + packet.sequence, pts=packet.pts + shift, dts=packet.dts + shift
        )
        for packet in long
        for shift in [40 * (long[1].pts - long[0].pts)]
    ]
    user.decoded.clear()
    pictures = looked_at(user, following)
    decoded = [packet.sequence for packet in user.decoded]
    # One group is passed over but for its beginning, and then all is decoded again.
    assert set(range(80, 160)) <= set(decoded)
    assert len([number for number in decoded if number < 80]) <= 2
    assert len(pictures) >= 8


def test_the_decoder_keeps_nothing_of_a_key_picture_decoded_alone(tmp_path: Path) -> None:
    packets = made(tmp_path, key_every=5, pictures=40)
    user = Watched(1)
    for packet in packets:
        for picture in user.feed(packet):
            picture.erase()
    assert user.decoded[-1].sequence % 5 == 0
    assert user.left
    for frame in user.left:
        for plane in frame.planes:
            assert not np.frombuffer(memoryview(plane), np.uint8).any()


def decode_pretended(times: list[int], interval: float) -> tuple[PictureDecoder, list[int]]:
    """Key pictures at these milliseconds, each followed by a packet that is no key picture.

    All are MJPEG, of which each could be decoded alone; what they are said to be is what counts.
    Returns the decoder, and the times of what it handed out from the fifth key picture on.
    """
    still = _still()
    assert still.header is not None
    header = msgspec.structs.replace(
        still.header,
        time_base_numerator=1,
        time_base_denominator=1000,
        frame_rate_numerator=10,
        frame_rate_denominator=1,
    )
    packets = []
    for number, time in enumerate(times):
        for sequence, shown, key in (
            (2 * number, 1000 + time, True),
            (2 * number + 1, 1001 + time, False),
        ):
            packets.append(
                msgspec.structs.replace(
                    still,
                    sequence=sequence,
                    pts=shown,
                    dts=shown,
                    key=key,
                    header=header if key else None,
                    captured_at=shown,
                )
            )
    user = PictureDecoder(interval=interval, width=768, threads=1)
    found = [picture.captured_at for picture in looked_at(user, packets)]
    return user, [time for time in found if time >= 1000 + times[4]]


@functools.cache
def _still() -> EncodedPacket:
    with tempfile.TemporaryDirectory() as folder:
        film = make_film(Path(folder) / "film.avi", codec="mjpeg", size=(32, 32), pictures=1)
        return packets_of(film)[0]
