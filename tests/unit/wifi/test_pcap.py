from __future__ import annotations

import contextlib
import struct
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.wifi.errors import NotACapture
from actors.wifi.pcap import Damage, read_capture
from tests.unit.wifi.frames import block, interface, packet, pcap, section

FRAMES = [(1_700_000_000.25, b"first"), (1_700_000_001.5, b"the second"), (1_700_000_002.0, b"")]


def contents(content: bytes) -> list[tuple[float, bytes]]:
    return [(one.nanoseconds / 10**9, bytes(one.data)) for one in read_capture(content).frames]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("nanoseconds", [False, True])
def test_pcap_in_both_byte_orders_and_resolutions(order: str, nanoseconds: bool) -> None:
    content = pcap(FRAMES, order=order, nanoseconds=nanoseconds)
    assert contents(content) == FRAMES
    assert read_capture(content).damage == {}


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("resolution", "per_second"), [(None, 10**6), (9, 10**9), (3, 10**3), (0x80 | 10, 1024)]
)
def test_pcapng_in_both_byte_orders_and_resolutions(
    order: str, resolution: int | None, per_second: int
) -> None:
    options = b""
    if resolution is not None:
        options = struct.pack(f"{order}HHB3xHH", 9, 1, resolution, 0, 0)
    content = section(order) + interface(order, options=options)
    for at, data in FRAMES:
        content += packet(order, int(at * 4) * per_second // 4, data)
    assert contents(content) == FRAMES
    assert read_capture(content).damage == {}


def test_pcapng_time_offset_is_added() -> None:
    options = struct.pack("<HHqHH", 14, 8, 1_700_000_000, 0, 0)
    content = section() + interface(options=options) + packet("<", 500_000, b"x")
    assert contents(content) == [(1_700_000_000.5, b"x")]


def test_pcapng_sections_may_differ_in_byte_order_and_number_interfaces_anew() -> None:
    content = (
        section("<") + interface("<", 1) + interface("<") + packet("<", 1_000_000, b"a", number=1)
    )
    content += section(">") + interface(">") + packet(">", 2_000_000, b"b")
    assert contents(content) == [(1.0, b"a"), (2.0, b"b")]


def test_blocks_of_other_kinds_are_passed_over() -> None:
    content = section() + block("<", 5, bytes(16)) + interface() + block("<", 0xBAD, b"")
    assert contents(content + packet("<", 0, b"a")) == [(0.0, b"a")]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param(pcap(FRAMES)[:20], Damage.CUT_OFF, id="pcap header cut"),
        pytest.param(pcap(FRAMES, link_type=1), Damage.OTHER_LINK_TYPE, id="Ethernet pcap"),
        pytest.param(
            pcap([]) + struct.pack("<IIII", 0, 0, 2**31, 0), Damage.BAD_LENGTH, id="pcap length"
        ),
        pytest.param(
            pcap([]) + struct.pack("<IIII", 0, 10**6, 1, 1) + b"x", Damage.NO_TIME, id="fraction"
        ),
        pytest.param(
            section() + interface("<", 1) + packet("<", 0, b""),
            Damage.OTHER_LINK_TYPE,
            id="Ethernet",
        ),
        pytest.param(section() + packet("<", 0, b""), Damage.UNKNOWN_INTERFACE, id="no interface"),
        pytest.param(section() + block("<", 3, b"\0" * 8), Damage.NO_TIME, id="simple packet"),
        pytest.param(section() + block("<", 6, b"\0" * 8), Damage.BAD_LENGTH, id="short packet"),
        pytest.param(
            section() + struct.pack("<III", 6, 8, 0), Damage.BAD_LENGTH, id="block length too short"
        ),
        pytest.param(
            section() + struct.pack("<III", 6, 13, 0), Damage.BAD_LENGTH, id="block length not by 4"
        ),
        pytest.param(
            section() + struct.pack("<IIII", 0x0A0D0D0A, 28, 0, 0), Damage.BAD_LENGTH, id="section"
        ),
    ],
)
def test_damage_is_told(content: bytes, expected: Damage) -> None:
    assert expected in read_capture(content).damage


@pytest.mark.parametrize(
    "content", [b"", b"\0" * 40, b"PK\x03\x04", b"\x0a\x0d\x0d\x0a" + bytes(20)]
)
def test_what_is_no_capture(content: bytes) -> None:
    with pytest.raises(NotACapture, match="neither a pcap nor a pcapng file"):
        read_capture(content)


PCAPNG = section() + interface() + b"".join(packet("<", int(t * 1e6), d) for t, d in FRAMES)


@pytest.mark.parametrize("whole", [pcap(FRAMES), PCAPNG], ids=["pcap", "pcapng"])
def test_a_file_cut_anywhere_gives_what_came_before(whole: bytes) -> None:
    begin = 24 if whole is not PCAPNG else 28
    found = []
    for size in range(begin, len(whole) + 1):
        capture = read_capture(whole[:size])
        given = [(one.nanoseconds / 10**9, bytes(one.data)) for one in capture.frames]
        assert given == FRAMES[: len(given)]
        assert set(capture.damage) <= {Damage.CUT_OFF}
        found.append(len(given))
    assert all(after - before in (0, 1) for before, after in pairwise(found))
    assert found[-1] == len(FRAMES)


STARTS = [pcap([]), pcap([], order=">"), section(), section() + interface(), section(">")]


@given(st.sampled_from([b"", *STARTS]), st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(start: bytes, rest: bytes) -> None:
    try:
        capture = read_capture(start + rest)
    except NotACapture:
        assert not start
        return
    assert sum(len(one.data) for one in capture.frames) <= len(rest)


@given(st.sampled_from([pcap(FRAMES), PCAPNG]), st.data())
def test_flipped_bytes_never_raise(whole: bytes, data: st.DataObject) -> None:
    damaged = bytearray(whole)
    for position in data.draw(st.lists(st.integers(0, len(whole) - 1), max_size=6)):
        damaged[position] = data.draw(st.integers(0, 255))
    with contextlib.suppress(NotACapture):
        read_capture(bytes(damaged))


def test_a_capture_shows_no_frame() -> None:
    capture = read_capture(pcap([(0.0, b"secret")]))
    assert "secret" not in repr(capture) + repr(capture.frames[0])
    assert b"secret".hex() not in repr(capture.frames)
