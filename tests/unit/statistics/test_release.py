from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.crowd.messages import AgeBand, Gender, Mask, PictureCount
from actors.statistics.release import (
    DIMENSIONS,
    ReleasedPeople,
    release_devices,
    release_people,
)
from actors.statistics.slices import PeopleSlices
from actors.wifi.messages import DeviceCount
from tests.unit.statistics.pictures import CELLS, MINUTE, Cell, of_people, picture, unknown


def release(pictures: list[PictureCount], k: int = 5) -> ReleasedPeople:
    slices = PeopleSlices(60, MINUTE)
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
    assert released.pictures == len(people)
    assert (released.peak, released.mean_tenths) == (peak, mean_tenths)


W: Cell = (Gender.FEMALE, AgeBand.FROM_20, Mask.WORN, 0)
M: Cell = (Gender.MALE, AgeBand.FROM_20, Mask.NOT_WORN, 0)


@pytest.mark.parametrize(
    ("women", "men", "expected"),
    [
        (5, 5, {("gender", "female", 5), ("gender", "male", 5)}),
        (8, 0, {("gender", "female", 8)}),
        (8, 4, set()),
        (4, 4, set()),
        (1, 99, set()),
    ],
)
def test_a_dimension_is_released_whole_or_not_at_all(
    women: int, men: int, expected: set[tuple[str, str, int]]
) -> None:
    released = release([picture(MINUTE, [(*W[:3], women), (*M[:3], men)])])
    found = {(one.dimension, one.value, one.people) for one in released.attributes}
    assert {one for one in found if one[0] == "gender"} == expected
    # All are of one age: that dimension stands by itself.
    assert ("age", "20-39", women + men) in found


def test_cells_that_do_not_add_up_release_no_attribute() -> None:
    wrong = PictureCount(
        place="east-exit",
        taken_at=MINUTE,
        people=12,
        cells=picture(MINUTE, unknown(10)).cells,
    )
    released = release([wrong])
    assert released.peak == 12
    assert released.attributes == ()


@given(st.lists(CELLS, min_size=1, max_size=6), st.integers(3, 20))
def test_nothing_released_is_below_k_nor_lets_it_be_computed(
    crowds: list[list[Cell]], k: int
) -> None:
    pictures = [picture(MINUTE + at, cells) for at, cells in enumerate(crowds)]
    released = release(pictures, k)
    people = [one.people for one in pictures]
    assert released.peak in (None, max(people))
    assert released.peak is None or released.peak >= k
    assert all(one.people >= k for one in released.attributes)
    for dimension, values in DIMENSIONS.items():
        numbers = [one.people for one in released.attributes if one.dimension == dimension]
        assert len(numbers) <= len(values)
        # What is left after all released values: nobody, so no withheld number follows from it.
        assert not numbers or sum(numbers) == released.peak
    if released.mean_tenths is not None:
        assert released.peak is not None
        assert released.mean_tenths >= 10 * k
        if len(people) == 2:
            assert min(people) >= k


@given(st.integers(0, 9_999), st.integers(3, 1000))
def test_devices(devices: int, k: int) -> None:
    raw = DeviceCount(place="east-exit", start=MINUTE, end=MINUTE + 60, devices=devices)
    released = release_devices(raw, k)
    assert released.devices == (devices if devices >= k else None)
    assert (released.start, released.end, released.k) == (MINUTE, MINUTE + 60, k)


def test_every_combination_of_attributes_is_known() -> None:
    cells = [(g, a, m, 5) for g, a, m in product(Gender, AgeBand, Mask)]
    released = release([picture(MINUTE, cells)])
    assert released.peak == 45 * 5
    assert {(one.dimension, one.value) for one in released.attributes} == {
        (name, member.value) for name, values in DIMENSIONS.items() for member in values
    }
