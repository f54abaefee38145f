"""When packets came that were read later."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.camera.arrivals import Arrivals

TICK = Fraction(1, 1000)


def of_a_stream() -> Arrivals:
    """Of one whose first two packets, 40 ms apart, were read as they came."""
    arrivals = Arrivals(TICK, 9.0)
    assert arrivals.note(0, earliest=9.0, latest=10.0) == 10.0
    assert arrivals.note(40, earliest=10.0, latest=10.041) == 10.04
    return arrivals


def test_packets_that_waited_came_as_far_apart_as_the_camera_took_them() -> None:
    arrivals = of_a_stream()
    came = [arrivals.note(ticks, earliest=10.041, latest=10.25) for ticks in (80, 120, 160)]
    assert came == pytest.approx([10.08, 10.12, 10.16])
    assert arrivals.step == pytest.approx(0.04)


def test_a_camera_whose_clock_is_slow_or_fast_is_followed() -> None:
    for per_picture in (36, 44):
        arrivals = Arrivals(TICK, 0.0)
        for number in range(0, 5000, 5):
            read = (number + 5) * 0.04
            for one in range(number, number + 5):
                came = arrivals.note(one * per_picture, earliest=read - 0.2, latest=read)
                assert read - 0.2 <= came <= read


@pytest.mark.parametrize("ticks", [40, 0, 10**9], ids=["same", "back", "jump"])
def test_times_that_make_no_sense_tell_nothing(ticks: int) -> None:
    arrivals = of_a_stream()
    assert arrivals.note(ticks, earliest=10.1, latest=10.5) == 10.5
    assert arrivals.step == pytest.approx(0.04), "as before"


@given(reads=st.lists(st.tuples(st.integers(-(2**62), 2**62), st.floats(0, 60), st.floats(0, 60))))
def test_whatever_times_the_camera_gives_packets_come_in_order_and_before_they_are_read(
    reads: list[tuple[int, float, float]],
) -> None:
    arrivals, now, before = Arrivals(TICK, 5.0), 5.0, 5.0
    for ticks, quiet, later in reads:
        earliest = now + quiet
        now = earliest + later
        came = arrivals.note(ticks, earliest=earliest, latest=now)
        assert before <= came
        assert earliest <= came <= now
        before = came
