from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.crowd.messages import AgeBand, Gender, Mask
from actors.statistics.slices import GRACE, PeopleSlice, PeopleSlices
from tests.unit.statistics.pictures import MINUTE, Cell, of_people, picture


def windows(slices: list[PeopleSlice]) -> list[tuple[str, int, int, int]]:
    return [(one.place, one.start - MINUTE, one.end - MINUTE, one.pictures) for one in slices]


def test_a_slice_is_closed_after_its_grace() -> None:
    slices = PeopleSlices(60, MINUTE)
    assert slices.add(of_people(MINUTE + 59, 3), MINUTE + 59)
    assert slices.add(of_people(MINUTE + 60, 4), MINUTE + 60)
    assert slices.add(of_people(MINUTE + 59, 5), MINUTE + 60 + GRACE - 0.1)
    assert slices.close_due(MINUTE + 60 + GRACE - 0.1) == []
    (closed,) = slices.close_due(MINUTE + 60 + GRACE)
    assert windows([closed]) == [("east-exit", 0, 60, 2)]
    assert (closed.people_in_all, closed.peak) == (8, 5)
    assert windows(slices.close_due(MINUTE + 120 + GRACE)) == [("east-exit", 60, 120, 1)]


@pytest.mark.parametrize(
    ("taken_at", "now"),
    [
        pytest.param(-3590, 20.0, id="from more than an hour ago"),
        pytest.param(200, 100.0, id="from the future"),
    ],
)
def test_pictures_whose_time_can_not_be_right(taken_at: int, now: float) -> None:
    slices = PeopleSlices(60, MINUTE)
    assert not slices.add(of_people(MINUTE + taken_at, 1), MINUTE + now)
    assert slices.close_all(MINUTE + now) == []


def test_a_closed_slice_takes_no_more_pictures() -> None:
    slices = PeopleSlices(60, MINUTE)
    slices.add(of_people(MINUTE + 50, 1), MINUTE + 50)
    assert len(slices.close_due(MINUTE + 60 + GRACE)) == 1
    assert not slices.add(of_people(MINUTE + 59, 1), MINUTE + 60 + GRACE)
    assert slices.add(of_people(MINUTE + 60, 1), MINUTE + 60 + GRACE)


def test_pictures_that_waited_while_nobody_counted_are_in_slices_of_their_own_time() -> None:
    slices = PeopleSlices(60, began=MINUTE + 65)
    for taken_at in (57, 58, 60, 64, 65):
        assert slices.add(of_people(MINUTE + taken_at, 1), MINUTE + 65.2)
    # What an earlier incarnation has stored of these windows begins before.
    assert windows(slices.close_due(MINUTE + 122)) == [
        ("east-exit", 57, 60, 2),
        ("east-exit", 60, 120, 3),
    ]


def test_a_slice_without_a_picture_does_not_exist() -> None:
    slices = PeopleSlices(60, MINUTE)
    slices.add(of_people(MINUTE + 10, 0), MINUTE + 10)
    closed = slices.close_due(MINUTE + 600)
    # That nobody was seen in a picture is a slice; that nobody looked is none.
    assert windows(closed) == [("east-exit", 0, 60, 1)]
    assert closed[0].peak == 0


def test_the_first_slice_begins_late_and_the_last_ends_early() -> None:
    slices = PeopleSlices(60, MINUTE + 25)
    slices.add(of_people(MINUTE + 25, 1), MINUTE + 25)
    slices.add(of_people(MINUTE + 60, 1), MINUTE + 60)
    assert windows(slices.close_all(MINUTE + 61.5)) == [
        ("east-exit", 25, 60, 1),
        ("east-exit", 60, 62, 1),
    ]


def test_what_begins_within_the_second_of_what_is_stored_begins_after_it() -> None:
    before = PeopleSlices(60, MINUTE - 1)
    before.add(of_people(MINUTE, 1), MINUTE + 0.2)
    assert windows(before.close_all(MINUTE + 0.3)) == [("east-exit", 0, 1, 1)]
    after = PeopleSlices(60, MINUTE, stored_until=MINUTE + 1)
    # Taken in the same second, and counted all the same: it is not late.
    assert after.add(of_people(MINUTE, 2), MINUTE + 0.5)
    assert after.add(of_people(MINUTE + 2, 3), MINUTE + 2)
    assert windows(after.close_due(MINUTE + 90)) == [("east-exit", 1, 60, 2)]


def test_what_is_stored_up_to_a_slices_end_leaves_the_next_one_whole() -> None:
    slices = PeopleSlices(60, MINUTE + 59, stored_until=MINUTE + 60)
    slices.add(of_people(MINUTE + 59, 1), MINUTE + 59.9)
    slices.add(of_people(MINUTE + 60, 2), MINUTE + 60)
    assert windows(slices.close_due(MINUTE + 150)) == [("east-exit", 60, 120, 2)]


def test_places_have_slices_of_their_own() -> None:
    slices = PeopleSlices(60, MINUTE)
    slices.add(of_people(MINUTE, 1, place="west"), MINUTE)
    slices.add(of_people(MINUTE, 2, place="east"), MINUTE)
    slices.add(of_people(MINUTE, 3, place="west"), MINUTE)
    assert windows(slices.close_due(MINUTE + 90)) == [("east", 0, 60, 1), ("west", 0, 60, 2)]


def test_attributes_are_those_of_the_picture_with_the_most_people() -> None:
    woman: Cell = (Gender.FEMALE, AgeBand.FROM_20, Mask.WORN, 2)
    man: Cell = (Gender.MALE, AgeBand.FROM_60, Mask.WORN, 3)
    slices = PeopleSlices(60, MINUTE)
    slices.add(picture(MINUTE, [woman]), MINUTE)
    slices.add(picture(MINUTE + 1, [woman, man]), MINUTE + 1)
    slices.add(picture(MINUTE + 2, [man, (*man[:3], 2)]), MINUTE + 2)  # as many: the first stays
    (closed,) = slices.close_due(MINUTE + 90)
    assert (closed.pictures, closed.people_in_all, closed.peak) == (3, 12, 5)
    assert closed.gender == {Gender.FEMALE: 2, Gender.MALE: 3}
    assert closed.age == {AgeBand.FROM_20: 2, AgeBand.FROM_60: 3}
    assert closed.mask == {Mask.WORN: 5}


def test_after_the_clock_was_set_back_it_begins_afresh() -> None:
    slices = PeopleSlices(60, MINUTE)
    ahead = MINUTE + 10_000_000
    slices.add(of_people(ahead, 1), ahead)
    slices.close_due(ahead + 100)
    slices.add(of_people(ahead + 101, 1), ahead + 101)
    assert slices.add(of_people(MINUTE + 5, 2), MINUTE + 4.5)
    assert windows(slices.close_all(MINUTE + 30)) == [("east-exit", 5, 30, 1)]


def test_raw_counts_show_nothing() -> None:
    slices = PeopleSlices(60, MINUTE)
    slices.add(of_people(MINUTE, 4321), MINUTE)
    assert "4321" not in repr(slices)
    assert "4321" not in repr(slices.close_all(MINUTE + 5))


@given(
    length=st.integers(10, 3600),
    steps=st.lists(
        st.tuples(st.integers(0, 400), st.integers(-90, 90), st.integers(0, 50)), max_size=60
    ),
)
def test_every_picture_is_in_one_slice_or_refused(
    length: int, steps: list[tuple[int, int, int]]
) -> None:
    slices = PeopleSlices(length, MINUTE)
    now, taken, refused = float(MINUTE), 0, 0
    closed: list[PeopleSlice] = []
    for wait, offset, people in steps:
        now += wait
        if slices.add(of_people(int(now) + offset, people), now):
            taken += people
        else:
            refused += people
        closed += slices.close_due(now)
    closed += slices.close_all(now)
    assert sum(one.people_in_all for one in closed) == taken
    assert taken + refused == sum(people for *_, people in steps)
    assert all(0 < one.end - one.start <= length for one in closed)
    assert all(one.start % length == 0 or one.start - one.start % length < MINUTE for one in closed)
    assert len({one.start for one in closed}) == len(closed)
