"""Time slices, aligned to the wall clock, kept by the monotonic one."""

from __future__ import annotations

__all__ = ["SliceClock"]

import math
from collections.abc import Callable

import trio

_TOLERATED_STEP = 2.0
"""Seconds; slewing stays far below it within a slice."""


class SliceClock:
    """The window that is being counted, and when it ends.

    Windows are whole seconds since 1970, ``[start, end)``, and don't overlap. The first begins
    when counting begins; each ends at the next multiple of ``length``.
    """

    def __init__(self, length: float, wall: Callable[[], float]) -> None:
        self._length = int(length)
        self._wall = wall
        self._begin(math.ceil(wall()))

    def _begin(self, start: int) -> None:
        self.start = start
        self._end = (start // self._length + 1) * self._length
        self._wall_at_begin, self._monotonic_at_begin = self._wall(), trio.current_time()
        self.deadline = self._monotonic_at_begin + self._end - self._wall_at_begin
        """When the window ends, in trio's time."""

    def close(self) -> tuple[int, int] | None:
        """End the window now, begin the next, and say what the window was.

        None where it had no full second yet, or where the wall clock was set meanwhile: then
        nobody knows which time was counted.
        """
        wall = self._wall()
        stepped = (wall - self._wall_at_begin) - (trio.current_time() - self._monotonic_at_begin)
        if abs(stepped) > _TOLERATED_STEP:
            self._begin(math.ceil(wall))
            return None
        start = self.start
        # Held up for more than a second: what was heard meanwhile counts, and the window says so.
        end = int(wall) if wall >= self._end + 1 else min(self._end, math.ceil(wall))
        if end <= start:
            return None
        self._begin(end)
        return start, end
