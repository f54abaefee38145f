"""When packets came that were read later."""

from __future__ import annotations

__all__ = ["Arrivals"]

from fractions import Fraction

_LONGEST_STEP = 10.0
"""Seconds between two packets' times beyond which the camera's clock must have jumped."""


class Arrivals:
    """Tells when each packet of a live stream came, and when the next one should be there.

    Who reads a few times a second finds several packets that have waited in the socket. One that
    was waited for has come when it was read; those after it, by the stream's own times, as much
    later as the camera took them later. Moments are seconds of the monotonic clock.
    """

    def __init__(self, seconds_per_tick: Fraction, now: float) -> None:
        self._tick = float(seconds_per_tick)
        self._latest = now
        self._dts: int | None = None
        self.step = _LONGEST_STEP
        """Seconds between the latest two packets."""

    @property
    def next(self) -> float:
        """When the next packet should be there."""
        return self._latest + self.step

    def was_waited_for(self, took: float) -> bool:
        """Whether reading it took so long (in seconds) because it was not there yet."""
        return took > self.step / 4

    def note(self, dts: int | None, moment: float, *, waited_for: bool) -> float:
        """A packet was read at ``moment``: when it came."""
        came = moment
        if dts is not None and self._dts is not None:
            passed = (dts - self._dts) * self._tick
            if 0 < passed < _LONGEST_STEP:
                self.step = passed
                if not waited_for:
                    came = min(moment, self._latest + passed)
        self._dts = dts
        self._latest = came
        return came
