"""The groups of people of whom numbers may be told, and the fixed order in which they coarsen."""

from __future__ import annotations

__all__ = [
    "ANY",
    "EVERYBODY",
    "GROUPS",
    "GROUPS_OF",
    "GROUP_NAMED",
    "ORDER",
    "Group",
    "Split",
    "divide",
]

import enum
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise, product
from typing import TypeVar

from actors.crowd.messages import AgeBand, Gender, Mask

E = TypeVar("E", bound=enum.Enum)

ANY = "any"
"""The name of all values of a dimension together."""


@dataclass(frozen=True, slots=True)
class Group:
    """People whose estimated attributes are among these values. All values: it is not told."""

    gender: tuple[Gender, ...] = tuple(Gender)
    age: tuple[AgeBand, ...] = tuple(AgeBand)
    mask: tuple[Mask, ...] = tuple(Mask)

    def holds(self, gender: Gender, age: AgeBand, mask: Mask) -> bool:
        return gender in self.gender and age in self.age and mask in self.mask

    def within(self, dimension: str, values: tuple[enum.Enum, ...]) -> Group:
        """Those of the group who have one of these values of a dimension."""
        return replace(self, **{dimension: values})  # type: ignore[arg-type]

    @property
    def depth(self) -> int:
        """How often everybody was parted to come to it; of everybody, 0."""
        values = ((self.gender, Gender), (self.age, AgeBand), (self.mask, Mask))
        return sum(len(some) < len(kind) for some, kind in values)

    @property
    def tells_age(self) -> bool:
        return len(self.age) < len(AgeBand)

    @property
    def names(self) -> tuple[str, str, str]:
        """Gender, age and mask as they are stored: values with | between them, or ANY. Age bands
        are numbered, because a camera's configuration says where they begin."""
        return self._names(_NUMBERED)

    def names_in(self, age_bands: Sequence[int]) -> tuple[str, str, str]:
        """The same with years: of each age band but the first, the year at which it begins."""
        begins = (0, *age_bands)
        years = [f"{low}-{high - 1}" for low, high in pairwise(begins)] + [f"{begins[-1]}+"]
        return self._names(dict(zip(_NUMBERED, years, strict=False)))

    def _names(self, ages: Mapping[AgeBand, str]) -> tuple[str, str, str]:
        return (
            _name(Gender, [(one, one.value) for one in self.gender]),
            _name(AgeBand, [(one, ages.get(one, one.value)) for one in self.age]),
            _name(Mask, [(one, one.value) for one in self.mask]),
        )


_NUMBERED: Mapping[AgeBand, str] = {
    band: f"age-{number}"
    for number, band in enumerate((one for one in AgeBand if one is not AgeBand.UNKNOWN), start=1)
}


def _name(kind: type[enum.Enum], values: Sequence[tuple[enum.Enum, str]]) -> str:
    return ANY if len(values) == len(kind) else "|".join(name for _, name in values)


EVERYBODY = Group()


@dataclass(frozen=True, slots=True)
class Split:
    """One way further into detail: a dimension, in how many ways it may be parted, and what may
    be split in each part afterwards."""

    dimension: str
    """A field of ``Group``."""
    partitions: tuple[tuple[tuple[enum.Enum, ...], ...], ...]
    """From the finest on. Each holds every value of the dimension once."""
    further: tuple[Split, ...] = ()


def divide(
    group: Group, reaches: Callable[[Group], bool], order: Sequence[Split] | None = None
) -> tuple[Group, ...]:
    """Part a group as finely as the order allows, so that every part ``reaches``.

    Of the partitions in their order, the first is taken all of whose parts reach; each part is
    divided in turn. A group of which no partition fits stays whole, and its inside is not told.
    """
    for split in ORDER if order is None else order:
        for partition in split.partitions:
            parts = [group.within(split.dimension, values) for values in partition]
            if all(map(reaches, parts)):
                return tuple(
                    leaf for part in parts for leaf in divide(part, reaches, split.further)
                )
    return (group,)


def _partitions(
    named: Sequence[tuple[E, ...]], unknown: E
) -> tuple[tuple[tuple[enum.Enum, ...], ...], ...]:
    """Every named part by itself, with those of whom it is unknown apart or, where they or one
    named part are too few, together with that part: from the last to the first."""
    together = [
        tuple((*part, unknown) if part is joined else part for part in named)
        for joined in reversed(named)
    ]
    return ((*named, (unknown,)), *together)


def _pairs(named: Sequence[tuple[E, ...]]) -> list[tuple[E, ...]]:
    """Neighbours merged two by two."""
    return [tuple(v for part in named[i : i + 2] for v in part) for i in range(0, len(named), 2)]


def _order() -> tuple[Split, ...]:
    """Gender, then age, then mask: what is told last is given up first.

    Age bands are merged to wide ones only where two wide ones or more come of two bands each:
    with fewer, that the fine bands were refused would tell too much of the single merged one.
    """
    genders = [(value,) for value in Gender if value is not Gender.UNKNOWN]
    ages = [(value,) for value in AgeBand if value is not AgeBand.UNKNOWN]
    masks = [(value,) for value in Mask if value is not Mask.UNKNOWN]
    by_mask = Split("mask", _partitions(masks, Mask.UNKNOWN))
    by_age = [Split("age", _partitions(ages, AgeBand.UNKNOWN), (by_mask,))]
    wide = _pairs(ages)
    if sum(len(part) == 2 for part in wide) >= 2:
        by_age.append(Split("age", _partitions(wide, AgeBand.UNKNOWN)))
    return (Split("gender", _partitions(genders, Gender.UNKNOWN), tuple(by_age)),)


ORDER = _order()
"""The fixed order of coarsening: mask is dropped first, then age bands are merged, then age is
dropped, then gender, and what is left is the number of all people."""


def _reachable(group: Group, order: Sequence[Split]) -> Iterator[Group]:
    yield group
    for split in order:
        for values in dict.fromkeys(part for parts in split.partitions for part in parts):
            yield from _reachable(group.within(split.dimension, values), split.further)


GROUPS: tuple[Group, ...] = tuple(dict.fromkeys(_reachable(EVERYBODY, ORDER)))
"""Every group that can come of ``divide``; the first is everybody."""

GROUPS_OF: Mapping[tuple[Gender, AgeBand, Mask], tuple[int, ...]] = {
    cell: tuple(index for index, group in enumerate(GROUPS) if group.holds(*cell))
    for cell in product(Gender, AgeBand, Mask)
}
"""By the attributes of one person: the groups that the person belongs to, by place in GROUPS."""

GROUP_NAMED: Mapping[tuple[str, str, str], Group] = {group.names: group for group in GROUPS}
"""Back from ``Group.names``."""
