"""How much the release gate still tells, of streets and of busier places.

The crowds are made up: people come at random, stay for a while, and are estimated as the models do
it, with many unknown. Beside the gate stands the same one without its two rules for people who are
always there: that a group leaves room at each level, and that somebody of it could have stayed.
"""

from __future__ import annotations

__all__ = ["benchmark"]

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from actors.crowd.messages import AgeBand, AttributeCount, Gender, Mask, PictureCount
from actors.statistics.groups import EVERYBODY, Group, divide
from actors.statistics.release import release_people
from actors.statistics.slices import PeopleSlice, PeopleSlices
from bench.harness import Comparison, Effort, Figure, Outcome

_K = 5
_SLICES = 60
_BEGIN = 1_800_000_000
_AGES = (AgeBand.UP_TO_19, AgeBand.FROM_20, AgeBand.FROM_40, AgeBand.FROM_60)
_AGE_SHARES = (15, 35, 30, 20)
_TURNED_AWAY, _MISSED, _AGE_UNKNOWN, _MASKED = 0.4, 0.15, 0.2, 0.15
_Cell = tuple[Gender, AgeBand, Mask]
_NOBODY_KNOWS: _Cell = (Gender.UNKNOWN, AgeBand.UNKNOWN, Mask.UNKNOWN)


@dataclass(frozen=True, slots=True)
class _Place:
    name: str
    people: int
    """In the average picture."""
    stay: int
    """Seconds, on average."""
    length: int = 60
    """Of a slice, in seconds."""
    interval: int = 1


_PLACES = (
    _Place("a street as in the demo, 5 people", 5, 12),
    _Place("a street, 12 people", 12, 12),
    _Place("a street, 12 people, a picture every 5 s", 12, 12, interval=5),
    _Place("a station, 25 people", 25, 15),
    _Place("a station, 25 people, slices of 5 min", 25, 15, length=300, interval=5),
    _Place("a platform, 50 people who wait", 50, 120),
    _Place("a square, 100 people", 100, 20),
)


def benchmark(effort: Effort) -> Outcome:
    """The share of slices that tell of groups, and how many groups they tell of."""
    figures = []
    for place in _PLACES:
        slices = _slices(place, effort.count(_SLICES, least=10))
        released = [release_people(raw, _K) for raw in slices]
        ours = [[one.group for one in release.groups] for release in released]
        theirs = [_without(raw) for raw in slices]
        value, other = _share(map(bool, ours)), _share(map(bool, theirs))
        figures.append(
            Figure(
                name=f"{place.name}: slices that tell of groups",
                value=value,
                unit="%",
                better="higher",
                compared=Comparison(
                    to="without the rules for who stays",
                    value=other,
                    ratio=value / other if other else 1.0,
                    difference=value - other,
                ),
                details={
                    **_detail("now", ours),
                    **_detail("without", theirs),
                    "% with means by group now": _share(
                        one.groups and one.groups[0].mean_tenths is not None for one in released
                    ),
                    "% with means by group without": _share(
                        bool(groups) and _have_means(raw, groups)
                        for raw, groups in zip(slices, theirs, strict=True)
                    ),
                },
            )
        )
    return Outcome(figures=tuple(figures))


def _share(slices: Iterable[object]) -> float:
    """Per cent."""
    found = [*map(bool, slices)]
    return round(100 * sum(found) / len(found))


def _detail(which: str, told: Sequence[Sequence[Group]]) -> dict[str, float]:
    return {
        f"groups a slice {which}": round(sum(map(len, told)) / len(told), 1),
        f"% with ages {which}": _share(any(one.tells_age for one in groups) for groups in told),
        f"% with masks {which}": _share(
            any(len(one.mask) < len(Mask) for one in groups) for groups in told
        ),
    }


def _without(raw: PeopleSlice) -> list[Group]:
    room = raw.of(EVERYBODY).peak - _K
    parts = divide(EVERYBODY, lambda group: _K <= raw.of(group).peak <= room)
    return [*parts] if len(parts) > 1 else []


def _have_means(raw: PeopleSlice, groups: Sequence[Group]) -> bool:
    present = map(raw.of, groups)
    return all(one.in_all - one.peak >= _K * (raw.pictures - 1) for one in present)


def _slices(place: _Place, number: int) -> list[PeopleSlice]:
    """The same at every run."""
    chance, seconds = random.Random(4), number * place.length
    shown: list[Counter[_Cell]] = [Counter() for _ in range(0, seconds, place.interval)]
    comes = -10.0 * place.stay
    while comes < seconds:
        comes += chance.expovariate(place.people / place.stay)
        goes = comes + chance.expovariate(1 / place.stay)
        gender = chance.choice((Gender.FEMALE, Gender.MALE))
        (age,) = chance.choices(_AGES, _AGE_SHARES)
        mask = Mask.WORN if chance.random() < _MASKED else Mask.NOT_WORN
        turned_away = chance.random() < _TURNED_AWAY
        first = max(0, -int(-comes // place.interval))
        for table in shown[first : max(first, -int(-goes // place.interval))]:
            if turned_away or chance.random() < _MISSED:
                table[_NOBODY_KNOWS] += 1
            else:
                known = chance.random() >= _AGE_UNKNOWN
                table[gender, age if known else AgeBand.UNKNOWN, mask] += 1
    slices = PeopleSlices(place.length, place.length)
    for at, table in enumerate(shown):
        moment = _BEGIN + at * place.interval
        slices.add(_picture(moment, table, place.interval), moment)
    return slices.close_all(_BEGIN + seconds)


def _picture(moment: int, table: Counter[_Cell], interval: int) -> PictureCount:
    return PictureCount(
        place="bench",
        taken_at=moment,
        people=table.total(),
        cells=tuple(
            AttributeCount(gender=gender, age=age, mask=mask, people=people)
            for (gender, age, mask), people in table.items()
        ),
        interval=interval,
    )
