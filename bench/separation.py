"""What separation costs: walls, border, erasing; and how soon a domain is back.

The pipeline is the crowd pipeline of a real pole, housed in four ways that take turns. What it is
compared with is the same pipeline with all domains in one loop and no sandbox.
"""

from __future__ import annotations

__all__ = ["benchmark"]

from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from actors.crowd.memory import PictureMemory
from bench.harness import (
    Comparison,
    Effort,
    Figure,
    Outcome,
    Target,
    compare,
    percentile,
    take_turns,
)
from bench.hops import BareHops, measure_answered_hops, measure_bare_hops, measure_hops
from bench.logs import quietly
from bench.pipeline import MODELS, beginning, require_material
from bench.restarts import measure_restarts
from bench.small_pole import PoleRun, run_small_pole
from runtime.blueprint import Isolation
from runtime.house import Housing

ONE_LOOP = "one loop, no walls"
NOT_ERASING = "the same, not erasing"
THREADS = "threads, walls"
PROCESSES = "processes, walls"

_TURNS = 10
_PATIENCE = 300.0
_ROUNDS = 7
_PACED_INTERVAL = 0.6


def benchmark(effort: Effort) -> Outcome:
    """Measure all of it."""
    require_material()
    rounds = 2 if effort.is_quick else _ROUNDS
    with quietly():
        return Outcome(
            figures=(
                *_pipeline(effort.count(40, 8), rounds),
                *_erasure(effort.count(40, 8)),
                *_hops(effort.count(1500, 300)),
                *_restarts(effort.count(15, 3)),
            )
        )


def _pipeline(pictures: int, rounds: int) -> list[Figure]:
    with TemporaryDirectory(prefix="smartpole-") as folder:
        clip = beginning(pictures, folder)
        people: set[int] = set()

        def housed(
            housing: Housing, isolation: Isolation, *, erasing: bool = True
        ) -> Callable[[], float]:
            def measure() -> float:
                PictureMemory.erases = erasing
                try:
                    run = _run(clip, pictures, housing, isolation)
                finally:
                    PictureMemory.erases = True
                people.add(run.people)
                return run.pictures_per_second

            return measure

        results = take_turns(
            {
                ONE_LOOP: housed(Housing.ONE_LOOP, Isolation.THREAD),
                NOT_ERASING: housed(Housing.ONE_LOOP, Isolation.THREAD, erasing=False),
                THREADS: housed(Housing.APART, Isolation.THREAD),
                PROCESSES: housed(Housing.APART, Isolation.PROCESS),
            },
            rounds,
            warm_up=False,
        )
    details = {"pictures": pictures, "different numbers of people seen": len(people)}

    def figure(name: str, ours: str, other: str, least: float) -> Figure:
        return compare(
            name,
            results,
            ours,
            other,
            unit="pictures/s",
            better="higher",
            target=Target(of="ratio", least=least),
            details=details,
        )

    return [
        figure("walls and border, threads", THREADS, ONE_LOOP, 0.97),
        figure("walls and border, processes", PROCESSES, ONE_LOOP, 0.95),
        figure("erasing pictures from memory", ONE_LOOP, NOT_ERASING, 0.90),
    ]


def _erasure(pictures: int) -> list[Figure]:
    """How long a picture exists, beside the time that looking at it takes."""
    figures = []
    with TemporaryDirectory(prefix="smartpole-") as folder:
        clip = beginning(round(pictures * _PACED_INTERVAL * 10), folder)
        for isolation in Isolation:
            run = run_small_pole(
                clip,
                MODELS,
                interval=_PACED_INTERVAL,
                width=768,
                threads=1,
                enough=pictures,
                patience=_PATIENCE,
                paced=True,
                isolation=isolation,
            )
            assert run.erased_after is not None
            assert run.looked_in is not None
            value, other = run.erased_after.p99 / 1000, run.looked_in.p99 / 1000
            target = Target(of="difference", most=10.0)
            figures.append(
                Figure(
                    name=f"capture to erasure p99, {isolation.value}",
                    value=value,
                    unit="ms",
                    better="lower",
                    compared=Comparison(
                        to="decoding and inference p99",
                        value=other,
                        ratio=value / other,
                        difference=value - other,
                    ),
                    target=target,
                    met=target.is_met(value - other),
                    details={
                        "p50, ms": run.erased_after.p50 / 1000,
                        "longest, ms": run.erased_after.maximum / 1000,
                        "pictures": run.erased_after.count,
                    },
                    note="percentiles are upper bounds of buckets 9 % wide",
                )
            )
    return figures


def _hops(messages: int) -> list[Figure]:
    """A message that is sent once the one before was answered, as messaging systems are measured;
    and one on its own from actor to actor of a pole, of which most is how long sleeping threads
    take to wake: hence the bare loops beside it."""
    # In turns, because it makes a difference on which core the other loop happens to wake.
    bare = BareHops(alone=[], answered=[])
    answered: list[float] = []
    for _ in range(_TURNS):
        once = measure_bare_hops(messages // _TURNS)
        bare.alone += once.alone
        bare.answered += once.answered
        answered += measure_answered_hops(messages // _TURNS)
    figures = [_hop("a border hop p50", answered, bare.answered, Target(of="value", most=100.0))]
    for isolation in Isolation:
        alone = measure_hops(Housing.APART, isolation, messages)
        figures.append(
            _hop(f"a message on its own p50, {isolation.value}", alone, bare.alone, None)
        )
    return figures


def _hop(name: str, durations: list[float], bare: list[float], target: Target | None) -> Figure:
    value, other = percentile(durations, 0.50), percentile(bare, 0.50)
    return Figure(
        name=name,
        value=value,
        unit="µs",
        better="lower",
        compared=Comparison(
            to="two bare trio loops and a socket pair",
            value=other,
            ratio=value / other,
            difference=value - other,
        ),
        target=target,
        met=None if target is None else target.is_met(value),
        details={"p99, µs": percentile(durations, 0.99), "messages": len(durations)},
        note="from sending to receipt, one at a time",
    )


def _restarts(times: int) -> list[Figure]:
    figures = []
    for isolation in Isolation:
        found = measure_restarts(isolation, MODELS, times)
        for what, durations, most in (
            ("without models", found.plain, 50.0 if isolation is Isolation.THREAD else 500.0),
            ("crowd, with its models", found.with_models, 1500.0),
        ):
            value = median(durations) * 1000
            target = Target(of="value", most=most)
            figures.append(
                Figure(
                    name=f"a domain is back, {what}, {isolation.value}",
                    value=value,
                    unit="ms",
                    better="lower",
                    target=target,
                    met=target.is_met(value),
                    details={"longest, ms": max(durations) * 1000, "times": len(durations)},
                    note="from being ended to all its actors running, the backoff included",
                )
            )
    return figures


def _run(clip: Path, pictures: int, housing: Housing, isolation: Isolation) -> PoleRun:
    return run_small_pole(
        clip,
        MODELS,
        interval=0.0,
        width=768,
        threads=1,
        enough=pictures,
        patience=_PATIENCE,
        housing=housing,
        isolation=isolation,
    )
