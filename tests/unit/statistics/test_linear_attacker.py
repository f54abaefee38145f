"""What is withheld of slices as large as real ones can't be recovered from all releases."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable
from itertools import chain, combinations, product

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from actors.crowd.messages import AgeBand, Gender, Mask
from actors.statistics.groups import EVERYBODY, Group
from actors.statistics.release import ReleasedPeople, release_people
from actors.statistics.slices import PeopleSlice
from tests.unit.statistics.attacker import (
    World,
    cells_of,
    fitting,
    peak_of,
    raw,
    surely_there,
    withheld,
)
from tests.unit.statistics.integer_program import IntegerProgram, times, total
from tests.unit.statistics.linear_attacker import (
    CELLS,
    Attack,
    Attributes,
    Pictures,
    UnknownSlice,
    knows_release,
    spoken_of,
)
from tests.unit.statistics.test_attacker import (
    GENDERS,
    WATCHED,
    WORLDS,
    is_named,
    named_groups,
    with_the_smallest_beside,
    without_complement,
)

F, M, U = ((gender, AgeBand.UNKNOWN, Mask.UNKNOWN) for gender in Gender)
NAMED = named_groups()
MOST = 60
"""People in one picture."""
EVERY_CELL = World(CELLS, MOST, k=0)
"""Of which only the cells matter here."""


def only(cell: Attributes) -> Group:
    gender, age, mask = cell
    return Group((gender,), (age,), (mask,))


# -- crowds as they are ------------------------------------------------------------------------


@st.composite
def crowds(draw: st.DrawFn, least: int, most: int, slices: int = 1) -> list[Pictures]:
    """Slices that follow one another, of so many pictures each. People of some kinds come, stay for
    a while, and look away now and then."""
    each = draw(st.integers(least, most))
    length = each * slices
    some = [st.lists(st.sampled_from(kind), unique=True) for kind in (Gender, AgeBand, Mask)]
    kinds = [*product(*(draw(values.filter(bool)) for values in some))]
    person = st.tuples(
        st.sampled_from(kinds),
        st.integers(-length, length // 2),
        st.integers(1, 3 * length),
        st.integers(2, 20),
    )
    many = draw(st.integers(0, MOST) | st.just(MOST))
    people = draw(st.lists(person, min_size=many, max_size=many))
    shown = [
        Counter(
            cell if at % away else U
            for cell, comes, stays, away in people
            if comes <= at < comes + stays
        )
        for at in range(length)
    ]
    tables = [tuple((*cell, number) for cell, number in one.items()) for one in shown]
    return [tables[first : first + each] for first in range(0, length, each)]


BY_AGE = [(Gender.FEMALE, age, Mask.UNKNOWN) for age in AgeBand] + [M]
BY_WIDE_AGE = [BY_AGE[0], BY_AGE[2], M, U]
BY_GENDER_ALONE = [F, M, U]

SMALL_K = st.integers(3, 6)


@settings(max_examples=6, deadline=None)
@given(crowds(10, 60), SMALL_K, st.data())
def test_what_is_withheld_may_be_any_number_below_k(
    slices: list[Pictures], k: int, data: st.DataObject
) -> None:
    open_to_any_number_below_k(slices, k, data)


@settings(max_examples=3, deadline=None)
@given(crowds(10, 20, slices=3), SMALL_K, st.data())
def test_all_releases_together_tell_no_more(
    slices: list[Pictures], k: int, data: st.DataObject
) -> None:
    """A slice and its neighbours, in which are many of the same people."""
    open_to_any_number_below_k(slices, k, data)


def open_to_any_number_below_k(slices: list[Pictures], k: int, data: st.DataObject) -> None:
    """Each number comes with slices, one of which has it, and of which the very same would have
    been released."""
    releases = [release_people(raw(pictures), k) for pictures in slices]
    which = len(slices) // 2
    withheld_groups = [one for one in NAMED if withheld(releases[which], one, EVERY_CELL)]
    group = data.draw(st.sampled_from(withheld_groups))
    attack = Attack(releases, [*map(len, slices)], [group], MOST)
    any_below_k = is_named(group) and not surely_there(releases[which], group, EVERY_CELL)
    least = 0 if any_below_k else attack.low_peak(group, which)
    for number in range(least, least + k):
        found = attack.pictures_with_peak(group, number, which)
        assert found is not None, (releases, group, number)
        assert [release_people(raw(pictures), k) for pictures in found] == releases
        assert peak_of(group)(tuple(found[which])) == number


@settings(max_examples=6, deadline=None)
@given(crowds(10, 60), SMALL_K, st.lists(st.sampled_from(CELLS), min_size=3, max_size=3))
def test_each_person_may_have_any_attributes(
    slices: list[Pictures], k: int, cells: list[Attributes]
) -> None:
    """Somebody who is known to have been there may have been in any cell."""
    (pictures,) = slices
    released = release_people(raw(pictures), k)
    attack = Attack([released], [len(pictures)], [only(cell) for cell in cells], MOST)
    for cell in cells:
        found = attack.pictures_with_somebody(only(cell), 0)
        assert found is not None, (released, cell)
        assert release_people(raw(found[0]), k) == released
        assert any(cell == one[:3] for table in found[0] for one in table)


@settings(max_examples=6, deadline=None)
@given(crowds(10, 60), SMALL_K, st.lists(st.sampled_from(CELLS), min_size=3, max_size=3))
def test_of_somebody_who_is_always_there_nothing_can_be_told(
    slices: list[Pictures], k: int, cells: list[Attributes]
) -> None:
    """Somebody who is known to have been in every picture may have been in any cell in all."""
    (pictures,) = slices
    assume(all(pictures))
    open_to_anybody_who_is_always_there(pictures, k, cells)


@st.composite
def narrow(draw: st.DrawFn) -> tuple[Pictures, int]:
    """Few pictures in which groups come and go as a whole, as large as the rules just allow."""
    k = draw(st.integers(3, 4))
    size = st.sampled_from([0, 0, 1, k - 1, k, k, k + 1, 2 * k, 3 * k])
    kinds = draw(st.sampled_from([BY_AGE, BY_WIDE_AGE, BY_GENDER_ALONE]))
    table = st.tuples(*(size for _ in kinds)).map(
        lambda sizes: tuple((*kind, people) for kind, people in zip(kinds, sizes, strict=True))
    )
    pictures = draw(st.lists(table, min_size=2, max_size=7))
    return [tuple(cell for cell in one if cell[3]) for one in pictures], k


@settings(max_examples=25, deadline=None)
@given(narrow(), st.data())
def test_nor_where_there_is_hardly_room_for_anybody_else(
    made: tuple[Pictures, int], data: st.DataObject
) -> None:
    pictures, k = made
    assume(all(pictures))
    released = release_people(raw(pictures), k)
    groups = [one.group for one in released.groups] or [EVERYBODY]
    group = data.draw(st.sampled_from(groups))
    open_to_anybody_who_is_always_there(
        pictures, k, [data.draw(st.sampled_from(cells_of(group)))], most=90
    )


OF_EVERY_AGE = [(*cell, 3) for cell in BY_AGE]
MASKED, NOT_MASKED = ((*BY_AGE[1][:2], mask) for mask in (Mask.WORN, Mask.NOT_WORN))

TIGHT: dict[str, Pictures] = {
    "young women leave no room for old ones": [
        ((*BY_AGE[0], 3), (*BY_AGE[2], 3), (*M, 3)),
        ((*BY_AGE[0], 6),),
        ((*BY_AGE[2], 3), (*M, 1)),
        ((*M, 1),),
    ],
    "masked ones leave no room for others": [
        ((*MASKED, 3), (*NOT_MASKED, 3), *(one for one in OF_EVERY_AGE if one[1] != MASKED[1])),
        ((*MASKED, 15),),
        *[((*M, 2),)] * 6,
    ],
    "men leave no room for women": [((*F, 5), (*M, 3)), ((*M, 5),), ((*F, 1),)],
    "each picture has its own group": [((*F, 4), (*M, 3), (*U, 3)), ((*M, 5),), ((*U, 5), (*F, 1))],
    "there is hardly anybody": [((*F, 5), (*M, 3)), ((*M, 4),), ((*F, 1),)],
}


@pytest.mark.parametrize("name", TIGHT)
def test_a_tight_slice_tells_nothing_of_who_is_always_there(name: str) -> None:
    pictures = TIGHT[name]
    released = release_people(raw(pictures), 3)
    groups = [one.group for one in released.groups] or [EVERYBODY]
    cells = [cell for group in groups for cell in cells_of(group)[:1]] + [F, M, MASKED]
    open_to_anybody_who_is_always_there(pictures, 3, cells)


def open_to_anybody_who_is_always_there(
    pictures: Pictures, k: int, cells: list[Attributes], most: int = MOST
) -> None:
    released = release_people(raw(pictures), k)
    attack = Attack([released], [len(pictures)], [only(cell) for cell in cells], most)
    for cell in cells:
        found = attack.pictures_with_somebody_always(only(cell), 0)
        assert found is not None, (released, cell)
        assert release_people(raw(found[0]), k) == released
        assert all(any(cell == one[:3] for one in table) for table in found[0])


# -- the attacker is able to find something ----------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "genders",
        "genders in two pictures",
        "ages of women",
        "two genders in three pictures",
        "two genders, k = 3",
    ],
)
@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_as_good_as_trying_every_slice(name: str, data: st.DataObject) -> None:
    """In a small world, both attackers find the same numbers possible, no more and no less."""
    world = WATCHED[name]
    released, fits = data.draw(st.sampled_from([*fitting(world).items()]))
    assert isinstance(released, ReleasedPeople)
    beside = {only(one[:3]): one[3] for one in world.beside}
    groups = [only(cell) for cell in world.changing]
    unknown = UnknownSlice(
        IntegerProgram(),
        [1] * world.pictures,
        world.most + sum(beside.values()),
        [*spoken_of(released), *groups, *beside],
        [cell for group in (*groups, *beside) for cell in cells_of(group)],
    )
    knows_release(unknown, released)
    for group, people in beside.items():
        for picture in range(world.pictures):
            unknown.program.require(unknown.of(group, picture), people, people)
    group = data.draw(st.sampled_from(groups))
    values = {peak_of(group)(pictures) for pictures in fits}
    assert unknown.peaks_possible(group) == (min(values), max(values))
    for between in range(min(values) + 1, max(values)):
        found = unknown.with_peak(group, between)
        assert (found is not None) == (between in values), (released, group, between)


FEW_TURNED_AWAY: Pictures = [
    ((*F, women), (*M, men), (*U, turned_away))
    for women, men, turned_away in [(25, 25, 4)] * 5 + [(22, 24, 4)] * 10 + [(25, 21, 3)] * 15
]


Gate = Callable[[PeopleSlice, int], Hashable]
Knows = Callable[[UnknownSlice, Hashable, int], None]


def of_gender(gender: Gender) -> Group:
    return Group(gender=(gender,))


BY_GENDER = [of_gender(gender) for gender in Gender]


def knows_without_complement(unknown: UnknownSlice, released: Hashable, k: int) -> None:
    peak, told = released  # type: ignore[misc]
    unknown.program.require(unknown.peak(EVERYBODY), peak, peak)
    for gender in Gender:
        low, high = {gender: (people, people) for gender, people in told}.get(gender, (0, k - 1))
        unknown.program.require(unknown.peak(of_gender(gender)), low, high)


def knows_with_the_smallest_beside(unknown: UnknownSlice, released: Hashable, k: int) -> None:
    """With those below k, the next smallest is withheld if they don't reach k together."""
    peak, kept = released  # type: ignore[misc]
    program = unknown.program
    program.require(unknown.peak(EVERYBODY), peak, peak)
    peaks = {gender: unknown.peak(of_gender(gender)) for gender in Gender}
    for gender, people in kept:
        program.require(peaks[gender], people, people)
    rest = set(Gender) - {gender for gender, _ in kept}
    ways = []
    for small in chain.from_iterable(combinations(rest, many) for many in range(len(rest) + 1)):
        joined = rest - set(small)
        if len(joined) > 1 or (joined and not small):
            continue  # k people or more need no other beside them
        ways.append(program.yes_or_no())
        for gender in small:
            program.require_if(ways[-1], peaks[gender], most=k - 1)
        together = total(peaks[gender] for gender in small)
        if small and kept and not joined:
            program.require_if(ways[-1], times(together, -1), most=-k)
        for gender in joined:
            program.require_if(ways[-1], together, most=k - 1)
            program.require_if(ways[-1], times(peaks[gender], -1), most=-k)
            for other, people in kept:
                no_tie = gender.value > other.value
                program.require_if(ways[-1], peaks[gender], most=people - no_tie)
    program.require_any(ways)


WEAKER = [
    (without_complement, knows_without_complement),
    (with_the_smallest_beside, knows_with_the_smallest_beside),
]


@pytest.mark.parametrize(("gate", "knows"), WEAKER)
def test_weaker_gates_are_broken(gate: Gate, knows: Knows) -> None:
    """They tell of 54 people enough to compute that 4 were turned away. The gate does not."""
    unknown = UnknownSlice(IntegerProgram(), [1] * len(FEW_TURNED_AWAY), MOST, BY_GENDER)
    knows(unknown, gate(raw(FEW_TURNED_AWAY), 5), 5)
    assert unknown.peaks_possible(of_gender(Gender.UNKNOWN)) == (4, 4)
    released = release_people(raw(FEW_TURNED_AWAY), 5)
    assert [one.peak for one in released.groups] == [25, 29]
    unknown = UnknownSlice(
        IntegerProgram(), [1] * len(FEW_TURNED_AWAY), MOST, [*spoken_of(released), *BY_GENDER]
    )
    knows_release(unknown, released)
    assert unknown.peaks_possible(of_gender(Gender.UNKNOWN)) == (0, 29)


@pytest.mark.parametrize(("gate", "knows"), WEAKER)
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_weaker_gates_are_broken_by_what_is_true(
    gate: Gate, knows: Knows, data: st.DataObject
) -> None:
    """Of them, too, the attacker concludes what follows, no more and no less."""
    world = WORLDS["genders"]
    released, fits = data.draw(st.sampled_from([*fitting(world, gate).items()]))
    group = data.draw(st.sampled_from(BY_GENDER))
    unknown = UnknownSlice(IntegerProgram(), [1], world.most, BY_GENDER, GENDERS)
    knows(unknown, released, world.k)
    values = {peak_of(group)(pictures) for pictures in fits}
    assert unknown.peaks_possible(group) == (min(values), max(values))


def test_who_knows_who_left_learns_from_neighbours() -> None:
    """What the gate does not do (docs/statistics.md), and the noise does: here everybody stands
    still, and it is known that of all people just one went away between two slices."""
    before: Pictures = [((*F, 12), (*M, 9), (*U, 6))]
    after: Pictures = [((*F, 11), (*M, 9), (*U, 6))]
    program = IntegerProgram()
    unknown = []
    for released in (release_people(raw(pictures), 5) for pictures in (before, after)):
        unknown.append(UnknownSlice(program, [1], MOST, [*spoken_of(released), *BY_GENDER]))
        knows_release(unknown[-1], released)
    first, second = unknown
    left = [total([first.of(group, 0), times(second.of(group, 0), -1)]) for group in BY_GENDER]
    for one in left:
        program.require(one, 0, 1)
    program.require(total(left), 1, 1)
    could_be = [
        gender
        for gender, one in zip(Gender, left, strict=True)
        if program.solution([(one, 1, 1)]) is not None
    ]
    assert could_be == [Gender.FEMALE]
