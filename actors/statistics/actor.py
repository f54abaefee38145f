"""Statistics: the only writer of crowd information."""

from __future__ import annotations

__all__ = ["Statistics"]

import time
from collections import deque

import trio

from actors.crowd.messages import PictureCount
from actors.statistics.release import Released, ReleasedPeople, release_devices, release_people
from actors.statistics.settings import StatisticsSettings
from actors.statistics.slices import GRACE, PeopleSlice, PeopleSlices
from actors.statistics.store import SliceRefused, StatisticsStore, StoreFailed
from actors.wifi.messages import DeviceCount
from runtime import Actor, Domain, Inlet, Needs, Reading, reading

_TICK = 1.0
_NOW = 10.0
"""Seconds for which a picture says how many people are there now."""
_MOST_WAITING = 10_000
"""A week of minutes at one place."""


class Statistics(Actor, domain=Domain.PUBLIC):
    """Turns the counts of pictures and Wi-Fi slices into released slices, and stores those.

    Raw counts live in memory only; what is stored has passed ``release`` (guideline 6.2(2)). When
    the actor ends, by a crash too, the running slices are released with their true end, and the
    next incarnation begins new ones after it. While the disk is full, released slices wait in
    memory and are stored later.

    Several cameras, places and Wi-Fi counters may send to the same inlets.
    """

    people: Inlet[PictureCount]
    devices: Inlet[DeviceCount]
    store: Needs[StatisticsStore]
    settings: StatisticsSettings
    people_now: Reading
    devices_last: Reading
    slices_released: Reading = reading(vital=True)
    device_slices_released: Reading
    pictures_late: Reading
    slices_waiting: Reading
    slices_lost: Reading

    _slices: PeopleSlices | None = None

    async def start(self) -> None:
        self._waiting: deque[Released] = deque()
        self._storing = trio.Lock()
        self._is_failing = False
        self._latest: dict[str, PictureCount] = {}
        self._slices = PeopleSlices(
            int(self.settings.slice),
            began=int(self._wall()),
            stored_until=await self._stored_until(),
        )

    async def run(self) -> None:
        async with trio.open_nursery() as background:
            background.start_soon(self._keep_time)
            async with trio.open_nursery() as receiving:
                receiving.start_soon(self._take_pictures)
                receiving.start_soon(self._take_devices)
            background.cancel_scope.cancel()

    async def stop(self) -> None:
        if self._slices is None:
            return
        self._release(self._slices.close_all(self._wall()))
        await self._store_waiting()
        self.people_now.set(0)
        if self._waiting:
            self.slices_lost.add(len(self._waiting))
            self.log.error("released slices are lost: not stored", slices=len(self._waiting))

    async def _take_pictures(self) -> None:
        assert self._slices is not None
        async for picture in self.people:
            if not self._slices.add(picture, self._wall()):
                self.pictures_late.add()
            # From here on ``stop`` sees to it, even after a crash: it must not come again.
            self.people.acknowledge()
            self._latest[picture.place] = picture
            self._show_people_now()

    async def _take_devices(self) -> None:
        async for count in self.devices:
            released = release_devices(count, self.settings.k)
            self.devices_last.set(released.devices or 0)
            self._wait_for_store(released)
            await self._store_waiting()

    async def _keep_time(self) -> None:
        assert self._slices is not None
        while True:
            await trio.sleep(_TICK)
            self._show_people_now()
            self._release(self._slices.close_due(self._wall()))
            await self._store_waiting()

    def _show_people_now(self) -> None:
        oldest = self._wall() - _NOW
        latest = self._latest.values()
        self.people_now.set(sum(one.people for one in latest if one.taken_at >= oldest))

    def _release(self, raw: list[PeopleSlice]) -> None:
        for one in raw:
            self._wait_for_store(release_people(one, self.settings.k))

    def _wait_for_store(self, released: Released) -> None:
        if len(self._waiting) >= _MOST_WAITING:
            self._waiting.popleft()
            self.slices_lost.add()
        self._waiting.append(released)
        self.slices_waiting.set(len(self._waiting))

    async def _store_waiting(self) -> None:
        """Store what waits, in order, until it is empty or the store fails."""
        async with self._storing:
            while self._waiting:
                released = self._waiting[0]
                try:
                    await self.blocking(self.store.append, released)
                except StoreFailed as failure:
                    if not self._is_failing:
                        self.log.error("slices wait to be stored", reason=str(failure))
                    self._is_failing = True
                    return
                except SliceRefused as refusal:
                    self.slices_lost.add()
                    self.log.error("a slice is lost", reason=str(refusal))
                else:
                    if isinstance(released, ReleasedPeople):
                        self.slices_released.add()
                    else:
                        self.device_slices_released.add()
                # It may have been dropped meanwhile, to make room.
                if self._waiting and self._waiting[0] is released:
                    self._waiting.popleft()
                self.slices_waiting.set(len(self._waiting))
            if self._is_failing:
                self.log.info("all slices that waited are stored")
                self._is_failing = False

    async def _stored_until(self) -> int:
        """Where an earlier incarnation's last slice ended. One that begins within the same second
        would bear the same start, and the store keeps the first of two."""
        try:
            until = await self.blocking(self.store.people_until)
        except StoreFailed:
            return 0  # it will be said when a slice is to be stored
        return until if until <= self._wall() + GRACE else 0  # else the clock was ahead

    def _wall(self) -> float:
        """Seconds since 1970."""
        return time.time()
