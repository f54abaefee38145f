"""An attacker who has every release, knows the gate's rules, and tries every slice that fits.

A *world* is a number of raw slices, one of which happened. The attacker knows the world and what
the gate would have released of each slice of it, so that whatever is released leaves the slices
that fit. A quantity is *recovered* where it is the same in all of these.
"""

from __future__ import annotations

__all__ = [
    "Quantity",
    "World",
    "apart",
    "cells_of",
    "fitting",
    "least_of",
    "peak_of",
    "raw",
    "surely_there",
    "withheld",
]

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations_with_replacement, product

from actors.crowd.messages import AgeBand, Gender, Mask
from actors.statistics.groups import EVERYBODY, Group
from actors.statistics.release import ReleasedPeople, release_people
from actors.statistics.slices import PeopleSlice, PeopleSlices
from tests.unit.statistics.pictures import MINUTE, Cell, picture

Table = tuple[Cell, ...]
"""The counts of one picture."""
Quantity = Callable[[tuple[Table, ...]], int]


@dataclass(frozen=True)
class World:
    """Every slice with at most ``most`` people in the ``changing`` cells of each picture, and
    always these ``beside`` them."""

    changing: tuple[tuple[Gender, AgeBand, Mask], ...]
    most: int
    k: int
    beside: Table = ()
    pictures: int = 1

    def slices(self) -> Iterator[tuple[Table, ...]]:
        """Each as the tables of its pictures."""
        ways = [(*self.beside, *table) for table in _tables(self.changing, self.most)]
        return combinations_with_replacement(ways, self.pictures)  # their order tells nothing


def raw(pictures: Iterable[Iterable[Cell]]) -> PeopleSlice:
    """The slice of these pictures, one a second."""
    slices = PeopleSlices(60, 60)
    for second, cells in enumerate(pictures):
        assert slices.add(picture(MINUTE + second, cells), MINUTE + second)
    (made,) = slices.close_due(MINUTE + 120)
    return made


def _tables(cells: Sequence[tuple[Gender, AgeBand, Mask]], most: int) -> Iterator[Table]:
    """Every way in which at most so many people are in these cells."""

    def shares(places: int, people: int) -> Iterator[tuple[int, ...]]:
        if not places:
            yield ()
            return
        for here in range(people + 1):
            for others in shares(places - 1, people - here):
                yield (here, *others)

    for numbers in shares(len(cells), most):
        yield tuple((*cell, n) for cell, n in zip(cells, numbers, strict=True) if n)


@cache
def fitting(
    world: World, gate: Callable[[PeopleSlice, int], Hashable] = release_people
) -> dict[Hashable, list[tuple[Table, ...]]]:
    """By what the gate makes of them, the slices that fit it."""
    fits: dict[Hashable, list[tuple[Table, ...]]] = defaultdict(list)
    for pictures in world.slices():
        fits[gate(raw(pictures), world.k)].append(pictures)
    return fits


def peak_of(group: Group) -> Quantity:
    """The most people of a group in one picture."""

    @cache
    def most(table: Table) -> int:
        return sum(people for *cell, people in table if group.holds(*cell))

    return lambda pictures: max(map(most, pictures))


def least_of(group: Group) -> Quantity:
    """The fewest people of a group in one picture."""
    return lambda pictures: min(peak_of(group)((table,)) for table in pictures)


def cells_of(group: Group) -> list[tuple[Gender, AgeBand, Mask]]:
    return list(product(group.gender, group.age, group.mask))


def withheld(released: ReleasedPeople, asked: Group, world: World) -> bool:
    """Whether a group of people, of those who change in this world, is neither told of nor made of
    whole groups that are."""
    if released.peak is None:
        return True
    return any(
        0 < sum(asked.holds(*cell) for cell in inside) < len(inside)
        for inside in _told(released, world)
    )


def apart(released: ReleasedPeople, world: World) -> bool:
    """Whether nobody who changes is told of together with those who are always there: the world
    would give them away, and not the release."""
    if not world.beside:
        return True
    groups = [one.group for one in released.groups] or [EVERYBODY]
    return not any(
        any(one.holds(*cell) for cell in world.changing)
        and any(one.holds(*cell) for *cell, _ in world.beside)
        for one in groups
    )


def surely_there(released: ReleasedPeople, asked: Group, world: World) -> bool:
    """Whether a whole group that is told of is part of the group."""
    return released.peak is not None and any(
        inside and all(asked.holds(*cell) for cell in inside) for inside in _told(released, world)
    )


def _told(released: ReleasedPeople, world: World) -> list[list[tuple[Gender, AgeBand, Mask]]]:
    groups = [one.group for one in released.groups] or [EVERYBODY]
    return [[cell for cell in world.changing if one.holds(*cell)] for one in groups]
