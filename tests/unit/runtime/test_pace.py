"""A rate holds in every second, so that bits a second are what they are printed as."""

from __future__ import annotations

import math

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from runtime.crossing import _Pace


def passed(rate: float, pauses: list[float]) -> list[float]:
    """When messages got through that came after these pauses."""
    times = []

    async def main() -> None:
        pace = _Pace(rate)
        for pause in pauses:
            await trio.sleep(pause)
            await pace.wait()
            times.append(trio.current_time())

    trio.run(main, clock=MockClock(autojump_threshold=0))
    return times


@given(
    st.sampled_from([0.25, 1, 1.5, 2, 5, 32]),
    st.lists(st.sampled_from([0.0, 0.0, 0.01, 0.3, 1.0, 3.0]), max_size=100),
)
def test_no_stretch_of_time_lets_more_through_than_its_rate(
    rate: float, pauses: list[float]
) -> None:
    times = passed(rate, pauses)
    most = max(1, math.floor(rate))
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
