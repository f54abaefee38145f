"""What cameras say of their streams."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.camera.nal_units import parameter_sets
from actors.camera.sdp import UnknownVideo, video_in

SESSION = "v=0\r\no=- 0 0 IN IP4 192.0.2.1\r\ns=stream\r\na=control:*\r\n"
SOUND = "m=audio 0 RTP/AVP 0\r\na=control:trackID=2\r\na=rtpmap:0 PCMU/8000\r\n"
PICTURES = (
    "m=video 0 RTP/AVP 96\r\n"
    "a=control:trackID=1\r\n"
    "a=rtpmap:96 H264/90000\r\n"
    "a=fmtp:96 packetization-mode=1; profile-level-id=420029; "
    "sprop-parameter-sets=Z0IAKeKQ,aM48gA==\r\n"
    "a=framerate:12.5\r\n"
)


def test_the_video_is_found_beside_the_sound() -> None:
    media = video_in(SESSION + SOUND + PICTURES)
    assert media is not None
    assert (media.codec, media.payload_type, media.clock_rate) == ("h264", 96, 90_000)
    assert (media.control, media.frame_rate) == ("trackID=1", Fraction(25, 2))
    assert parameter_sets(media.codec, media.parameters) == (
        b"\0\0\0\1\x67\x42\0\x29\xe2\x90\0\0\0\1\x68\xce\x3c\x80"
    )


def test_jpeg_needs_no_map() -> None:
    media = video_in("v=0\nm=video 0 RTP/AVP 26\n")
    assert media is not None
    assert (media.codec, media.clock_rate, media.control) == ("mjpeg", 90_000, "")
    assert media.frame_rate == 0


def test_parameter_sets_of_h265_come_in_the_order_of_a_decoder() -> None:
    media = video_in(
        "m=video 0 RTP/AVP 97\na=rtpmap:97 H265/90000\n"
        "a=fmtp:97 sprop-sps=QgE=;sprop-pps=RAE=;sprop-vps=QAE="
    )
    assert media is not None
    sets = parameter_sets(media.codec, media.parameters)
    assert sets == b"".join(b"\0\0\0\1" + kind for kind in (b"\x40\1", b"\x42\1", b"\x44\1"))


@pytest.mark.parametrize("sets", ["", "!!", "Z0IAKeKQ,%", "A"])
def test_sets_that_cannot_be_read_are_none(sets: str) -> None:
    assert parameter_sets("h264", {"sprop-parameter-sets": sets}) == b""


def test_no_video_and_unknown_video_are_told_apart() -> None:
    assert video_in(SESSION + SOUND) is None
    with pytest.raises(UnknownVideo):
        video_in(SESSION + "m=video 0 RTP/AVP 98\r\na=rtpmap:98 VP8/90000\r\n")


def test_the_first_kind_that_is_known_is_taken() -> None:
    media = video_in(
        "m=video 0 RTP/AVP 98\na=rtpmap:98 MP2T/90000\n"
        "m=video 0 RTP/AVP 99 96\na=rtpmap:99 VP9/90000\na=rtpmap:96 H265/90000\na=control:b\n"
    )
    assert media is not None
    assert (media.codec, media.payload_type, media.control) == ("hevc", 96, "b")


LINES = st.sampled_from(
    [
        "m=video 0 RTP/AVP 96", "m=video", "m=", "a=rtpmap:96 H264/90000", "a=rtpmap:96 H264/0",
        "a=", "a=rtpmap:999 JPEG/1", "a=fmtp:96 =;;a", "a=framerate:0", "a=framerate:1e9",
    ]
)  # fmt: skip


@given(st.lists(LINES | st.text(max_size=30), max_size=12))
def test_whatever_it_says_is_read_or_refused(lines: list[str]) -> None:
    try:
        media = video_in("\n".join(lines))
    except UnknownVideo:
        return
    if media is not None:
        assert media.clock_rate > 0
        assert media.frame_rate >= 0
