from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
import structlog
import trio

from actors.wifi import DeviceCount, WifiCounter, WifiSensing, WifiSettings
from actors.wifi.generate import generate_capture, write_capture
from runtime import Duration, Outlet, Reading, SourceAddress, Unrecoverable
from runtime.capability import Authority
from runtime.channel import Link, Queue
from tests.unit.wifi.frames import RANDOMISED, STATION, pcap, probe_request, radiotap

MINUTE = 1_700_000_040


class VirtualWifiCounter(WifiCounter):
    """Its wall clock is trio's, so that it runs in virtual time."""

    offset = 0.0

    def _wall(self) -> float:
        return trio.current_time() + self.offset


def open_sensing(settings: WifiSettings) -> WifiSensing:
    authority = Authority._mint(actor="wifi", folder=None, settings=settings, facts={})
    authority.prepared = WifiSensing.prepare(authority)
    return WifiSensing._mint(authority)


def from_file(path: Path, **settings: Any) -> WifiSettings:
    return WifiSettings(source=SourceAddress(f"file:{path}"), **settings)


def make_counter(
    settings: WifiSettings, *, began: float = MINUTE
) -> tuple[VirtualWifiCounter, Queue[DeviceCount]]:
    queue = Queue("statistics.devices", DeviceCount)
    counter = VirtualWifiCounter(
        {
            "place": "east-exit",
            "settings": settings,
            "log": structlog.get_logger(),
            "counts": Outlet._mint("wifi.counts", DeviceCount, [Link(queue)]),
            "sensing": open_sensing(settings),
            **{name: Reading() for name in WifiCounter.declaration.readings},
        }
    )
    counter.offset = began - trio.current_time()
    return counter, queue


async def live(counter: WifiCounter, seconds: float) -> None:
    """Start, run for a time, and stop, as the host does."""
    await counter.start()
    with trio.move_on_after(seconds):
        await counter.run()
    await counter.stop()


def sent(queue: Queue[DeviceCount]) -> list[tuple[int, int, int]]:
    messages = [queue.take() for _ in range(queue.statistics().waiting)]
    assert {message.place for message in messages} <= {"east-exit"}
    return [(one.start - MINUTE, one.end - MINUTE, one.devices) for one in messages]


@pytest.fixture
def street(tmp_path: Path) -> Path:
    path = tmp_path / "street.pcapng"
    write_capture(generate_capture(), path)
    return path


async def test_it_counts_what_is_there_slice_by_slice(street: Path) -> None:
    counter, queue = make_counter(from_file(street, slice=Duration(10)))
    # The replay begins with the first frame, not with the capture's zero.
    generated = generate_capture()
    shift = generated.frames[0].at
    await live(counter, 75)
    expected = [
        (at, at + 10, generated.devices(at + shift, at + 10 + shift)) for at in range(0, 70, 10)
    ]
    assert sent(queue) == [*expected, (70, 75, generated.devices(70 + shift, 75 + shift))]
    assert counter.slices_sent.value == 8
    assert counter.frames_seen.value == sum(f.at - shift < 75 for f in generated.frames)
    assert counter.frames_unreadable.value > 20
    assert counter.devices_now.value == 0


async def test_it_shows_the_devices_of_the_slice_so_far(street: Path) -> None:
    counter, _ = make_counter(from_file(street, slice=Duration(60)))
    generated = generate_capture()
    await counter.start()
    with trio.move_on_after(30):
        await counter.run()
    assert counter.devices_now.value == generated.devices(0, 30 + generated.frames[0].at)
    await counter.stop()


async def test_the_first_slice_begins_when_counting_begins(street: Path) -> None:
    counter, queue = make_counter(from_file(street), began=MINUTE + 42.5)
    await live(counter, 30)
    assert [(start, end) for start, end, _ in sent(queue)] == [(43, 60), (60, 73)]


async def test_a_looped_capture_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "two.pcap"
    frames = [(1.0, radiotap(probe_request(STATION))), (3.0, radiotap(probe_request(RANDOMISED)))]
    path.write_bytes(pcap(frames))
    counter, queue = make_counter(from_file(path, slice=Duration(10), loop=True))
    await live(counter, 30.5)
    # Two seconds from frame to frame, and one before it starts over.
    assert counter.frames_seen.value == 21
    assert sent(queue) == [(0, 10, 2), (10, 20, 2), (20, 30, 2), (30, 31, 1)]


async def test_after_the_end_of_a_capture_it_does_not_claim_that_nobody_is_there(
    tmp_path: Path,
) -> None:
    path = tmp_path / "two.pcap"
    path.write_bytes(pcap([(at, radiotap(probe_request(STATION))) for at in (0.0, 14.2)]))
    counter, queue = make_counter(from_file(path, slice=Duration(10)))
    await live(counter, 200)
    assert sent(queue) == [(0, 10, 1), (10, 15, 1)]


@pytest.fixture
def cut_street(street: Path) -> Path:
    whole = street.read_bytes()
    street.write_bytes(whole[: len(whole) // 2])
    return street


async def test_a_damaged_capture_gives_what_it_has_and_says_so(cut_street: Path) -> None:
    counter, queue = make_counter(from_file(cut_street, slice=Duration(10)))
    with structlog.testing.capture_logs() as logs:
        await live(counter, 90)
    assert counter.slices_sent.value >= 4
    assert {
        "event": "the capture is damaged",
        "log_level": "warning",
        "reason": "the file ends within a record",
        "times": 1,
    } in logs
    assert sum(devices for *_, devices in sent(queue)) > 10


async def test_no_address_is_logged_or_shown(street: Path) -> None:
    counter, queue = make_counter(from_file(street, slice=Duration(10)))
    with structlog.testing.capture_logs() as logs:
        await live(counter, 95)
    shown = repr(logs) + repr([queue.take() for _ in range(queue.statistics().waiting)])
    shown += repr(vars(counter))
    for frame in generate_capture().frames:
        if frame.station is not None:
            assert frame.station.hex() not in shown
            assert frame.station.hex(":") not in shown
            assert repr(frame.station)[2:-1] not in shown


async def test_a_slice_in_which_the_clock_was_set_is_left_out(street: Path) -> None:
    counter, queue = make_counter(from_file(street, slice=Duration(10)))
    await counter.start()
    with trio.move_on_after(5):
        await counter.run()
    counter.offset += 1000
    with trio.move_on_after(20):
        await counter.run()
    assert [window for *window, _ in sent(queue)] == [[1010, 1020]]
    await counter.stop()
    assert [window for *window, _ in sent(queue)] == [[1020, 1025]]


async def test_a_pause_in_the_capture_of_more_than_a_minute_is_shortened(tmp_path: Path) -> None:
    path = tmp_path / "joined.pcap"
    path.write_bytes(pcap([(at, radiotap(probe_request(STATION))) for at in (5.0, 9e8, 1.0)]))
    counter, queue = make_counter(from_file(path))
    await live(counter, 500)
    assert counter.frames_seen.value == 3
    assert sent(queue) == [(0, 60, 1)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "there is no capture .*missing.pcap. `smartpole wifi-capture --to"),
        (b"no capture", "file missing.pcap can't be played: it is neither a pcap nor"),
        (pcap([]), "file missing.pcap holds no frame that could be played: it is empty"),
        (pcap([(0.0, b"x")], link_type=1), "a frame is not 802.11 with radiotap"),
    ],
)
def test_a_file_that_can_not_be_played(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "missing.pcap"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(Unrecoverable, match=message):
        open_sensing(from_file(path))


def test_a_file_that_is_too_large(tmp_path: Path) -> None:
    path = tmp_path / "large.pcap"
    with path.open("wb") as file:
        file.truncate(64 * 1024 * 1024 + 1)
    with pytest.raises(Unrecoverable, match="more than 64 MiB"):
        open_sensing(from_file(path))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"source": "rtsp:x"}, "such as"),
        ({"source": "interface:wlan0mon and more"}, "name of a network interface"),
        ({"source": "interface:wlan0mon", "loop": True}, "never ends"),
        ({"source": "file:x", "slice": 9.0}, "10s to 1h"),
        ({"source": "file:x", "slice": 3601.0}, "10s to 1h"),
        ({"source": "file:x", "slice": 10.5}, "whole seconds"),
        ({"source": "file:x", "minimum_signal_dbm": 1}, "<= 0"),
    ],
)
def test_settings_that_make_no_sense(given: dict[str, object], message: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=message):
        msgspec.convert(given, WifiSettings, dec_hook=lambda kind, value: kind(value))


def test_headline_shows_no_folder() -> None:
    assert from_file(Path("/private/street.pcap")).headline() == (
        "file street.pcap, slices of 1min"
    )
