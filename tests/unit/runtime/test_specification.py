"""Child and supervisor specifications are refused before anything starts."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.errors import SpecificationError
from runtime.specification import (
    AutoShutdown,
    Backoff,
    ChildSpec,
    Restart,
    RestartIntensity,
    SupervisorSpec,
)


def build(_: int) -> object:
    raise AssertionError("nothing may be built")


NAN = math.nan


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"start_timeout": 0.0}, "start_timeout is 0.0, and must be above 0"),
        ({"start_timeout": -1.0}, "start_timeout is -1.0"),
        ({"start_timeout": NAN}, "start_timeout is nan"),
        ({"stop_timeout": -0.5}, "stop_timeout is -0.5, and must be 0 or more"),
        ({"stop_timeout": NAN}, "stop_timeout is nan"),
        ({"rest": 0.0}, "rest is 0.0"),
        ({"intensity": RestartIntensity(1, 0.0)}, "intensity.period is 0.0"),
        ({"intensity": RestartIntensity(-1, 5.0)}, "intensity.restarts is -1"),
        ({"backoff": Backoff(factor=0.5)}, "backoff.factor is 0.5, and must be 1 or more"),
        ({"backoff": Backoff(jitter=1.0)}, "backoff.jitter"),
        ({"backoff": Backoff(jitter=-0.1)}, "backoff.jitter"),
        ({"backoff": Backoff(first=-1.0)}, "backoff.first"),
        ({"backoff": Backoff(first=NAN)}, "backoff.first"),
        ({"backoff": Backoff(longest=-1.0)}, "backoff.longest"),
        ({"backoff": Backoff(longest=NAN)}, "backoff.longest"),
        ({"significant": True}, "is significant and permanent"),
        (
            {
                "intensity": RestartIntensity(2, 2.0),
                "backoff": Backoff(first=1.0, factor=2.0, jitter=0.0),
            },
            "its backoff alone takes up to 3.0 s for 2 restarts, longer than the period of 2 s",
        ),
        (
            {
                "intensity": RestartIntensity(2, 3.0),
                "backoff": Backoff(first=1.0, factor=2.0, jitter=0.1),
            },
            "up to 3.3 s",
        ),
        (
            {
                "intensity": RestartIntensity(10_000_000, 600.0),
                "backoff": Backoff(first=0.1, longest=0.1, jitter=0.0),
            },
            "could never be exceeded",
        ),
    ],
)
def test_a_child_that_contradicts_itself_is_refused(options: dict[str, object], says: str) -> None:
    with pytest.raises(SpecificationError) as caught:
        ChildSpec("eye", build, **options)  # type: ignore[arg-type]
    assert "'eye'" in str(caught.value)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    "options",
    [
        {"stop_timeout": 0.0},
        {"start_timeout": math.inf},
        {"intensity": RestartIntensity(0, 1.0)},
        {"backoff": Backoff(factor=1.0)},
        {"backoff": Backoff(first=0.0)},
        {"significant": True, "restart": Restart.TRANSIENT},
        {"significant": True, "restart": Restart.TEMPORARY},
        {
            # Exactly the period: the last restart still falls into it.
            "intensity": RestartIntensity(2, 3.0),
            "backoff": Backoff(first=1.0, factor=2.0, jitter=0.0),
        },
    ],
)
def test_a_child_at_the_edge_is_accepted(options: dict[str, object]) -> None:
    assert ChildSpec("eye", build, **options).name == "eye"  # type: ignore[arg-type]


def test_two_children_of_one_name_are_refused() -> None:
    twice = (ChildSpec("eye", build), ChildSpec("ear", build), ChildSpec("eye", build))
    with pytest.raises(SpecificationError, match=r"'head' has more than one child named eye\."):
        SupervisorSpec("head", twice)


def test_significant_children_need_an_automatic_shutdown() -> None:
    child = ChildSpec("eye", build, restart=Restart.TRANSIENT, significant=True)
    with pytest.raises(SpecificationError) as caught:
        SupervisorSpec("head", (child,))
    assert "'head' never shuts down by itself" in str(caught.value)
    assert "eye is" in str(caught.value)
    assert "any-significant or all-significant" in str(caught.value)
    SupervisorSpec("head", (child,), auto_shutdown=AutoShutdown.ANY_SIGNIFICANT)


def test_backoff_grows_to_its_longest_and_never_overflows() -> None:
    backoff = Backoff(first=0.5, factor=2.0, longest=5.0, jitter=0.0)
    assert [backoff.plain(n) for n in range(1, 7)] == [0.5, 1.0, 2.0, 4.0, 5.0, 5.0]
    assert backoff.plain(10**9) == 5.0


@given(
    first=st.floats(0, 10),
    factor=st.floats(1, 10),
    longest=st.floats(0, 100),
    jitter=st.floats(0, 0.99),
    nth=st.integers(1, 10_000),
    seed=st.integers(),
)
def test_jitter_stays_within_its_share(
    first: float, factor: float, longest: float, jitter: float, nth: int, seed: int
) -> None:
    backoff = Backoff(first, factor, longest, jitter)
    plain, delay = backoff.plain(nth), backoff.delay(nth, random.Random(seed))
    assert 0 <= plain <= longest
    assert plain <= backoff.plain(nth + 1)
    assert plain * (1 - jitter) * (1 - 1e-9) <= delay <= plain * (1 + jitter) * (1 + 1e-9)


def test_jitter_spreads_to_both_sides() -> None:
    backoff, chance = Backoff(first=1.0, jitter=0.5), random.Random(7)
    delays = [backoff.delay(1, chance) for _ in range(200)]
    assert min(delays) < 0.75
    assert max(delays) > 1.25
