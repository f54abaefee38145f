"""Encoded packets in, a few pictures out; whatever comes in, nothing but pictures comes out."""

from __future__ import annotations

import functools
import itertools
import math
import random
import tempfile
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import msgspec
import numpy as np
import pytest
from av.video.reformatter import VideoReformatter
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.camera.messages import EncodedPacket, StreamHeader
from actors.crowd.decoder import PictureDecoder, SampledPicture
from tests.cameras import make_film, packets_of

TICK = 90_000


@functools.cache
def film(
    codec: str = "libx264", size: tuple[int, int] = (64, 48), pictures: int = 20
) -> tuple[EncodedPacket, ...]:
    """A film's packets, with a key picture each ten (each, in MJPEG)."""
    with tempfile.TemporaryDirectory() as folder:
        container = "avi" if codec == "mjpeg" else "mp4"
        path = Path(folder) / f"film.{container}"
        return tuple(packets_of(make_film(path, codec=codec, size=size, pictures=pictures)))


def numbered(packets: Sequence[EncodedPacket], first: int = 0) -> list[EncodedPacket]:
    return [
        msgspec.structs.replace(packet, sequence=first + number)
        for number, packet in enumerate(packets)
    ]


def stills(times: Sequence[int | None], *, session: int = 1) -> list[EncodedPacket]:
    """A picture at each of these times (90,000 a second), each decodable alone."""
    still = film("mjpeg", (32, 32), 1)[0]
    assert still.header is not None
    header = msgspec.structs.replace(
        still.header,
        time_base_numerator=1,
        time_base_denominator=TICK,
        frame_rate_numerator=10,
        frame_rate_denominator=1,
    )
    return [
        msgspec.structs.replace(
            still,
            session=session,
            sequence=number,
            header=header,
            pts=time,
            dts=time,
            captured_at=number,
        )
        for number, time in enumerate(times)
    ]


def decoder(interval: float = 0, width: int = 768) -> PictureDecoder:
    return PictureDecoder(interval=interval, width=width, threads=1)


def shown(user: PictureDecoder, packets: Sequence[EncodedPacket]) -> list[SampledPicture]:
    return [picture for packet in packets for picture in user.feed(packet)]


def sampled(interval: float, times: Sequence[int | None]) -> list[int]:
    """Positions of the pictures that are handed out."""
    return [picture.captured_at for picture in shown(decoder(interval), stills(times))]


# -- what is missing -----------------------------------------------------------------------------


@pytest.mark.parametrize("codec", ["libx264", "libx265", "mjpeg"])
def test_a_whole_stream_gives_every_picture(codec: str) -> None:
    user = decoder()
    pictures = shown(user, film(codec))
    assert [picture.rgb.shape for picture in pictures] == [(48, 64, 3)] * 20
    assert user.skipped == 0
    # The square is bright, the rest is not: decoded, and in the right place.
    assert pictures[0].rgb[16, 8].min() > 200 > 100 > pictures[0].rgb[40, 40].max()


def test_after_a_gap_it_waits_for_the_next_key_picture() -> None:
    user = decoder()
    packets = [*film()[:5], *film()[6:]]
    assert len(shown(user, packets)) == 5 + 10
    assert user.skipped == 4


def test_a_repeated_packet_is_a_gap_too() -> None:
    user = decoder()
    packets = [*film()[:5], film()[4], *film()[5:]]
    assert len(shown(user, packets)) == 5 + 10
    assert user.skipped == 1 + 5


def test_it_waits_for_a_key_picture_to_begin_with() -> None:
    user = decoder()
    assert len(shown(user, film()[3:])) == 10
    assert user.skipped == 7


def test_a_new_session_begins_with_a_key_picture() -> None:
    user = decoder()
    other = [msgspec.structs.replace(packet, session=2) for packet in film()]
    assert len(shown(user, [*film()[:5], *numbered(other[5:], 5)])) == 5 + 10
    assert user.skipped == 5


@pytest.mark.parametrize("session", [1, 2])
def test_another_codec(session: int) -> None:
    """In a new session, as a camera set up anew does it, or in the middle of one."""
    user = decoder()
    others = [msgspec.structs.replace(packet, session=session) for packet in film("mjpeg")]
    back = [msgspec.structs.replace(packet, session=session) for packet in film("libx265")]
    packets = [*film(), *numbered(others, 20), *numbered(back, 40)]
    assert len(shown(user, packets)) == 60
    assert user.skipped == 0


@pytest.mark.parametrize("codec", ["no_such_codec", "aac", "pcm_s16le"])
def test_what_is_no_video_codec_is_skipped(codec: str) -> None:
    first = film()[0]
    assert first.header is not None
    header = msgspec.structs.replace(first.header, codec=codec)
    user = decoder()
    packets = [msgspec.structs.replace(first, header=header, sequence=n) for n in range(3)]
    assert not shown(user, [*packets, *numbered(film(), 3)][:3])
    assert user.skipped == 3
    assert len(shown(user, numbered(film(), 3))) == 20


def test_a_packet_without_data_does_not_end_the_stream() -> None:
    """To FFmpeg it says that no more will come."""
    user = decoder()
    empty = msgspec.structs.replace(film()[5], data=b"")
    assert len(shown(user, [*film()[:5], empty, *film()[6:]])) >= 5 + 10
    assert 1 <= user.skipped <= 5


# -- sampling ------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [Fraction(r) for r in ("5", "7", "10", "25", "30000/1001", "60")])
@pytest.mark.parametrize("interval", [0.1, 0.2, 0.3, 0.5, 0.7, 1, 2.5])
def test_one_picture_an_interval_without_drift(rate: Fraction, interval: float) -> None:
    times = [round(number * TICK / rate) for number in range(200)]
    exact = Fraction(str(interval))
    found = sampled(interval, times)
    first_of = {}
    for number, time in enumerate(times):
        first_of.setdefault(Fraction(time, TICK) // exact, number)
    assert found == list(first_of.values())
    if rate * exact >= 1:  # enough pictures for one in each interval
        assert len(found) == math.floor(Fraction(times[-1], TICK) / exact) + 1


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.integers(0, 20 * TICK), min_size=1, max_size=40),
    st.sampled_from([0.04, 0.1, 1 / 3, 1.0, 5.0]),
    st.integers(0, 2**40),
)
def test_never_two_pictures_of_one_interval(times: list[int], interval: float, offset: int) -> None:
    times = [offset + time for time in sorted(times)]
    exact = Fraction(interval).limit_denominator(1_000_000)
    intervals = [Fraction(time - times[0], TICK) // exact for time in times]
    expected = [
        next(group)[0] for _, group in itertools.groupby(enumerate(intervals), lambda e: e[1])
    ]
    assert sampled(interval, times) == expected


def test_what_was_missed_is_not_made_up_for() -> None:
    times = [0, 1, 2, *range(50, 80)]  # tenths of a second
    assert sampled(1, [time * TICK // 10 for time in times]) == [0, 3, 13, 23]


def test_interval_zero_shows_everything() -> None:
    assert sampled(0, [0, 0, 5, None, 3]) == [0, 1, 2, 3, 4]


def test_times_that_jump_back_begin_anew() -> None:
    seconds = [100, 101, 3, 3.5, 4, 5]
    assert sampled(1, [int(second * TICK) for second in seconds]) == [0, 1, 2, 4, 5]


def test_a_picture_without_a_time_follows_the_one_before() -> None:
    assert sampled(1, [None] * 25) == [0, 10, 20]
    assert sampled(1, [None, TICK // 10, TICK // 5]) == [0]


def test_each_session_begins_with_a_picture() -> None:
    user = decoder(10)
    times = [0, TICK, 2 * TICK]
    assert len(shown(user, [*stills(times), *stills(times, session=2)])) == 2


def test_a_gap_does_not_add_a_picture() -> None:
    user = decoder(1)
    packets = stills([number * TICK // 10 for number in range(20)])
    del packets[3:5]
    assert [picture.captured_at for picture in shown(user, packets)] == [0, 10]


# -- sizes and erasure ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "width", "shape"),
    [
        ((64, 48), 768, (48, 64, 3)),
        ((64, 48), 64, (48, 64, 3)),
        ((640, 480), 320, (240, 320, 3)),
        ((640, 480), 333, (250, 333, 3)),
        ((1280, 16), 128, (2, 128, 3)),
        ((4096, 16), 100, (1, 100, 3)),
    ],
)
def test_wide_pictures_are_scaled_down(
    size: tuple[int, int], width: int, shape: tuple[int, ...]
) -> None:
    (picture,) = shown(decoder(width=width), film("mjpeg", size, 1))
    assert picture.rgb.shape == shape


def test_another_resolution_in_the_middle() -> None:
    sizes = [(64, 48), (128, 96), (98, 50), (64, 48)]
    packets = [packet for size in sizes for packet in film("mjpeg", size, 2)]
    pictures = shown(decoder(width=100), numbered(packets))
    widths = [(picture.rgb.shape[1], picture.rgb.shape[0]) for picture in pictures[::2]]
    assert widths == [(64, 48), (100, 75), (98, 50), (64, 48)]


@pytest.mark.parametrize(("size", "width"), [((64, 48), 64), ((202, 100), 101), ((640, 480), 333)])
def test_erasing_leaves_no_byte_of_the_picture(size: tuple[int, int], width: int) -> None:
    (picture,) = shown(decoder(width=width), film("mjpeg", size, 1))
    rgb = picture.rgb
    assert rgb.shape[1] == width
    assert rgb.any()
    picture.erase()
    assert not rgb.any()
    with pytest.raises(ValueError, match="erased"):
        _ = picture.rgb


def test_a_view_kept_after_erasing_never_shows_the_next_picture() -> None:
    user = decoder()
    kept = []
    for packet in film("mjpeg"):
        for picture in user.feed(packet):
            assert picture.rgb.any()
            kept.append(picture.rgb)
            picture.erase()
            assert not any(view.any() for view in kept)
    assert len(kept) == 20


def test_pictures_that_are_given_back_use_one_buffer() -> None:
    user = decoder()
    places = set()
    for packet in film("mjpeg"):
        for picture in user.feed(packet):
            places.add(picture.rgb.ctypes.data)
            picture.erase()
    assert len(places) == 1


def test_nothing_of_scaling_is_left_in_the_decoders_frames(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The frame that scaling made is overwritten as soon as the picture lies in locked memory."""
    frames: list[av.VideoFrame] = []
    original = VideoReformatter.reformat

    class Watching:
        def __init__(self) -> None:
            self._real = VideoReformatter()

        def reformat(self, *arguments: Any, **named: Any) -> av.VideoFrame:
            frames.append(original(self._real, *arguments, **named))
            return frames[-1]

    user = decoder(width=61)
    monkeypatch.setattr(user, "_reformatter", Watching())
    pictures = shown(user, film()[:3])
    assert len(frames) == 3
    for frame in frames:
        assert not np.frombuffer(memoryview(frame.planes[0]), np.uint8).any()
    assert all(picture.rgb.any() for picture in pictures)


def test_pictures_do_not_share_memory() -> None:
    first, second = shown(decoder(), film()[:2])
    first.erase()
    assert second.rgb.any()


# -- anything at all -----------------------------------------------------------------------------

CODECS = ("libx264", "libx265", "mjpeg")


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(CODECS), st.randoms(use_true_random=False))
def test_damaged_packets_give_pictures_or_nothing(codec: str, chance: random.Random) -> None:
    user = decoder(width=128)
    for packet in film(codec):
        data = bytearray(packet.data)
        match chance.randrange(5):
            case 0:
                for _ in range(chance.choice([1, 10, 100])):
                    data[chance.randrange(len(data))] = chance.randrange(256)
            case 1:
                del data[chance.randrange(len(data)) :]
            case 2:
                data = bytearray(chance.randbytes(chance.randrange(200)))
            case 3:
                at = chance.randrange(len(data))
                data[at : at + 20] = chance.randbytes(chance.randrange(40))
        for picture in user.feed(msgspec.structs.replace(packet, data=bytes(data))):
            assert picture.rgb.shape[1] <= 128
            picture.erase()
    # And it recovers: the same decoder shows a whole stream afterwards.
    again = [msgspec.structs.replace(packet, session=2) for packet in film(codec)]
    assert len(shown(user, again)) == 20


headers = st.builds(
    StreamHeader,
    codec=st.sampled_from(
        ["h264", "hevc", "mjpeg", "vp8", "rawvideo", "png", "mpeg4", "aac", "x1"]
    ),
    width=st.integers(0, 16384),
    height=st.integers(0, 16384),
    extradata=st.one_of(st.binary(max_size=60), st.sampled_from([b"\x01d\x00\x1f", b"\0\0\1g"])),
    time_base_numerator=st.integers(1, 2**31 - 1),
    time_base_denominator=st.integers(1, 2**31 - 1),
    frame_rate_numerator=st.integers(0, 2**31 - 1),
    frame_rate_denominator=st.integers(1, 2**31 - 1),
)
times = st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1))
anything = st.builds(
    EncodedPacket,
    session=st.integers(0, 1),
    sequence=st.just(0),
    key=st.booleans(),
    pts=times,
    dts=times,
    duration=st.integers(-(2**40), 2**40),
    captured_at=st.integers(0, 2**62),
    header=st.one_of(st.none(), headers),
    data=st.one_of(
        st.binary(max_size=100),
        st.sampled_from([packet.data for codec in CODECS for packet in film(codec)[:3]]),
    ),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(anything, max_size=8))
def test_any_packets_give_pictures_or_nothing(packets: list[EncodedPacket]) -> None:
    user = decoder(1, width=128)
    for picture in shown(user, numbered(packets)):
        assert 0 < picture.rgb.shape[1] <= 128
