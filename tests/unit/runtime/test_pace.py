"""A rate holds in every second, so that bits a second are what they are printed as."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.pace import Pace

rates = st.sampled_from([0.25, 1, 1.5, 2, 5, 32])
pauses = st.lists(st.sampled_from([0.0, 0.0, 0.01, 0.3, 1.0, 3.0]), max_size=100)


def passed(rate: float, pauses: list[float]) -> list[float]:
    """When it happened, for who comes after these pauses and waits as told."""
    pace, now, times = Pace.per_second(rate), 100.0, []
    for pause in pauses:
        now += pause
        now += pace.delay(now)
        pace.note(now)
        times.append(now)
    return times


@given(rates, pauses)
def test_no_stretch_of_time_sees_more_than_the_rate(rate: float, pauses: list[float]) -> None:
    times = passed(rate, pauses)
    most = max(1, math.floor(rate))
    for first, last in zip(times, times[most:], strict=False):
        assert last - first >= most / rate - 1e-9


@given(rates, pauses)
def test_nor_where_who_comes_too_early_is_turned_away(rate: float, pauses: list[float]) -> None:
    pace, now, times = Pace.per_second(rate), 100.0, []
    most = max(1, math.floor(rate))
    for pause in pauses:
        now += pause
        turned_away = not pace.may(now)
        if not turned_away:
            times.append(now)
        in_the_last = [time for time in times if time > now - most / rate]
        assert turned_away <= (len(in_the_last) == most)
    for first, last in zip(times, times[most:], strict=False):
        assert last - first >= most / rate - 1e-9


@pytest.mark.parametrize("rate", [0.25, 1, 1.5, 2, 32])
def test_what_always_waits_goes_as_fast_as_it_may(rate: float) -> None:
    number = max(1, math.floor(rate)) * 20 + 1
    times = passed(rate, [0.0] * number)
    assert times[-1] - times[0] == pytest.approx((number - 1) / rate)


def test_a_seconds_worth_may_come_at_once() -> None:
    times = passed(4, [0.0] * 5)
    assert [time - times[0] for time in times] == pytest.approx([0, 0, 0, 0, 1])
