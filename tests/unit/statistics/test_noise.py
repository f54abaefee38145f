"""Differential privacy: what one person can change, what it costs, and that the cost stays."""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from dataclasses import replace
from math import exp
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.statistics import StatisticsSettings
from actors.statistics.errors import BudgetSpent, SliceRefused
from actors.statistics.groups import EVERYBODY
from actors.statistics.noise import NoisyRelease, _laplace, load_library
from actors.statistics.release import ReleasedPeople
from actors.statistics.settings import Noise
from actors.statistics.slices import PeopleSlice
from tests.unit.statistics.attacker import raw
from tests.unit.statistics.pictures import MINUTE, unknown
from tests.unit.statistics.test_store import open_store, people

pytest.importorskip("opendp", reason="the extra 'privacy' is not installed")

MIDNIGHT = 1_700_000_000 // 86_400 * 86_400 + 15 * 3600
"""In Japan."""


class Exact(NoisyRelease):
    """Shows what noise is added to."""

    def __init__(self) -> None:
        self.thousandths = 1000
        self.inputs: list[int] = []
        self._peak = self._mean = self._note

    def _note(self, number: int) -> int:
        self.inputs.append(number)
        return number


def a_slice(*people: int) -> PeopleSlice:
    return raw([unknown(number) for number in people])


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 300), st.booleans()), min_size=1, max_size=30))
def test_one_person_changes_what_noise_is_added_to_by_no_more_than_it_is_made_for(
    pictures: list[tuple[int, bool]],
) -> None:
    """The person is in any number of the pictures."""
    without, with_one = Exact(), Exact()
    without(a_slice(*(people for people, _ in pictures)), 5)
    with_one(a_slice(*(people + there for people, there in pictures)), 5)
    changes = [more - less for less, more in zip(without.inputs, with_one.inputs, strict=True)]
    assert changes[0] in (0, 1)
    assert 0 <= changes[1] <= 10


@pytest.mark.parametrize("sensitivity", [1, 10])
@pytest.mark.parametrize("epsilon", [0.0005, 0.01, 0.3, 1 / 3, 5.0])
def test_the_noise_costs_what_is_asked(sensitivity: int, epsilon: float) -> None:
    """By the library's own account."""
    mechanism: Any = _laplace(load_library(), sensitivity, epsilon)
    assert 0.999 * epsilon < mechanism.map(sensitivity) <= epsilon


def test_the_noise_is_there() -> None:
    gate = NoisyRelease(1000)
    released = [gate(a_slice(50, 40, 60), 5) for _ in range(400)]
    peaks = Counter(one.peak for one in released)
    means = Counter(one.mean_tenths for one in released)
    assert len(peaks) > 5
    assert len(means) > 30
    assert 55 < sum(one.peak or 0 for one in released) / 400 < 65
    # Of scale 2, two neighbours are within e^0.5 of each other; with room for chance.
    assert peaks[60] < 2 * exp(0.5) * peaks[61]
    assert all(one.noise_thousandths == 1000 and one.groups == () for one in released)


def test_what_is_released_fits_the_schema(tmp_path: Path) -> None:
    gate = NoisyRelease(100)  # so that noise is larger than the numbers
    with closing(open_store(tmp_path)) as store:
        for at in range(200):
            released = gate(a_slice(at % 40, at % 7), 5)
            start = MINUTE + 60 * at
            assert store.append(replace(released, start=start, end=start + 60))
        kinds = {(one.peak is None, one.mean_tenths is None) for one in store.people()}
    assert kinds == {(True, True), (False, True), (False, False)}


def noisy(start: int, thousandths: int = 500, place: str = "east-exit") -> ReleasedPeople:
    return people(
        start=start,
        end=start + 60,
        place=place,
        groups=(),
        age_bands=(),
        noise_thousandths=thousandths,
    )


def test_what_is_beyond_the_days_budget_is_refused(tmp_path: Path) -> None:
    with closing(open_store(tmp_path)) as store:
        assert store.append(noisy(MIDNIGHT - 60), budget=1000)
        assert store.append(noisy(MIDNIGHT), budget=1000)
        assert store.append(noisy(MIDNIGHT + 60), budget=1000)
        with pytest.raises(BudgetSpent, match=r"1 of 1 is spent today.*midnight in Japan"):
            store.append(noisy(MIDNIGHT + 120, thousandths=1), budget=1000)
        assert store.append(noisy(MIDNIGHT + 120, place="west-exit"), budget=1000)
        assert store.append(noisy(MIDNIGHT + 86_400), budget=1000)
        assert len(store.people()) == 5


def test_no_restart_gives_the_budget_back(tmp_path: Path) -> None:
    for attempt in range(6):
        with closing(open_store(tmp_path)) as store:
            start = MIDNIGHT + 60 * attempt
            if attempt < 2:
                assert store.append(noisy(start), budget=1000)
            else:
                with pytest.raises(BudgetSpent):
                    store.append(noisy(start), budget=1000)
            # What is stored already costs nothing and is not replaced.
            assert not store.append(noisy(MIDNIGHT, thousandths=1), budget=1000)


def test_a_slice_that_is_not_stored_costs_nothing(tmp_path: Path) -> None:
    with closing(open_store(tmp_path)) as store:
        with pytest.raises(SliceRefused):
            store.append(replace(noisy(MIDNIGHT), peak=2), budget=1000)
        assert store.append(noisy(MIDNIGHT, 1000), budget=1000)


@pytest.mark.parametrize(
    ("noise", "message"),
    [
        ({"epsilon": 0.5}, "epsilon_per_day"),
        ({"epsilon": 0.5, "epsilon_per_day": 0.4}, "at least epsilon"),
        ({"epsilon": 0.0, "epsilon_per_day": 1.0}, ">= 0.001"),
        ({"epsilon": 11.0, "epsilon_per_day": 20.0}, "<= 10"),
        ({"epsilon": 1.0, "epsilon_per_day": 2.0, "delta": 1e-6}, "delta"),
    ],
)
def test_settings_that_make_no_sense(noise: dict[str, float], message: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=message):
        msgspec.convert({"noise": noise}, StatisticsSettings)


def test_it_is_said_that_numbers_have_noise() -> None:
    settings = StatisticsSettings(noise=Noise(epsilon=0.25, epsilon_per_day=6))
    assert settings.noise is not None
    assert (settings.noise.thousandths, settings.noise.thousandths_per_day) == (250, 6000)
    assert settings.headline() == "slices of 1min, k = 5, ε = 0.25 a slice, 6 a day"
    assert "noise" in settings.published


def test_everybody_is_what_is_told_of() -> None:
    gate = Exact()
    released = gate(a_slice(20, 10, 16), 5)
    assert (released.peak, released.mean_tenths) == (20, 153)
    assert a_slice(20, 10, 16).of(EVERYBODY).in_all == 46
