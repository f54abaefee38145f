"""From the counts of single pictures to time slices, in memory only (guideline 6.2(2))."""

from __future__ import annotations

__all__ = ["GRACE", "PeopleSlice", "PeopleSlices", "Presence"]

import math
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from actors.crowd.messages import AgeBand, Gender, Mask, PictureCount
from actors.statistics.groups import EVERYBODY, GROUPS, GROUPS_OF, Group

GRACE = 2.0
"""Seconds after a slice's end in which its last pictures may still arrive."""

_UNEVEN = 1
"""Seconds. A picture stands for its camera's interval and so much more, because times are whole
seconds and cameras' clocks a little uneven."""

_FURTHEST_BACK, _FURTHEST_AHEAD = 3600.0, 60.0
"""Seconds; a picture from further in the past or future has a wrong time."""

_NOBODY_KNOWN = GROUPS_OF[Gender.UNKNOWN, AgeBand.UNKNOWN, Mask.UNKNOWN]


class Presence(NamedTuple):
    """How many people of one group the pictures of a slice show."""

    peak: int = 0
    """The most in one picture: so many different people were there, at least."""
    in_all: int = 0
    """The sum over all pictures; one person in ten pictures adds ten."""
    pictures: int = 0
    """How many of the pictures show anybody of it."""


@dataclass(frozen=True, slots=True, repr=False)
class PeopleSlice:
    """What was counted at one place in one window. Raw: see ``release`` before storing it.

    A slice is a cross-section. Peaks and sums do not depend on the order of the pictures, and no
    picture is linked to another, so it says nothing of who came, went or stayed (guideline 6.1(3),
    6.2(3)).
    """

    place: str
    start: int
    """Seconds since 1970, inclusive."""
    end: int
    """Exclusive."""
    pictures: int
    observed: int
    """Seconds of the window for which a picture stands: its camera's interval, and a second."""
    age_bands: tuple[int, ...]
    """Years at which the second age band and those after it begin."""
    present: Mapping[Group, Presence]
    """Of everybody, and of each group of ``GROUPS`` that was seen: gender × age × mask with the
    unknown ones, and what they coarsen to."""

    @property
    def coverage_tenths(self) -> int:
        return 10 * self.observed // (self.end - self.start)

    def of(self, group: Group) -> Presence:
        return self.present.get(group, Presence())


@dataclass(slots=True, repr=False)
class _Open:
    """A slice that still takes pictures. It keeps no picture's counts, only peaks and sums."""

    start: int
    pictures: int = 0
    latest: int = 0
    seconds: set[int] = field(default_factory=set)
    """For which of the window a picture stands, counted from its start."""
    peaks: defaultdict[int, int] = field(default_factory=lambda: defaultdict(int))
    sums: Counter[int] = field(default_factory=Counter)
    shown: Counter[int] = field(default_factory=Counter)
    age_bands: set[tuple[int, ...]] = field(default_factory=set)

    def add(self, picture: PictureCount, moment: int) -> None:
        self.pictures += 1
        self.latest = max(self.latest, moment)
        second = moment - self.start
        self.seconds.update(range(second, second + picture.interval + _UNEVEN))
        if second <= picture.interval:
            # The picture before it stood for what lies between, and counts in another window.
            self.seconds.update(range(second))
        people: Counter[int] = Counter()
        if sum(cell.people for cell in picture.cells) == picture.people:
            for cell in picture.cells:
                for group in GROUPS_OF[cell.gender, cell.age, cell.mask]:
                    people[group] += cell.people
        else:  # of a picture that contradicts itself, only how many there were is taken
            people.update(dict.fromkeys(_NOBODY_KNOWN, picture.people))
        for group, number in people.items():
            self.peaks[group] = max(self.peaks[group], number)
        self.sums.update(people)
        self.shown.update(group for group, number in people.items() if number)
        self.age_bands.add(picture.age_bands)

    def close(self, place: str, end: int) -> PeopleSlice:
        length = end - self.start
        observed = sum(second < length for second in self.seconds)
        present = {
            GROUPS[one]: Presence(self.peaks[one], self.sums[one], self.shown[one])
            for one in self.sums
        }
        present.setdefault(EVERYBODY, Presence())
        if len(self.age_bands) > 1:
            # Cameras that part ages differently: there is no age that both mean.
            present = {group: one for group, one in present.items() if not group.tells_age}
        bands = min(self.age_bands)
        return PeopleSlice(place, self.start, end, self.pictures, observed, bands, present)


@dataclass(slots=True)
class PeopleSlices:
    """The open slices of all places. Times are seconds since 1970.

    Slices begin and end at the multiples of ``length``. Where counting begins or ends in the
    middle, one may be shorter: then it begins or ends at a multiple of ``shortest``, and is never
    shorter than that. What was not looked at lowers its coverage. Slices of a place never overlap:
    what was taken before the last one ended is refused. A slice without any picture doesn't exist:
    that nobody looked is not that nobody was there.

    ``stored_until`` is where, by place, counting left off before. A picture taken shortly before
    that which nobody has counted, because it waited, counts from there.
    """

    length: int
    shortest: int
    """A divisor of ``length``."""
    stored_until: dict[str, int] = field(default_factory=dict)
    _closed_until: dict[str, int] = field(default_factory=dict)
    _open: dict[tuple[str, int], _Open] = field(default_factory=dict, repr=False)
    _last_now: float = 0.0

    def add(self, picture: PictureCount, now: float) -> bool:
        """Take a picture's count. False where its slice is closed, or its time can't be right."""
        self._notice_step_back(now)
        moment, stored_until = picture.taken_at, self.stored_until.get(picture.place, 0)
        if stored_until - GRACE <= moment < stored_until:
            moment = stored_until
        # What was stored with another ``shortest`` may have ended between its multiples.
        earliest = max(_up(stored_until, self.shortest), self._closed_until.get(picture.place, 0))
        if (
            moment < earliest
            or not now - _FURTHEST_BACK <= picture.taken_at <= now + _FURTHEST_AHEAD
        ):
            return False
        first = _down(moment, self.length)
        key = (picture.place, first)
        if key not in self._open:
            self._open[key] = _Open(max(first, earliest))
        self._open[key].add(picture, moment)
        return True

    def close_due(self, now: float) -> list[PeopleSlice]:
        """The slices that are over, grace included. They take no more pictures."""
        self._notice_step_back(now)
        due = [key for key in self._open if key[1] + self.length + GRACE <= now]
        return [self._close(place, first, first + self.length) for place, first in sorted(due)]

    def close_all(self, now: float) -> list[PeopleSlice]:
        """All open slices. The running one ends at the next multiple of ``shortest``."""
        closed = []
        for place, first in sorted(self._open):
            until = max(math.ceil(now), self._open[place, first].latest + 1)
            end = min(_up(until, self.shortest), first + self.length)
            closed.append(self._close(place, first, end))
        return closed

    def _notice_step_back(self, now: float) -> None:
        """If the clock was set back, begin afresh.

        Nobody knows then which time the open slices had, and without it every picture would be
        late until the clock has caught up. The store keeps the first of two slices of one time.
        """
        if now < self._last_now - GRACE:
            self.stored_until.clear()
            self._closed_until.clear()
            self._open.clear()
        self._last_now = now

    def _close(self, place: str, first: int, end: int) -> PeopleSlice:
        self._closed_until[place] = max(end, self._closed_until.get(place, 0))
        return self._open.pop((place, first)).close(place, end)


def _down(moment: int, step: int) -> int:
    return moment // step * step


def _up(moment: int, step: int) -> int:
    return -(-moment // step) * step
