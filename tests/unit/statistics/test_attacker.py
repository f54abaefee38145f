"""Nothing that is withheld can be recovered, by whoever knows all releases and the gate's rules."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator
from dataclasses import replace
from itertools import product

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from actors.crowd.messages import AgeBand, Gender, Mask
from actors.statistics.groups import EVERYBODY, Group, divide
from actors.statistics.release import ReleasedPeople, mean_tenths, release_people
from actors.statistics.slices import PeopleSlice, PeopleSlices
from tests.unit.statistics.attacker import (
    Table,
    World,
    apart,
    cells_of,
    fitting,
    least_of,
    peak_of,
    raw,
    surely_there,
    withheld,
)
from tests.unit.statistics.pictures import MINUTE, Cell, picture

F, M, U = Gender.FEMALE, Gender.MALE, Gender.UNKNOWN
AGES = tuple(AgeBand)
NO_AGE, NO_MASK = AgeBand.UNKNOWN, Mask.UNKNOWN


Gate = Callable[[PeopleSlice, int], Hashable]


def named_groups() -> list[Group]:
    """By one value of each dimension, or any: what one would like to know of somebody."""
    genders = [tuple(Gender), *((one,) for one in Gender)]
    ages = [tuple(AgeBand), *((one,) for one in AgeBand)]
    masks = [tuple(Mask), *((one,) for one in Mask)]
    return [Group(*values) for values in product(genders, ages, masks)]


def is_named(group: Group) -> bool:
    """Whether it says something of its people: that an attribute is unknown says nothing."""
    return not any(
        values == (unknown,)
        for values, unknown in (
            (group.gender, Gender.UNKNOWN),
            (group.age, AgeBand.UNKNOWN),
            (group.mask, Mask.UNKNOWN),
        )
    )


GENDERS = tuple((gender, NO_AGE, NO_MASK) for gender in Gender)
MEN: Table = ((M, NO_AGE, NO_MASK, 2),)
OTHER_AGES: Table = tuple((F, age, NO_MASK, 2) for age in AGES if age is not AgeBand.FROM_20)

WORLDS = {
    "genders": World(GENDERS, 12, k=3),
    "ages of women": World(tuple((F, age, NO_MASK) for age in AGES), 10, k=2, beside=MEN),
    "masks of young women": World(
        tuple((F, AgeBand.FROM_20, mask) for mask in Mask), 8, k=2, beside=MEN + OTHER_AGES
    ),
    "genders and ages": World(
        ((F, AGES[0], NO_MASK), (F, AGES[3], NO_MASK), (M, AGES[0], NO_MASK), *GENDERS[2:]),
        9,
        k=3,
    ),
    "genders in two pictures": World(GENDERS, 6, k=2, pictures=2),
}


@pytest.mark.parametrize("world", WORLDS)
def test_every_slice_of_a_small_world(world: str) -> None:
    """What is withheld may be any number below k, as far as the attacker can tell."""
    attacked = WORLDS[world]
    changing = attacked.changing
    # Of those who are in every slice, or all of whom change, the world itself says how many.
    asked = [
        group
        for group in named_groups()
        if 0 < sum(group.holds(*cell) for cell in changing) < len(changing)
    ]
    tries = 0
    for released, fits in fitting(attacked).items():
        assert isinstance(released, ReleasedPeople)
        if not apart(released, attacked):
            continue
        for group in asked:
            if not withheld(released, group, attacked):
                continue
            tries += 1
            values = {peak_of(group)(pictures) for pictures in fits}
            assert len(values) >= attacked.k, (released, group, values)
            if is_named(group) and not surely_there(released, group, attacked):
                assert values >= set(range(attacked.k)), (released, group, values)
    assert tries > 20


@pytest.mark.parametrize("world", WORLDS)
def test_every_combination_of_attributes_remains_possible_for_each_person(world: str) -> None:
    """Somebody known to have been there may have been in any cell of the world."""
    attacked = WORLDS[world]
    changing = set(attacked.changing)
    for released, fits in fitting(attacked).items():
        assert isinstance(released, ReleasedPeople)
        if not apart(released, attacked):
            continue
        seen = {cell[:3] for pictures in fits for table in pictures for cell in table}
        assert seen >= changing


WATCHED = {
    **WORLDS,
    "two genders in three pictures": World(GENDERS[:2], 6, k=2, pictures=3),
    "two genders, k = 3": World(GENDERS[:2], 7, k=3, pictures=3),
    "known or not, in four pictures": World((GENDERS[0], GENDERS[2]), 5, k=2, pictures=4),
}


def certain_of_whoever_is_always_there(world: World, gate: Gate) -> Iterator[Hashable]:
    """Somebody is known to have been in every picture. What is released, and a cell in which that
    person was not, or not all the time: certainly, whoever it is."""
    for released, fits in fitting(world, gate).items():
        if isinstance(released, ReleasedPeople) and not apart(released, world):
            continue
        known = [pictures for pictures in fits if least_of(EVERYBODY)(pictures) >= 1]
        for cell in world.changing:
            always = least_of(Group(*((value,) for value in cell)))
            if known and not any(map(always, known)):
                yield released, cell


@pytest.mark.parametrize("world", WATCHED)
def test_of_somebody_who_is_always_there_nothing_can_be_told(world: str) -> None:
    """Every combination of attributes remains possible for all of the time: so that none is
    certain, either."""
    assert not [*certain_of_whoever_is_always_there(WATCHED[world], release_people)]


def test_mean_and_peak_together_tell_no_small_picture() -> None:
    """Of two pictures, a mean that is told tells the other one: it shows k people or more."""
    attacked, found = WORLDS["genders in two pictures"], 0
    for released, fits in fitting(attacked).items():
        assert isinstance(released, ReleasedPeople)
        means = {EVERYBODY: released.mean_tenths}
        means |= {one.group: one.mean_tenths for one in released.groups}
        for group, mean in means.items():
            least = {min(peak_of(group)((table,)) for table in pictures) for pictures in fits}
            if mean is not None:
                found += 1
                assert min(least) >= attacked.k
            elif group == EVERYBODY:
                assert least >= set(range(attacked.k))
    assert found > 10


def test_a_group_is_not_told_of_as_alone() -> None:
    """When most of a group were there, others may have been there as well."""
    women = [(F, NO_AGE, NO_MASK, 6)]
    men = [(M, NO_AGE, NO_MASK, 6)]
    assert len(release_people(raw([women + men]), 5).groups) == 2
    assert release_people(raw([women, men]), 5).groups == ()
    assert release_people(raw([women, men, [*men, (F, NO_AGE, NO_MASK, 4)]]), 5).groups == ()
    assert len(release_people(raw([women, men, [*men, (F, NO_AGE, NO_MASK, 5)]]), 5).groups) == 2


def test_a_neighbouring_slice_adds_nothing() -> None:
    """What both releases leave possible of the first slice is what its own release does."""
    attacked = World(GENDERS, 5, k=2)
    alone = fitting(attacked)
    pairs: dict[Hashable, set[tuple[Table, ...]]] = defaultdict(set)
    for first, second in product(attacked.slices(), repeat=2):
        slices = PeopleSlices(60, 60)
        for moment, (table,) in ((MINUTE + 59, first), (MINUTE + 60, second)):
            assert slices.add(picture(moment, table), moment)
        releases = [release_people(one, attacked.k) for one in slices.close_due(MINUTE + 200)]
        pairs[replace(releases[0], start=MINUTE, end=MINUTE + 60), releases[1]].add(first)
    assert len(pairs) == len(alone) ** 2
    for (released, _), fits in pairs.items():  # type: ignore[misc]
        assert fits == set(alone[released])


# -- the attacker is able to find something ----------------------------------------------------


def without_complement(one: PeopleSlice, k: int) -> Hashable:
    """Each gender that reaches k, and how many there were in all."""
    cells = [(gender, one.of(Group(gender=(gender,))).peak) for gender in Gender]
    return one.of(EVERYBODY).peak, tuple(cell for cell in cells if cell[1] >= k)


def with_the_smallest_beside(one: PeopleSlice, k: int) -> Hashable:
    """Textbook complementary suppression: small cells together, and where these don't reach k, the
    smallest of the others with them. Who knows the rule can do better than subtract."""
    cells = {gender: one.of(Group(gender=(gender,))).peak for gender in Gender}
    rest = [gender for gender, people in cells.items() if people < k]
    kept = sorted(set(cells) - set(rest), key=lambda gender: (cells[gender], gender.value))
    while rest and kept and sum(cells[gender] for gender in rest) < k:
        rest.append(kept.pop(0))
    return one.of(EVERYBODY).peak, tuple((gender, cells[gender]) for gender in kept)


@pytest.mark.parametrize("gate", [without_complement, with_the_smallest_beside])
def test_weaker_gates_are_broken(gate: object) -> None:
    recovered = []
    for released, fits in fitting(WORLDS["genders"], gate).items():  # type: ignore[arg-type]
        for gender in Gender:
            values = {peak_of(Group(gender=(gender,)))(pictures) for pictures in fits}
            told = {one for one, _ in released[1]}  # type: ignore[index]
            if gender not in told and len(values) == 1 and max(values) in range(1, 3):
                recovered.append((released, gender, values))
    assert recovered


def whoever_is_always_there_or_not(one: PeopleSlice, k: int) -> Hashable:
    """As ``release_people``, but it does not ask whether somebody of each group could always have
    been there: each part only leaves room for k others in what it is part of."""
    everybody = one.of(EVERYBODY)

    def mean(group: Group) -> int | None:
        present = one.of(group)
        is_safe = present.in_all - present.peak >= k * (one.pictures - 1)
        return mean_tenths(present, one.pictures) if is_safe else None

    groups = divide(EVERYBODY, lambda group: k <= one.of(group).peak <= everybody.peak - k)
    if everybody.peak < k:
        return None
    means = [mean(group) for group in groups]
    told = [(group, one.of(group).peak) for group in groups]
    return everybody.peak, mean(EVERYBODY), tuple(told), tuple(means) if all(means) else None


def test_a_gate_that_minds_nobodys_staying_is_broken() -> None:
    world = WATCHED["two genders in three pictures"]
    certain = [*certain_of_whoever_is_always_there(world, whoever_is_always_there_or_not)]
    assert {cell for _, cell in certain} == {*world.changing}


# -- slices of any kind ------------------------------------------------------------------------

BUSY = st.lists(
    st.tuples(
        st.sampled_from(Gender), st.sampled_from(AgeBand), st.sampled_from(Mask), st.integers(1, 9)
    ),
    min_size=1,
    max_size=25,
).map(tuple)


@settings(max_examples=200, deadline=None)
@given(st.lists(BUSY, min_size=1, max_size=4), st.integers(3, 6), st.data())
def test_any_slice_could_have_been_another(
    pictures: list[Table], k: int, data: st.DataObject
) -> None:
    """For a cell that is withheld and a number below k, there is a slice with that number in that
    cell of which the very same would have been released."""
    released = release_people(raw(pictures), k)
    told = [one.group for one in released.groups] or [EVERYBODY]
    open_cells = [
        (group, cell)
        for group in told
        for cell in cells_of(group)
        if len(cells_of(group)) > 1 and is_named(Group(*((value,) for value in cell)))
    ]
    assume(open_cells)
    group, cell = data.draw(st.sampled_from(open_cells))
    number = data.draw(st.integers(0, k - 1))
    if released.peak is None:
        number = min(number, raw(pictures).of(EVERYBODY).peak)
    asked = Group(*((value,) for value in cell))
    others = [other for other in cells_of(group) if other != cell]
    assert any(
        release_people(raw(made), k) == released
        for other in others
        for made in [moved(pictures, told, group, cell, other, number)]
        if peak_of(asked)(tuple(made)) == number
    )


def moved(
    pictures: list[Table],
    told: list[Group],
    group: Group,
    cell: tuple[Gender, AgeBand, Mask],
    other: tuple[Gender, AgeBand, Mask],
    number: int,
) -> list[Table]:
    """The same people in each group told of and each picture, but all in one cell; of ``group``,
    at most ``number`` in ``cell`` and all others in ``other``."""
    made = []
    for table in pictures:
        cells: list[Cell] = []
        for one in told:
            people = peak_of(one)((table,))
            if one == group:
                here = min(number, people)
                cells += [(*cell, here), (*other, people - here)]
            else:
                cells.append((*_usual(one), people))
        made.append(tuple(cells))
    return made


def _usual(group: Group) -> tuple[Gender, AgeBand, Mask]:
    """Unknown where the group allows it, else its first value."""
    return (
        Gender.UNKNOWN if Gender.UNKNOWN in group.gender else group.gender[0],
        AgeBand.UNKNOWN if AgeBand.UNKNOWN in group.age else group.age[0],
        Mask.UNKNOWN if Mask.UNKNOWN in group.mask else group.mask[0],
    )
