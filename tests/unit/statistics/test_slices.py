from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.crowd.messages import AgeBand, Gender, Mask
from actors.statistics.groups import EVERYBODY, Group
from actors.statistics.slices import GRACE, PeopleSlice, PeopleSlices, Presence
from tests.unit.statistics.pictures import MINUTE, Cell, of_people, picture


def windows(slices: list[PeopleSlice]) -> list[tuple[str, int, int, int]]:
    return [(one.place, one.start - MINUTE, one.end - MINUTE, one.pictures) for one in slices]


def test_a_slice_is_closed_after_its_grace() -> None:
    slices = PeopleSlices(60, 1)
    assert slices.add(of_people(MINUTE + 59, 3), MINUTE + 59)
    assert slices.add(of_people(MINUTE + 60, 4), MINUTE + 60)
    assert slices.add(of_people(MINUTE + 59, 5), MINUTE + 60 + GRACE - 0.1)
    assert slices.close_due(MINUTE + 60 + GRACE - 0.1) == []
    (closed,) = slices.close_due(MINUTE + 60 + GRACE)
    assert windows([closed]) == [("east-exit", 0, 60, 2)]
    assert closed.of(EVERYBODY) == Presence(peak=5, in_all=8, pictures=2)
    assert windows(slices.close_due(MINUTE + 120 + GRACE)) == [("east-exit", 60, 120, 1)]


@pytest.mark.parametrize(
    ("taken_at", "now"),
    [
        pytest.param(-3590, 20.0, id="from more than an hour ago"),
        pytest.param(200, 100.0, id="from the future"),
    ],
)
def test_pictures_whose_time_can_not_be_right(taken_at: int, now: float) -> None:
    slices = PeopleSlices(60, 1)
    assert not slices.add(of_people(MINUTE + taken_at, 1), MINUTE + now)
    assert slices.close_all(MINUTE + now) == []


def test_a_closed_slice_takes_no_more_pictures() -> None:
    slices = PeopleSlices(60, 1)
    slices.add(of_people(MINUTE + 50, 1), MINUTE + 50)
    assert len(slices.close_due(MINUTE + 60 + GRACE)) == 1
    assert not slices.add(of_people(MINUTE + 59, 1), MINUTE + 60 + GRACE)
    assert slices.add(of_people(MINUTE + 60, 1), MINUTE + 60 + GRACE)


def test_what_waited_while_nobody_counted_is_in_slices_of_its_own_time() -> None:
    slices = PeopleSlices(60, 1, stored_until={"east-exit": MINUTE + 57})
    for taken_at in (57, 58, 60, 64, 65):
        assert slices.add(of_people(MINUTE + taken_at, 1), MINUTE + 65.2)
    assert windows(slices.close_due(MINUTE + 122)) == [
        ("east-exit", 57, 60, 2),
        ("east-exit", 60, 120, 3),
    ]


def test_a_slice_without_a_picture_does_not_exist() -> None:
    slices = PeopleSlices(60, 1)
    slices.add(of_people(MINUTE + 10, 0), MINUTE + 10)
    closed = slices.close_due(MINUTE + 600)
    # That nobody was seen in a picture is a slice; that nobody looked is none.
    assert windows(closed) == [("east-exit", 0, 60, 1)]
    assert closed[0].of(EVERYBODY) == Presence(0, 0)


def test_what_was_not_looked_at_lowers_the_coverage() -> None:
    slices = PeopleSlices(60, 60)
    for taken_at in (25, 26, 29, 40, 59):
        slices.add(of_people(MINUTE + taken_at, 1), MINUTE + taken_at)
    (closed,) = slices.close_due(MINUTE + 90)
    # Each stands for a second and one more: 25 to 28, 29 to 31, 40 to 42, and the window's last.
    assert (windows([closed]), closed.observed) == ([("east-exit", 0, 60, 5)], 8)


@pytest.mark.parametrize(
    ("length", "every", "interval", "observed"),
    [
        pytest.param(60, 1, 1, 60, id="as asked"),
        pytest.param(60, 2, 1, 60, id="uneven by a second"),
        pytest.param(60, 3, 1, 40, id="a machine that has too much to do"),
        pytest.param(60, 10, 5, 36, id="the same, with a longer interval"),
        pytest.param(60, 7, 7, 60, id="an interval that does not divide the window"),
        pytest.param(60, 30, 30, 60, id="a long interval"),
        pytest.param(13, 2, 2, 13, id="an odd window"),
    ],
)
def test_coverage_tells_how_much_was_looked_at_of_what_was_asked(
    length: int, every: int, interval: int, observed: int
) -> None:
    first = MINUTE // length * length
    slices = PeopleSlices(length, 1)
    for moment in range(first, first + length, every):
        slices.add(of_people(moment, 1, interval=interval), moment)
    (closed,) = slices.close_due(first + 2 * length)
    assert closed.observed == observed


def test_a_slice_that_is_cut_is_never_shorter_than_the_shortest() -> None:
    slices = PeopleSlices(300, 60)
    start = MINUTE // 300 * 300
    slices.add(of_people(start + 70, 1), start + 70)
    (cut,) = slices.close_all(start + 75)
    assert (cut.start - start, cut.end - start) == (0, 120)
    # The next incarnation begins where that one ends, and with whole minutes too.
    slices = PeopleSlices(300, 60, stored_until={"east-exit": start + 120})
    assert not slices.add(of_people(start + 80, 1), start + 80)
    assert slices.add(of_people(start + 119, 1), start + 120)  # it waited, so it counts from there
    assert slices.add(of_people(start + 130, 1), start + 130)
    (rest,) = slices.close_due(start + 400)
    assert (rest.start - start, rest.end - start, rest.pictures) == (120, 300, 2)


def test_the_running_slice_ends_early() -> None:
    slices = PeopleSlices(60, 1)
    slices.add(of_people(MINUTE + 25, 1), MINUTE + 25)
    slices.add(of_people(MINUTE + 60, 1), MINUTE + 60)
    assert windows(slices.close_all(MINUTE + 61.5)) == [
        ("east-exit", 0, 60, 1),
        ("east-exit", 60, 62, 1),
    ]


def test_what_begins_within_the_second_of_what_is_stored_begins_after_it() -> None:
    before = PeopleSlices(60, 1)
    before.add(of_people(MINUTE, 1), MINUTE + 0.2)
    assert windows(before.close_all(MINUTE + 0.3)) == [("east-exit", 0, 1, 1)]
    after = PeopleSlices(60, 1, stored_until={"east-exit": MINUTE + 1})
    # Taken in the same second, and counted all the same: it is not late.
    assert after.add(of_people(MINUTE, 2), MINUTE + 0.5)
    assert after.add(of_people(MINUTE + 2, 3), MINUTE + 2)
    assert windows(after.close_due(MINUTE + 90)) == [("east-exit", 1, 60, 2)]


def test_what_is_stored_up_to_a_slices_end_leaves_the_next_one_whole() -> None:
    slices = PeopleSlices(60, 1, stored_until={"east-exit": MINUTE + 60})
    slices.add(of_people(MINUTE + 59, 1), MINUTE + 59.9)
    slices.add(of_people(MINUTE + 60, 2), MINUTE + 60)
    assert windows(slices.close_due(MINUTE + 150)) == [("east-exit", 60, 120, 2)]


def test_with_another_length_slices_do_not_overlap_what_is_stored() -> None:
    start = MINUTE // 300 * 300
    slices = PeopleSlices(300, 60, stored_until={"east-exit": start + 10})
    assert not slices.add(of_people(start + 15, 1), start + 15)
    assert slices.add(of_people(start + 60, 1), start + 60)
    (closed,) = slices.close_due(start + 400)
    assert (closed.start - start, closed.end - start) == (60, 300)


def test_places_have_slices_of_their_own() -> None:
    slices = PeopleSlices(60, 1)
    slices.add(of_people(MINUTE, 1, place="west"), MINUTE)
    slices.add(of_people(MINUTE, 2, place="east"), MINUTE)
    slices.add(of_people(MINUTE, 3, place="west"), MINUTE)
    assert windows(slices.close_due(MINUTE + 90)) == [("east", 0, 60, 1), ("west", 0, 60, 2)]


def test_peak_and_sum_of_each_group_are_its_own() -> None:
    woman: Cell = (Gender.FEMALE, AgeBand.FROM_20, Mask.WORN, 4)
    man: Cell = (Gender.MALE, AgeBand.FROM_60, Mask.WORN, 3)
    slices = PeopleSlices(60, 1)
    slices.add(picture(MINUTE, [woman]), MINUTE)
    slices.add(picture(MINUTE + 1, [(*woman[:3], 2), man]), MINUTE + 1)
    slices.add(picture(MINUTE + 2, []), MINUTE + 2)
    (closed,) = slices.close_due(MINUTE + 90)
    assert closed.pictures == 3
    assert closed.of(EVERYBODY) == Presence(peak=5, in_all=9, pictures=2)
    assert closed.of(Group(gender=(Gender.FEMALE,))) == Presence(peak=4, in_all=6, pictures=2)
    assert closed.of(Group(gender=(Gender.MALE,))) == Presence(peak=3, in_all=3, pictures=1)
    assert closed.of(Group(gender=(Gender.UNKNOWN,))) == Presence()
    young = Group(gender=(Gender.FEMALE,), age=(AgeBand.UP_TO_19, AgeBand.FROM_20))
    assert closed.of(young) == Presence(peak=4, in_all=6, pictures=2)


def test_after_the_clock_was_set_back_it_begins_afresh() -> None:
    slices = PeopleSlices(60, 1)
    ahead = MINUTE + 10_000_000
    slices.add(of_people(ahead, 1), ahead)
    slices.close_due(ahead + 100)
    slices.add(of_people(ahead + 101, 1), ahead + 101)
    assert slices.add(of_people(MINUTE + 5, 2), MINUTE + 4.5)
    assert windows(slices.close_all(MINUTE + 30)) == [("east-exit", 0, 30, 1)]


def test_raw_counts_show_nothing() -> None:
    slices = PeopleSlices(60, 1)
    slices.add(of_people(MINUTE, 4321), MINUTE)
    assert "4321" not in repr(slices)
    assert "4321" not in repr(slices.close_all(MINUTE + 5))


@settings(deadline=None)
@given(
    length=st.integers(10, 3600),
    steps=st.lists(
        st.tuples(st.integers(0, 400), st.integers(-90, 90), st.integers(0, 50)), max_size=60
    ),
)
def test_every_picture_is_in_one_slice_or_refused(
    length: int, steps: list[tuple[int, int, int]]
) -> None:
    slices = PeopleSlices(length, 1)
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
    assert sum(one.of(EVERYBODY).in_all for one in closed) == taken
    assert taken + refused == sum(people for *_, people in steps)
    assert all(0 < one.observed <= one.end - one.start <= length for one in closed)
    assert all(one.start % length == 0 for one in closed)
    assert len({one.start for one in closed}) == len(closed)
    ordered = sorted(closed, key=lambda one: one.start)
    assert all(one.end <= other.start for one, other in pairwise(ordered))
