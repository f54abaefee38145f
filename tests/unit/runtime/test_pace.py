"""Pace, held against what it promises over any stretch of time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.pace import Pace

paces = st.tuples(st.floats(0.1, 100, allow_nan=False), st.integers(1, 50).map(float))
gaps = st.lists(st.floats(0, 5, allow_nan=False), max_size=80)


@given(paces, gaps)
def test_no_stretch_of_time_sees_more_than_it_may(
    pace: tuple[float, float], gaps: list[float]
) -> None:
    per_second, at_once = pace
    bucket, now, passed = Pace(per_second, at_once), 100.0, []
    for gap in gaps:
        now += gap
        if bucket.may(now):
            passed.append(now)
    for first, began in enumerate(passed):
        for last in range(first, len(passed)):
            allowed = at_once + (passed[last] - began) * per_second
            assert last - first + 1 <= allowed + 1e-6


@given(paces, gaps)
def test_whoever_waits_as_told_keeps_the_same_pace(
    pace: tuple[float, float], gaps: list[float]
) -> None:
    per_second, at_once = pace
    bucket, now, passed = Pace(per_second, at_once), 100.0, []
    for gap in gaps:
        now += gap
        now += bucket.take(now)
        passed.append(now)
    for first, began in enumerate(passed):
        for last in range(first, len(passed)):
            allowed = at_once + (passed[last] - began) * per_second
            assert last - first + 1 <= allowed + 1e-6


def test_nobody_waits_longer_than_they_must() -> None:
    bucket = Pace(per_second=2, at_once=2)
    assert [bucket.take(10), bucket.take(10), bucket.take(10)] == [0, 0, pytest.approx(0.5)]
    assert not bucket.may(10.9)
    assert bucket.take(11.0) == 0
