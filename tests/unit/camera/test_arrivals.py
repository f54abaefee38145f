"""When packets came that were read later."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.camera.arrivals import Arrivals

TICK = Fraction(1, 1000)


def of_a_stream() -> Arrivals:
    """Of one whose first two packets, 40 ms apart, were waited for."""
    arrivals = Arrivals(TICK, 9.0)
    assert arrivals.note(0, 10.0, waited_for=True) == 10.0
    assert arrivals.note(40, 10.041, waited_for=True) == 10.041
    return arrivals


def test_packets_that_waited_came_as_far_apart_as_the_camera_took_them() -> None:
    arrivals = of_a_stream()
    came = [arrivals.note(dts, 10.25, waited_for=False) for dts in (80, 120, 160)]
    assert came == pytest.approx([10.081, 10.121, 10.161])
    assert arrivals.next == pytest.approx(10.201)
    assert arrivals.note(200, 10.21, waited_for=True) == 10.21


def test_nothing_came_after_it_was_read() -> None:
    arrivals = of_a_stream()
    assert arrivals.note(80, 10.06, waited_for=False) == 10.06


def test_a_read_that_takes_long_has_waited() -> None:
    arrivals = of_a_stream()
    assert not arrivals.was_waited_for(0.009)
    assert arrivals.was_waited_for(0.011)


@pytest.mark.parametrize("dts", [None, 40, 0, 10**9], ids=["none", "same", "back", "jump"])
def test_times_that_make_no_sense_tell_nothing(dts: int | None) -> None:
    arrivals = of_a_stream()
    assert arrivals.note(dts, 10.5, waited_for=False) == 10.5
    assert arrivals.step == pytest.approx(0.04), "as before"


@given(
    reads=st.lists(
        st.tuples(st.none() | st.integers(-(2**62), 2**62), st.floats(0, 60), st.booleans())
    )
)
def test_whatever_times_the_camera_gives_packets_come_in_order_and_before_they_are_read(
    reads: list[tuple[int | None, float, bool]],
) -> None:
    arrivals, now, before = Arrivals(TICK, 5.0), 5.0, 5.0
    for dts, later, waited_for in reads:
        now += later
        came = arrivals.note(dts, now, waited_for=waited_for)
        assert before <= came <= now
        assert came == now or not waited_for
        assert arrivals.next >= came
        before = came
