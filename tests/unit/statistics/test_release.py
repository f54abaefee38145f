from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from actors.crowd.messages import AgeBand, Gender, Mask, PictureCount
from actors.statistics.groups import (
    ANY,
    EVERYBODY,
    GROUP_NAMED,
    GROUPS,
    ORDER,
    Group,
    Split,
    divide,
)
from actors.statistics.release import ReleasedPeople, at_least, release_devices, release_people
from actors.statistics.slices import PeopleSlices
from actors.wifi.messages import DeviceCount
from tests.unit.statistics.pictures import CELLS, MINUTE, Cell, of_people, picture, unknown


def release(pictures: list[PictureCount], k: int = 5) -> ReleasedPeople:
    slices = PeopleSlices(60, 60)
    for one in pictures:
        assert slices.add(one, MINUTE + 1)
    (raw,) = slices.close_all(MINUTE + 60)
    return release_people(raw, k)


@pytest.mark.parametrize(
    ("people", "peak", "mean_tenths"),
    [
        pytest.param([0], None, None, id="nobody is not told apart from few"),
        pytest.param([4, 4, 4], None, None, id="few"),
        pytest.param([5], 5, 50, id="k in one picture"),
        pytest.param([5, 4], 5, None, id="the mean would tell the 4"),
        pytest.param([5, 5, 6], 6, 53, id="all reach k"),
        pytest.param([9, 5, 5, 6], 9, 63, id="rounded half up"),
        pytest.param([20, 0, 0], 20, None, id="a high mean of one crowded picture"),
        pytest.param([20, 4, 6], 20, 100, id="the others reach it on average"),
    ],
)
def test_peak_and_mean(people: list[int], peak: int | None, mean_tenths: int | None) -> None:
    released = release([of_people(MINUTE + at, n) for at, n in enumerate(people)])
    assert (released.peak, released.mean_tenths) == (peak, mean_tenths)


F, M, U = Gender.FEMALE, Gender.MALE, Gender.UNKNOWN
W20: Cell = (F, AgeBand.FROM_20, Mask.WORN, 0)
M20: Cell = (M, AgeBand.FROM_20, Mask.NOT_WORN, 0)
U20: Cell = (U, AgeBand.FROM_20, Mask.UNKNOWN, 0)


@pytest.mark.parametrize(
    ("women", "men", "neither", "expected"),
    [
        (5, 6, 7, {"female": 5, "male": 6, "unknown": 7}),
        (8, 6, 4, {"female": 8, "male|unknown": 10}),
        (8, 4, 6, {"female": 8, "male|unknown": 10}),
        (4, 8, 6, {"male": 8, "female|unknown": 10}),
        (8, 4, 0, {}),
        (4, 4, 9, {}),
        (8, 0, 0, {}),
        (1, 99, 0, {}),
    ],
)
def test_by_gender(women: int, men: int, neither: int, expected: dict[str, int]) -> None:
    released = release([picture(MINUTE, [(*W20[:3], women), (*M20[:3], men), (*U20[:3], neither)])])
    assert {one.group.names: one.peak for one in released.groups} == {
        (gender, ANY, ANY): people for gender, people in expected.items()
    }


def of_women(*by_age: tuple[AgeBand, int]) -> set[tuple[str, int]]:
    """What is told of the ages of these women, among enough others."""
    cells: list[Cell] = [(F, age, Mask.UNKNOWN, people) for age, people in by_age]
    released = release([picture(MINUTE, [*cells, (*M20[:3], 20), (*U20[:3], 20)])])
    return {(one.group.names[1], one.peak) for one in released.groups if one.group.gender == (F,)}


def test_age_bands_are_merged_where_two_of_them_are_too_small() -> None:
    a, b, c, d, unsure = AgeBand
    assert of_women((a, 5), (b, 6), (c, 7), (d, 8), (unsure, 9)) == {
        ("age-1", 5), ("age-2", 6), ("age-3", 7), ("age-4", 8), ("unknown", 9)
    }  # fmt: skip
    assert of_women((a, 4), (b, 6), (c, 7), (d, 8), (unsure, 9)) == {
        ("age-1|unknown", 13), ("age-2", 6), ("age-3", 7), ("age-4", 8)
    }  # fmt: skip
    assert of_women((a, 4), (b, 6), (c, 4), (d, 8), (unsure, 9)) == {
        ("age-1|age-2", 10), ("age-3|age-4", 12), ("unknown", 9)
    }  # fmt: skip
    assert of_women((a, 1), (b, 1), (c, 4), (d, 8), (unsure, 9)) == {
        ("age-1|age-2|unknown", 11), ("age-3|age-4", 12)
    }  # fmt: skip
    assert of_women((a, 1), (b, 1), (c, 1), (d, 1), (unsure, 9)) == {(ANY, 13)}


def test_age_bands_are_those_of_the_camera() -> None:
    ages: list[Cell] = [(F, age, Mask.UNKNOWN, 6) for age in AgeBand]
    cells = [*ages, (*M20[:3], 20)]
    eighteen = [replace(picture(MINUTE + at, cells), age_bands=(18, 40, 65)) for at in range(2)]
    released = release(eighteen)
    assert released.age_bands == (18, 40, 65)
    told = {one.group.names_in(released.age_bands)[1] for one in released.groups}
    assert told == {"0-17", "18-39", "40-64", "65+", "unknown", ANY}
    # Another camera of the place parts ages differently: then none is told of both.
    mixed = release([*eighteen, picture(MINUTE, cells)])
    assert mixed == release([picture(MINUTE, cells), *eighteen])
    assert {one.group.names for one in mixed.groups} == {
        ("female", ANY, ANY), ("male|unknown", ANY, ANY)
    }  # fmt: skip
    assert mixed.age_bands == ()


def test_mask_is_told_last_and_dropped_first() -> None:
    ages = [age for age in AgeBand if age is not AgeBand.FROM_20]
    cells: list[Cell] = [(F, age, Mask.UNKNOWN, 5) for age in ages]
    cells += [(*W20[:3], 7), (F, AgeBand.FROM_20, Mask.NOT_WORN, 2), (*U20[:3], 8)]

    def of_young_women(more: int) -> set[str]:
        beside = (F, AgeBand.FROM_20, Mask.UNKNOWN, more)
        released = release([picture(MINUTE, [*cells, beside])])
        named = [one.group.names for one in released.groups]
        return {mask for gender, age, mask in named if (gender, age) == ("female", "age-2")}

    assert of_young_women(2) == {ANY}
    assert of_young_women(3) == {"worn", "not worn|unknown"}
    assert of_young_women(9) == {"worn", "not worn|unknown"}


def test_a_picture_that_contradicts_itself_tells_no_attribute() -> None:
    wrong = PictureCount(
        place="east-exit",
        taken_at=MINUTE,
        people=12,
        cells=picture(MINUTE, [(*W20[:3], 5), (*M20[:3], 5)]).cells,
    )
    released = release([wrong])
    assert (released.peak, released.groups) == (12, ())


def test_means_of_groups_are_told_for_all_or_none() -> None:
    busy = [(*W20[:3], 9), (*M20[:3], 8), (*U20[:3], 7)]
    quiet = [(*W20[:3], 9), (*M20[:3], 8), (*U20[:3], 4)]
    released = release([picture(MINUTE + at, busy) for at in range(3)])
    assert [one.mean_tenths for one in released.groups] == [90, 80, 70]
    released = release([picture(MINUTE, busy), *(picture(MINUTE + at, quiet) for at in (1, 2))])
    assert [one.mean_tenths for one in released.groups] == [None] * 3
    assert released.mean_tenths == 220


# -- of somebody who is in every picture --------------------------------------------------------


def names_told(crowds: list[list[Cell]]) -> set[tuple[str, str, str]]:
    released = release([picture(MINUTE + at, cells) for at, cells in enumerate(crowds)])
    return {one.group.names for one in released.groups}


YOUNG: Cell = (F, AgeBand.FROM_20, Mask.UNKNOWN, 0)
OLD: Cell = (F, AgeBand.FROM_60, Mask.UNKNOWN, 0)


@pytest.mark.parametrize(("most", "parted"), [(7, True), (8, False)])
def test_a_part_leaves_room_for_k_others_at_each_level(most: int, parted: bool) -> None:
    """Of 17 people: 5 of another gender, and of this one 5 of another age."""
    together = [(*YOUNG[:3], 6), (*OLD[:3], 6), (*M20[:3], 5)]
    apart = [(*YOUNG[:3], most), (*OLD[:3], 1), (*M20[:3], 1)]
    women = {("female", "age-1|age-2", ANY), ("female", "age-3|age-4|unknown", ANY)}
    told = women if parted else {("female", ANY, ANY)}
    assert names_told([together, apart]) == {*told, ("male|unknown", ANY, ANY)}


@pytest.mark.parametrize(("most", "parted"), [(20, True), (21, False)])
def test_masks_leave_room_for_k_others_at_three_levels(most: int, parted: bool) -> None:
    others: list[Cell] = [(F, age, Mask.UNKNOWN, 5) for age in AgeBand if age != AgeBand.FROM_20]
    masked, not_masked = (*W20[:3], 5), (F, AgeBand.FROM_20, Mask.NOT_WORN, 5)
    together = [*others, masked, not_masked, (*M20[:3], 5)]  # 35 people
    apart = [(*W20[:3], most), *((*one[:3], 1) for one in (*others, not_masked, M20))]
    told = names_told([together, apart])
    assert (("female", "age-2", "worn") in told) == parted
    assert (("female", "age-2", ANY) in told) != parted


def of_both(women: int, men: int) -> list[Cell]:
    return [(*W20[:3], women), (*M20[:3], men)]


@pytest.mark.parametrize(
    ("crowds", "told"),
    [
        pytest.param([(8, 5), (0, 7)], False, id="when men were there most, no woman was"),
        pytest.param([(8, 5), (1, 7)], True, id="both were always there"),
        pytest.param([(8, 5), (0, 7), (2, 0)], True, id="it may have been, without a mean"),
        pytest.param([(8, 5), (0, 8), (1, 0)], False, id="by the missing mean, it was not"),
        pytest.param([(8, 5), (0, 8), (2, 0)], True, id="the mean leaves room for one beside"),
        pytest.param([(8, 5), (0, 8), (8, 2)], True, id="a picture may have shown women only"),
        pytest.param([(8, 5), (0, 8), (8, 3)], False, id="so full that none did"),
        pytest.param([(8, 5), (0, 8), (8, 3), (1, 0)], True, id="one more is not so full"),
    ],
)
def test_groups_are_told_where_one_of_each_could_always_have_been_there(
    crowds: list[tuple[int, int]], told: bool
) -> None:
    expected = {("female", ANY, ANY), ("male|unknown", ANY, ANY)} if told else set()
    assert names_told([of_both(*one) for one in crowds]) == expected


def test_each_group_may_have_its_peak_in_a_picture_of_its_own() -> None:
    both_ages = [(*YOUNG[:3], 5), (*OLD[:3], 5), (*M20[:3], 5), (*U20[:3], 5)]
    rest = [[(*M20[:3], 8)], [(*U20[:3], 5), (*YOUNG[:3], 4)]]
    assert names_told([both_ages, *rest]) == set()
    assert len(names_told([both_ages, *rest, [(*M20[:3], 1)]])) == 4
    genders = [(*YOUNG[:3], 5), (*M20[:3], 5), (*U20[:3], 5)]
    rest = [[(*M20[:3], 6)], [(*U20[:3], 6), (*YOUNG[:3], 1)]]
    assert len(names_told([genders, *rest])) == 3


@pytest.mark.parametrize(("women", "told"), [(0, False), (1, True)])
def test_means_of_groups_are_told_where_all_are_always_there(women: int, told: bool) -> None:
    crowds = [(12, 8), (12, 8), (8, 6), (women, 6), (8, 6)]
    pictures = [
        picture(MINUTE + at, [*of_both(*both), (*U20[:3], both[1])])
        for at, both in enumerate(crowds)
    ]
    released = release(pictures)
    assert [one.peak for one in released.groups] == [12, 8, 8]
    assert all((one.mean_tenths is not None) == told for one in released.groups)


@settings(deadline=None)
@given(st.lists(CELLS, min_size=1, max_size=6), st.integers(3, 20))
def test_nothing_released_is_below_k(crowds: list[list[Cell]], k: int) -> None:
    pictures = [picture(MINUTE + at, cells) for at, cells in enumerate(crowds)]
    released = release(pictures, k)
    people = [one.people for one in pictures]
    assert released.peak == (max(people) if max(people) >= k else None)
    assert all(one.peak >= k for one in released.groups)
    assert released.peak is not None or not released.groups
    assert len(released.groups) != 1, "everybody is told of by the slice itself"
    for one in released.groups:
        assert one.mean_tenths is None or 10 * k <= one.mean_tenths <= 10 * one.peak
    if released.mean_tenths is not None:
        assert 10 * k <= released.mean_tenths <= 10 * max(people)
        if len(people) == 2:
            assert min(people) >= k
    if released.groups:
        for cell in product(Gender, AgeBand, Mask):
            assert sum(one.group.holds(*cell) for one in released.groups) == 1


@settings(deadline=None)
@given(st.permutations([*range(8)]), st.lists(CELLS, min_size=8, max_size=8))
def test_the_order_of_the_pictures_changes_nothing(
    order: list[int], crowds: list[list[Cell]]
) -> None:
    """Nothing links one picture to another (guideline 6.2(3)): the same pictures, in whatever
    order they were taken or came, make the same slice."""
    as_taken = [picture(MINUTE + at, cells) for at, cells in enumerate(crowds)]
    otherwise = [picture(MINUTE + at, crowds[place]) for at, place in enumerate(order)]
    came_otherwise = [as_taken[place] for place in order]
    assert release(as_taken) == release(otherwise) == release(came_otherwise)


@settings(deadline=None)
@given(st.integers(0, 9_999), st.integers(3, 1000))
def test_devices(devices: int, k: int) -> None:
    raw = DeviceCount(place="east-exit", start=MINUTE, end=MINUTE + 60, devices=devices)
    released = release_devices(raw, k)
    assert released.devices == (devices if devices >= k else None)
    assert (released.start, released.end, released.k) == (MINUTE, MINUTE + 60, k)


def test_how_many_pictures_there_were_is_told_roughly() -> None:
    told = {number: at_least(number) for number in (1, 2, 4, 5, 9, 10, 19, 20, 59, 60, 100, 3600)}
    assert list(told.values()) == [1, 2, 2, 5, 5, 10, 10, 20, 50, 50, 100, 2000]
    assert release([of_people(MINUTE + at, 1) for at in range(59)]).pictures == 50


# -- the order of coarsening ----------------------------------------------------------------------


def everywhere(order: tuple[Split, ...]) -> list[Split]:
    return [one for split in order for one in (split, *everywhere(split.further))]


def test_each_partition_holds_each_value_once() -> None:
    values = {"gender": Gender, "age": AgeBand, "mask": Mask}
    for split in everywhere(ORDER):
        for parts in split.partitions:
            found = [value for part in parts for value in part]
            assert sorted(found, key=str) == sorted(values[split.dimension], key=str)


def test_the_order_is_fixed() -> None:
    (by_gender,) = ORDER
    by_age, by_wide_age = by_gender.further
    (by_mask,) = by_age.further
    dimensions = [one.dimension for one in (by_gender, by_age, by_mask, by_wide_age)]
    assert dimensions == ["gender", "age", "mask", "age"]
    assert by_mask.further == by_wide_age.further == ()
    assert [len(parts) for parts in by_age.partitions] == [5, 4, 4, 4, 4]
    assert [len(parts) for parts in by_wide_age.partitions] == [3, 2, 2]


def test_every_group_has_a_name_of_its_own() -> None:
    assert GROUPS[0] == EVERYBODY
    assert len(GROUP_NAMED) == len(GROUPS) == len(set(GROUPS))
    assert EVERYBODY.names == (ANY, ANY, ANY)


@settings(deadline=None)
@given(st.sets(st.sampled_from(GROUPS)))
def test_whatever_reaches_groups_hold_everybody_once(reaching: set[Group]) -> None:
    parts = divide(EVERYBODY, lambda group: group in reaching)
    assert set(parts) <= reaching or parts == (EVERYBODY,)
    for cell in product(Gender, AgeBand, Mask):
        assert sum(part.holds(*cell) for part in parts) == 1


def test_unknown_people_are_people() -> None:
    assert release([picture(MINUTE, unknown(7))]).peak == 7
