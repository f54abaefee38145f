"""What an operator sets for the statistics."""

from __future__ import annotations

__all__ = ["Noise", "StatisticsSettings"]

import importlib.util
from typing import Annotated, ClassVar

import msgspec

from actors.statistics.release import SMALLEST_K
from runtime import Duration, Settings

_MINUTE, _HOUR, _DAY = 60, 3600, 86_400
_SHORTEST_DEMONSTRATION = 10

Epsilon = Annotated[float, msgspec.Meta(ge=0.001, le=10)]


class Noise(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Differential privacy: see ``noise``. It needs the extra ``privacy`` (OpenDP)."""

    epsilon: Epsilon
    """Of each slice, in steps of 0.001. Smaller: more noise, better protected."""
    epsilon_per_day: Annotated[float, msgspec.Meta(ge=0.001, le=10_000)]
    """Of all slices of a place in one day of Japan. Those beyond it are not released."""

    def __post_init__(self) -> None:
        if self.epsilon_per_day < self.epsilon:
            raise ValueError("Expected epsilon_per_day of at least epsilon, for one slice a day")
        if importlib.util.find_spec("opendp") is None:
            raise ValueError(
                "Expected no noise, because OpenDP is not installed here: "
                "pip install --require-hashes -r requirements/privacy.lock"
            )

    @property
    def thousandths(self) -> int:
        """ε of each slice."""
        return round(1000 * self.epsilon)

    @property
    def thousandths_per_day(self) -> int:
        return round(1000 * self.epsilon_per_day)

    def __str__(self) -> str:
        return f"ε = {self.epsilon:g} a slice, {self.epsilon_per_day:g} a day"


class StatisticsSettings(Settings, frozen=True, kw_only=True):
    """How long a slice is, and which numbers are too small to show."""

    published: ClassVar[tuple[str, ...]] = ("slice", "k", "keep", "demonstration", "noise")

    slice: Duration = Duration(_MINUTE)
    """1 min to 1 h, in whole minutes; slices begin at its multiples since 1970."""
    k: Annotated[int, msgspec.Meta(ge=SMALLEST_K, le=1000)] = 5
    """The smallest number that is stored and shown."""
    keep: Duration = Duration(365 * _DAY)
    """How long released slices are kept: 7 d to 3650 d."""
    demonstration: bool = False
    """Slices may be shorter than a minute, from 10 s on. It is published that it is set."""

    noise: Noise | None = None
    """None: the numbers are exact."""

    def __post_init__(self) -> None:
        if self.demonstration:
            if not _SHORTEST_DEMONSTRATION <= self.slice <= _HOUR or self.slice % 1:
                raise ValueError("Expected a slice of 10s to 1h, in whole seconds")
        elif not _MINUTE <= self.slice <= _HOUR or self.slice % _MINUTE:
            raise ValueError(
                "Expected a slice of 1min to 1h, in whole minutes: a shorter one follows who comes "
                "and goes (guideline 6.2(3)). Only a demonstration may have slices from 10s on, "
                "and has to say so: demonstration = true"
            )
        if not 7 * _DAY <= self.keep <= 3650 * _DAY:
            raise ValueError("Expected keep of 7d to 3650d")

    @property
    def shortest(self) -> int:
        """Seconds: no slice is shorter, not even one that was cut short."""
        return 1 if self.demonstration else _MINUTE

    def headline(self) -> str:
        parts = [f"slices of {self.slice}", f"k = {self.k}"]
        parts += [str(self.noise)] if self.noise is not None else []
        parts += ["a demonstration"] if self.demonstration else []
        return ", ".join(parts)
