"""What a supervisor is told: child specifications as data, checked before anything starts.

Semantics follow Erlang/OTP's ``supervisor`` (strategies, restart types, significant children,
restart intensity), with three differences, for a machine that nobody stands beside: the intensity
is counted *per child*, a start that fails counts as a crash instead of ending the supervisor, and
a child that has used up its restarts need not take the rest down (``Exhausted``).
"""

from __future__ import annotations

__all__ = [
    "AutoShutdown",
    "Backoff",
    "Child",
    "ChildSpec",
    "Exhausted",
    "Restart",
    "RestartIntensity",
    "Strategy",
    "SupervisorSpec",
]

import enum
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from runtime.errors import SpecificationError

_GROWS = 64
"""Restarts after which a backoff grows no more."""


class Strategy(enum.Enum):
    """Which children are restarted when one crashes."""

    ONE_FOR_ONE = "one-for-one"
    ONE_FOR_ALL = "one-for-all"
    REST_FOR_ONE = "rest-for-one"
    """The crashed one and those started after it."""


class Restart(enum.Enum):
    """When a child that ended is started again."""

    PERMANENT = "permanent"
    TRANSIENT = "transient"
    """Only after a crash."""
    TEMPORARY = "temporary"


class AutoShutdown(enum.Enum):
    """Whether the end of significant children ends the supervisor."""

    NEVER = "never"
    ANY_SIGNIFICANT = "any-significant"
    ALL_SIGNIFICANT = "all-significant"


class Exhausted(enum.Enum):
    """What happens to a child that crashed more often than its intensity allows."""

    REST = "rest"
    """It is left down for a while and then started with a fresh budget."""
    LEAVE_DOWN = "leave-down"
    ESCALATE = "escalate"
    """The supervisor stops all children and fails, as in OTP."""


@dataclass(frozen=True, slots=True)
class RestartIntensity:
    """At most ``restarts`` within ``period`` seconds."""

    restarts: int = 5
    period: float = 60.0


@dataclass(frozen=True, slots=True)
class Backoff:
    """Seconds to wait before the n-th restart within the period: exponential, with jitter.

    ``jitter`` is a share: 0.1 spreads each delay by up to 10 % to either side.
    """

    first: float = 0.1
    factor: float = 2.0
    longest: float = 10.0
    jitter: float = 0.1

    def delay(self, nth: int, chance: random.Random) -> float:
        plain = self.plain(nth)
        return plain * (1 + self.jitter * chance.uniform(-1, 1))

    def plain(self, nth: int) -> float:
        """Without jitter; ``nth`` counts from 1."""
        # The exponent is capped because a float overflows long before a count does.
        return float(min(self.longest, self.first * self.factor ** min(nth - 1, _GROWS)))

    def total(self, restarts: int) -> float:
        """Seconds that so many restarts wait together, without jitter."""
        grown = sum(self.plain(n) for n in range(1, min(restarts, _GROWS) + 1))
        return grown + max(0, restarts - _GROWS) * self.plain(_GROWS + 1)


def _no_work() -> bool:
    return False


class Child(Protocol):
    """One incarnation of something supervised: an actor, or another supervisor."""

    async def serve(self, started: Callable[[], None]) -> None:
        """Start, call ``started`` once ready, work, and clean up however it ends."""

    def finish(self) -> bool:
        """Ask it to come to an end by itself. False where it can only be cancelled."""


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """How one child is started, restarted and stopped. Times are in seconds."""

    name: str
    build: Callable[[int], Child]
    """Makes the incarnation of that number, counted from 1."""
    restart: Restart = Restart.PERMANENT
    significant: bool = False
    intensity: RestartIntensity = field(default_factory=RestartIntensity)
    backoff: Backoff = field(default_factory=Backoff)
    start_timeout: float = 10.0
    stop_timeout: float = 5.0
    when_exhausted: Exhausted = Exhausted.REST
    rest: float = 300.0
    has_work: Callable[[], bool] = _no_work
    """Whether messages wait for it. One that crashed when everything stops is then started again,
    within its intensity, to finish them: a crash loses nothing, at the end no less than before."""

    def __post_init__(self) -> None:
        backoff = self.backoff
        # Written so that a NaN is refused as well.
        for label, value, fits, wanted in (
            ("start_timeout", self.start_timeout, self.start_timeout > 0, "above 0"),
            ("stop_timeout", self.stop_timeout, self.stop_timeout >= 0, "0 or more"),
            ("rest", self.rest, self.rest > 0, "above 0"),
            (
                "intensity.restarts",
                self.intensity.restarts,
                self.intensity.restarts >= 0,
                "0 or more",
            ),
            ("intensity.period", self.intensity.period, self.intensity.period > 0, "above 0"),
            ("backoff.first", backoff.first, backoff.first >= 0, "0 or more"),
            ("backoff.longest", backoff.longest, backoff.longest >= 0, "0 or more"),
            ("backoff.factor", backoff.factor, backoff.factor >= 1, "1 or more"),
            ("backoff.jitter", backoff.jitter, 0 <= backoff.jitter < 1, "at least 0 and below 1"),
        ):
            if not fits:
                raise SpecificationError(
                    f"child {self.name!r}: {label} is {value}, and must be {wanted}."
                )
        if self.significant and self.restart is Restart.PERMANENT:
            raise SpecificationError(
                f"child {self.name!r} is significant and permanent. A permanent child never ends, "
                "so its end can't signify anything: make it transient or temporary."
            )
        waited = backoff.total(self.intensity.restarts) * (1 + backoff.jitter)
        if waited > self.intensity.period:
            raise SpecificationError(
                f"child {self.name!r}: its backoff alone takes up to "
                f"{waited:.1f} s for {self.intensity.restarts} "
                f"restarts, longer than the period of {self.intensity.period:g} s in which they "
                "are counted, so that the intensity could never be exceeded. Shorten the backoff, "
                "allow fewer restarts or lengthen the period."
            )


@dataclass(frozen=True, slots=True)
class SupervisorSpec:
    """A supervisor's children, in the order in which they start; they stop in reverse."""

    name: str
    children: tuple[ChildSpec, ...]
    strategy: Strategy = Strategy.ONE_FOR_ONE
    auto_shutdown: AutoShutdown = AutoShutdown.NEVER

    def __post_init__(self) -> None:
        doubles = [name for name, n in Counter(c.name for c in self.children).items() if n > 1]
        if doubles:
            raise SpecificationError(
                f"supervisor {self.name!r} has more than one child named {', '.join(doubles)}."
            )
        significant = [child.name for child in self.children if child.significant]
        if significant and self.auto_shutdown is AutoShutdown.NEVER:
            raise SpecificationError(
                f"supervisor {self.name!r} never shuts down by itself, so its children can't be "
                f"significant, but {', '.join(significant)} is. Set auto_shutdown to "
                "any-significant or all-significant, or drop the mark."
            )
