"""The retention actor: nothing recorded grows older than it may, and the disk never stays full."""

from __future__ import annotations

__all__ = ["Retention", "RetentionSettings"]

import math
from collections.abc import Callable
from functools import partial
from typing import ClassVar

import trio

from actors.custody.capability import BoxTrouble, Holds, HoldsView
from actors.ledger.receipts import (
    ClockAlarm,
    DeletionReason,
    RecordingsDeleted,
    RoomAlarm,
    RoomState,
)  # fmt: skip
from actors.recorder.capability import Held, Kept, RecordingExpiry, Room, StorageTrouble
from actors.retention.reports import Reports
from runtime import Actor, Domain, Duration, Needs, Outlet, Reading, Settings, Size, outlet, reading
from runtime.clock import Timeline

_LIMIT = Duration(14 * 86_400)
_SHORTEST = Duration(60)
_AT_ONCE = 500
"""Segments that are deleted between two questions of what is held."""
_LOOK_AT_ROOM = 5.0
"""Seconds. Eight cameras of 4 Mbit/s write 20 MB in that time."""
_CALM = 600.0
"""Seconds. A disk that is too small for ``keep`` is always short of room, not once a minute."""
_SMALLEST_RESERVE = 1_000_000
_LARGEST_SHARE = 4
"""At most this part of the disk is kept free, so that a small one is not kept empty."""
_MARGIN = 8
"""So much of the reserve is freed beyond it, so that it is not one segment at a time."""


class RetentionSettings(Settings, frozen=True, kw_only=True):
    """How long recordings are kept, and how much of the disk they leave free."""

    keep: Duration = _LIMIT
    """Counted from a segment's first frame. It can be made shorter, never longer."""
    sweep: Duration = Duration(60)
    """How often to look for what has expired, which is how late a deletion may be."""
    battery_clock: bool = False
    """Whether this computer has a clock of its own that runs on a battery and can be relied on."""
    reserve: Size = Size(1_000_000_000)
    """Room that is kept free on the disk: below it, the oldest recordings go before their time."""

    published: ClassVar[tuple[str, ...]] = ("keep",)

    def __post_init__(self) -> None:
        if self.keep > _LIMIT:
            raise ValueError(
                "Expected keep of at most 14d: recordings are kept for two weeks at most "
                "(guideline 7.1(3))"
            )
        if self.keep < _SHORTEST:
            raise ValueError("Expected keep of at least 1min")
        if not 0.1 <= self.sweep <= 60:
            raise ValueError("Expected sweep of at least 100ms and at most 1min")
        if self.reserve < _SMALLEST_RESERVE:
            raise ValueError("Expected reserve of at least 1MB: the pole needs room to delete")

    def headline(self) -> str:
        return f"keeps {self.keep}"


class Retention(Actor, domain=Domain.SECURITY):
    """Deletes each segment whose first frame is older than ``keep``: file, index row and log, and
    what else lies there of it (``Remains``).

    The first sweep is over before the actor counts as started, so that a pole that was off for
    long deletes first. A segment that can't be deleted holds up no other; it is reported and
    tried again at every sweep. The deletion may be late by one sweep. What was deleted is reported
    for the ledger; where that has no room, the next report tells it as well, and nothing is kept
    longer for it.

    How old a segment is, the pole's own clock says (``runtime.clock``), which no jump of the wall
    clock moves; what is wrong with that is an alarm. What is held stays (``HoldsView``), also while
    nobody can say what is held.

    Where the disk has less room than ``reserve``, the oldest segments go before their time, with an
    alarm before and after. If none may go, that is an alarm too; recording stops when the disk is
    full, and goes on by itself when there is room.
    """

    recordings: Needs[RecordingExpiry]
    holds: Needs[HoldsView]
    deletions: Outlet[RecordingsDeleted] = outlet(per_second=1)
    room_alarms: Outlet[RoomAlarm] = outlet(per_second=1)
    clock_alarms: Outlet[ClockAlarm] = outlet(per_second=1)
    settings: RetentionSettings
    sweeps: Reading = reading(vital=True)
    segments_deleted: Reading
    """Whatever the reason."""
    deleted_for_room: Reading
    """Of these, before their time."""
    copies_deleted: Reading
    """Copies and temporary files that lay beside the recordings."""
    free_megabytes: Reading
    """Of the disk with the recordings."""
    short_of_room: Reading
    """0: there is enough. 1: the oldest recordings go before their time. 2: none may go."""
    time_known: Reading
    """1 where the time is known, 0 where it is only counted on from the last that was."""
    clock_alarms_raised: Reading

    _room = RoomState.ENOUGH
    _calm_from = -math.inf
    """When it will be over that the disk is short of room, if nothing has to go until then."""

    async def start(self) -> None:
        self._reports = Reports()
        await self._sweep()
        await self._make_room()

    async def run(self) -> None:
        sweep = trio.current_time() + self.settings.sweep
        look = trio.current_time() + _LOOK_AT_ROOM
        while True:
            await trio.sleep_until(min(sweep, look))
            now = trio.current_time()
            is_sweep = now >= sweep
            if is_sweep:
                sweep = now + self.settings.sweep
                await self._sweep()
            # Where none may go, looking for one costs more: not as often.
            if is_sweep or self._room is not RoomState.ALL_HELD:
                await self._make_room()
            look = now + _LOOK_AT_ROOM

    async def stop(self) -> None:
        self._report()

    async def _sweep(self) -> None:
        try:
            timeline = await self._look_at_clock()
            before = timeline.now - round(self.settings.keep * 1_000_000)
            expired = partial(self.recordings.expired, before, timeline)
            await self._delete(expired, DeletionReason.EXPIRED)
            copies = await self.blocking(self.recordings.tidy, before, timeline.wall)
            if copies:
                self.copies_deleted.add(copies)
                self.log.info("copies and temporary files deleted", files=copies)
        except (StorageTrouble, BoxTrouble) as trouble:
            self.log.error("sweep not completed", reason=str(trouble))
        else:
            self.sweeps.add()
        self._report()

    async def _look_at_clock(self) -> Timeline:
        timeline = await self.blocking(self.recordings.time)
        self.time_known.set(timeline.is_known)
        for alarm in await self.blocking(self.recordings.take_alarms):
            self.clock_alarms_raised.add()
            self.log.error("the clock", fault=alarm.fault.value, jump=alarm.jump, rule=alarm.text)
            self._reports.clock(alarm)
        return timeline

    async def _make_room(self) -> None:
        """Once, as much as is missing now: some disks tell only later what has become free."""
        try:
            room = await self._look_at_room()
            reserve = min(self.settings.reserve, room.total // _LARGEST_SHARE)
            missing = reserve + reserve // _MARGIN - room.free
            if room.free < reserve:
                if self._room is RoomState.ENOUGH:
                    self._alarm(RoomState.SHORT, room)
                timeline = await self._look_at_clock()
                oldest = partial(self.recordings.oldest, missing, timeline)
                deleted = await self._delete(oldest, DeletionReason.ROOM)
                if deleted:
                    self.deleted_for_room.add(deleted)
                    self._calm_from = trio.current_time() + _CALM
                self._report()
                room = await self._look_at_room()
                if room.free < reserve:
                    self._alarm(RoomState.SHORT if deleted else RoomState.ALL_HELD, room)
            if room.free >= reserve and trio.current_time() >= self._calm_from:
                self._alarm(RoomState.ENOUGH, room)
        except (StorageTrouble, BoxTrouble) as trouble:
            self.log.error("room not made", reason=str(trouble))

    async def _look_at_room(self) -> Room:
        room = await self.blocking(self.recordings.room)
        self.free_megabytes.set(room.free // 1_000_000)
        return room

    def _alarm(self, state: RoomState, room: Room) -> None:
        """Tell it, unless it is so already."""
        if state is self._room:
            return
        self._room = state
        self.short_of_room.set(list(_TOLD).index(state))
        free = room.free // 1_000_000
        if state is RoomState.ENOUGH:
            self.log.warning(_TOLD[state], free_megabytes=free)
        else:
            self.log.error(_TOLD[state], free_megabytes=free)
        self._reports.room(state, room.free)
        self._report()

    async def _delete(self, find: Callable[[Held], list[str]], reason: DeletionReason) -> int:
        """Delete what ``find`` names of what is not held, and say how many segments went.

        Whoever is asked what is held is asked again before each part; if that has changed, what is
        to go is looked up again.
        """
        deleted: list[str] = []
        tried: set[str] = set()
        holds: Holds | None = None
        while (now := await self.blocking(self.holds.current)) is not holds:
            holds = now
            found = await self.blocking(find, partial(_is_held, holds))
            names = [name for name in found if name not in tried]
            for at in range(0, len(names), _AT_ONCE):
                if holds is not await self.blocking(self.holds.current):
                    break
                part = names[at : at + _AT_ONCE]
                tried.update(part)
                gone, failed = await self.blocking(self.recordings.delete, part)
                deleted += gone
                self.segments_deleted.add(len(gone))
                self._reports.deleted(reason, gone)
                for name, trouble in failed.items():
                    self.log.error("segment not deleted", segment=name, reason=trouble)
        if deleted:
            self.log.info(_DELETED[reason], segments=len(deleted))
        return len(deleted)

    def _report(self) -> None:
        self._reports.send(self.deletions, self.room_alarms, self.clock_alarms)


def _is_held(holds: Holds, segment: Kept) -> bool:
    """Whether it may be that something of it is held (guideline 7.1(4))."""
    return holds.covers(
        camera=segment.camera, place=segment.place, start=segment.start, end=segment.end
    )


_DELETED = {
    DeletionReason.EXPIRED: "expired segments deleted",
    DeletionReason.ROOM: "segments deleted before their time, for room",
}
_TOLD = {
    RoomState.ENOUGH: "there is room for recordings again",
    RoomState.SHORT: "the disk runs out of room: the oldest recordings go before their time",
    RoomState.ALL_HELD: "the disk runs out of room and no recording may go: recording will stop",
}
"""By what ``short_of_room`` shows."""
