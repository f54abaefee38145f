"""When packets came that were read later."""

from __future__ import annotations

__all__ = ["Arrivals"]

from fractions import Fraction

_LONGEST_STEP = 10.0
"""Seconds between two packets' times beyond which the camera's clock must have jumped."""


class Arrivals:
    """Tells when each packet of a live stream came.

    Who reads a few times a second finds several that have waited in the socket. They came as far
    apart as the camera took them, after the time before at which everything was read, and before
    they were read. Moments are seconds of the monotonic clock.
    """

    def __init__(self, seconds_per_tick: Fraction, now: float) -> None:
        self._tick = float(seconds_per_tick)
        self._latest = now
        self._ticks: int | None = None
        self.step = _LONGEST_STEP
        """Seconds between the latest two packets."""

    def note(self, ticks: int, *, earliest: float, latest: float) -> float:
        """A packet came between those moments: when."""
        came = latest
        if self._ticks is not None:
            passed = (ticks - self._ticks) * self._tick
            if 0 < passed < _LONGEST_STEP:
                self.step = passed
                came = min(max(self._latest + passed, earliest), latest)
        self._ticks = ticks
        self._latest = came
        return came
