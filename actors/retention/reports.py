"""What retention tells the ledger, and has not told yet."""

from __future__ import annotations

__all__ = ["Reports"]

from collections import deque
from collections.abc import Iterable
from typing import TypeVar

import trio

from actors.ledger.receipts import (
    ClockAlarm,
    DeletionReason,
    RecordingsDeleted,
    RoomAlarm,
    RoomState,
)  # fmt: skip
from actors.recorder.capability import started_at
from runtime import Outlet, Receipt
from runtime.clock import Alarm

R = TypeVar("R", bound=Receipt)

_MOST_SEGMENTS = 1_000_000
"""In one receipt, and no disk has as many."""
_LATEST = 0xFFFF_FFFF
_MOST_MEGABYTES = _MOST_SECONDS = 2**31 - 1
_MOST_ALARMS = 64
"""That wait. An alarm that nobody took for so long is in the log, and the state is a reading."""


class Reports:
    """Keeps what is to be told until the ledger has room for it; nothing waits for that.

    Deletions for one reason that could not be told at once become one receipt.
    """

    def __init__(self) -> None:
        self._segments: dict[DeletionReason, int] = {}
        self._spans: dict[DeletionReason, tuple[int, int]] = {}
        self._room: deque[RoomAlarm] = deque(maxlen=_MOST_ALARMS)
        self._clock: deque[ClockAlarm] = deque(maxlen=_MOST_ALARMS)

    def deleted(self, reason: DeletionReason, names: Iterable[str]) -> None:
        """These segments are gone."""
        for name in names:
            self._segments[reason] = self._segments.get(reason, 0) + 1
            if (start := started_at(name)) is not None:
                second = max(0, min(start // 1_000_000, _LATEST))
                oldest, newest = self._spans.get(reason, (second, second))
                self._spans[reason] = min(oldest, second), max(newest, second)

    def room(self, state: RoomState, free: int) -> None:
        """There is so much room, in bytes."""
        megabytes = min(free // 1_000_000, _MOST_MEGABYTES)
        self._room.append(RoomAlarm(state=state, free_megabytes=megabytes))

    def clock(self, alarm: Alarm) -> None:
        """The clock found something wrong."""
        jump = max(-_MOST_SECONDS, min(alarm.jump, _MOST_SECONDS))
        self._clock.append(ClockAlarm(fault=alarm.fault, jump=jump))

    def send(
        self,
        deletions: Outlet[RecordingsDeleted],
        room: Outlet[RoomAlarm],
        clock: Outlet[ClockAlarm],
    ) -> None:
        """Tell what there is room for now."""
        _send_all(self._room, room)
        _send_all(self._clock, clock)
        for reason, segments in list(self._segments.items()):
            oldest, newest = self._spans.get(reason, (0, 0))
            receipt = RecordingsDeleted(
                reason=reason, segments=min(segments, _MOST_SEGMENTS), oldest=oldest, newest=newest
            )
            if _is_sent(deletions, receipt):
                del self._segments[reason]
                self._spans.pop(reason, None)


def _send_all(waiting: deque[R], outlet: Outlet[R]) -> None:
    while waiting and _is_sent(outlet, waiting[0]):
        waiting.popleft()


def _is_sent(outlet: Outlet[R], receipt: R) -> bool:
    try:
        outlet.send_nowait(receipt)
    except trio.WouldBlock:
        return False
    return True
