from __future__ import annotations

import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from actors.wifi.errors import UnreadableFrame
from actors.wifi.radiotap import read_radiotap
from tests.unit.wifi.frames import radiotap


def read(frame: bytes) -> tuple[int, bool, bool, int | None]:
    header = read_radiotap(memoryview(frame))
    return header.length, header.has_fcs, header.is_damaged, header.signal_dbm


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        pytest.param(struct.pack("<BBHI", 0, 0, 8, 0), (8, False, False, None), id="nothing"),
        pytest.param(radiotap(b"", signal=-60, flags=0x10), (10, True, False, -60), id="fcs"),
        pytest.param(radiotap(b"", signal=-1, flags=0x50), (10, True, True, -1), id="bad fcs"),
        pytest.param(
            struct.pack("<BBHIQB", 0, 0, 17, 0b11, 1, 0x40), (17, False, True, None), id="tsft"
        ),
        pytest.param(
            # TSFT is aligned to 8 bytes from the start, after three words that say what is there.
            struct.pack(
                "<BBHIIIQBBHHb", 0, 0, 31, 0xA000002F, 0xA0000820, 0x820, 1, 16, 2, 1, 1, -70
            )
            + b"\0" * 0,
            (31, True, False, -70),
            id="three words",
        ),
        pytest.param(
            struct.pack("<BBHIBxHHHb", 0, 0, 17, 0b11_1010, 0x10, 2437, 0xA0, 0, -30),
            (17, True, False, -30),
            id="channel aligned, FHSS",
        ),
        pytest.param(
            struct.pack("<BBHI", 0, 0, 12, 1 << 14) + b"\0" * 4,
            (12, False, False, None),
            id="fields that are not needed",
        ),
    ],
)
def test_headers(frame: bytes, expected: tuple[int, bool, bool, int | None]) -> None:
    assert read(frame) == expected


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\0\0\x08\0\0\0\0", id="7 bytes"),
        pytest.param(struct.pack("<BBHI", 1, 0, 8, 0), id="another version"),
        pytest.param(struct.pack("<BBHI", 0, 0, 7, 0), id="too short a length"),
        pytest.param(struct.pack("<BBHI", 0, 0, 9, 0), id="longer than captured"),
        pytest.param(struct.pack("<BBHI", 0, 0, 8, 0b10), id="no room for its field"),
        pytest.param(struct.pack("<BBHI", 0, 0, 8, 1 << 31), id="no room for its next word"),
        pytest.param(struct.pack("<BBH", 0, 0, 64) + b"\xff" * 60, id="words without an end"),
    ],
)
def test_unreadable_headers(frame: bytes) -> None:
    with pytest.raises(UnreadableFrame):
        read(frame)


@given(st.binary(max_size=80))
@example(b"\0\0\x08\0\xff\xff\xff\xff")
def test_any_bytes_are_read_or_refused(frame: bytes) -> None:
    try:
        header = read_radiotap(memoryview(frame))
    except UnreadableFrame:
        return
    assert 8 <= header.length <= len(frame)
    assert header.signal_dbm is None or -128 <= header.signal_dbm <= 127
