"""How often something may happen: a token bucket."""

from __future__ import annotations

__all__ = ["Pace"]


class Pace:
    """Lets through ``per_second``, and after a pause up to ``at_once`` without waiting.

    It knows no clock: each call tells the time in seconds, on any clock that doesn't go back.
    """

    __slots__ = ("_at", "_at_once", "_per_second", "_tokens")

    def __init__(self, per_second: float, at_once: float) -> None:
        self._per_second = per_second
        self._at_once = self._tokens = at_once
        self._at: float | None = None

    def take(self, now: float) -> float:
        """Take the next turn, and say how many seconds to wait for it."""
        self._earn(now)
        self._tokens -= 1
        return max(0.0, -self._tokens / self._per_second)

    def may(self, now: float) -> bool:
        """Take a turn if there is one without waiting."""
        self._earn(now)
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def _earn(self, now: float) -> None:
        if self._at is not None:
            earned = (now - self._at) * self._per_second
            self._tokens = min(self._tokens + earned, self._at_once)
        self._at = now
