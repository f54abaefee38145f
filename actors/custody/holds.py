"""Holds: which recordings have to stay although their time is over (guideline 7.1(4)).

A hold keeps ciphertext from being deleted, and does nothing else: whoever asks here learns ranges
of time, and gets neither a recording nor a key. It ends by an explicit release alone.
"""

from __future__ import annotations

__all__ = ["UNKNOWN_END", "Hold", "HoldRegister", "Holds", "holds_in"]

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
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


class Holds:
    """The holds in force at one moment. Immutable; asking it costs no reading."""

    def __init__(self, holds: Iterable[Hold] = ()) -> None:
        self._holds = tuple(holds)
        self._spans = [
            (hold.start, hold.end, hold.order.places, hold.order.cameras) for hold in self._holds
        ]

    def __iter__(self) -> Iterator[Hold]:
        return iter(self._holds)

    def __len__(self) -> int:
        return len(self._holds)

    def covers(self, *, camera: str, place: str, start: int, end: int | None) -> bool:
        """Whether any picture of a segment is held; then the whole segment stays.

        ``start`` and ``end`` are those of its first and last frame (µs since 1970); an ``end`` of
        None is one that nobody noted. Where camera or place are not known ("") it may be any.
        """
        until = start + UNKNOWN_END if end is None else max(end, start)
        return any(
            start < last
            and until >= first < last
            and (not place or place in places)
            and (not camera or not cameras or camera in cameras)
            for first, last, places, cameras in self._spans
        )

    def overdue(self, now: datetime) -> tuple[Hold, ...]:
        """Those whose review date has passed."""
        return tuple(hold for hold in self._holds if hold.is_overdue(now))


class HoldRegister:
    """What became of holds, order by order as they were accepted."""

    def __init__(self) -> None:
        self.placed: dict[str, Hold] = {}
        """Every hold that there ever was, by its id."""
        self.in_force: dict[str, Hold] = {}
        """Those that are not released."""

    @classmethod
    def of(cls, contents: BoxContents) -> HoldRegister:
        """Compute it from what lies in the order box."""
        register = cls()
        for accepted in contents.accepted:
            register.add(accepted.signed)
        return register

    def add(self, accepted: SignedOrder) -> None:
        """Take in one more. Orders of other kinds are passed over."""
        match accepted.order:
            case HoldPlace() as order:
                hold = Hold(accepted.id, order, order.review)
                self.placed[hold.id] = self.in_force[hold.id] = hold
            case HoldReview(hold=id, review=review) if id in self.in_force:
                reviewed = replace(self.in_force[id], review=review)
                self.placed[id] = self.in_force[id] = reviewed
            case HoldRelease(hold=id):
                self.in_force.pop(id, None)
            case _:
                pass


def holds_in(contents: BoxContents) -> Holds:
    """The holds in force by what lies in the order box, those that wait for a decision included."""
    register = HoldRegister.of(contents)
    found = dict(register.in_force)
    for waiting in contents.waiting:
        signed = waiting.signed
        if signed is not None and isinstance(order := signed.order, HoldPlace):
            found.setdefault(signed.id, Hold(signed.id, order, order.review, is_decided=False))
    return Holds(found.values())
