from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.wifi.errors import UnreadableFrame
from actors.wifi.frame import station_of
from actors.wifi.ieee80211 import sending_station
from tests.unit.wifi.frames import (
    ACCESS_POINT,
    EVERYBODY,
    OTHER,
    RANDOMISED,
    STATION,
    header,
    probe_request,
    radiotap,
)


def sender(frame: bytes) -> bytes | None:
    return sending_station(memoryview(frame), has_fcs=False)


TO_AP = (ACCESS_POINT, STATION, ACCESS_POINT)
FROM_AP = (STATION, ACCESS_POINT, ACCESS_POINT)


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        pytest.param(header(0x08, 1, ACCESS_POINT, STATION, OTHER), STATION, id="data to AP"),
        pytest.param(header(0x88, 1, ACCESS_POINT, STATION, OTHER), STATION, id="QoS data to AP"),
        pytest.param(header(0x48, 1, *TO_AP), STATION, id="null to AP"),
        pytest.param(header(0xC8, 0x11, *TO_AP), STATION, id="QoS null to AP, power save"),
        pytest.param(header(0x08, 0x41, *TO_AP), STATION, id="protected data to AP"),
        pytest.param(header(0x08, 0, OTHER, STATION, ACCESS_POINT), STATION, id="direct link"),
        pytest.param(header(0x08, 2, *FROM_AP), None, id="data from AP"),
        pytest.param(header(0x08, 3, ACCESS_POINT, STATION, OTHER) + OTHER, None, id="bridge"),
        pytest.param(probe_request(STATION), STATION, id="probe request"),
        pytest.param(probe_request(RANDOMISED), RANDOMISED, id="randomised address"),
        pytest.param(header(0x00, 0, *TO_AP), STATION, id="association request"),
        pytest.param(header(0x20, 0, *TO_AP), STATION, id="reassociation request"),
        pytest.param(header(0x10, 0, *FROM_AP), None, id="association response"),
        pytest.param(header(0x30, 0, *FROM_AP), None, id="reassociation response"),
        pytest.param(header(0x50, 0, *FROM_AP), None, id="probe response"),
        pytest.param(header(0x80, 0, EVERYBODY, ACCESS_POINT, ACCESS_POINT), None, id="beacon"),
        pytest.param(header(0xB0, 0, *TO_AP), STATION, id="authentication to AP"),
        pytest.param(header(0xB0, 0, *FROM_AP), None, id="authentication from AP"),
        pytest.param(header(0xA0, 0, *TO_AP), STATION, id="disassociation to AP"),
        pytest.param(header(0xC0, 0, *FROM_AP), None, id="deauthentication from AP"),
        pytest.param(
            header(0xC0, 0, EVERYBODY, ACCESS_POINT, ACCESS_POINT),
            None,
            id="deauthentication of all",
        ),
        pytest.param(header(0xD0, 0, *TO_AP), STATION, id="action to AP"),
        pytest.param(header(0xD0, 0, EVERYBODY, ACCESS_POINT, EVERYBODY), None, id="action to all"),
        pytest.param(header(0xA4, 0, ACCESS_POINT, STATION)[:16], STATION, id="power-save poll"),
        pytest.param(header(0xB4, 0, ACCESS_POINT, STATION)[:16], None, id="request to send"),
        pytest.param(header(0xC4, 0, STATION)[:10], None, id="clear to send"),
        pytest.param(header(0xD4, 0, STATION)[:10], None, id="acknowledgement"),
        pytest.param(header(0x94, 0, ACCESS_POINT, STATION)[:16], None, id="block acknowledgement"),
        pytest.param(header(0x0C, 0, *TO_AP), None, id="extension frame"),
        pytest.param(probe_request(b"\x01" + STATION[1:]), None, id="group address"),
        pytest.param(probe_request(bytes(6)), None, id="zero address"),
    ],
)
def test_who_sent_it(frame: bytes, expected: bytes | None) -> None:
    assert sender(frame) == expected


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\xd4\0" + bytes(7), id="9 bytes"),
        pytest.param(probe_request(STATION)[:23], id="management of 23 bytes"),
        pytest.param(header(0x08, 1, *TO_AP)[:23], id="data of 23 bytes"),
        pytest.param(header(0xA4, 0, ACCESS_POINT, STATION)[:15], id="poll of 15 bytes"),
        pytest.param(b"\x41" + probe_request(STATION)[1:], id="protocol version 1"),
    ],
)
def test_unreadable_frames(frame: bytes) -> None:
    with pytest.raises(UnreadableFrame):
        sender(frame)


def test_a_checksum_is_no_part_of_the_header() -> None:
    frame = header(0xA4, 0, ACCESS_POINT, STATION)[:16]
    assert sending_station(memoryview(frame + bytes(4)), has_fcs=True) == STATION
    with pytest.raises(UnreadableFrame):
        sending_station(memoryview(frame), has_fcs=True)


def test_a_frame_damaged_on_the_air_counts_nobody() -> None:
    good = memoryview(radiotap(probe_request(STATION)))
    bad = memoryview(radiotap(probe_request(STATION), flags=0x40))
    assert station_of(good) == STATION
    with pytest.raises(UnreadableFrame):
        station_of(bad)


def test_a_minimum_signal_bounds_the_area() -> None:
    near = memoryview(radiotap(probe_request(STATION), signal=-60))
    unknown = memoryview(b"\0\0\x08\0\0\0\0\0" + probe_request(STATION))
    assert station_of(near, minimum_signal_dbm=-60) == STATION
    assert station_of(near, minimum_signal_dbm=-59) is None
    assert station_of(unknown) == STATION
    assert station_of(unknown, minimum_signal_dbm=-100) is None


@given(st.binary(max_size=120), st.booleans())
def test_any_frame_gives_a_device_address_nobody_or_is_refused(frame: bytes, fcs: bool) -> None:
    try:
        station = sending_station(memoryview(frame), has_fcs=fcs)
    except UnreadableFrame:
        return
    assert station is None or (len(station) == 6 and not station[0] & 1)


@given(st.binary(max_size=160))
def test_any_capture_is_read_or_refused(frame: bytes) -> None:
    for whole in (frame, radiotap(frame)):
        with contextlib.suppress(UnreadableFrame):
            station_of(memoryview(whole))
