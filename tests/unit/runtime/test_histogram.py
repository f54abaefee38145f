"""Histograms of durations."""

from __future__ import annotations

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime import Actor, Domain, Histogram
from runtime.histogram import HistogramStatistics

LONGEST = 100 * 2**24
"""Microseconds."""


@given(st.lists(st.floats(0, 3000), min_size=1, max_size=200))
def test_percentiles_are_never_too_low_and_at_most_a_bucket_too_high(times: list[float]) -> None:
    histogram = Histogram()
    for seconds in times:
        histogram.record(seconds)
    found = histogram.statistics()
    exact = sorted(min(round(seconds * 1e6), LONGEST) for seconds in times)
    assert found.count == len(exact)
    assert found.maximum == exact[-1]
    for told, share in ((found.p50, 0.50), (found.p99, 0.99)):
        truth = exact[math.ceil(share * len(exact)) - 1]
        assert truth <= told <= max(100, truth * 1.1)
        assert told <= found.maximum


def test_empty() -> None:
    assert Histogram().statistics() == HistogramStatistics(0, 0, 0, 0)


@pytest.mark.parametrize("seconds", [-5.0, -math.inf, math.inf, 1e300])
def test_it_stays_bounded(seconds: float) -> None:
    histogram = Histogram()
    histogram.record(seconds)
    found = histogram.statistics()
    assert msgspec.json.decode(msgspec.json.encode(found), type=HistogramStatistics) == found
    assert found.maximum in (0, LONGEST)


def test_numbers_out_of_bounds_do_not_cross() -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(
            b'{"count":1,"p50":1,"p99":1,"maximum":99999999999}', type=HistogramStatistics
        )


def test_it_holds_numbers_only() -> None:
    with pytest.raises(AttributeError):
        Histogram().picture = b""  # type: ignore[attr-defined]


def test_an_actor_declares_it() -> None:
    class Timed(Actor, domain=Domain.PUBLIC):
        took: Histogram

    assert Timed.declaration.histograms == ("took",)
    assert not Timed.declaration.readings
