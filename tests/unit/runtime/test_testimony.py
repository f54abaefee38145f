"""What the pole believes of a domain's account of its actors."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from runtime import Actor, Domain, Histogram, Reading, reading
from runtime.actor import READING_MAX
from runtime.histogram import HistogramStatistics
from runtime.testimony import believe, nothing_yet
from tests.example_pole import POLE, example_blueprint


class Clock(Actor, domain=Domain.PUBLIC):
    ticks: Reading = reading(vital=True)
    late: Histogram


@pytest.fixture
def plan(tmp_path: Path):  # type: ignore[no-untyped-def]
    text = POLE + '[actors.clock]\ntype = "clock"\n'
    return example_blueprint(tmp_path, text, {"clock": Clock}).actors["clock"]


def test_before_anything_is_heard_every_number_is_there_and_zero(plan) -> None:  # type: ignore[no-untyped-def]
    blank = nothing_yet(plan)
    assert blank.readings == {"ticks": 0}
    assert blank.histograms == {"late": HistogramStatistics(0, 0, 0, 0)}
    assert blank.idle == ("ticks",)


def test_numbers_are_believed_within_their_bounds_and_words_are_not(plan) -> None:  # type: ignore[no-untyped-def]
    late = HistogramStatistics(3, 100, 200, 200)
    said = msgspec.structs.replace(
        nothing_yet(plan),
        name="aa:bb:cc:dd:ee:ff",
        headline="a picture",
        state="a picture as well",
        readings={"ticks": 2**60, "a picture": 1},
        crashes=-5,
        histograms={"late": late, "a picture": late},
    )
    believed = believe(nothing_yet(plan), said, None)
    assert (believed.name, believed.headline, believed.state) == ("clock", "", "not started")
    assert believed.readings == {"ticks": READING_MAX}
    assert believed.histograms == {"late": late}
    assert believed.crashes == 0
    assert believed.idle == ()
