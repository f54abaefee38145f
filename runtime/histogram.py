"""How long something takes, as a histogram of bounded size."""

from __future__ import annotations

__all__ = ["Histogram", "HistogramStatistics"]

from bisect import bisect_left
from typing import Annotated

import msgspec

_STEPS = 8
"""Buckets for each doubling: a percentile is told at most 9 % too high, and never too low."""
_LEAST = 100
"""_Microseconds; what is shorter counts as this long."""
_DOUBLINGS = 24
"""Up to 28 minutes."""
_BOUNDS = tuple(round(_LEAST * 2 ** (step / _STEPS)) for step in range(_DOUBLINGS * _STEPS + 1))
"""The longest duration of each bucket, in microseconds."""
_COUNT_MAX = 2**53

_Microseconds = Annotated[int, msgspec.Meta(ge=0, le=_BOUNDS[-1])]


class HistogramStatistics(msgspec.Struct, frozen=True):
    """A histogram in five bounded whole numbers. Percentiles are upper bounds, 9 % wide."""

    count: Annotated[int, msgspec.Meta(ge=0, le=_COUNT_MAX)]
    p50: _Microseconds
    p99: _Microseconds
    maximum: _Microseconds
    """The longest of all, exact up to 28 minutes."""


class Histogram:
    """Durations that an actor shows in ``smartpole status`` as p50, p99 and the longest.

    It holds bounded whole numbers and nothing else, as a ``Reading`` does, and outlives the
    actor's incarnations like one. Declare it by its annotation: ``erased_after: Histogram``.
    """

    __slots__ = ("_counts", "_maximum")

    def __init__(self) -> None:
        self._counts = [0] * len(_BOUNDS)
        self._maximum = 0

    def record(self, seconds: float) -> None:
        """Count one duration. What is negative (a clock that was set back) counts as zero."""
        duration = round(max(0.0, min(seconds * 1e6, float(_BOUNDS[-1]))))
        place = bisect_left(_BOUNDS, duration)
        self._counts[place] = min(self._counts[place] + 1, _COUNT_MAX)
        self._maximum = max(self._maximum, duration)

    def statistics(self) -> HistogramStatistics:
        return HistogramStatistics(
            count=min(sum(self._counts), _COUNT_MAX),
            p50=self._percentile(0.50),
            p99=self._percentile(0.99),
            maximum=self._maximum,
        )

    def _percentile(self, share: float) -> int:
        wanted = share * sum(self._counts)
        seen = 0
        for bound, count in zip(_BOUNDS, self._counts, strict=True):
            seen += count
            if seen and seen >= wanted:
                return min(bound, self._maximum)
        return 0
