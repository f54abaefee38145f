"""What the page of figures shows: released slices, gathered to bars of a day and of a week."""

from __future__ import annotations

__all__ = ["Bar", "Busiest", "Chart", "Figure", "Figures", "gather"]

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Literal

import msgspec

from actors.notice.wording import FigureWords
from actors.statistics.release import ReleasedDevices, ReleasedPeople
from runtime import Bilingual

Released = ReleasedPeople | ReleasedDevices

JAPAN = 9 * 3600
DAY, HOUR, QUARTER = 86_400, 3600, 900


class _Entry(msgspec.Struct, frozen=True, kw_only=True):
    """Base of the parts of the page."""


class Bar(_Entry, frozen=True):
    """One stretch of time, gathered from the slices that begin in it."""

    start: int
    """Seconds since 1970."""
    most: int | None
    """The most of its slices; None where all of them were too few to be told, or there is none."""
    few: int | None
    """Where there are slices, and all of them were too few: fewer than so many."""
    observed: int
    """Per cent of its time. Of Wi-Fi counting, the time that its slices cover."""


class Chart(_Entry, frozen=True):
    """Bars from one midnight in Japan to another. What is to come has none."""

    begins: int
    ends: int
    length: int
    """Seconds of each bar."""
    bars: tuple[Bar, ...]

    @property
    def most(self) -> int:
        return max((bar.most or bar.few or 0 for bar in self.bars), default=0)


class Busiest(_Entry, frozen=True):
    """Who was there in the slice of today with the most people of whom groups are told."""

    start: int
    end: int
    most: int
    groups: tuple[tuple[Bilingual, int], ...]


class Figure(_Entry, frozen=True):
    """What was counted at one place."""

    place: str
    name: Bilingual
    counted: Literal["people", "devices"]
    k: int
    today: Chart
    week: Chart
    busiest: Busiest | None = None


class Figures(_Entry, frozen=True):
    """The whole page, and the form of ``/statistics.json``."""

    generated: str
    """ISO 8601, UTC."""
    is_available: bool = True
    """False: what was released can't be read at the moment."""
    has_noise: bool = False
    """Whether noise was added to some of the numbers."""
    figures: tuple[Figure, ...] = ()


def week_begins(now: float) -> int:
    """The midnight in Japan with which a week of seven days begins that ends with today."""
    return _midnight(now) - 6 * DAY


def gather(
    people: Sequence[ReleasedPeople],
    devices: Sequence[ReleasedDevices],
    places: Mapping[str, Bilingual],
    words: FigureWords,
    *,
    now: float,
) -> Figures:
    """Gather a week's slices, place by place. Only numbers that were released go in, so nothing
    that was withheld can come out."""
    figures = []
    found = [*(one.place for one in people), *(one.place for one in devices)]
    for place in dict.fromkeys([*places, *found]):
        name = places.get(place, Bilingual(ja=place, en=place))
        of_people = [one for one in people if one.place == place]
        if of_people:
            busiest = _busiest(of_people, words, _midnight(now))
            figures.append(_figure(place, name, "people", of_people, now, busiest))
        of_devices = [one for one in devices if one.place == place]
        if of_devices:
            figures.append(_figure(place, name, "devices", of_devices, now, None))
    return Figures(
        generated=datetime.fromtimestamp(int(now), UTC).isoformat(),
        has_noise=any(one.noise_thousandths is not None for one in people),
        figures=tuple(figures),
    )


def _figure(
    place: str,
    name: Bilingual,
    counted: Literal["people", "devices"],
    slices: Sequence[Released],
    now: float,
    busiest: Busiest | None,
) -> Figure:
    today = _midnight(now)
    # A slice lies in one bar, so no bar is shorter than a slice.
    longest = max(one.end - one.start for one in slices)
    return Figure(
        place=place,
        name=name,
        counted=counted,
        k=slices[-1].k,
        today=_chart(slices, today, today + DAY, QUARTER if longest <= QUARTER else HOUR, now),
        week=_chart(slices, week_begins(now), today + DAY, HOUR, now),
        busiest=busiest,
    )


def _chart(slices: Sequence[Released], begins: int, ends: int, length: int, now: float) -> Chart:
    within: dict[int, list[Released]] = {}
    for one in slices:
        within.setdefault((one.start - begins) // length, []).append(one)
    latest = max(one.end for one in slices)
    bars = []
    for place in range((ends - begins) // length):
        start, end = begins + place * length, begins + (place + 1) * length
        if end > now:
            # Of what is not over yet, the part is shown that can be known: up to the last slice.
            end = min(end, latest)
        if start < end:
            bars.append(_bar(start, end, within.get(place, ())))
    return Chart(begins=begins, ends=ends, length=length, bars=tuple(bars))


def _bar(start: int, until: int, slices: Iterable[Released]) -> Bar:
    numbers, few, seconds = [], 0, 0.0
    for one in slices:
        if isinstance(one, ReleasedPeople):
            number, share = one.peak, one.coverage_tenths / 10
        else:
            number, share = one.devices, 1.0
        seconds += share * (one.end - one.start)
        few = max(few, one.k)
        if number is not None:
            numbers.append(number)
    return Bar(
        start=start,
        most=max(numbers, default=None),
        few=few if few and not numbers else None,
        observed=min(100, round(100 * seconds / (until - start))),
    )


def _busiest(slices: Sequence[ReleasedPeople], words: FigureWords, midnight: int) -> Busiest | None:
    told = [one for one in slices if one.groups and one.peak and one.start >= midnight]
    if not told:
        return None
    one = max(told, key=lambda one: one.peak or 0)
    return Busiest(
        start=one.start,
        end=one.end,
        most=one.peak or 0,
        groups=tuple(
            (words.group(part.group.names_in(one.age_bands)), part.peak) for part in one.groups
        ),
    )


def _midnight(now: float) -> int:
    """The last midnight in Japan."""
    return (int(now) + JAPAN) // DAY * DAY - JAPAN
