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
from actors.ledger.receipts import StatisticsReleased
from actors.statistics import Statistics, StatisticsSettings, StatisticsStore
from actors.statistics.errors import SliceRefused, StoreFailed
from actors.statistics.release import Released, ReleasedDevices, ReleasedPeople, release_devices
from actors.wifi.messages import DeviceCount
from runtime import Domain, Duration, Inlet, Message, Outlet, Reading, Sensitivity
from runtime.channel import Link, Queue
from tests.unit.statistics.pictures import MINUTE, of_people

T = TypeVar("T")


class MemoryStore:
    """Keeps what it is given; can be full, and can refuse."""

    def __init__(self) -> None:
        self.stored: list[Released] = []
        self.is_full = False
        self.refused_place = ""

    def append(
        self, released: Released, *, budget: int | None = None, report: bool = False
    ) -> bool:
        if self.is_full:
            raise StoreFailed("statistics.db can't be used now: database or disk is full.")
        if released.place == self.refused_place:
            raise SliceRefused("a slice does not fit the schema")
        self.stored.append(released)
        return True

    def expire(self, before: int) -> int:
        old = [one for one in self.stored if one.start < before]
        self.stored = [one for one in self.stored if one.start >= before]
        return len(old)

    def people_until(self) -> dict[str, int]:
        return {one.place: one.end for one in self.stored if isinstance(one, ReleasedPeople)}


class VirtualStatistics(Statistics):
    """In virtual time: its wall clock is trio's, and nothing leaves the loop."""

    offset = 0.0

    def _wall(self) -> float:
        return trio.current_time() + self.offset

    async def blocking(self, function: Callable[..., T], *args: object) -> T:
        await trio.lowlevel.checkpoint()
        return function(*args)


def _outlet_to(queue: Queue[StatisticsReleased]) -> Outlet[StatisticsReleased]:
    return Outlet._mint("statistics.releases", StatisticsReleased, [Link(queue)])


class Rig:
    """One incarnation at a time, as the host makes them; queues and store outlive it."""

    def __init__(self, settings: StatisticsSettings, began: float = MINUTE) -> None:
        self.settings = settings
        self.people = Queue("statistics.people", PictureCount)
        self.devices = Queue("statistics.devices", DeviceCount)
        self.store = MemoryStore()
        self.releases: Queue[StatisticsReleased] | None = None
        """Where receipts go, if they go anywhere."""
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
                "releases": self.releases and _outlet_to(self.releases),
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

    def coverage_stored(self) -> list[int]:
        return [one.coverage_tenths for one in self.store.stored if isinstance(one, ReleasedPeople)]

    def devices_stored(self) -> list[tuple[int, int | None]]:
        return [
            (one.start - MINUTE, one.devices)
            for one in self.store.stored
            if isinstance(one, ReleasedDevices)
        ]


def a_count(start: int, end: int, devices: int) -> DeviceCount:
    return DeviceCount(place="east-exit", start=start, end=end, devices=devices)


def every_minute(**changes: object) -> StatisticsSettings:
    return msgspec.structs.replace(StatisticsSettings(), **changes)


def cut_to_the_second(**changes: object) -> StatisticsSettings:
    """A demonstration's slices may be as short as they come."""
    return every_minute(demonstration=True, **changes)


async def test_slices_are_released_as_time_passes() -> None:
    rig = Rig(every_minute())
    async with rig.running():
        for second in range(150):
            rig.see(7 if second < 60 else 3)
            await trio.sleep(1)
        assert rig.people_stored() == [(0, 60, 50, 7), (60, 120, 50, None)]
        assert rig.reading("slices_released") == 2
        assert rig.reading("pictures_released") == 120
    # The running slice is released as what it is: a minute of which half was looked at.
    assert rig.people_stored()[2:] == [(120, 180, 20, None)]
    assert rig.coverage_stored() == [10, 10, 5]


async def test_status_shows_what_is_released_and_nothing_else() -> None:
    rig = Rig(every_minute())
    async with rig.running():
        rig.see(8)
        rig.see(6, place="west-exit")
        await trio.sleep(61)
        assert rig.reading("people_last") == 0
        rig.see(4)
        await trio.sleep(2)
        assert rig.reading("people_last") == 14
        await trio.sleep(60)
        assert rig.reading("people_last") == 6


async def test_a_gap_is_no_zero() -> None:
    rig = Rig(every_minute())
    async with rig.running():
        rig.see(6)
        await trio.sleep(300)
        rig.see(8)
        await trio.sleep(65)
    assert rig.people_stored() == [(0, 60, 1, 6), (300, 360, 1, 8)]


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
    rig = Rig(cut_to_the_second())
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
    assert rig.reading("pictures_released") == 2


async def test_an_incarnation_that_is_cut_short_loses_nothing_that_was_accepted() -> None:
    rig = Rig(cut_to_the_second())
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
    assert [window for window in rig.people_stored() if window[3] == 8] == [(20, 42, 20, 8)]
    assert rig.reading("pictures_released") == 40


async def test_a_slice_that_a_crash_cuts_ends_with_its_minute() -> None:
    rig = Rig(every_minute(slice=Duration(300)), began=MINUTE + 60)  # a multiple of 300
    actor = rig.build()
    await actor.start()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(actor.run)
        for _ in range(70):
            rig.see(6)
            await trio.sleep(1)
        nursery.cancel_scope.cancel()
    await actor.stop()
    assert rig.people_stored() == [(60, 180, 50, 6)]
    async with rig.running():
        for _ in range(240):
            rig.see(8)
            await trio.sleep(1)
    assert rig.people_stored()[1:] == [(180, 360, 100, 8), (360, 420, 10, 8)]
    assert rig.coverage_stored() == [5, 10, 1]
    # What was taken before that minute's end is in neither, but for the last two seconds of it.
    assert rig.reading("pictures_late") == 48


class CrashAfterStoring(MemoryStore):
    """Keeps slices by their key, as the real one does, and crashes once when one is kept."""

    crashed = False

    def append(
        self, released: Released, *, budget: int | None = None, report: bool = False
    ) -> bool:
        if any((one.place, one.start) == (released.place, released.start) for one in self.stored):
            return False
        super().append(released)
        if not self.crashed:
            self.crashed = True
            raise RuntimeError("between the store and whoever waits for it")
        return True


async def test_a_crash_between_release_and_store_loses_nothing_and_stores_nothing_twice() -> None:
    rig = Rig(cut_to_the_second())
    rig.store = CrashAfterStoring()
    actor = rig.build()
    await actor.start()
    with pytest.RaisesGroup(RuntimeError, flatten_subgroups=True):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(actor.run)
            for second in range(62):
                rig.see(6 if second < 60 else 9)
                await trio.sleep(1)
    await actor.stop()
    assert rig.people_stored() == [(0, 60, 50, 6), (60, 62, 2, 9)]
    assert rig.reading("slices_waiting") == 0


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
        (0, 60), (60, 120), (120, 180), (180, 240)
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
    rig = Rig(cut_to_the_second(slice=Duration(10)), began=MINUTE + 3.4)
    async with rig.running():
        for _ in range(30):
            rig.see(5)
            await trio.sleep(1)
    assert [window[:2] for window in rig.people_stored()] == [
        (0, 10), (10, 20), (20, 30), (30, 34)
    ]  # fmt: skip


@pytest.mark.parametrize(("demonstration", "stored"), [(False, []), (True, [(0, 30)])])
async def test_devices_of_less_than_a_minute_are_not_released(
    demonstration: bool, stored: list[tuple[int, int]]
) -> None:
    rig = Rig(every_minute(demonstration=demonstration))
    async with rig.running():
        assert rig.devices.put(a_count(MINUTE, MINUTE + 59, 30))
        await trio.sleep(1)
    assert rig.devices_stored() == stored


async def test_old_slices_are_deleted_every_hour() -> None:
    rig = Rig(every_minute())
    a_year_ago = MINUTE - 365 * 86_400
    for start in (a_year_ago - 60, a_year_ago + 60, a_year_ago + 7200):
        rig.store.append(release_devices(a_count(start, start + 60, 30), 5))
    async with rig.running():
        await trio.sleep(1)
        assert rig.reading("slices_expired") == 1
        await trio.sleep(3601)
        assert rig.reading("slices_expired") == 2
    assert [one.start for one in rig.store.stored] == [a_year_ago + 7200]


def read(given: dict[str, object]) -> StatisticsSettings:
    return msgspec.convert(given, StatisticsSettings, dec_hook=lambda kind, value: kind(value))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"slice": 10.0}, "1min to 1h, in whole minutes.*6.2\\(3\\).*demonstration = true"),
        ({"slice": 7200.0}, "1min to 1h"),
        ({"slice": 90.0}, "whole minutes"),
        ({"slice": 5.0, "demonstration": True}, "10s to 1h"),
        ({"slice": 7200.0, "demonstration": True}, "10s to 1h"),
        ({"slice": 60.5, "demonstration": True}, "whole seconds"),
        ({"k": 2}, ">= 3"),
        ({"k": 1001}, "<= 1000"),
        ({"keep": 6 * 86_400.0}, "7d to 3650d"),
        ({"keep": 4000 * 86_400.0}, "7d to 3650d"),
    ],
)
def test_settings_that_make_no_sense(given: dict[str, object], message: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=message):
        read(given)


def test_without_its_library_noise_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(msgspec.ValidationError, match=r"OpenDP is not installed.*privacy\.lock"):
        read({"noise": {"epsilon": 0.5, "epsilon_per_day": 12.0}})


def test_only_a_demonstration_has_short_slices() -> None:
    shown = read({"slice": 10.0, "demonstration": True})
    assert shown.headline() == "slices of 10s, k = 5, a demonstration"
    assert (shown.shortest, read({}).shortest) == (1, 60)
    assert "demonstration" in shown.published


def test_what_it_declares() -> None:
    declaration = Statistics.declaration
    assert declaration.domain is Domain.PUBLIC
    assert {need.capability for need in declaration.needs.values()} == {StatisticsStore}
    taken: list[type[Message]] = [one.message for one in declaration.inlets.values()]
    assert all(one.sensitivity is Sensitivity.AGGREGATE for one in taken)
    assert StatisticsSettings.published == ("slice", "k", "keep", "demonstration", "noise")
    assert StatisticsSettings().headline() == "slices of 1min, k = 5"
