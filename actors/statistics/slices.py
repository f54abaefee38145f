"""From the counts of single pictures to time slices, in memory only (guideline 6.2(2))."""

from __future__ import annotations

__all__ = ["GRACE", "PeopleSlice", "PeopleSlices"]

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from actors.crowd.messages import AgeBand, AttributeCount, Gender, Mask, PictureCount

GRACE = 2.0
"""Seconds after a slice's end in which its last pictures may still arrive."""

_FURTHEST_BACK, _FURTHEST_AHEAD = 3600.0, 60.0
"""Seconds; a picture from further in the past or future has a wrong time."""


@dataclass(frozen=True, slots=True, repr=False)
class PeopleSlice:
    """What was counted at one place in one window. Raw: see ``release`` before storing it.

    A slice is a cross-section: its attributes are those of the one picture with the most people.
    Pictures are never linked, so it says nothing of who came, went or stayed (guideline 6.1(3)).
    """

    place: str
    start: int
    """Seconds since 1970, inclusive."""
    end: int
    """Exclusive."""
    pictures: int
    people_in_all: int
    """The sum over all pictures; one person in ten pictures adds ten."""
    peak: int
    """The most people in one picture."""
    gender: Mapping[Gender, int]
    age: Mapping[AgeBand, int]
    mask: Mapping[Mask, int]


@dataclass(slots=True, repr=False)
class _Open:
    """A slice that still takes pictures."""

    pictures: int = 0
    people_in_all: int = 0
    peak: int = -1
    earliest: int = 0
    """When the first of its pictures was taken."""
    peak_cells: tuple[AttributeCount, ...] = ()

    def add(self, picture: PictureCount, moment: int) -> None:
        self.earliest = min(self.earliest, moment) if self.pictures else moment
        self.pictures += 1
        self.people_in_all += picture.people
        if picture.people > self.peak:
            self.peak, self.peak_cells = picture.people, picture.cells

    def close(self, place: str, start: int, end: int) -> PeopleSlice:
        gender: Counter[Gender] = Counter()
        age: Counter[AgeBand] = Counter()
        mask: Counter[Mask] = Counter()
        for cell in self.peak_cells:
            gender[cell.gender] += cell.people
            age[cell.age] += cell.people
            mask[cell.mask] += cell.people
        return PeopleSlice(
            place, start, end, self.pictures, self.people_in_all, self.peak, gender, age, mask
        )


@dataclass(slots=True)
class PeopleSlices:
    """The open slices of all places. Times are seconds since 1970.

    Slices begin at the multiples of ``length``. Only one that was running when counting ``began``
    begins later, with its first picture: the part before may be stored already. ``stored_until``
    is the end of what is; a picture of the same second, taken after it, counts from there. A slice
    without any picture doesn't exist: that nobody looked is not that nobody was there.
    """

    length: int
    began: int
    stored_until: int = 0
    _open: dict[tuple[str, int], _Open] = field(default_factory=dict, repr=False)
    _closed_until: dict[str, int] = field(default_factory=dict)
    _last_now: float = 0.0

    def add(self, picture: PictureCount, now: float) -> bool:
        """Take a picture's count. False where its slice is closed, or its time can't be right."""
        self._notice_step_back(now)
        moment = max(picture.taken_at, self.stored_until)
        first = moment // self.length * self.length
        if (
            picture.taken_at < self._closed_until.get(picture.place, 0)
            or not now - _FURTHEST_BACK <= picture.taken_at <= now + _FURTHEST_AHEAD
        ):
            return False
        self._open.setdefault((picture.place, first), _Open()).add(picture, moment)
        return True

    def close_due(self, now: float) -> list[PeopleSlice]:
        """The slices that are over, grace included. They take no more pictures."""
        self._notice_step_back(now)
        due = [key for key in self._open if key[1] + self.length + GRACE <= now]
        return [self._close(place, first, first + self.length) for place, first in sorted(due)]

    def close_all(self, now: float) -> list[PeopleSlice]:
        """All open slices, the running one with ``now`` as its end."""
        until = math.ceil(now)
        return [
            self._close(place, first, min(first + self.length, max(until, first + 1)))
            for place, first in sorted(self._open)
        ]

    def _notice_step_back(self, now: float) -> None:
        """If the clock was set back, begin afresh.

        Nobody knows then which time the open slices had, and without it every picture would be
        late until the clock has caught up.
        """
        if now < self._last_now - GRACE:
            self.began, self.stored_until = int(now), 0
            self._open.clear()
            self._closed_until.clear()
        self._last_now = now

    def _close(self, place: str, first: int, end: int) -> PeopleSlice:
        self._closed_until[place] = max(end, self._closed_until.get(place, 0))
        slice_ = self._open.pop((place, first))
        start = first if first >= max(self.began, self.stored_until) else slice_.earliest
        return slice_.close(place, start, max(end, start + 1))
