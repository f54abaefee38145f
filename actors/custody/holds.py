"""Holds: which recordings have to stay although their time is over (guideline 7.1(4)).

A hold keeps ciphertext from being deleted, and does nothing else: whoever asks here learns ranges
of time, and gets neither a recording nor a key. It ends by an explicit release alone.
"""

from __future__ import annotations

__all__ = ["UNKNOWN_END", "Hold", "Holds", "hold_of", "holds_in"]

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from actors.custody.box import BoxContents
from actors.custody.order import HoldPlace, HoldRelease, HoldReview, SignedOrder

UNKNOWN_END = 3600 * 1_000_000
"""Microseconds: so long after its beginning a segment surely has ended whose end nobody noted. The
longest is cut at the first key picture after ten minutes."""


@dataclass(frozen=True, slots=True)
class Hold:
    """One hold, as its order and what was decided since have it."""

    id: str
    """``SignedOrder.id`` of the order that placed it."""
    order: HoldPlace
    review: datetime
    """When somebody has to look whether it is still needed."""
    is_decided: bool = True
    """One that nobody has decided about yet is in force all the same: a pole that was off must not
    delete at its start what was ordered to be held meanwhile."""

    @property
    def start(self) -> int:
        """Microseconds since 1970."""
        return int(self.order.start.timestamp()) * 1_000_000

    @property
    def end(self) -> int:
        """Microseconds since 1970; what was captured then is not held any more."""
        return int(self.order.end.timestamp()) * 1_000_000

    def is_overdue(self, now: datetime) -> bool:
        """Whether its review date has passed. It holds all the same."""
        return self.review < now

    def covers(self, *, camera: str, place: str, start: int, end: int | None) -> bool:
        """See ``Holds.covers``."""
        until = start + UNKNOWN_END if end is None else max(end, start)
        return (
            start < self.end
            and until >= self.start
            and (not place or place in self.order.places)
            and (not camera or not self.order.cameras or camera in self.order.cameras)
        )


class Holds:
    """The holds in force at one moment. Immutable; asking it costs no reading."""

    def __init__(self, holds: Iterable[Hold] = ()) -> None:
        self._holds = tuple(holds)

    def __iter__(self) -> Iterator[Hold]:
        return iter(self._holds)

    def __len__(self) -> int:
        return len(self._holds)

    def covers(self, *, camera: str, place: str, start: int, end: int | None) -> bool:
        """Whether any picture of a segment is held; then the whole segment stays.

        ``start`` and ``end`` are those of its first and last frame (µs since 1970); an ``end`` of
        None is one that nobody noted. Where camera or place are not known ("") it may be any.
        """
        return any(
            hold.covers(camera=camera, place=place, start=start, end=end) for hold in self._holds
        )

    def overdue(self, now: datetime) -> tuple[Hold, ...]:
        """Those whose review date has passed."""
        return tuple(hold for hold in self._holds if hold.is_overdue(now))


def holds_in(contents: BoxContents) -> Holds:
    """Computes the register from what lies in the order box."""
    holds: dict[str, Hold] = {}
    for decided in contents.decided:
        if decided.signed is not None and decided.outcome.accepted:
            _take(holds, decided.signed)
    for waiting in contents.waiting:
        if waiting.signed is not None and isinstance(waiting.signed.order, HoldPlace):
            fresh = hold_of(waiting.signed, is_decided=False)
            holds.setdefault(fresh.id, fresh)
    return Holds(holds.values())


def hold_of(signed: SignedOrder, *, is_decided: bool = True) -> Hold:
    """The hold that an order places."""
    assert isinstance(signed.order, HoldPlace)
    return Hold(signed.id, signed.order, signed.order.review, is_decided)


def _take(holds: dict[str, Hold], signed: SignedOrder) -> None:
    """An order that was accepted, after all that were accepted before it."""
    order = signed.order
    if isinstance(order, HoldPlace):
        holds[signed.id] = hold_of(signed)
    elif isinstance(order, HoldReview) and order.hold in holds:
        holds[order.hold] = Hold(order.hold, holds[order.hold].order, order.review)
    elif isinstance(order, HoldRelease):
        holds.pop(order.hold, None)
