from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import msgspec
import pytest
import structlog
import trio
from structlog.testing import capture_logs

from actors.crowd.messages import PictureCount
from actors.statistics import Statistics, StatisticsSettings, StatisticsStore
from actors.statistics.release import Released, ReleasedDevices, ReleasedPeople
from actors.statistics.store import SliceRefused, StoreFailed
from actors.wifi.messages import DeviceCount
from runtime import Domain, Duration, Inlet, Message, Reading, Sensitivity
from runtime.channel import Queue
from tests.unit.statistics.pictures import MINUTE, of_people

T = TypeVar("T")


class MemoryStore:
    """Keeps what it is given; can be full, and can refuse."""

    def __init__(self) -> None:
        self.stored: list[Released] = []
        self.is_full = False
        self.refused_place = ""

    def append(self, released: Released) -> None:
        if self.is_full:
            raise StoreFailed("statistics.db can't be used now: database or disk is full.")
        if released.place == self.refused_place:
            raise SliceRefused("a slice does not fit the schema")
        self.stored.append(released)

    def people_until(self) -> int:
        return max((one.end for one in self.stored if isinstance(one, ReleasedPeople)), default=0)


class VirtualStatistics(Statistics):
    """In virtual time: its wall clock is trio's, and nothing leaves the loop."""

    offset = 0.0

    def _wall(self) -> float:
        return trio.current_time() + self.offset

    async def blocking(self, function: Callable[..., T], *args: object) -> T:
        await trio.lowlevel.checkpoint()
        return function(*args)


class Rig:
    """One incarnation at a time, as the host makes them; queues and store outlive it."""

    def __init__(self, settings: StatisticsSettings, began: float = MINUTE) -> None:
        self.settings = settings
        self.people = Queue("statistics.people", PictureCount)
        self.devices = Queue("statistics.devices", DeviceCount)
        self.store = MemoryStore()
        self.readings = {name: Reading() for name in Statistics.declaration.readings}
        self.offset = began - trio.current_time()

    def build(self) -> VirtualStatistics:
        self.people.reopen()
        self.devices.reopen()
        actor = VirtualStatistics(
            {
                "place": "",
                "settings": self.settings,
                "log": structlog.get_logger(),
                "people": Inlet._mint(self.people),
                "devices": Inlet._mint(self.devices),
                "store": self.store,
                **self.readings,
            }
        )
        actor.offset = self.offset
        return actor

    @asynccontextmanager
    async def running(self) -> AsyncIterator[VirtualStatistics]:
        """Start it; at the end let it receive everything, and stop it."""
        actor = self.build()
        await actor.start()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(actor.run)
            yield actor
            self.people.finish()
            self.devices.finish()
        await actor.stop()

    def see(self, people: int, *, place: str = "east-exit", ago: int = 0) -> None:
        assert self.people.put(of_people(self.now - ago, people, place=place))

    def hear(self, devices: int, *, start: int, place: str = "east-exit") -> None:
        assert self.devices.put(
            DeviceCount(place=place, start=MINUTE + start, end=MINUTE + start + 60, devices=devices)
        )

    @property
    def now(self) -> int:
        return int(trio.current_time() + self.offset)

    def reading(self, name: str) -> int:
        return self.readings[name].value

    def people_stored(self) -> list[tuple[int, int, int, int | None]]:
        return [
            (one.start - MINUTE, one.end - MINUTE, one.pictures, one.peak)
            for one in self.store.stored
            if isinstance(one, ReleasedPeople)
        ]

    def devices_stored(self) -> list[tuple[int, int | None]]:
        return [
            (one.start - MINUTE, one.devices)
            for one in self.store.stored
            if isinstance(one, ReleasedDevices)
        ]


def every_minute(**changes: object) -> StatisticsSettings:
    return msgspec.structs.replace(StatisticsSettings(), **changes)


async def test_slices_are_released_as_time_passes() -> None:
    rig = Rig(every_minute())
    async with rig.running():
        for second in range(150):
            rig.see(7 if second < 60 else 3)
            await trio.sleep(1)
        assert rig.people_stored() == [(0, 60, 60, 7), (60, 120, 60, None)]
        assert rig.reading("slices_released") == 2
        assert rig.reading("people_now") == 3
    # The running slice is released with its true end.
    assert rig.people_stored()[2:] == [(120, 150, 30, None)]
    assert rig.reading("people_now") == 0


async def test_a_gap_is_no_zero() -> None:
    rig = Rig(every_minute())
    async with rig.running():
        rig.see(6)
        await trio.sleep(300)
        rig.see(8)
        await trio.sleep(65)
    assert rig.people_stored() == [(0, 60, 1, 6), (300, 360, 1, 8)]


async def test_people_now_is_of_the_last_seconds_only() -> None:
    rig = Rig(every_minute())
    async with rig.running():
        rig.see(4)
        rig.see(3, place="west-exit")
        await trio.sleep(0.1)
        assert rig.reading("people_now") == 7
        await trio.sleep(5)
        rig.see(9)
        await trio.sleep(0.1)
        assert rig.reading("people_now") == 12
        await trio.sleep(7)
        assert rig.reading("people_now") == 9
        await trio.sleep(10)
        assert rig.reading("people_now") == 0


async def test_late_pictures_are_dropped_and_counted() -> None:
    rig = Rig(every_minute())
    async with rig.running():
        await trio.sleep(61)
        rig.see(6, ago=2)
        await trio.sleep(5)
        rig.see(9, ago=10)
        await trio.sleep(1)
        assert rig.reading("pictures_late") == 1
    assert rig.people_stored() == [(0, 60, 1, 6)]


async def test_device_slices_are_released_at_once() -> None:
    rig = Rig(every_minute(k=10))
    async with rig.running():
        rig.hear(25, start=-60)
        await trio.sleep(0.1)
        assert rig.reading("devices_last") == 25
        rig.hear(9, start=0)
        rig.hear(12, start=0, place="west-exit")
        await trio.sleep(0.1)
        assert rig.reading("devices_last") == 12
    assert rig.devices_stored() == [(-60, 25), (0, None), (0, 12)]
    assert rig.reading("device_slices_released") == 3


async def test_a_restart_within_the_second_in_which_a_slice_began_loses_nothing() -> None:
    rig = Rig(every_minute())
    actor = rig.build()
    await actor.start()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(actor.run)
        rig.see(6)
        await trio.sleep(0.3)
        nursery.cancel_scope.cancel()
    await actor.stop()
    async with rig.running():
        rig.see(8)
        await trio.sleep(0.3)
    # The store keeps the first of two slices with one start, so they must not have one.
    starts = [start for start, *_ in rig.people_stored()]
    assert len(set(starts)) == len(starts) == 2
    assert sum(pictures for _, _, pictures, _ in rig.people_stored()) == 2


async def test_an_incarnation_that_is_cut_short_loses_nothing_that_was_accepted() -> None:
    rig = Rig(every_minute())
    actor = rig.build()
    await actor.start()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(actor.run)
        for _ in range(20):
            rig.see(6)
            await trio.sleep(1)
        nursery.cancel_scope.cancel()
    await actor.stop()  # as the host does after a crash
    assert rig.people_stored() == [(0, 20, 20, 6)]
    await trio.sleep(0.3)
    async with rig.running():
        await trio.sleep(1)
        for _ in range(20):
            rig.see(8)
            await trio.sleep(1)
    # Windows do not overlap; what was counted before the crash isn't counted again.
    assert [window for window in rig.people_stored() if window[3] == 8] == [(21, 42, 20, 8)]
    assert sum(pictures for _, _, pictures, _ in rig.people_stored()) == 40


async def test_while_the_disk_is_full_released_slices_wait() -> None:
    rig = Rig(every_minute())
    with capture_logs() as logs:
        async with rig.running():
            rig.store.is_full = True
            for _ in range(200):
                rig.see(6)
                await trio.sleep(1)
            rig.hear(30, start=120)
            await trio.sleep(1)
            assert rig.store.stored == []
            assert rig.reading("slices_waiting") == 4
            rig.store.is_full = False
            await trio.sleep(2)
            assert rig.reading("slices_waiting") == 0
    assert [window[:2] for window in rig.people_stored()] == [
        (0, 60), (60, 120), (120, 180), (180, 203)
    ]  # fmt: skip
    assert rig.devices_stored() == [(120, 30)]
    assert [(one["event"], one["log_level"]) for one in logs] == [
        ("slices wait to be stored", "error"),
        ("all slices that waited are stored", "info"),
    ]


async def test_what_could_not_be_stored_in_the_end_is_counted() -> None:
    rig = Rig(every_minute())
    with capture_logs() as logs:
        async with rig.running():
            rig.store.is_full = True
            rig.see(6)
            await trio.sleep(70)
            rig.see(6)
            await trio.sleep(1)
    assert rig.reading("slices_lost") == 2
    assert {
        "event": "released slices are lost: not stored", "log_level": "error", "slices": 2
    } in logs  # fmt: skip


async def test_a_slice_that_never_fits_does_not_hold_up_the_others() -> None:
    rig = Rig(every_minute())
    rig.store.refused_place = "west-exit"
    async with rig.running():
        rig.hear(30, start=0, place="west-exit")
        rig.hear(31, start=0)
        await trio.sleep(1)
    assert rig.devices_stored() == [(0, 31)]
    assert rig.reading("slices_lost") == 1


async def test_the_length_of_a_slice_is_set() -> None:
    rig = Rig(every_minute(slice=Duration(10)), began=MINUTE + 3.4)
    async with rig.running():
        for _ in range(30):
            rig.see(5)
            await trio.sleep(1)
    assert [window[:2] for window in rig.people_stored()] == [
        (3, 10), (10, 20), (20, 30), (30, 34)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"slice": 5.0}, "10s to 1h"),
        ({"slice": 7200.0}, "10s to 1h"),
        ({"slice": 60.5}, "whole seconds"),
        ({"k": 2}, ">= 3"),
        ({"k": 1001}, "<= 1000"),
    ],
)
def test_settings_that_make_no_sense(given: dict[str, object], message: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=message):
        msgspec.convert(given, StatisticsSettings, dec_hook=lambda kind, value: kind(value))


def test_what_it_declares() -> None:
    declaration = Statistics.declaration
    assert declaration.domain is Domain.PUBLIC
    assert {need.capability for need in declaration.needs.values()} == {StatisticsStore}
    taken: list[type[Message]] = [one.message for one in declaration.inlets.values()]
    assert all(one.sensitivity is Sensitivity.AGGREGATE for one in taken)
    assert StatisticsSettings.published == ("slice", "k")
    assert StatisticsSettings().headline() == "slices of 1min, k = 5"
