"""How figures are measured and told.

A busy machine disturbs every timing, so contestants take turns in short rounds, the garbage
collector rests meanwhile, and what counts is the median of the rounds' ratios: both sides of one
ratio were measured within the same second.
"""

from __future__ import annotations

__all__ = [
    "Benchmark",
    "BenchmarkFailed",
    "Comparison",
    "Effort",
    "Figure",
    "Outcome",
    "Rounds",
    "Target",
    "compare",
    "measured",
    "percentile",
    "take_turns",
]

import gc
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, Protocol

import msgspec

Rounds = list[float]
"""One contestant's measurements, one for each round, in the order of the rounds."""


class BenchmarkFailed(Exception):
    """A benchmark can't run here; the message says why and what to do."""


class Effort(msgspec.Struct, frozen=True):
    """How much work a run takes upon itself, and on what."""

    rounds: int = 15
    scale: float = 1.0
    """Share of the usual number of messages, children or pictures."""
    labels: Path | None = None
    """For accuracy: a label file of one's own."""
    root: Path | None = None
    """The folder in which its pictures are."""

    @property
    def is_quick(self) -> bool:
        return self.scale < 1

    def count(self, usual: int, least: int = 1) -> int:
        """How many of something to take where the usual run takes ``usual``."""
        return max(least, round(usual * self.scale))

    def seconds(self, usual: float) -> float:
        """How long to measure where the usual run takes ``usual``."""
        return usual * self.scale


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """What a figure must reach: by itself, as a ratio to the comparison, or beyond it."""

    of: Literal["value", "ratio", "difference"]
    least: float | None = None
    most: float | None = None

    def is_met(self, reached: float) -> bool:
        return (self.least is None or reached >= self.least) and (
            self.most is None or reached <= self.most
        )

    def __str__(self) -> str:
        bounds = [f"≥ {self.least:g}"] if self.least is not None else []
        bounds += [f"≤ {self.most:g}"] if self.most is not None else []
        return f"{self.of} {' and '.join(bounds)}"


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """The same work done by something else, in the same rounds."""

    to: str
    value: float
    ratio: float
    """The figure's value divided by this one: the median of the rounds' ratios."""
    difference: float
    """The figure's value less this one: the median of the rounds' differences."""


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One measured number."""

    name: str
    value: float
    """Median of the rounds."""
    unit: str
    better: Literal["higher", "lower"]
    compared: Comparison | None = None
    target: Target | None = None
    met: bool | None = None
    """None where there is no target."""
    details: dict[str, float] = {}
    """Further numbers of the same measurement, such as p99, with their unit in the name."""
    note: str = ""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What one benchmark found."""

    figures: tuple[Figure, ...]
    not_available: tuple[str, ...] = ()
    """What could not be measured on this machine, and why."""


class Benchmark(Protocol):
    """One module of ``bench``: it measures and returns what it found.

    Raises BenchmarkFailed with a message for a person where something is missing.
    """

    def __call__(self, effort: Effort) -> Outcome: ...


@contextmanager
def measured() -> Iterator[None]:
    """Keep the garbage collector out of what is measured."""
    was_enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def take_turns(
    contestants: Mapping[str, Callable[[], float]], rounds: int, *, warm_up: bool = True
) -> dict[str, Rounds]:
    """Let each contestant measure itself once a round, in an order that moves on.

    With ``warm_up`` there is one round more, which does not count. A contestant returns what it
    measured.
    """
    names = list(contestants)
    results: dict[str, Rounds] = {name: [] for name in names}
    for turn in range(rounds + warm_up):
        shift = turn % len(names)
        for name in names[shift:] + names[:shift]:
            with measured():
                result = contestants[name]()
            if turn or not warm_up:
                results[name].append(result)
    return results


def compare(
    name: str,
    results: Mapping[str, Rounds],
    ours: str,
    other: str,
    *,
    unit: str,
    better: Literal["higher", "lower"],
    target: Target | None = None,
    details: Mapping[str, float] | None = None,
    note: str = "",
) -> Figure:
    """A figure from two contestants' rounds."""
    value = statistics.median(results[ours])
    pairs = list(zip(results[ours], results[other], strict=True))
    ratios = [a / b for a, b in pairs]
    compared = Comparison(
        to=other,
        value=statistics.median(results[other]),
        ratio=statistics.median(ratios),
        difference=statistics.median(a - b for a, b in pairs),
    )
    reached = {"value": value, "ratio": compared.ratio, "difference": compared.difference}
    spread = {"ratio lowest": min(ratios), "ratio highest": max(ratios)}
    return Figure(
        name=name,
        value=value,
        unit=unit,
        better=better,
        compared=compared,
        target=target,
        met=target.is_met(reached[target.of]) if target else None,
        details={**spread, **(details or {})},
        note=note,
    )


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest measured value that at least ``share`` of them do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -(-int(share * 1000) * len(ordered) // 1000) - 1))]
