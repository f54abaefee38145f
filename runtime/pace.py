"""How often something may happen."""

from __future__ import annotations

__all__ = ["Pace"]

import math
from collections import deque


class Pace:
    """At most ``most`` times in any stretch of ``seconds``; they may come all at once.

    A token bucket would let twice as many through in the stretch after a pause, and a bound that is
    printed as so many a second would not hold. It knows no clock: each call tells the time in
    seconds, on any clock that doesn't go back.
    """

    __slots__ = ("_latest", "_most", "_seconds")

    def __init__(self, most: int, seconds: float) -> None:
        self._most = most
        self._seconds = seconds
        self._latest: deque[float] = deque(maxlen=most)

    @classmethod
    def per_second(cls, rate: float) -> Pace:
        """A rate, which may be less than one."""
        most = max(1, math.floor(rate))
        return cls(most, most / rate)

    def delay(self, now: float) -> float:
        """Seconds until it may happen again."""
        if len(self._latest) < self._most:
            return 0.0
        return max(0.0, self._latest[0] + self._seconds - now)

    def note(self, now: float) -> None:
        """It happens."""
        self._latest.append(now)

    def may(self, now: float) -> bool:
        """Whether it may happen now, in which case it does."""
        if self.delay(now):
            return False
        self.note(now)
        return True
