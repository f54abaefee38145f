"""The retention actor: nothing recorded grows older than it may."""

from __future__ import annotations

__all__ = ["Retention", "RetentionSettings"]

import time
from typing import ClassVar

import trio

from actors.ledger.receipts import DeletionReason, RecordingsDeleted
from actors.recorder.capability import RecordingExpiry, StorageTrouble, started_at
from runtime import Actor, Domain, Duration, Needs, Outlet, Reading, Settings, outlet, reading

_LIMIT = Duration(14 * 86_400)
_SHORTEST = Duration(60)
_MOST_SEGMENTS = 1_000_000
"""In one receipt, and no disk has as many."""
_LATEST = 0xFFFF_FFFF


class RetentionSettings(Settings, frozen=True, kw_only=True):
    """How long recordings are kept."""

    keep: Duration = _LIMIT
    """Counted from a segment's first frame. It can be made shorter, never longer."""
    sweep: Duration = Duration(60)
    """How often to look for what has expired, which is how late a deletion may be."""

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

    def headline(self) -> str:
        return f"keeps {self.keep}"


class Retention(Actor, domain=Domain.SECURITY):
    """Deletes each segment whose first frame is older than ``keep``: file, index row and log.

    The first sweep is over before the actor counts as started, so that a pole that was off for
    long deletes first. A segment that can't be deleted holds up no other; it is reported and
    tried again at every sweep. The deletion may be late by one sweep. What was deleted is reported
    for the ledger; where that has no room, the next report tells it as well, and nothing is kept
    longer for it.
    """

    recordings: Needs[RecordingExpiry]
    deletions: Outlet[RecordingsDeleted] = outlet(per_second=1)
    settings: RetentionSettings
    sweeps: Reading = reading(vital=True)
    segments_deleted: Reading

    _unreported = 0
    _span: tuple[int, ...] = ()

    async def start(self) -> None:
        await self._sweep()

    async def run(self) -> None:
        while True:
            await trio.sleep(self.settings.sweep)
            await self._sweep()

    async def _sweep(self) -> None:
        before = int((self._now() - self.settings.keep) * 1_000_000)
        try:
            names = await self.blocking(self.recordings.expired, before)
            if names:
                deleted, failed = await self.blocking(self.recordings.delete, names)
                self.segments_deleted.add(len(deleted))
                if deleted:
                    self.log.info("expired segments deleted", segments=len(deleted))
                    self._remember(deleted)
                for name, reason in failed.items():
                    self.log.error("expired segment not deleted", segment=name, reason=reason)
        except StorageTrouble as trouble:
            self.log.error("sweep not completed", reason=str(trouble))
        else:
            self.sweeps.add()
        self._report()

    async def stop(self) -> None:
        self._report()

    def _remember(self, deleted: list[str]) -> None:
        starts = [start // 1_000_000 for name in deleted if (start := started_at(name)) is not None]
        seconds = [*self._span, *(max(0, min(start, _LATEST)) for start in starts)]
        self._unreported += len(deleted)
        self._span = (min(seconds), max(seconds)) if seconds else ()

    def _report(self) -> None:
        if not self._unreported:
            return
        oldest, newest = self._span or (0, 0)
        receipt = RecordingsDeleted(
            reason=DeletionReason.EXPIRED,
            segments=min(self._unreported, _MOST_SEGMENTS),
            oldest=oldest,
            newest=newest,
        )
        try:
            self.deletions.send_nowait(receipt)
        except trio.WouldBlock:
            return
        self._unreported, self._span = 0, ()

    def _now(self) -> float:
        """Seconds since 1970."""
        return time.time()
