"""The retention actor: nothing recorded grows older than it may, and the disk never stays full."""

from __future__ import annotations

__all__ = ["Retention", "RetentionSettings"]

import math
import time
from typing import ClassVar

import trio

from actors.ledger.receipts import DeletionReason, RecordingsDeleted, RoomAlarm, RoomState
from actors.recorder.capability import RecordingExpiry, Room, StorageTrouble
from actors.retention.reports import Reports
from runtime import Actor, Domain, Duration, Needs, Outlet, Reading, Settings, Size, outlet, reading

_LIMIT = Duration(14 * 86_400)
_SHORTEST = Duration(60)
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

    Where the disk has less room than ``reserve``, the oldest segments go before their time, with an
    alarm before and after. If none may go, that is an alarm too; recording stops when the disk is
    full, and goes on by itself when there is room.
    """

    recordings: Needs[RecordingExpiry]
    deletions: Outlet[RecordingsDeleted] = outlet(per_second=1)
    room_alarms: Outlet[RoomAlarm] = outlet(per_second=1)
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
        now = self._now()
        before = int((now - self.settings.keep) * 1_000_000)
        try:
            await self._delete(
                await self.blocking(self.recordings.expired, before), DeletionReason.EXPIRED
            )
            copies = await self.blocking(self.recordings.tidy, before, int(now * 1_000_000))
            if copies:
                self.copies_deleted.add(copies)
                self.log.info("copies and temporary files deleted", files=copies)
        except StorageTrouble as trouble:
            self.log.error("sweep not completed", reason=str(trouble))
        else:
            self.sweeps.add()
        self._report()

    async def _make_room(self) -> None:
        """Once, as much as is missing now: some disks tell only later what has become free."""
        try:
            room = await self._look_at_room()
            reserve = min(self.settings.reserve, room.total // _LARGEST_SHARE)
            missing = reserve + reserve // _MARGIN - room.free
            if room.free < reserve:
                if self._room is RoomState.ENOUGH:
                    self._alarm(RoomState.SHORT, room)
                names = await self.blocking(self.recordings.oldest, missing)
                deleted = await self._delete(names, DeletionReason.ROOM)
                if deleted:
                    self.deleted_for_room.add(deleted)
                    self._calm_from = trio.current_time() + _CALM
                self._report()
                room = await self._look_at_room()
                if room.free < reserve and not deleted:
                    self._alarm(RoomState.ALL_HELD, room)
                elif room.free < reserve:
                    self._alarm(RoomState.SHORT, room)
            if room.free >= reserve and trio.current_time() >= self._calm_from:
                self._alarm(RoomState.ENOUGH, room)
        except StorageTrouble as trouble:
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

    async def _delete(self, names: list[str], reason: DeletionReason) -> int:
        if not names:
            return 0
        deleted, failed = await self.blocking(self.recordings.delete, names)
        self.segments_deleted.add(len(deleted))
        if deleted:
            self.log.info(_DELETED[reason], segments=len(deleted))
            self._reports.deleted(reason, deleted)
        for name, trouble in failed.items():
            self.log.error("segment not deleted", segment=name, reason=trouble)
        return len(deleted)

    def _report(self) -> None:
        self._reports.send(self.deletions, self.room_alarms)

    def _now(self) -> float:
        """Seconds since 1970."""
        return time.time()


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
