"""What an operator sets for the statistics."""

from __future__ import annotations

__all__ = ["StatisticsSettings"]

from typing import Annotated, ClassVar

import msgspec

from actors.statistics.release import SMALLEST_K
from runtime import Duration, Settings

_SHORTEST, _LONGEST = 10, 3600


class StatisticsSettings(Settings, frozen=True, kw_only=True):
    """How long a slice is, and which numbers are too small to show."""

    published: ClassVar[tuple[str, ...]] = ("slice", "k")

    slice: Duration = Duration(60)
    """10 s to 1 h; the slices begin at its multiples since 1970."""
    k: Annotated[int, msgspec.Meta(ge=SMALLEST_K, le=1000)] = 5
    """The smallest number that is stored and shown."""

    def __post_init__(self) -> None:
        if not _SHORTEST <= self.slice <= _LONGEST or self.slice % 1:
            raise ValueError("Expected a slice of 10s to 1h, in whole seconds")

    def headline(self) -> str:
        return f"slices of {self.slice}, k = {self.k}"
