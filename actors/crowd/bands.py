"""Age bands: from an estimated age in years to one of four bands."""

from __future__ import annotations

__all__ = ["OLDEST_BAND", "AgeEdges", "band_of"]

from bisect import bisect_right

from actors.crowd.messages import DEFAULT_AGE_BANDS, AgeBand

AgeEdges = tuple[int, int, int]
"""Years at which the second, third and fourth band begin."""

OLDEST_BAND = 80
"""Years; the age model knows no more."""

_RISING = (AgeBand.UP_TO_19, AgeBand.FROM_20, AgeBand.FROM_40, AgeBand.FROM_60)


def band_of(age: float | None, edges: AgeEdges = DEFAULT_AGE_BANDS) -> AgeBand:
    """The band that an estimated age falls into; None is an unknown age."""
    return AgeBand.UNKNOWN if age is None else _RISING[bisect_right(edges, age)]
