"""Statistics: the only writer of crowd information."""

from __future__ import annotations

__all__ = ["Statistics"]

import contextlib
import functools
import time
from collections import deque
from collections.abc import Callable

import trio

from actors.crowd.messages import PictureCount
from actors.ledger.receipts import StatisticsReleased
from actors.statistics.errors import BudgetSpent, SliceRefused, StoreFailed
from actors.statistics.noise import NoisyRelease
from actors.statistics.receipts import receipt_of
from actors.statistics.release import Released, ReleasedPeople, release_devices, release_people
from actors.statistics.settings import StatisticsSettings
from actors.statistics.slices import GRACE, PeopleSlice, PeopleSlices
from actors.statistics.store import StatisticsStore
from actors.wifi.messages import DeviceCount
from runtime import Actor, Domain, Inlet, Needs, Outlet, Reading, reading

_TICK = 1.0
_SWEEP = 3600.0
"""Seconds between two looks for slices that are older than ``keep``."""
_REPORT = 5.0
"""Seconds between two looks for slices that the ledger should hear of."""
_SETTLED = 60.0
"""Seconds from which on a receipt that was sent counts as written. A pole that loses its power
before sends it again."""
_MOST_WAITING = 10_000
"""A week of minutes at one place."""


class Statistics(Actor, domain=Domain.PUBLIC):
    """Turns the counts of pictures and Wi-Fi slices into released slices, and stores those.

    Raw counts live in memory only; what is stored has passed ``release`` (guideline 6.2(2)). When
    the actor ends, by a crash too, the running slices are released, and the next incarnation
    begins new ones after them. While the disk is full, released slices wait in memory and are
    stored later. A slice has one key, its place and start: of two, the first is kept.

    What is stored is reported for the ledger, where ``releases`` leads there. It is noted with the
    slice that this is still to be done, so that after any crash it is done later: twice perhaps,
    and never not at all. A ledger that can't be written holds up no slice.

    Several cameras, places and Wi-Fi counters may send to the same inlets. What is shown in
    ``status`` is what was released, too.
    """

    people: Inlet[PictureCount]
    devices: Inlet[DeviceCount]
    releases: Outlet[StatisticsReleased] | None
    store: Needs[StatisticsStore]
    settings: StatisticsSettings
    people_last: Reading
    """The most people in the last slice, of all places; 0 where that is withheld."""
    devices_last: Reading
    slices_released: Reading = reading(vital=True)
    device_slices_released: Reading
    pictures_late: Reading
    pictures_released: Reading
    slices_waiting: Reading
    slices_lost: Reading
    slices_beyond_budget: Reading
    """Not released, because the day's privacy budget was spent."""
    slices_expired: Reading
    slices_reported: Reading

    _slices: PeopleSlices | None = None

    async def start(self) -> None:
        self._waiting: deque[Released] = deque()
        self._storing = trio.Lock()
        self._is_failing = False
        self._latest: dict[str, int] = {}
        self._sent: dict[Released, float] = {}
        noise = self.settings.noise
        self._gate: Callable[[PeopleSlice, int], ReleasedPeople] = (
            release_people if noise is None else NoisyRelease(noise.thousandths)
        )
        self._append = functools.partial(
            self.store.append,
            budget=None if noise is None else noise.thousandths_per_day,
            report=self.releases is not None,
        )
        self._slices = PeopleSlices(
            int(self.settings.slice), self.settings.shortest, await self._stored_until()
        )

    async def run(self) -> None:
        async with trio.open_nursery() as background:
            background.start_soon(self._keep_time)
            background.start_soon(self._expire)
            background.start_soon(self._report)
            async with trio.open_nursery() as receiving:
                receiving.start_soon(self._take_pictures)
                receiving.start_soon(self._take_devices)
            background.cancel_scope.cancel()

    async def stop(self) -> None:
        if self._slices is None:
            return
        self._release(self._slices.close_all(self._wall()))
        await self._store_waiting()
        if self._waiting:
            self.slices_lost.add(len(self._waiting))
            self.log.error("released slices are lost: not stored", slices=len(self._waiting))
        await self._report_at_last()

    async def _take_pictures(self) -> None:
        assert self._slices is not None
        async for picture in self.people:
            if not self._slices.add(picture, self._wall()):
                self.pictures_late.add()
            # From here on ``stop`` sees to it, even after a crash: it must not come again.
            self.people.acknowledge()

    async def _take_devices(self) -> None:
        async for count in self.devices:
            if count.end - count.start < self.settings.shortest:
                # The first and the last of a Wi-Fi counter: it begins and ends at any time.
                self.log.info("a slice of devices is too short to be released")
                continue
            released = release_devices(count, self.settings.k)
            self._wait_for_store(released)
            await self._store_waiting()

    async def _keep_time(self) -> None:
        assert self._slices is not None
        while True:
            await trio.sleep(_TICK)
            self._release(self._slices.close_due(self._wall()))
            await self._store_waiting()

    async def _expire(self) -> None:
        while True:
            before = int(self._wall() - self.settings.keep)
            try:
                self.slices_expired.add(await self.blocking(self.store.expire, before))
            except StoreFailed as failure:
                self.log.error("old slices are not deleted", reason=str(failure))
            await trio.sleep(_SWEEP)

    def _release(self, raw: list[PeopleSlice]) -> None:
        for one in raw:
            self.pictures_released.add(one.pictures)
            self._wait_for_store(self._gate(one, self.settings.k))

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
                    await self.blocking(self._append, released)
                except StoreFailed as failure:
                    if not self._is_failing:
                        self.log.error("slices wait to be stored", reason=str(failure))
                    self._is_failing = True
                    return
                except SliceRefused as refusal:
                    self.slices_lost.add()
                    self.log.error("a slice is lost", reason=str(refusal))
                except BudgetSpent as refusal:
                    if not self.slices_beyond_budget.value:
                        self.log.warning("slices are not released", reason=str(refusal))
                    self.slices_beyond_budget.add()
                else:
                    self._show(released)
                # It may have been dropped meanwhile, to make room.
                if self._waiting and self._waiting[0] is released:
                    self._waiting.popleft()
                self.slices_waiting.set(len(self._waiting))
            if self._is_failing:
                self.log.info("all slices that waited are stored")
                self._is_failing = False

    async def _report(self) -> None:
        """Tell the ledger of what is stored, until cancelled."""
        if self.releases is None:
            return
        is_failing = False
        while True:
            try:
                for one in await self._unsent():
                    await self.releases.send(receipt_of(one))
                    self._note_sent(one)
                before = trio.current_time() - _SETTLED
                settled = [one for one, at in self._sent.items() if at <= before]
                await self._forget(settled)
            except StoreFailed as failure:
                if not is_failing:
                    self.log.error("slices wait to be reported", reason=str(failure))
                is_failing = True
            else:
                is_failing = False
            await trio.sleep(_REPORT)

    async def _report_at_last(self) -> None:
        """What was stored just now, as far as there is room. The ledger ends after this actor, and
        takes what was sent."""
        if self.releases is None:
            return
        try:
            for one in await self._unsent():
                self.releases.send_nowait(receipt_of(one))
                self._note_sent(one)
        except (StoreFailed, trio.WouldBlock):
            self.log.info("not all slices are reported; it is done after the next start")
        with contextlib.suppress(StoreFailed):  # then they are reported twice
            await self._forget([*self._sent])

    async def _unsent(self) -> list[Released]:
        found = await self.blocking(self.store.unreported)
        return [one for one in found if one not in self._sent]

    def _note_sent(self, released: Released) -> None:
        self._sent[released] = trio.current_time()
        self.slices_reported.add()

    async def _forget(self, sent: list[Released]) -> None:
        if sent:
            await self.blocking(self.store.reported, sent)
        for one in sent:
            del self._sent[one]

    def _show(self, released: Released) -> None:
        """What is stored may be shown."""
        if isinstance(released, ReleasedPeople):
            self.slices_released.add()
            self._latest[released.place] = released.peak or 0
            self.people_last.set(sum(self._latest.values()))
        else:
            self.device_slices_released.add()
            self.devices_last.set(released.devices or 0)

    async def _stored_until(self) -> dict[str, int]:
        """By place, where an earlier incarnation's last slice ended: slices never overlap."""
        try:
            until = await self.blocking(self.store.people_until)
        except StoreFailed:
            return {}  # it will be said when a slice is to be stored
        # What ends far ahead was stored while the clock was wrong.
        latest = self._wall() + self.settings.shortest + GRACE
        return {place: end for place, end in until.items() if end <= latest}

    def _wall(self) -> float:
        """Seconds since 1970."""
        return time.time()
